"""What running both sides gave: one backend after the other adds to it."""

from dataclasses import dataclass, field
from typing import Any

from numerics.budgets import Budget
from parity_tests.cases import TextCase
from parity_tests.checks import stages
from parity_tests.checks.budgets import Budgets
from parity_tests.checks.own_program import OwnProgramResult
from parity_tests.checks.stages import StageRow
from parity_tests.long_comparison import LongComparison
from parity_tests.runners.runs import SPECIALS, RunOutput
from parity_tests.runners.variants import unclaimed_reasons


@dataclass
class FlowResult:
    """The result of running both sides.

    Attributes:
        python: Python's run; with the weights as the bundle stores them where `stored` is true.
        dtype: the weight dtype that `python` did not have, for the budgets.
        stored: see `python`.
        nodes: Node's run by backend; of a program of the user's its tokens, by its name.
        rows: the rows of all backends.
        storage: what the weights' dtype costs, Python against Python.
        long: the long texts, where a classifier does not cut them.
        problem: why a backend gave nothing, where stored parts had drifted already.
        skipped_invariances: those that the model itself does not promise, with the reason.
        own_programs: what the user's programs answered.
    """

    python: RunOutput
    dtype: str
    stored: bool = False
    nodes: dict[str, RunOutput] = field(default_factory=dict)
    rows: list[StageRow] = field(default_factory=list)
    storage: list[StageRow] = field(default_factory=list)
    long: LongComparison | None = None
    problem: str = ""
    skipped_invariances: dict[str, str] = field(default_factory=dict)
    own_programs: list[OwnProgramResult] = field(default_factory=list)

    @property
    def budgets(self) -> Budgets:
        """The budgets of Node against `python`."""
        return Budgets(self.python.costs, self.dtype)


def unpromised_claims(facts: dict[str, Any], budget: Budget) -> dict[str, str]:
    """Returns the invariances that the model itself does not promise, with the reason.

    Either it lacks the input in question, or its own outputs move in Python by more than the
    budget. Such invariances are not required of Node.

    Args:
        facts: of the model, see `SourceModel.facts`.
        budget: the widest budget of an output.
    """
    reasons = unclaimed_reasons(facts)
    for claim, far in facts["moved"].items():
        if far > budget.atol:
            reasons.setdefault(claim, f"the model's own outputs move by {far:.2g} in Python too")
    return reasons


def compare_storage(
    stored: RunOutput, python: RunOutput, picked: list[TextCase], budgets: Budgets
) -> list[StageRow]:
    """Measures how far Python's outputs move with the weights as the bundle stores them.

    Args:
        stored: Python's run with the stored weights.
        python: Python's run with the source's own weights.
        picked: the cases of both runs.
        budgets: of the bundle's weight dtype.
    """
    rows = []
    for special_tokens in SPECIALS:
        for name in python.outputs():
            row = StageRow("python", special_tokens, name, budgets.for_stage(name))
            for (kind, number), batch in python.batches.items():
                if kind == special_tokens:
                    texts = [case for case in picked if case.batch == number]
                    got = stored.batches[kind, number][name]
                    stages.compare_output(row, got, batch[name], texts, batch["attention_mask"])
            stages.require_comparison(row)
            row.status = "drift" if row.problems else "pass"
            rows.append(row)
    return rows
