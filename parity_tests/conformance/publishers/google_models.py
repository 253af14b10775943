"""Runs Google's own BERT and ALBERT for TensorFlow 1, on TensorFlow 2's compatibility module.

From the packages bert-tensorflow and albert-tensorflow.
MODEL is `bert_checkpoint`, `bert_saved_model`, `albert_checkpoint` or `albert_saved_model`.
"""

import importlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

# Their code calls tf.layers, which only Keras 2 has.
os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow
import tensorflow.compat.v1 as tf
from absl import flags

from parity_tests.conformance.publishers.reference import (
    HEADS,
    HIDDEN,
    INNER,
    LAYERS,
    LONGEST,
    NARROW,
    SEED,
    add_noise,
    pad_rows,
    read_cases,
    read_tokens,
    write_reference,
)

INPUTS = ("input_ids", "input_mask", "segment_ids")


def layer_norm(inputs: Any, begin_norm_axis: int, begin_params_axis: int, scope: str | None) -> Any:
    """Computes what `tf.contrib.layers.layer_norm` documents; TensorFlow 2 has no contrib.

    (x − mean) / √(variance + 1e-12) · gamma + beta, with the moments of the last axis.

    Args:
        inputs: any shape.
        begin_norm_axis: must be -1.
        begin_params_axis: must be -1.
        scope: of the variables.
    """
    assert begin_norm_axis == begin_params_axis == -1
    width = inputs.shape[-1:]
    with tf.variable_scope(scope, default_name="LayerNorm"):
        beta = tf.get_variable("beta", width, initializer=tf.zeros_initializer())
        gamma = tf.get_variable("gamma", width, initializer=tf.ones_initializer())
        mean, variance = tf.nn.moments(inputs, [-1], keepdims=True)
        return tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, 1e-12)


@contextmanager
def tensorflow_1() -> Iterator[None]:
    """Makes `import tensorflow` return TensorFlow 1's names, with the part of contrib above."""
    layers, contrib = ModuleType("tensorflow.contrib.layers"), ModuleType("tensorflow.contrib")
    layers.layer_norm = layer_norm  # type: ignore[attr-defined]
    contrib.layers = layers  # type: ignore[attr-defined]
    for name in ("data", "metrics", "tpu"):  # Imported, and called by none of these rows.
        setattr(contrib, name, ModuleType(f"tensorflow.contrib.{name}"))
    sys.modules |= {"tensorflow.contrib": contrib, "tensorflow.contrib.layers": layers}
    sys.modules["tensorflow"] = tf
    try:
        yield
    finally:
        sys.modules["tensorflow"] = tensorflow


class Float64TensorFlow:
    """TensorFlow for their module, with float64 where it says float32."""

    float32 = tf.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(tf, name)

    def one_hot(self, *arguments: Any, **options: Any) -> Any:
        """Calls it with float64; its default is float32."""
        return tf.one_hot(*arguments, **options | {"dtype": tf.float64})


def build_model(
    package: str, config: Any, dtype: Any
) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Builds their graph; returns a session of its own, and inputs and outputs by name."""
    modeling: Any = importlib.import_module(f"{package}.modeling")
    modeling.tf = tf if dtype == tf.float32 else Float64TensorFlow()
    session = tf.Session(graph=tf.Graph())
    with session.graph.as_default(), tf.variable_scope(tf.get_variable_scope(), dtype=dtype):
        tf.set_random_seed(SEED)
        inputs = {name: tf.placeholder(tf.int32, [None, None], name) for name in INPUTS}
        kind = modeling.BertModel if package == "bert" else modeling.AlbertModel
        model = kind(
            config=config,
            is_training=False,
            input_ids=inputs["input_ids"],
            input_mask=inputs["input_mask"],
            token_type_ids=inputs["segment_ids"],
        )
        session.run(tf.global_variables_initializer())
    names = ("sequence_output", "pooled_output")
    return session, inputs, {name: getattr(model, f"get_{name}")() for name in names}


def set_weights(session: Any, weights: list[np.ndarray]) -> None:
    """Loads every variable of a session's graph, in the order of their creation."""
    with session.graph.as_default():
        for variable, value in zip(tf.global_variables(), weights, strict=True):
            variable.load(value, session)


def make_config(package: str, tokens: int, longest: int = LONGEST) -> Any:
    """Makes their configuration.

    Args:
        package: `bert` or `albert`.
        tokens: the size of the vocab.
        longest: the number of positions.
    """
    modeling: Any = importlib.import_module(f"{package}.modeling")
    sizes = {
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "max_position_embeddings": longest,
        "type_vocab_size": 2,
    }
    if package == "bert":
        return modeling.BertConfig(tokens, **sizes)
    return modeling.AlbertConfig(tokens, embedding_size=NARROW, **sizes)


def encode_cases(package: str, work: Path, longest: int = LONGEST) -> dict[str, np.ndarray]:
    """Encodes the cases by their FullTokenizer and run_classifier, which cuts and packs pairs.

    Args:
        package: `bert` or `albert`.
        work: has the cases and the vocab.
        longest: where texts are cut.
    """
    classifier = importlib.import_module("bert.run_classifier")
    tokenization = importlib.import_module(f"{package}.tokenization")
    flags.FLAGS.mark_as_parsed()  # Their tokenizer reads a flag of their programs.
    tokenizer = tokenization.FullTokenizer(str(work / "vocab.txt"), do_lower_case=True)
    rows = []
    for case in read_cases(work):
        example = classifier.InputExample("", case.text, case.pair, label="")
        packed = classifier.convert_single_example(99, example, [""], longest, tokenizer)
        length = sum(packed.input_mask)
        rows.append((packed.input_ids[:length], packed.segment_ids[:length]))
    return pad_rows(rows)


def save_model(
    form: str,
    work: Path,
    model: tuple[Any, dict[str, Any], dict[str, Any]],
    config: Any,
    package: str,
) -> None:
    """Saves as people publish: a checkpoint with config and vocab, or with `simple_save`.

    Args:
        form: `checkpoint` or `saved_model`.
        work: gets the directory `model`.
        model: see `build_model`.
        config: of the model.
        package: `bert` or `albert`.
    """
    session, inputs, outputs = model
    directory = work / "model"
    with session.graph.as_default():
        if form == "saved_model":
            tf.saved_model.simple_save(session, str(directory), inputs, outputs)
            return
        directory.mkdir()
        saver = tf.train.Saver()
        saver.save(session, str(directory / f"{package}_model.ckpt"), write_meta_graph=False)
    (directory / f"{package}_config.json").write_text(json.dumps(config.to_dict()), "utf-8")
    (directory / "vocab.txt").write_bytes((work / "vocab.txt").read_bytes())


def main(name: str, work: Path) -> None:
    """Builds, saves and runs one model."""
    tf.disable_v2_behavior()
    package, form = name.split("_", 1)
    with tensorflow_1():
        inputs = encode_cases(package, work)
        config = make_config(package, len(read_tokens(work)))
        single, double = (build_model(package, config, dtype) for dtype in (tf.float32, tf.float64))
    with single[0].graph.as_default():
        weights = add_noise(single[0].run(tf.global_variables()))
    set_weights(single[0], weights)
    set_weights(double[0], [weight.astype(np.float64) for weight in weights])
    save_model(form, work, single, config, package)
    answers = [run_model(model, inputs) for model in (single, double)]
    packages = [f"{package}-tensorflow", "tensorflow"]
    write_reference(work, inputs, answers[0], answers[1], packages)


def run_model(
    model: tuple[Any, dict[str, Any], dict[str, Any]], inputs: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Runs their forward pass."""
    session, placeholders, outputs = model
    values = (inputs["input_ids"], inputs["attention_mask"], inputs["token_type_ids"])
    feed = dict(zip((placeholders[name] for name in INPUTS), values, strict=True))
    answers: dict[str, np.ndarray] = session.run(outputs, feed)
    return answers


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
