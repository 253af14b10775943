"""The budget of each stage, derived from what float32 costs the source on the compared cases.

The rule itself is in compare.py: |node - python| <= atol + rtol * |python|.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from numerics.budgets import DTYPES, Budget, Cost, derive_budget
from support.errors import EnvironmentProblem, UserError

EXACT = Budget(0.0, 0.0, "tokens, ids and labels are equal or wrong")
LABEL = Budget(
    0.0,
    0.0,
    "labels are equal or wrong, but where the two likeliest are nearer to each other than what "
    "the probabilities may be off",
)


@dataclass(frozen=True)
class Budgets:
    """The budgets of one run of the Python side.

    `costs` are by output, tap or `probabilities`. `dtype` is the weight dtype where Python did not
    run with the stored weights, else float32.
    """

    costs: Mapping[str, Cost]
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            known = ", ".join(DTYPES)
            raise UserError(f"no budget for weight dtype {self.dtype}, expected one of {known}")

    def for_stage(self, stage: str) -> Budget:
        """Returns the budget of a stage: `tokens`, `ids`, `label`, or an output or tap by name.

        Raises:
            EnvironmentProblem: Python's run has no float32 cost of this stage.
        """
        if stage in ("tokens", "ids"):
            return EXACT
        if stage == "label":
            return LABEL
        if stage not in self.costs:
            raise EnvironmentProblem(
                f"Python's run has no float32 cost of {stage}, so it has no budget; run it again"
            )
        return derive_budget(self.costs[stage], self.dtype)
