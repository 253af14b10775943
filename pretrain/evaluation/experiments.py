"""The experiments: each gives the dev accuracy of one way to classify, for one seed.

The epoch with the best dev accuracy counts, as in train.js and in `nox -s finetune`. That is a
little too good for the encoders, and the same for seeded and trained weights.
"""

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.demo import DemoPaths
from parity_tests.finetune.experiments import (
    TRAIN,
    UPDATED,
    FinetuneSetting,
    run_in_python,
    run_to_end,
)
from support.errors import EnvironmentProblem
from support.node import find_node

NONE, SEEDED, TRAINED = "none", "seeded", "trained"
REGRESSION = Path(__file__).with_name("regression.py")
LONGEST_NGRAMS = (1, 2, 3)
# The heads of train.js, and the vectors that they take.
HEADS = {
    "linear": "softmax on [CLS]",
    "dense": "512 tanh on [CLS]",
    "bilstm": "LSTM 128 both ways on all positions",
}
FROZEN_EPOCHS = {"linear": 30, "dense": 10, "bilstm": 5}
UPDATED_EPOCHS = 5


@dataclass(frozen=True)
class EvaluationSetting:
    """What the experiments need.

    `roots` has the embedded default with seeded and with trained weights. `regression_python` is a
    Python with scikit-learn. `scratch` is removed at the end.
    """

    roots: dict[str, Path]
    regression_python: Path
    scratch: Path

    @property
    def data(self) -> DemoPaths:
        """The reviews, which are the same under both roots."""
        return DemoPaths(self.roots[SEEDED])


@dataclass(frozen=True)
class Experiment:
    """One way to classify: `run` returns the accuracy with a seed; `seeded` where it decides."""

    encoder: str
    classifier: str
    seeded: bool
    run: Callable[[EvaluationSetting, int], float]

    @property
    def key(self) -> str:
        """Its name in evaluation.json."""
        return f"{self.encoder}: {self.classifier}"


def all_experiments() -> Iterator[Experiment]:
    """Yields the experiments in the order of the table, the fast ones first."""
    yield Experiment(NONE, "the most frequent label", False, _measure_majority)
    for longest in LONGEST_NGRAMS:
        characters = "1 character" if longest == 1 else f"1 to {longest} characters"
        yield Experiment(NONE, f"logistic regression, {characters}", False, _regression_on(longest))
    for weights in (SEEDED, TRAINED):
        for head, meaning in HEADS.items():
            yield Experiment(
                f"{weights}, frozen", f"{head}: {meaning}", True, _head_on(weights, head)
            )
    for weights in (SEEDED, TRAINED):
        yield Experiment(f"{weights}, updated", HEADS["dense"], True, _update(weights))


def _measure_majority(setting: EvaluationSetting, _: int) -> float:
    """Gives every dev text the most frequent label of the training texts."""
    label = Counter(read_labels(setting.data.train)).most_common(1)[0][0]
    dev = read_labels(setting.data.dev)
    return dev.count(label) / len(dev)


def read_labels(file: Path) -> list[str]:
    """Returns the labels of a file of reviews."""
    lines = file.read_text("utf-8").removesuffix("\n").split("\n")
    return [str(json.loads(line)["label"]) for line in lines]


def _regression_on(longest: int) -> Callable[[EvaluationSetting, int], float]:
    """Returns the experiment with n-grams of up to `longest` characters."""

    def run(setting: EvaluationSetting, _: int) -> float:
        files = ["--train", str(setting.data.train), "--dev", str(setting.data.dev)]
        command = [str(setting.regression_python), "-I", str(REGRESSION), *files]
        command += ["--longest", str(longest)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            reason = done.stderr.strip().rpartition("\n")[2]
            raise EnvironmentProblem(
                f"the regression failed: {reason}; run this as `nox -s pretrain -- --evaluate`"
            )
        accuracy: float = json.loads(done.stdout)["accuracy"]
        return accuracy

    return run


def _head_on(weights: str, head: str) -> Callable[[EvaluationSetting, int], float]:
    """Returns the experiment with train.js on a frozen encoder, whose vectors are cached."""

    def run(setting: EvaluationSetting, seed: int) -> float:
        finetune = _finetune_setting(setting, weights, FROZEN_EPOCHS[head], seed)
        bundle, scratch = DemoPaths(finetune.root).bundle, setting.scratch
        command = [find_node(), str(TRAIN), "--json", "--force", "--bundle", str(bundle)]
        command += ["--train", str(finetune.train), "--dev", str(finetune.dev), "--head", head]
        command += ["--epochs", str(finetune.epochs), "--seed", str(seed)]
        command += ["--cache", str(scratch / f"cache.{weights}")]
        command += ["--out", str(scratch / "classifier")]
        done = run_to_end(f"{weights}, frozen, {head}, seed {seed}", command, finetune)
        history: list[dict[str, Any]] = json.loads(done.stdout)["history"]
        return max(float(epoch["dev_accuracy"]) for epoch in history)

    return run


def _update(weights: str) -> Callable[[EvaluationSetting, int], float]:
    """Returns the experiment that updates the whole encoder, in Python."""

    def run(setting: EvaluationSetting, seed: int) -> float:
        finetune = _finetune_setting(setting, weights, UPDATED_EPOCHS, seed)
        return float(run_in_python(finetune, UPDATED).best["dev_accuracy"])

    return run


def _finetune_setting(
    setting: EvaluationSetting, weights: str, epochs: int, seed: int
) -> FinetuneSetting:
    """Returns the setting of a training on all reviews.

    Args:
        setting: of the evaluation.
        weights: SEEDED or TRAINED.
        epochs: of the training.
        seed: of its head and its order.
    """
    paths = DemoPaths(setting.roots[weights])
    count = len(read_labels(paths.train))
    return FinetuneSetting(paths.root, paths.train, paths.dev, count, epochs, setting.scratch, seed)
