"""How far a runtime may be from Python: derived from what float32 costs the model at each place.

The rule is |got - expected| <= atol + rtol * |expected|. Its constants stand in budgets.toml.
"""

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numerics.cost import Cost

TABLE: dict[str, dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("budgets.toml").read_text(encoding="utf-8")
)
DTYPES = tuple(TABLE)
MULTIPLE: float = TABLE["float32"]["multiple"]
FLOOR: float = TABLE["float32"]["floor"]
RTOL: float = TABLE["float32"]["rtol"]
CEILING: float = TABLE["float32"]["ceiling"]
CLAIM: float = TABLE["float32"]["claim"]
SCALE: float = TABLE["float32"]["scale"]


@dataclass(frozen=True)
class Budget:
    """An allowance and where it comes from; both numbers 0 mean *equal*."""

    atol: float
    rtol: float
    origin: str


def derived(cost: Cost, dtype: str = "float32") -> Budget:
    """The budget of a place.

    Args:
        cost: what float32 costs the model there.
        dtype: of the weights, one of DTYPES; what fewer bits cost comes on top, and grows with the
            place's scale where that is more than 1.
    """
    scale, lost = cost.rms, rounded_up(cost.largest)
    atol = MULTIPLE * cost.largest
    origin = f"{MULTIPLE:g} × what float32 costs this model here, {lost:g} ({cost.how})"
    if atol < FLOOR * scale:
        atol = FLOOR * scale
        origin = f"{FLOOR:g} of the scale here, {scale:.2g}; float32 costs less, {lost:g}"
    if dtype != "float32":
        atol += TABLE[dtype]["atol"] * max(1.0, scale)
        origin = f"{dtype} weights: {TABLE[dtype]['origin']}; and {origin}"
    return Budget(rounded_up(atol), RTOL, origin)


def ceiling(cost: Cost, dtype: str = "float32") -> float:
    """The largest `atol` of a place that is no sign of a broken model."""
    more = 0.0 if dtype == "float32" else TABLE[dtype]["atol"] * max(1.0, cost.rms)
    return rounded_up(CEILING * cost.rms + more)


def rounded_up(value: float, digits: int = 2) -> float:
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
