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

# How far apart two trainings in float32 may be at each step, derived from this training.
#
# A bound that holds for every training is useless. Adam divides a gradient by its own size, so a
# rounding error in a gradient near 0 can reverse a whole step; then a single weight is only known
# to be within about a learning rate per step, which is as far as the training itself moves it. The
# effect of rounding depends on the features and grows from step to step. So it is computed: the
# same steps are run once in float64, and DRAWS times in float32 with random rounding (by_hand.py).
# The largest distance from float64 up to a step, times MARGIN, is the budget of one side after it;
# two sides may be twice that apart. Node's numbers are not used.
#
# For a tensor of weights the mean distance is bounded. The largest distance belongs to the weight
# whose gradient was nearest to 0; another run can have it 5 times as large. A single weight may be
# off by a learning rate: a reversed step.

Array = NDArray[Any]
Floats = NDArray[np.float64]

DRAWS = 3
MARGIN = 4
"""On 300 random problems (1 to 65 texts, 4 to 312 features, 1 to 12 steps) a fourth run, or plain
numpy, was up to 2.4 times as far as the furthest of three."""
ORIGIN = (
    f"derived: {MARGIN} times the furthest that {DRAWS} trainings in float32, with sums in a drawn "
    "order and functions off by up to a unit in the last place, came by this step from the same "
    "training in float64; twice that between Node and Keras"
)


@dataclass(frozen=True)
class Allowance:
    """How far one side may be from `exact`; each budget grows with the steps.

    Attributes:
        exact: the training in float64.
        loss: at each step, float64[steps].
        logs: of any log probability at each step, float64[steps].
        weights: by number of steps and name, for the mean over a tensor.
    """

    exact: TrainingCourse
    loss: Floats
    logs: Floats
    weights: dict[int, dict[str, float]]

    @classmethod
    def derive(cls, problem: TrainingProblem, snapshots: set[int]) -> "Allowance":
        """Trains once in float64 and DRAWS times in float32.

        Args:
            problem: what to train on.
            snapshots: numbers of steps after which weights will be compared.
        """
        exact = train_by_hand(problem, snapshots, Float64Arithmetic(), Adam())
        loss, logs = (np.zeros(len(problem.batches)) for _ in range(2))
        weights = {steps: dict.fromkeys(problem.weights, 0.0) for steps in sorted(snapshots)}
        for seed in range(DRAWS):
            drawn = train_by_hand(problem, snapshots, RandomFloat32Arithmetic(seed), Adam())
            for step, indices in enumerate(problem.batches):
                off = np.abs(drawn.logs[step] - exact.logs[step])
                own = off[np.arange(len(indices)), problem.targets[indices]]
                # The mean of |Δ|, not |Δ| of the mean: what cancels here may add up elsewhere.
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
        return cls(exact, MARGIN * _running_maximum(loss), MARGIN * _running_maximum(logs), allowed)

    def undecided(self, step: int, sides: int) -> int:
        """Counts the texts of a step (from 0) that may have another label on one of `sides` sides.

        The two likeliest labels of these texts are nearer to each other than the budget.
        """
        two = np.sort(self.exact.logs[step], axis=1)[:, -2:]
        return int(np.sum(two[:, 1] - two[:, 0] <= 2 * sides * self.logs[step]))


def _running_maximum(values: Floats) -> Floats:
    """Returns the running maximum."""
    largest: Floats = np.maximum.accumulate(values)
    return largest


@dataclass
class Quantity:
    """One compared quantity of two sides.

    `far` is the largest difference over the steps, for weights the mean over the tensor; `allowed`
    is the budget after the last step, and `share` the largest part of a budget that was used.
    """

    name: str
    compared: int = 0
    far: float = 0.0
    allowed: float = 0.0
    share: float = 0.0
    problem: Wrong | None = None

    def add_difference(self, count: int, far: float, allowed: float) -> None:
        """Adds the difference of `count` values."""
        self.compared += count
        self.far = max(self.far, far)
        self.allowed = allowed
        if far > 0:
            self.share = max(self.share, far / allowed if allowed > 0 else math.inf)


@dataclass
class SidePair:
    """Two compared sides: `name` against `against`, over `steps` steps."""

    name: str
    against: str
    steps: int
    quantities: list[Quantity] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """The messages of what drifted."""
        return [one.problem.message for one in self.quantities if one.problem is not None]


@dataclass(frozen=True)
class ComparisonRule:
    """How far two sides may be apart: `allowance` for each of the `sides` with float32 rounding."""

    problem: TrainingProblem
    allowance: Allowance
    sides: int

    def pair(
        self, name: str, got: TrainingSide, against: str, expected: TrainingSide, steps: int
    ) -> SidePair:
        """Compares the first steps of two sides.

        Args:
            name: of the first side.
            got: the first side.
            against: the name of the other side.
            expected: the other side, of at least as many steps, with its weights after them.
            steps: how many to compare.
        """
        loss = [self.sides * float(self.allowance.loss[step]) for step in range(steps)]
        quantities = [
            compare_curve("loss", got.loss, expected.loss[:steps], loss, name),
            compare_curve(
                "accuracy", got.accuracy, expected.accuracy[:steps], self.flips(steps), name
            ),
        ]
        ours, theirs = got.weights.get(steps, {}), expected.weights.get(steps, {})
        missing = compare_names(ours, theirs, f"weights after {steps} steps, {name}")
        if missing is not None:
            quantities.append(Quantity("weights", problem=missing))
        else:
            quantities += [self.tensor(n, ours[n], theirs[n], steps, name) for n in theirs]
        return SidePair(name, against, steps, quantities)

    def flips(self, steps: int) -> list[float]:
        """Returns how far the accuracies of each step may differ: by the undecided texts.

        Half a text is added, since an accuracy is a rounded fraction.
        """
        return [
            (self.allowance.undecided(step, self.sides) + 0.5) / len(self.problem.batches[step])
            for step in range(steps)
        ]

    def tensor(self, name: str, got: Array, expected: Array, steps: int, side: str) -> Quantity:
        """Compares a tensor: each weight within a learning rate, the mean within its budget.

        Args:
            name: of the weight.
            got: the first side's tensor.
            expected: the other side's tensor.
            steps: after how many.
            side: the first side, for messages.
        """
        where = f"{name} after {steps} steps, {side}"
        reversed_step = Budget(self.sides * self.problem.learning_rate, 0.0, ORIGIN)
        result = compare_arrays(got, expected, reversed_step, where)
        quantity = Quantity(name, problem=result.problem)
        if result.measures.compared:
            mean = float(np.abs(got.astype(np.float64) - expected.astype(np.float64)).mean())
            allowed = self.sides * self.allowance.weights[steps][name]
            quantity.add_difference(got.size, mean, allowed)
            if result.problem is None and not mean <= allowed:
                spot = f"the mean distance of {where}"
                at_most = f"at most {allowed:.3g}"
                quantity.problem = make_problem("values", f"{mean:.3g}", at_most, spot)
        return quantity


def compare_curve(
    name: str, got: Array, expected: Array, allowed: list[float], side: str
) -> Quantity:
    """Compares a number at each step within its budget; reports the first that is outside.

    Args:
        name: of the quantity.
        got: float[steps] of the first side.
        expected: the same of the other side.
        allowed: the budget of each step.
        side: the first side, for messages.
    """
    quantity = Quantity(
        name, problem=compare_dtype_and_shape(got, expected, f"{name} of all steps, {side}")
    )
    if quantity.problem is not None:
        return quantity
    for step, budget in enumerate(allowed):
        one = slice(step, step + 1)
        where = f"{name} of step {step + 1}, {side}"
        result = compare_arrays(got[one], expected[one], Budget(budget, 0.0, ORIGIN), where)
        if result.measures.compared:
            quantity.add_difference(1, result.measures.max_abs, budget)
        quantity.problem = quantity.problem or result.problem
    return quantity
