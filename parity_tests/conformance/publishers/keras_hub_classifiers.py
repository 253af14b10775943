"""Runs keras-hub's text classifiers on Keras 3 and TensorFlow, saved by `model.export`.

MODEL is `bert_text_classifier`, which gives logits, or `albert_text_classifier`, whose last layer
has a sigmoid: it gives the probability of each label for itself.
"""

import os
import sys
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import keras_hub
import numpy as np

from parity_tests.conformance.publishers.keras_hub_models import SIZES, encode_cases
from parity_tests.conformance.publishers.reference import (
    LONGEST_REVIEW,
    NARROW,
    SEED,
    add_noise,
    read_tokens,
    run_in_batches,
    spread_scores,
    write_answers,
    write_labels,
    write_reference,
)

OPINIONS = ["差评", "一般", "好评"]
ASPECTS = ["房间", "服务", "价格", "位置"]


def build_classifier(name: str, tokens: int, dtype: str) -> Any:
    """Makes the classifier of that name in a precision, with seeded weights.

    Args:
        name: see the module.
        tokens: the size of the vocab.
        dtype: `float32` or `float64`.
    """
    options: dict[str, Any] = SIZES | {"vocabulary_size": tokens, "dtype": dtype}
    options["max_sequence_length"] = LONGEST_REVIEW
    models = keras_hub.models
    keras.utils.set_random_seed(SEED)
    if name == "bert_text_classifier":
        return models.BertTextClassifier(models.BertBackbone(**options), len(OPINIONS))
    encoder = models.AlbertBackbone(**options, embedding_dim=NARROW)
    return models.AlbertTextClassifier(encoder, len(ASPECTS), activation="sigmoid")


def run_classifier(model: Any, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Runs their forward pass on all texts."""

    def run(batch: dict[str, np.ndarray]) -> np.ndarray:
        feeds = {
            "token_ids": batch["input_ids"],
            "segment_ids": batch["token_type_ids"],
            "padding_mask": batch["attention_mask"],
        }
        return np.asarray(model(feeds, training=False))

    return run_in_batches(run, inputs)


def _make_weights(model: Any, exact: Any, inputs: dict[str, np.ndarray]) -> None:
    """Loads the same seeded weights into both models; labels vary with them."""
    weights = add_noise(model.get_weights())
    exact.set_weights([weight.astype(np.float64) for weight in weights])
    activation, exact.output_dense.activation = exact.output_dense.activation, None
    scores = run_classifier(exact, inputs)
    exact.output_dense.activation = activation
    kernel, bias = exact.output_dense.get_weights()
    kernel, bias = spread_scores(kernel.T, bias, scores)
    model.set_weights(weights)
    model.output_dense.set_weights([kernel.T.astype(np.float32), bias.astype(np.float32)])
    exact.set_weights([weight.astype(np.float64) for weight in model.get_weights()])


def main(name: str, work: Path) -> None:
    """Builds, saves and runs one classifier."""
    tokens = len(read_tokens(work))
    model, exact = (build_classifier(name, tokens, dtype) for dtype in ("float32", "float64"))
    inputs = encode_cases(work, LONGEST_REVIEW)
    _make_weights(model, exact, inputs)
    model.export(str(work / "model"))
    single, double = (run_classifier(one, inputs) for one in (model, exact))
    if name == "bert_text_classifier":
        single, double = (np.asarray(keras.ops.softmax(one)) for one in (single, double))
        answers = [{"label": OPINIONS[at]} for at in single.argmax(axis=1)]
        write_labels(work, OPINIONS)
        write_answers(work, "single_label", OPINIONS, answers)
    else:
        chosen = [[ASPECTS[at] for at in np.flatnonzero(row >= 0.5)] for row in single]
        write_labels(work, ASPECTS)
        write_answers(work, "multi_label", ASPECTS, [{"labels": labels} for labels in chosen])
    packages = ["keras-hub", "keras", "tensorflow"]
    outputs, references = {"probabilities": single}, {"probabilities": double}
    write_reference(work, inputs, outputs, references, packages)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
