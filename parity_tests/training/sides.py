"""What each side made of a problem, and the runners that find out.

A runner writes one safetensors file: `loss` and `accuracy`, float32[steps], of each step's texts
before it, and each weight as `after.<steps>.<name>`, float32 of its shape. The metadata has
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

Array = NDArray[Any]

RUNNER = Path(__file__).with_name("run_node.js")


@dataclass(frozen=True)
class TrainingSide:
    """One side's training.

    Attributes:
        loss: float[steps], the mean cross-entropy of each step's texts.
        accuracy: float[steps], the share of them that had their label.
        weights: by number of steps, after them.
        versions: of what computed, by name.
    """

    loss: Array
    accuracy: Array
    weights: dict[int, Weights]
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "TrainingSide":
        """Reads a runner's file.

        Raises:
            EnvironmentProblem: it is not there or not whole: the runner did not end well.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                versions = json.loads(file.metadata()["versions"])
            weights: dict[int, Weights] = {}
            for name in held:
                if name.startswith("after."):
                    _, steps, inner = name.split(".", 2)
                    weights.setdefault(int(steps), {})[inner] = held[name]
            return cls(held["loss"], held["accuracy"], weights, versions)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise EnvironmentProblem(f"{path} is not a whole run: {error}; run it again") from None

    @classmethod
    def of(cls, problem: TrainingProblem, trained: TrainingCourse) -> "TrainingSide":
        """The side of a training by hand, in its numbers."""
        loss, accuracy = [], []
        for places, logs in zip(problem.batches, trained.logs, strict=True):
            targets = problem.targets[places]
            loss.append(-logs[np.arange(len(places)), targets].mean())
            accuracy.append((logs.argmax(axis=1) == targets).mean(dtype=logs.dtype))
        return cls(np.array(loss), np.array(accuracy), trained.weights)

    def wide(self) -> "TrainingSide":
        """The same in float64."""
        weights = {
            steps: {name: value.astype(np.float64) for name, value in held.items()}
            for steps, held in self.weights.items()
        }
        return TrainingSide(self.loss.astype(np.float64), self.accuracy.astype(np.float64), weights)


def run_python(problem: Path, kept: Iterable[int], out: Path) -> TrainingSide:
    """Keras's side, to the last of the problem's steps; errors as of `runners.run_runner`."""
    command = [sys.executable, "-m", "parity_tests.training.run_python"]
    command += ["--problem", str(problem), "--kept", runners.join_numbers(kept)]
    runners.run_runner("Keras", command, out)
    return TrainingSide.read(out)


def run_node(problem: Path, backend: str, steps: int, out: Path) -> TrainingSide:
    """TF.js's side on one backend, of the first steps; errors as of `runners.run_runner`."""
    command = [runners.find_node(), str(RUNNER), "--problem", str(problem)]
    command += ["--backend", backend, "--steps", str(steps)]
    runners.run_runner(f"Node ({backend})", command, out)
    return TrainingSide.read(out)
