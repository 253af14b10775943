"""Compares two sides of a training: loss and accuracy of each step, and the weights at its end."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerics.budgets import Budget
from parity_tests.checks.compare import Problem as Wrong
from parity_tests.checks.compare import (
    compare_arrays,
    compare_dtype_and_shape,
    compare_names,
    make_problem,
)
from parity_tests.training.by_hand import (
    Adam,
    Float64Arithmetic,
    RandomFloat32Arithmetic,
    TrainingCourse,
    train_by_hand,
)
from parity_tests.training.problem import TrainingProblem
from parity_tests.training.sides import TrainingSide

# How far apart two trainings in float32 may be at each step, derived from this very training.
#
# A bound that holds for every training is of no use: Adam divides a gradient by its own size, so
# a rounding error in one that all but vanishes can turn a whole step, and all that can be
# promised of a single weight is that it lies within a learning rate or so for each step made,
# which is as far as the training itself moves it. How much is lost depends on the features, and
# grows from step to step, as each starts from what the last one left. So it is computed. The same
# steps are taken once in float64, and a few times in float32 by a program that rounds as no
# library does (by_hand.py). The furthest that one of these draws came from float64 up to a step,
# times MARGIN, is what one side may be off after it; two sides may be twice that apart. Node's
# numbers have no part in it.
#
# Of a tensor of weights it is the mean distance that is bounded. The largest one is that of the
# weight whose gradient came nearest to nothing, and a further draw can have it 5 times as far. A
# single weight may be off by a learning rate: a step that was turned.

Floats = NDArray[np.float64]

DRAWS = 3
MARGIN = 4
"""On 300 random problems (1 to 65 texts, 4 to 312 features, 1 to 12 steps) a fourth draw, or plain
numpy, was up to 2.4 times as far as the furthest of three."""
ORIGIN = (
    f"derived: {MARGIN} times the furthest that {DRAWS} trainings in float32, with sums in a drawn "
    "order and functions off by up to a unit in the last place, came by this step from the same "
    "training in float64; twice that between Node and Keras"
)


@dataclass(frozen=True)
class Allowance:
    """What one side may be off from `exact`; each grows with the steps.

    Attributes:
        exact: the training in float64.
        loss: of each step, float64[steps].
        logs: of each step, the logarithm of any text's probability of any label, float64[steps].
        weights: by number of steps and name, the mean over a tensor.
    """

    exact: TrainingCourse
    loss: Floats
    logs: Floats
    weights: dict[int, dict[str, float]]

    @classmethod
    def of(cls, problem: TrainingProblem, kept: set[int]) -> "Allowance":
        """Trains once in float64 and DRAWS times in float32.

        Args:
            problem: what to train on.
            kept: after how many steps weights will be compared.
        """
        exact = train_by_hand(problem, kept, Float64Arithmetic(), Adam())
        loss, logs = (np.zeros(len(problem.batches)) for _ in range(2))
        weights = {steps: dict.fromkeys(problem.weights, 0.0) for steps in sorted(kept)}
        for seed in range(DRAWS):
            drawn = train_by_hand(problem, kept, RandomFloat32Arithmetic(seed), Adam())
            for step, places in enumerate(problem.batches):
                off = np.abs(drawn.logs[step] - exact.logs[step])
                own = off[np.arange(len(places)), problem.targets[places]]
                # The mean of |Δ|, not |Δ| of the mean: what cancels here may add up there.
                loss[step] = max(loss[step], own.mean())
                logs[step] = max(logs[step], off.max())
            for steps, largest in weights.items():
                for name, value in drawn.weights[steps].items():
                    far = float(np.abs(value - exact.weights[steps][name]).mean())
                    largest[name] = max(largest[name], far)
        before: dict[str, float] = {}
        for steps, largest in weights.items():
            grown = {name: max(far, before.get(name, 0.0)) for name, far in largest.items()}
            weights[steps] = before = grown
        allowed = {s: {name: MARGIN * far for name, far in w.items()} for s, w in weights.items()}
        return cls(exact, MARGIN * running_maximum(loss), MARGIN * running_maximum(logs), allowed)

    def undecided(self, step: int, sides: int) -> int:
        """How many texts of a step, from 0, may have another label on one of `sides` sides.

        Of these the two likeliest labels are nearer to each other than what may be lost.
        """
        two = np.sort(self.exact.logs[step], axis=1)[:, -2:]
        return int(np.sum(two[:, 1] - two[:, 0] <= 2 * sides * self.logs[step]))


def running_maximum(values: Floats) -> Floats:
    """The largest so far."""
    largest: Floats = np.maximum.accumulate(values)
    return largest


Array = NDArray[Any]


@dataclass
class Quantity:
    """One quantity of a pair of sides.

    `far` is the largest difference over the steps, of weights the mean over the tensor; `allowed`
    what is allowed after the last step, and `share` the largest part of what was allowed.
    """

    name: str
    compared: int = 0
    far: float = 0.0
    allowed: float = 0.0
    share: float = 0.0
    problem: Wrong | None = None

    def take(self, count: int, far: float, allowed: float) -> None:
        """Adds what was measured."""
        self.compared += count
        self.far = max(self.far, far)
        self.allowed = allowed
        if far > 0:
            self.share = max(self.share, far / allowed if allowed > 0 else math.inf)


@dataclass
class SidePair:
    """Two sides and what came of them: `name` was held against `against`, over `steps` steps."""

    name: str
    against: str
    steps: int
    quantities: list[Quantity] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """What is off, in words."""
        return [one.problem.message for one in self.quantities if one.problem is not None]


@dataclass(frozen=True)
class ComparisonRule:
    """What two sides may be apart: `allowance` for each of `sides` that were rounded."""

    problem: TrainingProblem
    allowance: Allowance
    sides: int

    def pair(
        self, name: str, got: TrainingSide, against: str, should: TrainingSide, steps: int
    ) -> SidePair:
        """Compares the first steps of two sides.

        Args:
            name: what to call the first side.
            got: the first side.
            against: what to call the other.
            should: the other side, of at least so many steps, with its weights after them.
            steps: how many.
        """
        loss = [self.sides * float(self.allowance.loss[step]) for step in range(steps)]
        found = [
            compare_curve("loss", got.loss, should.loss[:steps], loss, name),
            compare_curve(
                "accuracy", got.accuracy, should.accuracy[:steps], self.flips(steps), name
            ),
        ]
        ours, theirs = got.weights.get(steps, {}), should.weights.get(steps, {})
        missing = compare_names(ours, theirs, f"weights after {steps} steps, {name}")
        if missing is not None:
            found.append(Quantity("weights", problem=missing))
        else:
            found += [self.tensor(n, ours[n], theirs[n], steps, name) for n in theirs]
        return SidePair(name, against, steps, found)

    def flips(self, steps: int) -> list[float]:
        """Of each step, how far the accuracies may differ: by the texts that are undecided.

        Half a text more, since an accuracy is a rounded fraction.
        """
        return [
            (self.allowance.undecided(step, self.sides) + 0.5) / len(self.problem.batches[step])
            for step in range(steps)
        ]

    def tensor(self, name: str, got: Array, should: Array, steps: int, side: str) -> Quantity:
        """Each weight within a learning rate, and the mean distance within what is allowed."""
        where = f"{name} after {steps} steps, {side}"
        turned = Budget(self.sides * self.problem.learning_rate, 0.0, ORIGIN)
        found = compare_arrays(got, should, turned, where)
        quantity = Quantity(name, problem=found.problem)
        if found.measures.compared:
            mean = float(np.abs(got.astype(np.float64) - should.astype(np.float64)).mean())
            allowed = self.sides * self.allowance.weights[steps][name]
            quantity.take(got.size, mean, allowed)
            if found.problem is None and not mean <= allowed:
                spot = f"the mean distance of {where}"
                at_most = f"at most {allowed:.3g}"
                quantity.problem = make_problem("values", f"{mean:.3g}", at_most, spot)
        return quantity


def compare_curve(
    name: str, got: Array, should: Array, allowed: list[float], side: str
) -> Quantity:
    """A number for each step, within what is allowed there; the first that is not is told."""
    quantity = Quantity(
        name, problem=compare_dtype_and_shape(got, should, f"{name} of all steps, {side}")
    )
    if quantity.problem is not None:
        return quantity
    for step, budget in enumerate(allowed):
        one = slice(step, step + 1)
        where = f"{name} of step {step + 1}, {side}"
        found = compare_arrays(got[one], should[one], Budget(budget, 0.0, ORIGIN), where)
        if found.measures.compared:
            quantity.take(1, found.measures.max_abs, budget)
        quantity.problem = quantity.problem or found.problem
    return quantity
