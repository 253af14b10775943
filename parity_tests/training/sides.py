"""Each side's training, and the runners that do it.

A runner writes one safetensors file: `loss` and `accuracy`, float32[steps], of each step's texts
before the step, and each weight as `after.<steps>.<name>`, float32 of its shape. The metadata has
`versions`, as JSON.
"""

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from parity_tests.runners import runners
from parity_tests.training.by_hand import TrainingCourse
from parity_tests.training.problem import TrainingProblem, Weights
from support.errors import EnvironmentProblem
from support.node import find_node

Array = NDArray[Any]

RUNNER = Path(__file__).with_name("run_node.js")


@dataclass(frozen=True)
class TrainingSide:
    """One side's training.

    Attributes:
        loss: float[steps], the mean cross-entropy of each step's texts.
        accuracy: float[steps], the share of them that had their label.
        weights: after some numbers of steps, by that number.
        versions: of everything that computed, by name.
    """

    loss: Array
    accuracy: Array
    weights: dict[int, Weights]
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "TrainingSide":
        """Reads a runner's file.

        Raises:
            EnvironmentProblem: the file is missing or incomplete: the runner did not end well.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                versions = json.loads(file.metadata()["versions"])
            weights: dict[int, Weights] = {}
            for name in tensors:
                if name.startswith("after."):
                    _, steps, inner = name.split(".", 2)
                    weights.setdefault(int(steps), {})[inner] = tensors[name]
            return cls(tensors["loss"], tensors["accuracy"], weights, versions)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise EnvironmentProblem(f"{path} is not a whole run: {error}; run it again") from None

    @classmethod
    def from_course(cls, problem: TrainingProblem, trained: TrainingCourse) -> "TrainingSide":
        """Makes the side of a training by hand, in its dtype."""
        loss, accuracy = [], []
        for indices, logs in zip(problem.batches, trained.logs, strict=True):
            targets = problem.targets[indices]
            loss.append(-logs[np.arange(len(indices)), targets].mean())
            accuracy.append((logs.argmax(axis=1) == targets).mean(dtype=logs.dtype))
        return cls(np.array(loss), np.array(accuracy), trained.weights)

    def in_float64(self) -> "TrainingSide":
        """Returns the same side in float64."""
        weights = {
            steps: {name: value.astype(np.float64) for name, value in tensors.items()}
            for steps, tensors in self.weights.items()
        }
        return TrainingSide(self.loss.astype(np.float64), self.accuracy.astype(np.float64), weights)


def run_python(problem: Path, snapshots: Iterable[int], out: Path) -> TrainingSide:
    """Trains in Keras, to the last of the problem's steps; raises as `runners.run_runner`."""
    command = [sys.executable, "-m", "parity_tests.training.run_python"]
    command += ["--problem", str(problem), "--snapshots", runners.join_numbers(snapshots)]
    runners.run_runner("Keras", command, out)
    return TrainingSide.read(out)


def run_node(problem: Path, backend: str, steps: int, out: Path) -> TrainingSide:
    """Trains in TF.js on one backend.

    Args:
        problem: its file.
        backend: of TF.js.
        steps: how many to take.
        out: the runner's file.

    Raises:
        UserError, EnvironmentProblem: see `runners.run_runner`.
    """
    command = [find_node(), str(RUNNER), "--problem", str(problem)]
    command += ["--backend", backend, "--steps", str(steps)]
    runners.run_runner(f"Node ({backend})", command, out)
    return TrainingSide.read(out)
