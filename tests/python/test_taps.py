"""Taps: found by structure, unchanged by rewrites, equal to the layers' values."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.tokenizer import read_vocab
from export.tokenizer.vocab import SPECIAL_TOKENS
from support.errors import UserError
from support.quiet_tensorflow import tensorflow

tf, _ = tensorflow()
import tf_keras  # noqa: E402

LAYER = ("attention_scores", "context", "attention_output", "output")
FEEDS = {
    "input_ids": np.array([[2, 9, 8, 7, 3], [2, 5, 3, 0, 0]], np.int32),
    "attention_mask": np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.int32),
    "token_type_ids": np.zeros((2, 5), np.int32),
}


def names(layers: int) -> list[str]:
    return ["embeddings", *(f"layer_{i}/{part}" for i in range(layers) for part in LAYER)]


def config(architecture: str, layers: int):
    from export.encoder_config import EncoderConfig

    return EncoderConfig(
        architecture,
        vocab_size=30,
        num_hidden_layers=layers,
        hidden_size=24,
        num_attention_heads=3,
        intermediate_size=40,
        embedding_size=24 if architecture == "bert" else 8,
        max_position_embeddings=16,
        initializer_range=0.3,
    )


def save_encoder_model(architecture: str, layers: int, out: Path):
    from export.architectures import encoder

    model = encoder.seeded_encoder(config(architecture, layers), "encoder", 5)
    encoder.save_encoder(model, out)
    return model


def find_model_taps(parts):
    from export.conversion import contract_taps
    from export.source.roles import INPUT_NAMES, OUTPUT_NAMES, find_role

    return contract_taps(
        parts,
        {name: find_role(name, INPUT_NAMES) for name in parts.inputs},
        {name: find_role(name, OUTPUT_NAMES) for name in parts.outputs},
    )


def load_with_taps(directory: Path):
    from export.graph import graph

    source = graph.load_source(directory)
    parts = graph.inline_calls(source)
    return parts, source, find_model_taps(parts)


def run_taps(source, model_taps):
    from parity_tests.runners.costs import TapReader

    inside = TapReader(source.function, {tap["name"]: tap["tensor"] for tap in model_taps})
    return inside.run(FEEDS)


@pytest.mark.parametrize("architecture", ["bert", "albert", "electra"])
def test_taps_have_the_values_of_their_layers(architecture, tmp_path):
    model = save_encoder_model(architecture, 3, tmp_path / "m")
    _, source, model_taps = load_with_taps(tmp_path / "m")
    assert [tap["name"] for tap in model_taps] == names(3)
    seen = run_taps(source, model_taps)
    bias = (1.0 - tf.cast(FEEDS["attention_mask"], tf.float32)[:, None, None, :]) * -10000.0
    x = model.embeddings(FEEDS["input_ids"], FEEDS["token_type_ids"], training=False)
    if model.projection is not None:
        x = model.projection(x)
    np.testing.assert_allclose(seen["embeddings"], x, atol=1e-5)
    for i in range(3):
        x = model.blocks[i % len(model.blocks)](x, bias, training=False)
        np.testing.assert_allclose(seen[f"layer_{i}/output"], x, atol=1e-5)
    assert seen["layer_0/attention_scores"].shape == (2, 3, 5, 5)
    assert (seen["layer_0/attention_scores"][1, :, :, 3:] < -9000).all()
    assert seen["layer_0/context"].shape == (2, 3, 5, 8)
    assert seen["layer_0/attention_output"].shape == (2, 5, 24)


def test_rewrites_do_not_change_taps(tmp_path):
    from export.graph import graph
    from export.rewrites import rewrite

    save_encoder_model("bert", 2, tmp_path / "m")
    parts, source, model_taps = load_with_taps(tmp_path / "m")
    frozen = graph.freeze(source, parts, {tap["node"]: tap["tensor"] for tap in model_taps})
    frozen, steps = rewrite(frozen, FEEDS, np.ones((2, 5), bool))
    assert {"gelu_by_sigmoid", "scale_queries"} <= {step.name for step in steps}
    expected = run_taps(source, model_taps)
    asked = [graph.Endpoint(tap["node"], tf.float32, []) for tap in model_taps]
    got = replace(frozen, outputs=asked).run(FEEDS)
    assert len(model_taps) == len(expected) > 0
    for tap in model_taps:
        np.testing.assert_allclose(got[tap["node"]], expected[tap["name"]], rtol=1e-4, atol=1e-4)


def test_taps_are_no_outputs_of_the_bundle(tmp_path):
    from export.graph import graph

    save_encoder_model("bert", 2, tmp_path / "m")
    parts, source, model_taps = load_with_taps(tmp_path / "m")
    frozen = graph.freeze(source, parts, {tap["node"]: tap["tensor"] for tap in model_taps})
    assert sorted(frozen.run(FEEDS)) == ["pooled_output", "sequence_output"]


def test_model_of_token_strings_has_the_same_taps(tmp_path):
    from export.architectures import encoder
    from export.architectures.string_tokens import save_string_tokens
    from export.graph import graph, string_tokens

    file = tmp_path / "vocab.txt"
    file.write_text(
        "\n".join([*SPECIAL_TOKENS.values(), *map(chr, range(97, 122))]), encoding="utf-8"
    )
    vocab = read_vocab(file, print)
    save_string_tokens(encoder.seeded_encoder(config("bert", 2), "e", 5), vocab, tmp_path / "m", 3)
    own = string_tokens.replace_strings_by_ids(
        graph.inline_calls(graph.load_source(tmp_path / "m"))
    )
    assert [tap["name"] for tap in find_model_taps(own.parts)] == names(2)


class Foreign(tf_keras.Model):  # type: ignore[misc]
    """A transformer of another structure: Keras's own attention, fused layer norms."""

    def __init__(self):
        super().__init__()
        layers = tf_keras.layers
        self.words = layers.Embedding(30, 24)
        self.attention = [layers.MultiHeadAttention(3, 8) for _ in range(2)]
        self.norms = [layers.LayerNormalization(epsilon=1e-3) for _ in range(4)]
        self.dense = [(layers.Dense(40, "relu"), layers.Dense(24)) for _ in range(2)]

    def call(self, ids):
        x = self.words(ids)
        mask = tf.cast(ids != 0, tf.int32)[:, tf.newaxis, :]
        for i in range(2):
            x = self.norms[2 * i](x + self.attention[i](x, x, attention_mask=mask))
            inner, outer = self.dense[i]
            x = self.norms[2 * i + 1](x + outer(inner(x)))
        return {"sequence_output": x, "pooled_output": x[:, 0]}


def test_transformer_of_another_structure_has_taps(tmp_path):
    model = Foreign()
    model(tf.constant(FEEDS["input_ids"]))
    serve = tf.function(
        lambda input_ids: model(input_ids),
        input_signature=[tf.TensorSpec([None, None], tf.int32, "input_ids")],
    )
    tf.saved_model.save(model, str(tmp_path / "m"), signatures={"serving_default": serve})
    _, source, model_taps = load_with_taps(tmp_path / "m")
    assert [tap["name"] for tap in model_taps] == names(2)
    from parity_tests.runners.costs import TapReader

    inside = TapReader(source.function, {tap["name"]: tap["tensor"] for tap in model_taps})
    seen = inside.run({"input_ids": FEEDS["input_ids"]})
    x = model.words(FEEDS["input_ids"])
    np.testing.assert_allclose(seen["embeddings"], x, atol=1e-5)
    mask = tf.cast(FEEDS["input_ids"] != 0, tf.int32)[:, tf.newaxis, :]
    after = model.norms[0](x + model.attention[0](x, x, attention_mask=mask))
    np.testing.assert_allclose(seen["layer_0/attention_output"], after, atol=1e-5)


def test_a_graph_without_attention_has_no_taps(tmp_path):
    table = tf.Variable(np.ones((30, 4), np.float32))
    module = tf.Module()
    module.table = table
    serve = tf.function(
        lambda input_ids: {"sequence_output": tf.gather(table, input_ids)},
        input_signature=[tf.TensorSpec([None, None], tf.int32, "input_ids")],
    )
    tf.saved_model.save(module, str(tmp_path / "m"), signatures={"serving_default": serve})
    assert load_with_taps(tmp_path / "m")[2] == []


def test_unknown_tap_is_an_error(tmp_path):
    from parity_tests.runners.costs import TapReader

    save_encoder_model("bert", 2, tmp_path / "m")
    _, source, _ = load_with_taps(tmp_path / "m")
    with pytest.raises(UserError, match="tap layer_9/output is gone:0, which the model does not"):
        TapReader(source.function, {"layer_9/output": "gone:0"})
