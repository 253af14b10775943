"""A model with a head becomes a bundle that says what it decides."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras
from safetensors.numpy import load_file

from export.__main__ import main
from export.bundle import TensorSpec
from export.graph.endpoints import describe_outputs
from export.inspection import inspect_model
from tests.python import zoo
from tests.python.publishers import erf_gelu
from tests.python.test_build import TOKENS
from tests.python.test_heads import with_head

NAMES = {"0": "坏", "1": "一般", "2": "好"}
TOLERANCE = 1e-5
BIAS = np.array([0.5, -0.25, 0.125], np.float32)


def export(model: Path, place: Path, tokens: list[str], *options: str) -> Path:
    """Runs `python -m export model` in place; returns the bundle."""
    place.mkdir(exist_ok=True)
    vocab, labels = place / "vocab.txt", place / "labels.txt"
    vocab.write_text("".join(f"{token}\n" for token in tokens), "utf-8")
    labels.write_text("x\ny\nz\n", "utf-8")
    names = ["--labels", str(labels)] if "--labels" in options else []
    rest = [option for option in options if option != "--labels"]
    arguments = ["model", str(model), "--vocab", str(vocab), "--tokenizer", "chars"]
    assert main([*arguments, "--out", str(place / "bundle"), *names, *rest]) == 0
    return place / "bundle"


def contract_of(bundle: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((bundle / "bundle.json").read_text("utf-8"))
    return document


def keras_classifier(
    out: Path, name: str, activation: str | None = None, tokens: bool = False
) -> np.ndarray:
    """Saves a classifier of Keras 2, which names outputs after their layers; returns its kernel.

    Args:
        out: the directory.
        name: the output with the scores.
        activation: of the last layer.
        tokens: whether the scores are of each token.
    """
    layers = tf_keras.layers
    ids = tf_keras.Input((None,), dtype="int32", name="input_ids")
    x = layers.Embedding(zoo.VOCAB, zoo.HIDDEN)(ids)
    x = layers.LayerNormalization(name="sequence_output")(x + layers.Attention()([x, x]))
    head = layers.Dense(3, activation, name=name)
    scores = head(x if tokens else x[:, 0])
    kernel: np.ndarray = zoo.seeded_values("kernel", zoo.HIDDEN, 3)
    head.set_weights([kernel, BIAS])
    tf_keras.Model(ids, [x, scores]).save(str(out))
    return kernel


def test_a_built_head_arrives_with_its_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = with_head("electra", "Sequence", id2label=NAMES)
    source, model = made.write(tmp_path / "checkpoint"), tmp_path / "model"
    assert main(["build", str(source), "--out", str(model)]) == 0
    assert main(["inspect", str(model)]) == 0
    said = capsys.readouterr().out
    assert (
        "\ndecides: single-label of logits: 3 labels (坏, 一般, 好), activation softmax\n" in said
    )
    bundle = export(model, tmp_path, TOKENS)
    contract = contract_of(bundle)
    own = {"task": "single_label", "output": "logits", "activation": "softmax"}
    assert contract["classifier"] == own | {"labels": ["坏", "一般", "好"]}
    specs = {spec["name"]: (spec["role"], spec["shape"]) for spec in contract["outputs"]}
    assert specs["logits"] == ("logits", ["batch", 3])
    golden = load_file(bundle / "golden.safetensors")
    ids, mask, types = (golden[name] for name in ("input_ids", "attention_mask", "token_type_ids"))
    first = made.run(ids, mask, types)["sequence_output"][:, 0]
    weights = made.arrays
    hidden = first @ weights["classifier.dense.weight"].T + weights["classifier.dense.bias"]
    scores = erf_gelu(hidden) @ weights["classifier.out_proj.weight"].T
    expected = scores + weights["classifier.out_proj.bias"]
    np.testing.assert_allclose(golden["logits"], expected, rtol=TOLERANCE, atol=TOLERANCE)

    capsys.readouterr()
    export(model, tmp_path, TOKENS)
    assert "is up to date" in capsys.readouterr().err
    export(model, tmp_path, TOKENS, "--labels")
    assert "NOTICE: the options win over the model's own: single-" in capsys.readouterr().err
    assert contract_of(bundle)["classifier"] == own | {"labels": ["x", "y", "z"]}
    export(model, tmp_path, TOKENS, "--labels")
    assert "is up to date" in capsys.readouterr().err


def test_logits_of_keras_decide_what_the_options_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    kernel = keras_classifier(model, "logits")
    options = ("--task", "multi-label", "--threshold", "0.25", "--labels")
    bundle = export(model, tmp_path, zoo.TOKENS, *options)
    assert contract_of(bundle)["classifier"] == {
        "task": "multi_label",
        "output": "logits",
        "activation": "sigmoid",
        "labels": ["x", "y", "z"],
        "threshold": 0.25,
    }
    golden = load_file(bundle / "golden.safetensors")
    expected = golden["sequence_output"][:, 0].astype(np.float64) @ kernel + BIAS
    np.testing.assert_allclose(golden["logits"], expected, rtol=TOLERANCE, atol=TOLERANCE)
    # With nothing said it decides nothing, and says how to say it.
    capsys.readouterr()
    bundle = export(model, tmp_path, zoo.TOKENS)
    assert contract_of(bundle)["classifier"] is None
    said = capsys.readouterr().err
    assert "notice: the output logits may be a classifier's scores" in said
    assert "logits float32[batch, 3] is logits" in said


def test_probabilities_of_keras_need_no_activation(tmp_path: Path) -> None:
    model = tmp_path / "model"
    kernel = keras_classifier(model, "probabilities", "softmax", tokens=True)
    bundle = export(model, tmp_path, zoo.TOKENS, "--task", "token-labels")
    assert contract_of(bundle)["classifier"] == {
        "task": "token_labels",
        "output": "probabilities",
        "activation": "none",
        "labels": ["0", "1", "2"],
        "scheme": "none",
    }
    golden = load_file(bundle / "golden.safetensors")
    powers = np.exp(golden["sequence_output"].astype(np.float64) @ kernel + BIAS)
    expected = powers / powers.sum(-1, keepdims=True)
    np.testing.assert_allclose(golden["probabilities"], expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_inspect_says_how_to_name_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = zoo.tf2(tmp_path / "model", outputs=("logits", "probs"))
    verdict = inspect_model(str(model)).verdict
    assert verdict.outputs == {"logits": "logits", "probs": "probabilities"}
    assert verdict.classifier is None
    assert main(["inspect", str(model)]) == 0
    said = capsys.readouterr().out
    assert "\ndecides: nothing says what logits and probs mean; give --task single-l" in said


def test_scores_of_tokens_are_not_taken_for_the_sequence_output() -> None:
    vectors = TensorSpec("hidden", "hidden", "float32", ["batch", "sequence", 4])
    scores = TensorSpec("tags", "logits", "float32", ["batch", "sequence", 3])
    line, notice = describe_outputs([vectors, scores])
    assert line.endswith("tags float32[batch, sequence, 3] is logits")
    assert "export again with --output sequence_output=hidden; " in notice


def test_a_damaged_file_of_the_task_stops_the_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = zoo.tf2(tmp_path / "model", outputs=("sequence_output", "logits"))
    (model / "assets").mkdir(exist_ok=True)
    (model / "assets" / "bert-bridge-task.json").write_text('{"task": "single_label"}')
    verdict = inspect_model(str(model)).verdict
    assert not verdict.exportable
    assert "bert-bridge-task.json: at /: 'output' is a required property" in verdict.reason
    assert main(["model", str(model), "--out", str(tmp_path / "bundle")]) == 2
    assert capsys.readouterr().err == f"error: {verdict.reason}\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--task", "guess"], "invalid choice: 'guess'"),
        (["--threshold", "1.5"], "expected a number from 0 to 1, got 1.5"),
        (["--threshold", "half"], "expected a number from 0 to 1, got half"),
        (["--threshold", "nan"], "expected a number from 0 to 1, got nan"),
        (["--labels", "nowhere.txt"], "nowhere.txt: No such file or directory"),
    ],
)
def test_options_that_say_nothing_are_refused(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["model", "./model", "--out", str(tmp_path / "bundle"), *options]
    try:
        code: Any = main(arguments)
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert message in capsys.readouterr().err
