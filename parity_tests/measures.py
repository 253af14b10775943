"""How far apart two arrays are, in numbers that add up over texts and batches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parity_tests.budgets import Budget


@dataclass(frozen=True)
class Measures:
    """Measures of a set of pairs (node, python); `a + b` measures both sets as one.

    `max_rel` is over the pairs whose Python value is not 0. `needed_atol` is the smallest `atol`
    that would have passed with the budget's `rtol`. The last four are sums over the pairs.
    """

    compared: int = 0
    max_abs: float = 0.0
    max_rel: float = 0.0
    needed_atol: float = 0.0
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
            squares=float(delta @ delta),
            dot=float(a @ b),
            node_squares=float(a @ a),
            python_squares=float(b @ b),
        )

    def __add__(self, other: Measures) -> Measures:
        """The measures of both sets together."""
        return Measures(
            compared=self.compared + other.compared,
            max_abs=max(self.max_abs, other.max_abs),
            max_rel=max(self.max_rel, other.max_rel),
            needed_atol=max(self.needed_atol, other.needed_atol),
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
