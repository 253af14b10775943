"""What both sides train on: features, targets, the batches in order, the initial weights.

Its file is safetensors: `features` float32[texts, hidden], `targets` int32[texts], `order` int32[…]
(the indices of the texts, batch after batch), `sizes` int32[steps] (of the batches), and each
weight by its name. The metadata has the learning rate. Adam's other constants are not in the file:
each side must have them right by itself.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from parity_tests.runners.runs import RunOutput
from support.errors import UserError

Array = NDArray[Any]
Weights = dict[str, Array]

WEIGHTS = ("hidden/kernel", "hidden/bias", "probabilities/kernel", "probabilities/bias")
LEARNING_RATE = 3e-4
"""As train.js has it."""
UNITS, CLASSES, BATCH = 512, 3, 16
LEAST_DEVIATION = 0.1
"""The least deviation of a feature, as a share of the usual one; see node_bridge/classifier/."""


@dataclass(frozen=True)
class TrainingProblem:
    """One training of the head.

    Attributes:
        features: float32[texts, hidden], of mean 0 and deviation 1.
        targets: int32[texts].
        batches: the indices of each step's texts, int32[size].
        weights: before the first step, by the names of WEIGHTS: float32[hidden, units],
            float32[units], float32[units, classes], float32[classes].
        learning_rate: Adam's.
    """

    features: Array
    targets: Array
    batches: tuple[Array, ...]
    weights: Weights
    learning_rate: float = LEARNING_RATE

    @classmethod
    def from_vectors(cls, vectors: Array, steps: int, seed: int = 0) -> "TrainingProblem":
        """Makes a problem from an encoder's vectors, float32[texts, hidden]; equal for equal seeds.

        A text's label is the one of three random directions with the largest projection of its
        features: a head can learn that, whatever the texts and the weights of the encoder. Each
        epoch has another order, and its last batch has the remaining texts.
        """
        random = np.random.default_rng(seed)
        features = scale_features(vectors)
        texts, hidden = features.shape
        directions = random.standard_normal((hidden, CLASSES))
        targets = np.argmax(features @ directions, axis=1).astype(np.int32)
        batches: list[Array] = []
        while len(batches) < steps:
            order = random.permutation(texts).astype(np.int32)
            batches += [order[start : start + BATCH] for start in range(0, texts, BATCH)]
        weights = [
            _draw_glorot(random, hidden, UNITS),
            np.zeros(UNITS, np.float32),
            _draw_glorot(random, UNITS, CLASSES),
            np.zeros(CLASSES, np.float32),
        ]
        named = dict(zip(WEIGHTS, weights, strict=True))
        return cls(features, targets, tuple(batches[:steps]), named)

    @classmethod
    def read(cls, path: Path) -> "TrainingProblem":
        """Reads a problem's file.

        Raises:
            UserError: it is no such file.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                rate = float(file.metadata()["learning_rate"])
            batches = np.split(tensors["order"], np.cumsum(tensors["sizes"])[:-1])
            weights = {name: tensors[name] for name in WEIGHTS}
            return cls(tensors["features"], tensors["targets"], tuple(batches), weights, rate)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is no training problem: {error}") from None

    def write(self, path: Path) -> None:
        """Writes the file."""
        sizes = np.array([len(batch) for batch in self.batches], np.int32)
        tensors = {"features": self.features, "targets": self.targets, "sizes": sizes}
        tensors |= {"order": np.concatenate(self.batches)} | self.weights
        contiguous = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
        save_file(contiguous, path, {"learning_rate": repr(self.learning_rate)})


def first_position_vectors(run: RunOutput, sequence: str = "sequence_output") -> Array | None:
    """Returns position 0 of every text in an output, float32[texts, hidden]; None without it."""
    outputs = [
        batch[sequence][:, 0]
        for (special, _), batch in sorted(run.batches.items())
        if special == "added" and sequence in batch
    ]
    return np.concatenate(outputs) if outputs else None


def scale_features(vectors: Array) -> Array:
    """Scales vectors as training does: each feature to mean 0 and, if it varies, deviation 1."""
    wide = vectors.astype(np.float64)
    variance = wide.var(axis=0)
    usual = np.sqrt(variance.mean()) or 1.0
    factor = 1 / np.maximum(np.sqrt(variance), LEAST_DEVIATION * usual)
    features: Array = ((wide - wide.mean(axis=0)) * factor).astype(np.float32)
    return features


def _draw_glorot(random: np.random.Generator, inputs: int, outputs: int) -> Array:
    """Draws a kernel float32[inputs, outputs], uniformly, after Glorot and Bengio."""
    limit = np.sqrt(6 / (inputs + outputs))
    return random.uniform(-limit, limit, (inputs, outputs)).astype(np.float32)
