"""How far apart Python and Node may be: the table in budgets.toml, by the bundle's weight dtype.

The rule itself is in compare.py: |node - python| <= atol + rtol * |python|.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from parity_tests.errors import UserError


@dataclass(frozen=True)
class Budget:
    """An allowance and where it comes from; both numbers 0 mean *equal*."""

    atol: float
    rtol: float
    origin: str


EXACT = Budget(0.0, 0.0, "tokens, ids and labels are equal or wrong")

TABLE = Path(__file__).with_name("budgets.toml")
_OUTPUTS = {dtype: Budget(**row) for dtype, row in tomllib.loads(TABLE.read_text("utf-8")).items()}


def of_stage(stage: str, weight_dtype: str | None) -> Budget:
    """The budget of a stage: `ids`, `probabilities`, or an output by name.

    Raises:
        UserError: the weight dtype is not in the table.
    """
    if stage in ("tokens", "ids", "label"):
        return EXACT
    try:
        budget = _OUTPUTS[weight_dtype or ""]
    except KeyError:
        known = ", ".join(_OUTPUTS)
        raise UserError(
            f"no budget for weight dtype {weight_dtype}, expected one of {known}"
        ) from None
    if stage == "probabilities":
        return Budget(
            10 * budget.atol,
            budget.rtol,
            "ten times that of the vector: a head on vectors that vary little has a large gain "
            "(noise of 2.4e-6 on albert_tiny's moved probabilities by up to 4e-5, measured)",
        )
    if stage.endswith("/attention_scores"):
        return Budget(
            10 * budget.atol,
            budget.rtol,
            "ten times that of the outputs: a score sums the products of two vectors as large as "
            "they are, while outputs are normalised to unit scale",
        )
    return budget
