"""The one closeness rule: |node - python| <= atol + rtol * |python|.

Names, dtype, shape and finiteness come first, in this order, and nothing compared is a failure:
a rule on values alone passes what has no values.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerics.budgets import Budget
from parity_tests.measures import Measures

Array = NDArray[Any]


@dataclass(frozen=True)
class Problem:
    """What is wrong: which check failed, said as *got X, but should be Y [where]*."""

    check: str
    message: str


@dataclass(frozen=True)
class Comparison:
    """The outcome for one pair of arrays; `measures` where the values could be compared."""

    measures: Measures
    problem: Problem | None

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return self.problem is None


def wrong(check: str, got: object, should: object, where: str) -> Problem:
    """A problem in the one grammar of messages.

    >>> wrong("dtype", "int32", "float32", "pooled_output").message
    'got int32, but should be float32 [pooled_output]'
    """
    return Problem(check, f"got {got}, but should be {should} [{where}]")


def compare_names(node: Collection[str], python: Collection[str], where: str) -> Problem | None:
    """Both sides must have the same names, and at least one."""
    if not python and not node:
        return wrong("nothing", "nothing to compare", "at least one tensor", where)
    if set(node) != set(python):
        return wrong("names", named(node), named(python), where)
    return None


def named(names: Collection[str]) -> str:
    """Names as a person reads them."""
    return ", ".join(sorted(names)) or "none"


def compare(node: Array, python: Array, budget: Budget, where: str) -> Comparison:
    """Compares two arrays of any shape and any numeric dtype.

    Args:
        node: what Node gave.
        python: what Python gave; it is the reference.
        budget: the allowance of the rule above.
        where: put into the message, with the place of the worst element.
    """
    early = compare_form(node, python, where) or compare_finite(node, python, where)
    if early is not None:
        return Comparison(Measures(), early)
    measures = Measures.of(node, python, budget)
    return Comparison(measures, compare_values(node, python, budget, where))


def compare_form(node: Array, python: Array, where: str) -> Problem | None:
    """Dtype, shape, and that there is anything in it."""
    if node.dtype != python.dtype:
        return wrong("dtype", node.dtype, python.dtype, where)
    if node.shape != python.shape:
        return wrong("shape", list(node.shape), list(python.shape), where)
    if node.size == 0:
        return wrong("nothing", "0 values", "at least one", where)
    return None


def compare_finite(node: Array, python: Array, where: str) -> Problem | None:
    """NaN and infinities fail on either side, also where both have them."""
    for side, values in (("Node", node), ("Python", python)):
        bad = ~np.isfinite(values)
        if bad.any():
            index = tuple(int(i) for i in np.argwhere(bad)[0])
            spot = f"{where}, {side}'s value at {list(index)}"
            return wrong("finite", values[index], "a finite number", spot)
    return None


def compare_values(node: Array, python: Array, budget: Budget, where: str) -> Problem | None:
    """The rule itself, in float64, where the difference of two float32 values is exact."""
    a, b = node.astype(np.float64), python.astype(np.float64)
    delta, allowed = np.abs(a - b), budget.atol + budget.rtol * np.abs(b)
    outside = ~(delta <= allowed)
    if not outside.any():
        return None
    # Integers are exact: the first difference tells more than the largest.
    flat = int(np.argmax(outside if node.dtype.kind in "iu" else delta - allowed))
    index = tuple(int(i) for i in np.unravel_index(flat, node.shape))
    should = f"{python[index]}{allowance(budget)}"
    return wrong("values", node[index], should, f"{where} at {list(index)}")


def allowance(budget: Budget) -> str:
    """The budget behind a number, as in `0.5 ± 1e-05`; nothing where it is exact."""
    if budget.atol == budget.rtol == 0:
        return ""
    relative = f" ± {budget.rtol:g} of it" if budget.rtol else ""
    return f" ± {budget.atol:g}{relative}"
