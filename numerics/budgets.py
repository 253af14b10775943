"""How far a runtime may differ from Python, derived from the cost of float32 at each tap.

The rule is |got - expected| <= atol + rtol * |expected|. Its constants are in budgets.toml.
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

# Only values at unmasked positions are compared.
#
# Nobody uses a model's values at masked positions, and in trained models they are ten times more
# sensitive to rounding than the others.

Array = NDArray[Any]


def unmasked_values(name: str, value: Array, mask: Array) -> Array:
    """Returns an output or tap of one text, without its masked positions.

    Args:
        name: the name of the output or tap.
        value: its value without the batch axis: float32[sequence, …], or without an axis of
            positions. Attention scores are float32[heads, query, key]; their key axis is not cut,
            since the mask itself is visible there.
        mask: the text's `attention_mask`, int32[sequence].
    """
    shown = mask == 1
    if shown.all():
        return value
    if name.endswith("/attention_scores"):
        return value[..., shown, :]
    if name.endswith("/context"):
        return _unmasked_per_head(value, shown)
    by_position = value.ndim > 1 and value.shape[0] == len(mask)
    return value[shown] if by_position else value


def _unmasked_per_head(value: Array, shown: Array) -> Array:
    """Returns float32[heads, sequence, size] or [sequence, heads, size] without masked positions.

    Where both axes have the same length, the layout is unknown, and both axes are cut.
    """
    for axis in range(value.ndim - 1):
        if value.shape[axis] == len(shown):
            value = np.compress(shown, value, axis)
    return value


def _values_for_scale(name: str, value: Array, mask: Array) -> Array:
    """Returns the values that define the scale of an output or tap.

    They are those of `unmasked_values`; of attention scores without masked keys, whose scores of
    -10,000 or less say nothing about the scale of the others.
    """
    shown = mask == 1
    if name.endswith("/attention_scores") and value.shape[-2:] == (len(shown), len(shown)):
        return value[..., shown, :][..., shown]
    return unmasked_values(name, value, mask)


# The cost of float32 at an output or tap: how far its values are from those of float64.
#
# Rounding is relative: a masked key's score of -10,000 is off by 5e-4 in any program. So the part
# of each difference that the budget's relative part covers is not counted.

RELATIVE_ERROR = 2.5e-7
"""rtol / multiple of budgets.toml, 2 units in the last place."""
FLOAT64 = "float64"
ROUNDED_WEIGHTS = "randomly rounded weights, since it does not run in float64"
ROUNDING_RUNS = 3


@dataclass(frozen=True)
class Cost:
    """The cost of float32 at one output or tap; `a + b` is the cost of both sets of values.

    Attributes:
        largest: the largest difference beyond RELATIVE_ERROR of the value; NaN if a value is NaN.
        squares: the sum of the squares of the values, in float64.
        count: the number of values.
        how: what float32 was compared with.
    """

    largest: float = 0.0
    squares: float = 0.0
    count: int = 0
    how: str = FLOAT64

    @classmethod
    def measure(
        cls, name: str, single: Array, exact: Array, mask: Array, how: str = FLOAT64
    ) -> Cost:
        """Measures the cost at an output or tap of a batch, at the unmasked positions.

        Integers cost nothing: they are equal or wrong.

        Args:
            name: the name of the output or tap.
            single: the values in float32.
            exact: the same values in float64, or from another float32 run.
            mask: 1 at the positions that count, int or bool[batch, sequence].
            how: what `exact` is.
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
                scale = _values_for_scale(name, exact[index], mask[index])
                total += cls.measure_values(one, other, scale, how)
        return total if by_text else cls.measure_values(single, exact, exact, how)

    @classmethod
    def measure_values(cls, single: Array, exact: Array, scale: Array, how: str = FLOAT64) -> Cost:
        """Measures the cost of values that all count.

        Args:
            single: the values in float32.
            exact: the same values in float64, or from another float32 run.
            scale: the values that define the scale.
            how: what `exact` is.
        """
        truth = exact.astype(np.float64)
        off = np.abs(single.astype(np.float64) - truth) - RELATIVE_ERROR * np.abs(truth)
        size = scale.astype(np.float64).ravel()
        return cls(float(np.max(off, initial=0.0)), float(size @ size), size.size, how)

    def __add__(self, other: Cost) -> Cost:
        """Returns the cost of both sets of values."""
        return Cost(
            float(np.maximum(self.largest, other.largest)),
            self.squares + other.squares,
            self.count + other.count,
            self.how,
        )

    @property
    def rms(self) -> float:
        """The root mean square of the values: the scale of the output or tap."""
        return math.sqrt(self.squares / self.count) if self.count else 0.0


def round_weights_randomly(weights: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
    """Yields ROUNDING_RUNS copies of the weights, each float moved by one unit in the last place.

    The direction is random. Rounding changes a value by half a unit; here only the weights are
    rounded, and not the values computed from them, hence a whole unit.
    """
    for seed in range(ROUNDING_RUNS):
        generator = np.random.default_rng(seed)
        yield {name: _move_one_ulp(value, generator) for name, value in weights.items()}


def _move_one_ulp(value: Array, generator: np.random.Generator) -> Array:
    """Returns a weight's random neighbours in float32, up or down; keeps zeros and integers."""
    if value.dtype.kind != "f":
        return value
    up = generator.integers(0, 2, value.shape).astype(bool)
    inf = np.asarray(np.inf, value.dtype)
    return np.where(value == 0, value, np.nextafter(value, np.where(up, inf, -inf)))


def pack_costs(costs: Mapping[str, Cost]) -> dict[str, Array]:
    """Returns costs by name as arrays, which can represent NaN; JSON cannot."""
    return {
        name: np.array([cost.largest, cost.squares, cost.count, cost.how == FLOAT64], np.float64)
        for name, cost in costs.items()
    }


def unpack_costs(batch: Mapping[str, Array]) -> dict[str, Cost]:
    """Returns the costs by name from the arrays of `pack_costs`."""
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
    """An allowed difference and its origin; both numbers 0 mean *equal*."""

    atol: float
    rtol: float
    origin: str


def derive_budget(cost: Cost, dtype: str = "float32") -> Budget:
    """Derives the budget of an output or tap.

    Args:
        cost: the cost of float32 there.
        dtype: the dtype of the stored weights, one of DTYPES. Fewer bits add to the budget, in
            proportion to the scale where the scale is more than 1.
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
    """Returns the largest `atol` of an output or tap that is no sign of a broken model."""
    more = 0.0 if dtype == "float32" else BUDGET_TABLE[dtype]["atol"] * max(1.0, cost.rms)
    return round_up(CEILING * cost.rms + more)


def round_up(value: float, digits: int = 2) -> float:
    """Rounds up to some digits, so that the result seldom depends on the machine.

    >>> round_up(1.234e-6), round_up(1.2e-6), round_up(9.96e-6), round_up(0.0)
    (1.3e-06, 1.2e-06, 1e-05, 0.0)
    """
    if value == 0 or not math.isfinite(value):
        return value
    near = float(f"{value:.{digits - 1}e}")
    if near >= value:
        return near
    step = 10.0 ** (math.floor(math.log10(abs(near))) - digits + 1)
    return float(f"{near + step:.{digits - 1}e}")
