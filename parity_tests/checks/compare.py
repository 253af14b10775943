"""The one closeness rule: |node - python| <= atol + rtol * |python|.

Names, dtype, shape and finiteness are checked first, in this order. Nothing compared is a failure:
a rule on values alone would pass an empty array.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerics.budgets import Budget

Array = NDArray[Any]
ULP_CLASSES = 32
"""Distances 0, 1, 2 to 3, 4 to 7, …: a class for each power of two; the last class is open."""


@dataclass(frozen=True)
class Measures:
    """How far apart pairs of values (node, python) are; `a + b` measures both sets as one.

    `max_rel` is over the pairs whose Python value is not 0. `needed_atol` is the smallest `atol`
    that would have passed with the budget's `rtol`. `ulps` counts the pairs by their distance in
    units in the last place, see `ulp_histogram`; it is empty for integers. The last four are sums
    over the pairs.
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
    def between(cls, node: Array, python: Array, budget: Budget) -> Measures:
        """Measures two finite arrays of the same shape, with at least one value."""
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
        """Returns the measures of both sets together."""
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
        """Cosine between the two as vectors; None where one is all zeros."""
        scale = math.sqrt(self.node_squares) * math.sqrt(self.python_squares)
        return min(self.dot / scale, 1.0) if scale else None

    @property
    def snr(self) -> float | None:
        """Signal to noise in decibels; None where there is no noise, or no signal."""
        if not self.squares or not self.python_squares:
            return None
        return 10 * math.log10(self.python_squares / self.squares)


def ulp_histogram(node: Array, python: Array) -> tuple[int, ...]:
    """Counts the pairs of float32 values that are 0, 1, 2 to 3, 4 to 7, … ulps apart.

    >>> one = np.float32([1, 1, 1, 0])
    >>> ulp_histogram(one, np.float32([1, 1 + 2**-23, 1 + 3 * 2**-23, -0.0]))[:4]
    (2, 1, 1, 0)
    """
    distance = np.abs(_ulp_rank(node) - _ulp_rank(python)).ravel()
    classes = np.zeros(distance.size, np.int64)
    apart = distance > 0
    classes[apart] = np.floor(np.log2(distance[apart])).astype(np.int64) + 1
    counts = np.bincount(np.minimum(classes, ULP_CLASSES - 1), minlength=ULP_CLASSES)
    return tuple(int(count) for count in counts)


def _ulp_rank(values: Array) -> NDArray[np.int64]:
    """Numbers all float32 values in order, so that neighbours differ by 1; both zeros are 0."""
    bits = np.ascontiguousarray(values, np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, np.int64(-(2**31)) - bits, bits)


@dataclass(frozen=True)
class Problem:
    """A failed check, with the message *got X, but should be Y [where]*."""

    check: str
    message: str


@dataclass(frozen=True)
class Comparison:
    """The result for one pair of arrays; `measures` are empty where no values could be compared."""

    measures: Measures
    problem: Problem | None

    @property
    def passed(self) -> bool:
        """Whether there is no problem."""
        return self.problem is None


def make_problem(check: str, got: object, expected: object, where: str) -> Problem:
    """Makes a problem with the message that all checks use.

    Args:
        check: its kind, see REPORT.md.
        got: Node's value.
        expected: Python's value.
        where: the compared thing.

    >>> make_problem("dtype", "int32", "float32", "pooled_output").message
    'got int32, but should be float32 [pooled_output]'
    """
    return Problem(check, f"got {got}, but should be {expected} [{where}]")


def compare_names(node: Collection[str], python: Collection[str], where: str) -> Problem | None:
    """Compares two sets of names; they must be equal and not empty."""
    if not python and not node:
        return make_problem("nothing", "nothing to compare", "at least one tensor", where)
    if set(node) != set(python):
        return make_problem("names", _join_names(node), _join_names(python), where)
    return None


def _join_names(names: Collection[str]) -> str:
    """Returns sorted names as one text."""
    return ", ".join(sorted(names)) or "none"


def compare_arrays(node: Array, python: Array, budget: Budget, where: str) -> Comparison:
    """Compares two arrays of any shape and any numeric dtype.

    Args:
        node: Node's array.
        python: Python's array, the reference.
        budget: the tolerance of the rule above.
        where: for the message, which adds the index of the worst element.
    """
    problem = compare_dtype_and_shape(node, python, where) or _compare_finite(node, python, where)
    if problem is not None:
        return Comparison(Measures(), problem)
    measures = Measures.between(node, python, budget)
    return Comparison(measures, _compare_values(node, python, budget, where))


def compare_dtype_and_shape(node: Array, python: Array, where: str) -> Problem | None:
    """Compares dtype and shape; an empty array is a problem."""
    if node.dtype != python.dtype:
        return make_problem("dtype", node.dtype, python.dtype, where)
    if node.shape != python.shape:
        return make_problem("shape", list(node.shape), list(python.shape), where)
    if node.size == 0:
        return make_problem("nothing", "0 values", "at least one", where)
    return None


def _compare_finite(node: Array, python: Array, where: str) -> Problem | None:
    """Reports NaN and infinities on either side, also where both have them."""
    for side, values in (("Node", node), ("Python", python)):
        bad = ~np.isfinite(values)
        if bad.any():
            index = tuple(int(i) for i in np.argwhere(bad)[0])
            spot = f"{where}, {side}'s value at {list(index)}"
            return make_problem("finite", values[index], "a finite number", spot)
    return None


def _compare_values(node: Array, python: Array, budget: Budget, where: str) -> Problem | None:
    """Applies the rule in float64, where the difference of two float32 values is exact.

    Args:
        node: Node's array.
        python: Python's array.
        budget: the tolerance.
        where: for the message.
    """
    a, b = node.astype(np.float64), python.astype(np.float64)
    delta, allowed = np.abs(a - b), budget.atol + budget.rtol * np.abs(b)
    outside = ~(delta <= allowed)
    if not outside.any():
        return None
    # Integers are exact: the first difference says more than the largest.
    flat = int(np.argmax(outside if node.dtype.kind in "iu" else delta - allowed))
    index = tuple(int(i) for i in np.unravel_index(flat, node.shape))
    expected = f"{python[index]}{_format_tolerance(budget)}"
    return make_problem("values", node[index], expected, f"{where} at {list(index)}")


def _format_tolerance(budget: Budget) -> str:
    """Returns the budget as in `0.5 ± 1e-05`; "" where it is exact."""
    if budget.atol == budget.rtol == 0:
        return ""
    relative = f" ± {budget.rtol:g} of it" if budget.rtol else ""
    return f" ± {budget.atol:g}{relative}"
