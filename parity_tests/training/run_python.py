"""Trains the head in Keras (counterpart of run_node.js). Writes the file of sides.py."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["TF_USE_LEGACY_KERAS"] = "1"  # spares the import of Keras 3

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray
from safetensors.numpy import save_file

from parity_tests.training.by_hand import Adam
from parity_tests.training.problem import WEIGHTS, TrainingProblem
from support.command_line import command


@command()
def main(arguments: list[str] | None = None) -> int:
    """Trains to the last step; exit code 0, or 2 with one line on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m parity_tests.training.run_python", description=__doc__
    )
    parser.add_argument("--problem", type=Path, required=True)
    parser.add_argument(
        "--snapshots",
        required=True,
        help="numbers of steps after which to record the weights",
    )
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    problem = TrainingProblem.read(options.problem)
    tensors = _train_in_keras(problem, {int(number) for number in options.snapshots.split(",")})
    versions = {"tensorflow": tf.__version__, "tf_keras": tf_keras.__version__}
    save_file(tensors, options.out, {"versions": json.dumps(versions)})
    print(f"keras: trained {len(problem.batches)} steps", file=sys.stderr)
    return 0


def _train_in_keras(problem: TrainingProblem, snapshots: set[int]) -> dict[str, NDArray[Any]]:
    """Trains; returns the tensors of the runner's file.

    `snapshots` are the numbers of steps after which to record the weights.
    """
    head = _make_head(problem)
    metrics = []
    tensors: dict[str, NDArray[Any]] = {}
    for step, indices in enumerate(problem.batches, start=1):
        metrics.append(head.train_on_batch(problem.features[indices], problem.targets[indices]))
        if step in snapshots:
            weights = zip(WEIGHTS, head.get_weights(), strict=True)
            tensors |= {f"after.{step}.{name}": value for name, value in weights}
    loss, accuracy = np.array(metrics, np.float32).T
    return tensors | {"loss": loss.copy(), "accuracy": accuracy.copy()}


def _make_head(problem: TrainingProblem) -> Any:
    """Makes the head (dense tanh, dense softmax) with the problem's weights, as train.js does.

    by_hand.py says why `adaptive_epsilon` is needed.
    """
    hidden, units = problem.weights["hidden/kernel"].shape
    classes = len(problem.weights["probabilities/bias"])
    dense = tf_keras.layers.Dense
    head = tf_keras.Sequential(
        [
            dense(units, activation="tanh", name="hidden", input_shape=(hidden,)),
            dense(classes, activation="softmax", name="probabilities"),
        ]
    )
    head.set_weights([problem.weights[name] for name in WEIGHTS])
    numbers = Adam()
    optimizer = tf_keras.optimizers.Adam(
        problem.learning_rate,
        numbers.beta_1,
        numbers.beta_2,
        numbers.epsilon,
        adaptive_epsilon=True,
    )
    head.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return head


if __name__ == "__main__":
    sys.exit(main())
