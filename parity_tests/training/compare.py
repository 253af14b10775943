"""Compares two sides of a training: loss and accuracy of each step, and the weights at its end."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerics.budgets import Budget
from parity_tests.compare import Problem as Wrong
from parity_tests.compare import compare, compare_form, compare_names, wrong
from parity_tests.training.allowance import ORIGIN, Allowance
from parity_tests.training.problem import Problem
from parity_tests.training.sides import Side

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
class Pair:
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
class Rule:
    """What two sides may be apart: `allowance` for each of `sides` that were rounded."""

    problem: Problem
    allowance: Allowance
    sides: int

    def pair(self, name: str, got: Side, against: str, should: Side, steps: int) -> Pair:
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
            curve("loss", got.loss, should.loss[:steps], loss, name),
            curve("accuracy", got.accuracy, should.accuracy[:steps], self.flips(steps), name),
        ]
        ours, theirs = got.weights.get(steps, {}), should.weights.get(steps, {})
        missing = compare_names(ours, theirs, f"weights after {steps} steps, {name}")
        if missing is not None:
            found.append(Quantity("weights", problem=missing))
        else:
            found += [self.tensor(n, ours[n], theirs[n], steps, name) for n in theirs]
        return Pair(name, against, steps, found)

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
        found = compare(got, should, turned, where)
        quantity = Quantity(name, problem=found.problem)
        if found.measures.compared:
            mean = float(np.abs(got.astype(np.float64) - should.astype(np.float64)).mean())
            allowed = self.sides * self.allowance.weights[steps][name]
            quantity.take(got.size, mean, allowed)
            if found.problem is None and not mean <= allowed:
                spot = f"the mean distance of {where}"
                at_most = f"at most {allowed:.3g}"
                quantity.problem = wrong("values", f"{mean:.3g}", at_most, spot)
        return quantity


def curve(name: str, got: Array, should: Array, allowed: list[float], side: str) -> Quantity:
    """A number for each step, within what is allowed there; the first that is not is told."""
    quantity = Quantity(name, problem=compare_form(got, should, f"{name} of all steps, {side}"))
    if quantity.problem is not None:
        return quantity
    for step, budget in enumerate(allowed):
        one = slice(step, step + 1)
        where = f"{name} of step {step + 1}, {side}"
        found = compare(got[one], should[one], Budget(budget, 0.0, ORIGIN), where)
        if found.measures.compared:
            quantity.take(1, found.measures.max_abs, budget)
        quantity.problem = quantity.problem or found.problem
    return quantity
