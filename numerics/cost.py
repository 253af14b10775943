"""What float32 costs a model at a place: how far its values are from those of float64.

Rounding is relative: a masked key's score of -10,000 is off by 5e-4 in any program. So of each
difference what the budget's relative part covers is left out, its share of one cost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerics.visible import scaled_by, seen

Array = NDArray[Any]
RELATIVE = 2.5e-7
"""rtol / multiple of budgets.toml, 2 units in the last place."""
FLOAT64 = "float64"
ROUNDED = "randomly rounded weights, since it does not run in float64"
DRAWS = 3


@dataclass(frozen=True)
class Cost:
    """Of one place; `a + b` is that of both sets of values.

    Attributes:
        largest: the largest difference beyond RELATIVE of the value; NaN where one is none.
        squares: the sum of the squares of the values, in float64.
        count: how many values they are.
        how: what float32 was compared with.
    """

    largest: float = 0.0
    squares: float = 0.0
    count: int = 0
    how: str = FLOAT64

    @classmethod
    def of(cls, name: str, single: Array, exact: Array, mask: Array, how: str = FLOAT64) -> Cost:
        """The cost at a place in a batch, at the positions that the mask shows.

        Args:
            name: of the output or tap.
            single: the values in float32.
            exact: the same in float64, or of another float32 run.
            mask: 1 at the positions that mean anything, int or bool[batch, sequence].
            how: what `exact` is.

        Integers cost nothing: they are equal or wrong.
        """
        total = cls(how=how)
        if single.dtype.kind != "f":
            return total
        if single.shape != exact.shape:
            return cls(math.nan, 0.0, 0, how)
        by_text = len(single) == len(mask)
        for index in range(len(mask)) if by_text else ():
            if mask[index].any():
                one, other = (seen(name, side[index], mask[index]) for side in (single, exact))
                scale = scaled_by(name, exact[index], mask[index])
                total += cls.of_values(one, other, scale, how)
        return total if by_text else cls.of_values(single, exact, exact, how)

    @classmethod
    def of_values(cls, single: Array, exact: Array, scale: Array, how: str = FLOAT64) -> Cost:
        """The cost of values that all count; `scale` has those that say how large they are."""
        truth = exact.astype(np.float64)
        off = np.abs(single.astype(np.float64) - truth) - RELATIVE * np.abs(truth)
        size = scale.astype(np.float64).ravel()
        return cls(float(np.max(off, initial=0.0)), float(size @ size), size.size, how)

    def __add__(self, other: Cost) -> Cost:
        """The cost of both sets together."""
        return Cost(
            float(np.maximum(self.largest, other.largest)),
            self.squares + other.squares,
            self.count + other.count,
            self.how,
        )

    @property
    def rms(self) -> float:
        """Root mean square of the values: the place's scale."""
        return math.sqrt(self.squares / self.count) if self.count else 0.0


def randomly_rounded(weights: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
    """DRAWS times the weights, each float one unit in the last place up or down, by chance.

    Half a unit is what a value loses when it is rounded. Here only weights are rounded, and not
    what is computed of them, hence a whole one.
    """
    for seed in range(DRAWS):
        generator = np.random.default_rng(seed)
        yield {name: nudged(value, generator) for name, value in weights.items()}


def nudged(value: Array, generator: np.random.Generator) -> Array:
    """A weight's neighbours in float32, up or down by chance; zeros and integers stay."""
    if value.dtype.kind != "f":
        return value
    up = generator.integers(0, 2, value.shape).astype(bool)
    inf = np.asarray(np.inf, value.dtype)
    return np.where(value == 0, value, np.nextafter(value, np.where(up, inf, -inf)))


def packed(costs: Mapping[str, Cost]) -> dict[str, Array]:
    """Costs by place as arrays, which hold a NaN where JSON does not."""
    return {
        name: np.array([cost.largest, cost.squares, cost.count, cost.how == FLOAT64], np.float64)
        for name, cost in costs.items()
    }


def unpacked(batch: Mapping[str, Array]) -> dict[str, Cost]:
    """The costs by place that `packed` wrote."""
    return {
        name: Cost(
            float(value[0]), float(value[1]), int(value[2]), FLOAT64 if value[3] else ROUNDED
        )
        for name, value in batch.items()
    }
