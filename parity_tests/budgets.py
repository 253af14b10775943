"""How far apart Python and Node may be: one table, by the dtype of the bundle's weights.

The rule itself is in compare.py: |node - python| <= atol + rtol * |python|.
"""

from dataclasses import dataclass

from parity_tests.errors import UserError


@dataclass(frozen=True)
class Budget:
    """An allowance and where it comes from; both numbers 0 mean *equal*."""

    atol: float
    rtol: float
    origin: str


EXACT = Budget(0.0, 0.0, "ids are integers: they are equal or wrong")

_OUTPUTS = {
    "float32": Budget(
        1e-5,
        0.0,
        "the project's promise; order of summation alone gives 2.4e-6 on albert_tiny and 6.9e-6 "
        "on bert base (measured, wasm), and a layer-normed output has unit scale, so a relative "
        "part would only excuse the large components",
    ),
    "float16": Budget(
        1e-2,
        0.0,
        "derived, not yet measured: weights rounded by 2^-12 root mean square, about 24 matrix "
        "products in 4 layers whose errors add as squares, 5 sigma for the largest component",
    ),
    "uint16": Budget(
        2e-3,
        0.0,
        "derived, not yet measured: a step of (max - min) / 65535 over about 10 sigma of weights, "
        "then as for float16",
    ),
    "uint8": Budget(
        0.5,
        0.0,
        "derived, not yet measured: a step of (max - min) / 255 over about 10 sigma of weights, "
        "then as for float16",
    ),
}


def of_stage(stage: str, weight_dtype: str | None) -> Budget:
    """The budget of a stage: `ids`, `probabilities`, or an output by name.

    Raises:
        UserError: the weight dtype is not in the table.
    """
    if stage == "ids":
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
    return budget
