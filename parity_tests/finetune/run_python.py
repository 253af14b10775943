"""Runs one experiment in Python, or saves what Node needs for it (counterpart of run_node.js).

Prints JSON: `history`, for each epoch `seconds` (its training and its dev texts), `loss` and
`dev_accuracy`; `losses` of all steps; `weights`, how many the encoder has and how many have
`moved`; whether it has `dropout`.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the ops that a tokenizer SavedModel needs
from safetensors.numpy import save_file

from parity_tests.finetune import texts
from parity_tests.finetune.network import Network
from parity_tests.finetune.texts import Texts
from parity_tests.runners.python_tokenizer import make_tokenizer
from parity_tests.runners.run_python import open_saved_model
from parity_tests.runners.source import SourceModel
from parity_tests.runners.tokenizer_source import TokenizerSource
from support.command_line import command
from support.errors import CheckFailed

SCALING_BATCHES = 32
"""Batches of training texts to whose vectors the scaling is fitted."""

MOST_EPOCHS = 1000
"""Two seeds share no order of the texts in as many epochs."""


@command()
def main(arguments: list[str] | None = None) -> int:
    """Trains, or saves; exit code 0, 1 if the wrong weights moved, 2 with one line on stderr."""
    parser = argparse.ArgumentParser(prog="python -m parity_tests.finetune.run_python")
    for name in ("model", "tokenizer-model", "train", "dev"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0, help="of the head and the order of texts")
    parser.add_argument("--trainable", action="store_true", help="update the encoder too")
    parser.add_argument("--save", type=Path, help="write saved_model and texts.safetensors here")
    options = parser.parse_args(arguments)
    print(json.dumps(_run_experiment(options)))
    return 0


def _run_experiment(options: argparse.Namespace) -> dict[str, Any]:
    """Runs the experiment from its files; returns the output, empty where it only saves."""
    encoder = open_saved_model(options.model)
    tokenizer = make_tokenizer(TokenizerSource(model=options.tokenizer_model))
    source = SourceModel(encoder, tokenizer)
    labels = sorted(set(texts.read_labelled_texts(options.train)[1]))
    train, dev = (texts.encode_texts(source, file, labels) for file in (options.train, options.dev))
    first = options.seed * MOST_EPOCHS
    epochs = range(first, first + options.epochs)
    order = np.stack([texts.make_batches(train.lengths, epoch) for epoch in epochs])
    dev_order = texts.make_batches(dev.lengths, 0)

    network = Network(encoder, options.trainable, len(labels), options.seed)
    network.scale([train.batch(rows)[0] for rows in order[0][:SCALING_BATCHES]])
    if options.save:
        network.save(options.save / "saved_model")
        tensors = train.tensors("train") | dev.tensors("dev")
        save_file(
            tensors | {"train.batches": order, "dev.batches": dev_order[np.newaxis]},
            options.save / "texts.safetensors",
        )
        return {}
    before = network.weights()
    output = _train_epochs(network, train, dev, order, dev_order)
    moved = [name for name, now in network.weights().items() if (now != before[name]).any()]
    check_moved_weights(moved, options.trainable)
    return output | {
        "weights": {"all": len(before), "moved": len(moved)},
        "dropout": has_dropout(encoder, train.batch(order[0][0])[0]),
    }


def _train_epochs(
    network: Network, train: Texts, dev: Texts, order: texts.Array, dev_order: texts.Array
) -> dict[str, Any]:
    """Trains for all epochs, with the dev accuracy after each.

    Args:
        network: to train.
        train: the training texts.
        dev: the dev texts.
        order: the batches of each epoch, int32[epochs, batches, size].
        dev_order: the batches of the dev texts, int32[batches, size].
    """
    history: list[dict[str, Any]] = []
    losses: list[float] = []
    for number, batches in enumerate(order, 1):
        start = time.perf_counter()
        for rows in batches:
            losses.append(float(network.train(*train.batch(rows))["loss"]))
        right = sum(_count_right(network, *dev.batch(rows)) for rows in dev_order)
        seconds = time.perf_counter() - start
        loss = float(np.mean(losses[-len(batches) :]))
        accuracy = right / len(dev.labels)
        history.append(
            {"epoch": number, "seconds": seconds, "loss": loss, "dev_accuracy": accuracy}
        )
    return {"history": history, "losses": losses}


def _count_right(network: Network, ids: dict[str, Any], labels: texts.Array) -> int:
    """Counts the texts of a batch that get their own label."""
    probabilities = network.infer(ids)["probabilities"].numpy()
    return int((probabilities.argmax(axis=1) == labels).sum())


def check_moved_weights(moved: list[str], trainable: bool) -> None:
    """Checks that only an updated encoder moved.

    Raises:
        CheckFailed: a frozen encoder moved, or an updated one did not.
    """
    if trainable and not moved:
        raise CheckFailed("the encoder is trainable, but none of its weights moved")
    if moved and not trainable:
        raise CheckFailed(f"the encoder is frozen, but {len(moved)} weights moved: {moved[0]}, …")


def has_dropout(encoder: Any, ids: dict[str, Any]) -> bool:
    """Returns whether the SavedModel has other vectors in training mode.

    Rounding does not count: two graphs of the same function were 2e-6 apart.
    """
    tensors = {role: tf.constant(value) for role, value in ids.items()}
    first, second = (encoder(tensors, training=on)["sequence_output"] for on in (False, True))
    return bool(tf.reduce_max(tf.abs(first - second)) > 1e-4)


if __name__ == "__main__":
    sys.exit(main())
