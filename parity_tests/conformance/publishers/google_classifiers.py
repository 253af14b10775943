"""Runs Google's own classifiers for TensorFlow 1, saved as their programs save: a checkpoint.

From the packages bert-tensorflow (`run_classifier.py`) and albert-tensorflow
(`classifier_utils.py`). MODEL is `bert_classifier`, `albert_classifier` or `albert_regression`.
"""

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# See google_models.py.
os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow.compat.v1 as tf

from parity_tests.conformance.publishers.google_models import (
    INPUTS,
    Float64TensorFlow,
    encode_cases,
    make_config,
    run_model,
    save_model,
    set_weights,
    tensorflow_1,
)
from parity_tests.conformance.publishers.reference import (
    LONGEST_REVIEW,
    SEED,
    add_noise,
    read_tokens,
    run_in_batches,
    spread_scores,
    write_answers,
    write_labels,
    write_reference,
)

LABELS = {"classifier": ["差评", "一般", "好评"], "regression": ["评分"]}
# The module that has `create_model`, and which of its results are the logits and the probabilities.
MODULES = {"bert": ("run_classifier", 2, 3), "albert": ("classifier_utils", 3, 2)}
# Where both texts of a pair are cut, Google's code gives an odd place to the first one, and Hugging
# Face's tokenizer, which `--tokenizer bert` stands for, to the longer one. Less three special
# tokens, this length is even.
POSITIONS = LONGEST_REVIEW - 1
HEAD = ("output_weights", "output_bias")

Model = tuple[Any, dict[str, Any], dict[str, Any]]
"""A session of its own, and inputs and outputs by name."""


def build_classifier(package: str, kind: str, config: Any, dtype: Any) -> Model:
    """Builds their graph with `create_model`.

    Args:
        package: `bert` or `albert`.
        kind: of LABELS.
        config: of the model.
        dtype: float32 or float64.
    """
    module, logits, probabilities = MODULES[package]
    code: Any = importlib.import_module(f"{package}.{module}")
    for part in (code, code.modeling):
        part.tf = tf if dtype == tf.float32 else Float64TensorFlow()
    session = tf.Session(graph=tf.Graph())
    with session.graph.as_default(), tf.variable_scope(tf.get_variable_scope(), dtype=dtype):
        tf.set_random_seed(SEED)
        inputs = {name: tf.placeholder(tf.int32, [None, None], name) for name in INPUTS}
        count = len(LABELS[kind])
        # The right labels matter to the loss alone.
        zeros = tf.zeros_like(inputs["input_ids"][:, 0], dtype if count == 1 else tf.int32)
        create: Callable[..., Any] = code.create_model
        # For ALBERT the GLUE task that is a regression says so.
        more = [] if package == "bert" else ["sts-b" if count == 1 else "cola"]
        answer = create(config, False, *inputs.values(), zeros, count, False, *more)
        session.run(tf.global_variables_initializer())
    outputs = {"logits": answer[logits], "probabilities": answer[probabilities]}
    return session, inputs, outputs


def run_classifier(model: Model, inputs: dict[str, np.ndarray], output: str) -> np.ndarray:
    """Runs their forward pass on all texts; returns one of its outputs."""
    session, placeholders, outputs = model

    def run(batch: dict[str, np.ndarray]) -> np.ndarray:
        values = run_model((session, placeholders, {output: outputs[output]}), batch)[output]
        # The logits of a regression have lost their last axis.
        return values.reshape(len(values), -1)

    return run_in_batches(run, inputs)


def _make_weights(single: Model, double: Model, inputs: dict[str, np.ndarray]) -> None:
    """Loads the same seeded weights into both models; labels vary with them."""
    with single[0].graph.as_default():
        variables = tf.global_variables()
        weights = add_noise(single[0].run(variables))
    kernel, bias = ([v.op.name for v in variables].index(name) for name in HEAD)
    set_weights(double[0], [weight.astype(np.float64) for weight in weights])
    scores = run_classifier(double, inputs, "logits")
    weights[kernel], weights[bias] = spread_scores(weights[kernel], weights[bias], scores)
    set_weights(single[0], weights)
    set_weights(double[0], [weight.astype(np.float64) for weight in weights])


def main(name: str, work: Path) -> None:
    """Builds, saves and runs one classifier."""
    tf.disable_v2_behavior()
    package, kind = name.split("_", 1)
    labels = LABELS[kind]
    with tensorflow_1():
        inputs = encode_cases(package, work, POSITIONS)
        config = make_config(package, len(read_tokens(work)), POSITIONS)
        single, double = (
            build_classifier(package, kind, config, dtype) for dtype in (tf.float32, tf.float64)
        )
    _make_weights(single, double, inputs)
    save_model("checkpoint", work, single, config, package)
    write_labels(work, labels)
    outputs, exact = (
        {"probabilities": run_classifier(model, inputs, "probabilities")}
        for model in (single, double)
    )
    if len(labels) == 1:
        answers: list[dict[str, Any]] = [{} for _ in outputs["probabilities"]]
        write_answers(work, "regression", labels, answers)
    else:
        best = outputs["probabilities"].argmax(axis=1)
        write_answers(work, "single_label", labels, [{"label": labels[at]} for at in best])
    write_reference(work, inputs, outputs, exact, [f"{package}-tensorflow", "tensorflow"])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
