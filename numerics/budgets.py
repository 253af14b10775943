"""How far a runtime may be from Python: derived from what float32 costs the model at each place.

The rule is |got - expected| <= atol + rtol * |expected|. Its constants stand in budgets.toml.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# What of an output means anything: its values at positions that the mask shows.
#
# What a model gives at a masked position is of no use to anyone, and in trained models it is ten
# times more sensitive to rounding than the rest.

Array = NDArray[Any]


def unmasked_values(name: str, value: Array, mask: Array) -> Array:
    """An output or tap of one text, without its masked positions.

    Args:
        name: of the output or tap.
        value: without the batch axis: float32[sequence, …], or one that has no axis of positions;
            attention scores are float32[heads, query, key], and stay whole along the keys, where
            the mask itself shows in them.
        mask: the text's `attention_mask`, int32[sequence].
    """
    shown = mask == 1
    if shown.all():
        return value
    if name.endswith("/attention_scores"):
        return value[..., shown, :]
    if name.endswith("/context"):
        return unmasked_per_head(value, shown)
    by_position = value.ndim > 1 and value.shape[0] == len(mask)
    return value[shown] if by_position else value


def unmasked_per_head(value: Array, shown: Array) -> Array:
    """What the mask shows of float32[heads, sequence, size] or float32[sequence, heads, size].

    Which it is, is unknown where both are of one length; then what both readings show is left.
    """
    for axis in range(value.ndim - 1):
        if value.shape[axis] == len(shown):
            value = np.compress(shown, value, axis)
    return value


def values_for_scale(name: str, value: Array, mask: Array) -> Array:
    """The values that say how large a place's are: as `seen`, of scores without masked keys.

    A masked key's score is -10,000 or less, and says nothing of the others.
    """
    shown = mask == 1
    if name.endswith("/attention_scores") and value.shape[-2:] == (len(shown), len(shown)):
        return value[..., shown, :][..., shown]
    return unmasked_values(name, value, mask)


# What float32 costs a model at a place: how far its values are from those of float64.
#
# Rounding is relative: a masked key's score of -10,000 is off by 5e-4 in any program. So of each
# difference what the budget's relative part covers is left out, its share of one cost.

RELATIVE_ERROR = 2.5e-7
"""rtol / multiple of budgets.toml, 2 units in the last place."""
FLOAT64 = "float64"
ROUNDED_WEIGHTS = "randomly rounded weights, since it does not run in float64"
ROUNDING_RUNS = 3


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
                one, other = (
                    unmasked_values(name, side[index], mask[index]) for side in (single, exact)
                )
                scale = values_for_scale(name, exact[index], mask[index])
                total += cls.of_values(one, other, scale, how)
        return total if by_text else cls.of_values(single, exact, exact, how)

    @classmethod
    def of_values(cls, single: Array, exact: Array, scale: Array, how: str = FLOAT64) -> Cost:
        """The cost of values that all count; `scale` has those that say how large they are."""
        truth = exact.astype(np.float64)
        off = np.abs(single.astype(np.float64) - truth) - RELATIVE_ERROR * np.abs(truth)
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


def round_weights_randomly(weights: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
    """DRAWS times the weights, each float one unit in the last place up or down, by chance.

    Half a unit is what a value loses when it is rounded. Here only weights are rounded, and not
    what is computed of them, hence a whole one.
    """
    for seed in range(ROUNDING_RUNS):
        generator = np.random.default_rng(seed)
        yield {name: move_one_ulp(value, generator) for name, value in weights.items()}


def move_one_ulp(value: Array, generator: np.random.Generator) -> Array:
    """A weight's neighbours in float32, up or down by chance; zeros and integers stay."""
    if value.dtype.kind != "f":
        return value
    up = generator.integers(0, 2, value.shape).astype(bool)
    inf = np.asarray(np.inf, value.dtype)
    return np.where(value == 0, value, np.nextafter(value, np.where(up, inf, -inf)))


def pack_costs(costs: Mapping[str, Cost]) -> dict[str, Array]:
    """Costs by place as arrays, which hold a NaN where JSON does not."""
    return {
        name: np.array([cost.largest, cost.squares, cost.count, cost.how == FLOAT64], np.float64)
        for name, cost in costs.items()
    }


def unpack_costs(batch: Mapping[str, Array]) -> dict[str, Cost]:
    """The costs by place that `packed` wrote."""
    return {
        name: Cost(
            float(value[0]),
            float(value[1]),
            int(value[2]),
            FLOAT64 if value[3] else ROUNDED_WEIGHTS,
        )
        for name, value in batch.items()
    }


BUDGET_TABLE: dict[str, dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("budgets.toml").read_text(encoding="utf-8")
)
DTYPES = tuple(BUDGET_TABLE)
MULTIPLE: float = BUDGET_TABLE["float32"]["multiple"]
FLOOR: float = BUDGET_TABLE["float32"]["floor"]
RTOL: float = BUDGET_TABLE["float32"]["rtol"]
CEILING: float = BUDGET_TABLE["float32"]["ceiling"]
CLAIM: float = BUDGET_TABLE["float32"]["claim"]
SCALE: float = BUDGET_TABLE["float32"]["scale"]


@dataclass(frozen=True)
class Budget:
    """An allowance and where it comes from; both numbers 0 mean *equal*."""

    atol: float
    rtol: float
    origin: str


def derive_budget(cost: Cost, dtype: str = "float32") -> Budget:
    """The budget of a place.

    Args:
        cost: what float32 costs the model there.
        dtype: of the weights, one of DTYPES; what fewer bits cost comes on top, and grows with the
            place's scale where that is more than 1.
    """
    scale, lost = cost.rms, round_up(cost.largest)
    atol = MULTIPLE * cost.largest
    origin = f"{MULTIPLE:g} × what float32 costs this model here, {lost:g} ({cost.how})"
    if atol < FLOOR * scale:
        atol = FLOOR * scale
        origin = f"{FLOOR:g} of the scale here, {scale:.2g}; float32 costs less, {lost:g}"
    if dtype != "float32":
        atol += BUDGET_TABLE[dtype]["atol"] * max(1.0, scale)
        origin = f"{dtype} weights: {BUDGET_TABLE[dtype]['origin']}; and {origin}"
    return Budget(round_up(atol), RTOL, origin)


def atol_ceiling(cost: Cost, dtype: str = "float32") -> float:
    """The largest `atol` of a place that is no sign of a broken model."""
    more = 0.0 if dtype == "float32" else BUDGET_TABLE[dtype]["atol"] * max(1.0, cost.rms)
    return round_up(CEILING * cost.rms + more)


def round_up(value: float, digits: int = 2) -> float:
    """Of so many digits, not less than `value`; so it seldom depends on the machine.

    >>> rounded_up(1.234e-6), rounded_up(1.2e-6), rounded_up(9.96e-6), rounded_up(0.0)
    (1.3e-06, 1.2e-06, 1e-05, 0.0)
    """
    if value == 0 or not math.isfinite(value):
        return value
    near = float(f"{value:.{digits - 1}e}")
    if near >= value:
        return near
    step = 10.0 ** (math.floor(math.log10(abs(near))) - digits + 1)
    return float(f"{near + step:.{digits - 1}e}")
