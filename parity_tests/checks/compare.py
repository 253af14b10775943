"""The one closeness rule: |node - python| <= atol + rtol * |python|.

Names, dtype, shape and finiteness come first, in this order, and nothing compared is a failure:
a rule on values alone passes what has no values.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerics.budgets import Budget

# How far apart two arrays are, in numbers that add up over texts and batches.

ULP_CLASSES = 32
"""Distances 0, 1, 2 to 3, 4 to 7, …: a class for each power of two, the last open."""


@dataclass(frozen=True)
class Measures:
    """Measures of a set of pairs (node, python); `a + b` measures both sets as one.

    `max_rel` is over the pairs whose Python value is not 0. `needed_atol` is the smallest `atol`
    that would have passed with the budget's `rtol`. `ulps` counts the pairs by their distance in
    units in the last place, in classes of powers of two; it is empty for integers. The last four
    are sums over the pairs.
    """

    compared: int = 0
    max_abs: float = 0.0
    max_rel: float = 0.0
    needed_atol: float = 0.0
    ulps: tuple[int, ...] = ()
    squares: float = 0.0
    dot: float = 0.0
    node_squares: float = 0.0
    python_squares: float = 0.0

    @classmethod
    def of(cls, node: NDArray[Any], python: NDArray[Any], budget: Budget) -> Measures:
        """Measures two arrays of the same shape, all finite, at least one value."""
        a, b = node.astype(np.float64).ravel(), python.astype(np.float64).ravel()
        delta = np.abs(a - b)
        relative = delta[b != 0] / np.abs(b[b != 0])
        needed = delta - budget.rtol * np.abs(b)
        return cls(
            compared=a.size,
            max_abs=float(delta.max()),
            max_rel=float(relative.max(initial=0.0)),
            needed_atol=max(float(needed.max()), 0.0),
            ulps=ulp_histogram(node, python) if python.dtype == np.float32 else (),
            squares=float(delta @ delta),
            dot=float(a @ b),
            node_squares=float(a @ a),
            python_squares=float(b @ b),
        )

    def __add__(self, other: Measures) -> Measures:
        """The measures of both sets together."""
        pairs = zip(self.ulps, other.ulps, strict=True) if self.ulps and other.ulps else None
        return Measures(
            compared=self.compared + other.compared,
            max_abs=max(self.max_abs, other.max_abs),
            max_rel=max(self.max_rel, other.max_rel),
            needed_atol=max(self.needed_atol, other.needed_atol),
            ulps=tuple(a + b for a, b in pairs) if pairs else self.ulps or other.ulps,
            squares=self.squares + other.squares,
            dot=self.dot + other.dot,
            node_squares=self.node_squares + other.node_squares,
            python_squares=self.python_squares + other.python_squares,
        )

    @property
    def rms(self) -> float:
        """Root mean square of the difference."""
        return math.sqrt(self.squares / self.compared) if self.compared else 0.0

    @property
    def cosine(self) -> float | None:
        """Cosine between the two as vectors; None where one of them is all zeros."""
        scale = math.sqrt(self.node_squares) * math.sqrt(self.python_squares)
        return min(self.dot / scale, 1.0) if scale else None

    @property
    def snr(self) -> float | None:
        """Signal to noise in decibels; None where there is no noise, or no signal."""
        if not self.squares or not self.python_squares:
            return None
        return 10 * math.log10(self.python_squares / self.squares)


def ulp_histogram(node: NDArray[Any], python: NDArray[Any]) -> tuple[int, ...]:
    """How many pairs of float32 values are 0, 1, 2 to 3, 4 to 7, … units in the last place apart.

    >>> one = np.float32([1, 1, 1, 0])
    >>> ulp_histogram(one, np.float32([1, 1 + 2**-23, 1 + 3 * 2**-23, -0.0]))[:4]
    (2, 1, 1, 0)
    """
    distance = np.abs(ulp_rank(node) - ulp_rank(python)).ravel()
    classes = np.zeros(distance.size, np.int64)
    apart = distance > 0
    classes[apart] = np.floor(np.log2(distance[apart])).astype(np.int64) + 1
    counts = np.bincount(np.minimum(classes, ULP_CLASSES - 1), minlength=ULP_CLASSES)
    return tuple(int(count) for count in counts)


def ulp_rank(values: NDArray[Any]) -> NDArray[np.int64]:
    """The place of each float32 among all, so that neighbours differ by 1; both zeros are 0."""
    bits = np.ascontiguousarray(values, np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, np.int64(-(2**31)) - bits, bits)


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


def make_problem(check: str, got: object, should: object, where: str) -> Problem:
    """A problem in the one grammar of messages.

    >>> make_problem("dtype", "int32", "float32", "pooled_output").message
    'got int32, but should be float32 [pooled_output]'
    """
    return Problem(check, f"got {got}, but should be {should} [{where}]")


def compare_names(node: Collection[str], python: Collection[str], where: str) -> Problem | None:
    """Both sides must have the same names, and at least one."""
    if not python and not node:
        return make_problem("nothing", "nothing to compare", "at least one tensor", where)
    if set(node) != set(python):
        return make_problem("names", join_names(node), join_names(python), where)
    return None


def join_names(names: Collection[str]) -> str:
    """Names as a person reads them."""
    return ", ".join(sorted(names)) or "none"


def compare_arrays(node: Array, python: Array, budget: Budget, where: str) -> Comparison:
    """Compares two arrays of any shape and any numeric dtype.

    Args:
        node: what Node gave.
        python: what Python gave; it is the reference.
        budget: the allowance of the rule above.
        where: put into the message, with the place of the worst element.
    """
    early = compare_dtype_and_shape(node, python, where) or compare_finite(node, python, where)
    if early is not None:
        return Comparison(Measures(), early)
    measures = Measures.of(node, python, budget)
    return Comparison(measures, compare_values(node, python, budget, where))


def compare_dtype_and_shape(node: Array, python: Array, where: str) -> Problem | None:
    """Dtype, shape, and that there is anything in it."""
    if node.dtype != python.dtype:
        return make_problem("dtype", node.dtype, python.dtype, where)
    if node.shape != python.shape:
        return make_problem("shape", list(node.shape), list(python.shape), where)
    if node.size == 0:
        return make_problem("nothing", "0 values", "at least one", where)
    return None


def compare_finite(node: Array, python: Array, where: str) -> Problem | None:
    """NaN and infinities fail on either side, also where both have them."""
    for side, values in (("Node", node), ("Python", python)):
        bad = ~np.isfinite(values)
        if bad.any():
            index = tuple(int(i) for i in np.argwhere(bad)[0])
            spot = f"{where}, {side}'s value at {list(index)}"
            return make_problem("finite", values[index], "a finite number", spot)
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
    should = f"{python[index]}{format_tolerance(budget)}"
    return make_problem("values", node[index], should, f"{where} at {list(index)}")


def format_tolerance(budget: Budget) -> str:
    """The budget behind a number, as in `0.5 ± 1e-05`; nothing where it is exact."""
    if budget.atol == budget.rtol == 0:
        return ""
    relative = f" ± {budget.rtol:g} of it" if budget.rtol else ""
    return f" ± {budget.atol:g}{relative}"
