"""The heads in float64, compared with Keras's own layers, and invalid heads."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tf_keras

from numerics.budgets import Cost
from parity_tests.checks.head import Head
from parity_tests.runners.runs import RunOutput
from support.contracts import seal_description
from support.errors import UserError
from tests.hostile.contracts import classifier_description

HIDDEN, LABELS = 5, ("a", "b", "c")


def layers(kind: str) -> list[tf_keras.layers.Layer]:
    """Returns the layers before the softmax, first the one that masks padding."""
    if kind == "bilstm":
        lstm = tf_keras.layers.LSTM(6)
        return [tf_keras.layers.Masking(), tf_keras.layers.Bidirectional(lstm)]
    first = [tf_keras.layers.Lambda(lambda x: x[:, 0])]
    return first + ([tf_keras.layers.Dense(7, "tanh")] if kind == "dense" else [])


@pytest.mark.parametrize("kind", ["dense", "linear", "bilstm"])
def test_a_head_equals_keras_with_the_same_weights(kind: str) -> None:
    tf_keras.utils.set_random_seed(3)
    model = tf_keras.Sequential([*layers(kind), tf_keras.layers.Dense(3, "softmax")])
    sequence = np.random.default_rng(1).normal(size=(4, 6, HIDDEN)).astype(np.float32)
    mask = np.array([[1] * length + [0] * (6 - length) for length in (6, 1, 4, 3)], np.int32)
    shown = sequence * mask[..., None]
    model(shown)
    # Zero biases would hide a mistake.
    model.set_weights(
        [w + 0.1 * np.arange(w.size).reshape(w.shape) % 1 for w in model.get_weights()]
    )
    expected = model(shown).numpy()
    head = Head(kind, tuple(model.get_weights()), LABELS)
    # Values at masked positions do not matter to a head.
    np.testing.assert_allclose(head.probabilities(sequence, mask), expected, atol=1e-6)
    assert expected.std() > 0.01


def test_the_cost_of_the_probabilities_is_that_of_the_vectors_through_the_head() -> None:
    """With logits x and −x the probability is 1 / (1 + e^(−2x)), whose slope at 0 is 1/2."""
    head = Head("linear", (np.array([[1.0, -1.0]]), np.zeros(2)), ("a", "b"))
    batch = {
        "sequence_output": np.zeros((1, 1, 1), np.float32),
        "attention_mask": np.ones((1, 1), np.int32),
    }
    off = {"sequence_output": Cost(0.01, 1.0, 1)}
    run = RunOutput({("added", 0): batch}, {}, costs=off)
    exact = 1 / (1 + math.exp(-0.02))
    assert head.cost(run, "sequence_output").largest == pytest.approx(exact - 0.5, rel=1e-4)
    correction = {"added": np.full((1, 1, 1), 0.02)}
    measured = replace(run, batches=run.batches | {("float64", 0): correction})
    exact = 1 / (1 + math.exp(-0.04))
    assert head.cost(measured, "sequence_output").largest == pytest.approx(exact - 0.5, rel=1e-4)


def test_quantised_weights_of_a_head_are_refused(tmp_path: Path) -> None:
    spec = {"name": "k", "shape": [2, 2], "dtype": "float32"}
    scheme = {"quantization": {"dtype": "uint8", "scale": 1.0, "min": 0.0}}
    (tmp_path / "weights.bin").write_bytes(bytes(16))
    manifest = [{"paths": ["weights.bin"], "weights": [spec | scheme]}]
    (tmp_path / "model.json").write_text(json.dumps({"weightsManifest": manifest}))
    (tmp_path / "classifier.json").write_bytes(seal_description(classifier_description()))
    with pytest.raises(UserError, match="k is not plain float32"):
        Head.read(tmp_path)


def test_a_head_of_another_kind_than_described_is_refused(tmp_path: Path) -> None:
    specs = [{"name": n, "shape": s, "dtype": "float32"} for n, s in (("k", [2, 2]), ("b", [2]))]
    (tmp_path / "weights.bin").write_bytes(np.zeros(6, "<f4").tobytes())
    manifest = [{"paths": ["weights.bin"], "weights": specs}]
    (tmp_path / "model.json").write_text(json.dumps({"weightsManifest": manifest}))
    about = classifier_description()
    (tmp_path / "classifier.json").write_bytes(seal_description(about))
    assert Head.read(tmp_path).kind == "linear"
    three = {"labels": ["a", "b", "c"], "class_weights": [1, 1, 1], "golden": []}
    for wrong, said in (
        ({"head": "dense"}, "is no dense head with a unit a label"),
        ({"head": "gru"}, "classifier.json: at /head"),
        (three, "is no linear head with a unit a label"),
    ):
        (tmp_path / "classifier.json").write_bytes(seal_description(about | wrong))
        with pytest.raises(UserError, match=said):
            Head.read(tmp_path)
