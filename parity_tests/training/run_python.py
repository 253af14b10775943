"""Trains the head in Keras (pairs with run_node.js). Writes what sides.py describes."""

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
    parser.add_argument("--kept", required=True, help="numbers of steps to keep the weights after")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    problem = TrainingProblem.read(given.problem)
    tensors = train_in_keras(problem, {int(number) for number in given.kept.split(",")})
    versions = {"tensorflow": tf.__version__, "tf_keras": tf_keras.__version__}
    save_file(tensors, given.out, {"versions": json.dumps(versions)})
    print(f"keras: trained {len(problem.batches)} steps", file=sys.stderr)
    return 0


def train_in_keras(problem: TrainingProblem, kept: set[int]) -> dict[str, NDArray[Any]]:
    """Each tensor of the runner's file."""
    head = make_head(problem)
    told = []
    tensors: dict[str, NDArray[Any]] = {}
    for step, places in enumerate(problem.batches, start=1):
        told.append(head.train_on_batch(problem.features[places], problem.targets[places]))
        if step in kept:
            held = zip(WEIGHTS, head.get_weights(), strict=True)
            tensors |= {f"after.{step}.{name}": value for name, value in held}
    loss, accuracy = np.array(told, np.float32).T
    return tensors | {"loss": loss.copy(), "accuracy": accuracy.copy()}


def make_head(problem: TrainingProblem) -> Any:
    """Dense and tanh, dense and softmax, with the problem's weights, compiled as in train.js.

    by_hand.py says what `adaptive_epsilon` is for.
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
