"""Checks that must hold for any weights, and that golden values cannot replace.

Pairs are two answers of Node's that must be close: alone = in a batch = with more padding = in
another order, whatever is at masked positions; and bit-equal when run again, with as many tensors
in memory as before. Variants are unusual inputs that Python runs too: they show a token type, a
mask or an order of ids that does not reach the model. See invariances.js.
"""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from numerics.budgets import Budget, unmasked_values
from parity_tests.checks.budgets import EXACT, Budgets
from parity_tests.checks.compare import (
    compare_arrays,
    compare_dtype_and_shape,
    compare_names,
    make_problem,
)
from parity_tests.checks.stages import StageRow
from parity_tests.runners.runs import IDS, RunOutput
from parity_tests.runners.variants import (
    MASKED_INSIDE,
    REVERSED,
    TYPES,
    VARIANTS,
    unclaimed_reasons,
)

STAGE = "invariances"
CLAIM_TEXTS = {
    "repeated": "run again, the same to the bit",
    "tensors": "as many tensors in memory after a run as before",
    "reordered": "in another order, the same",
    "padded": "padded more, the same",
    "masked": "whatever is at masked positions, the same",
    "alone": "alone, the same as in a batch",
    TYPES: "with other token types, as Python",
    MASKED_INSIDE: "with masked positions inside the text, as Python",
    REVERSED: "with its tokens reversed, as Python",
}
REQUIRED = ("repeated", "tensors", "reordered", "masked", "alone")
"""Pairs that a runner must answer unless the model lacks an input; `padded` needs room for it."""
Feeds = Mapping[str, NDArray[Any]]


def judge_invariances(
    backend: str, node: RunOutput, python: RunOutput, budgets: Budgets
) -> list[StageRow]:
    """Compares every claim of the runs; each output within its own budget.

    A pair that Node should have answered, but did not, has drifted.

    Args:
        backend: its name, for the rows.
        node: the backend's run.
        python: Python's run.
        budgets: of the outputs.
    """
    rows = []
    for name in VARIANTS:
        if ("added", 0) in python.batches and (name, 0) in python.batches:
            row = _invariance_row(backend, name, widest_budget(budgets, python.outputs()))
            _compare_variant(row, node.batches.get((name, 0), {}), python.batches[name, 0], budgets)
            rows.append(_settle_row(row))
    pairs: dict[int, Feeds] = {
        number: batch for (special, number), batch in node.batches.items() if special == "pairs"
    }
    mask = node.batches.get((REVERSED, 0), {}).get("attention_mask")
    unclaimed = unclaimed_reasons(python.facts) if python.facts else {}
    answered = [name.split("/")[0] for name in pairs.get(0, {})]
    required = [claim for claim in REQUIRED if claim not in unclaimed]
    for claim in dict.fromkeys([*answered, *required]):
        exact = claim in ("repeated", "tensors")
        budget = EXACT if exact else widest_budget(budgets, python.outputs())
        row = _invariance_row(backend, claim, budget)
        _compare_pair(row, claim, pairs, mask, None if exact else budgets)
        rows.append(_settle_row(row))
    return rows


def _invariance_row(backend: str, claim: str, budget: Budget) -> StageRow:
    """Makes an empty row; invariances are tested with special tokens."""
    return StageRow(backend, "added", STAGE, budget, comparison=claim)


def widest_budget(budgets: Budgets, outputs: list[str]) -> Budget:
    """Returns the widest budget of the outputs, for a row that compares all of them."""
    return max((budgets.for_stage(name) for name in outputs), key=lambda b: b.atol, default=EXACT)


def _compare_variant(row: StageRow, node: Feeds, python: Feeds, budgets: Budgets) -> None:
    """Compares every output at the positions that the variant's mask shows.

    Args:
        row: gets the results.
        node: Node's outputs.
        python: Python's inputs and outputs.
        budgets: of the outputs.
    """
    missing = compare_names(node, python, f"{row.comparison}, {row.backend}")
    if missing is not None:
        row.add_problem(missing, set())
        return
    for name, expected in python.items():
        if name not in IDS:
            form = compare_dtype_and_shape(
                node[name], expected, f"{name}, {row.backend}, {row.comparison}"
            )
            if form is not None:
                row.add_problem(form, set())
                continue
            for index, mask in enumerate(python["attention_mask"]):
                budget = budgets.for_stage(name)
                _compare_visible(row, name, node[name][index], expected[index], mask, index, budget)


def _compare_pair(
    row: StageRow,
    claim: str,
    pairs: dict[int, Feeds],
    mask: NDArray[Any] | None,
    budgets: Budgets | None,
) -> None:
    """Compares two answers of Node's.

    Args:
        row: gets the results.
        claim: a key of CLAIM_TEXTS.
        pairs: both answers, by batch.
        mask: int32[texts, sequence] of the batch on the right.
        budgets: None where the two must be equal.
    """
    right = _outputs_of_side(pairs.get(0, {}), claim, "right")
    lefts = {number: _outputs_of_side(batch, claim, "left") for number, batch in pairs.items()}
    lefts = {number: answers for number, answers in lefts.items() if answers}
    for number, left in lefts.items():
        missing = compare_names(left, right, f"{claim}, {row.backend}")
        if missing is not None:
            row.add_problem(missing, {number})
            continue
        for name, expected in right.items():
            budget = EXACT if budgets is None else budgets.for_stage(name)
            if claim == "tensors" or mask is None:
                _compare_visible(row, name, left[name], expected, None, 0, budget)
            elif claim == "alone":
                one = left[name][0]
                _compare_text(row, name, one, expected[number], mask[number], number, budget)
            else:
                got = left[name][::-1] if claim == "reordered" else left[name]
                for index, shown in enumerate(mask):
                    _compare_text(row, name, got[index], expected[index], shown, index, budget)


def _outputs_of_side(batch: Feeds, claim: str, side: str) -> dict[str, NDArray[Any]]:
    """Returns one side of a claim: outputs by name."""
    front = f"{claim}/{side}/"
    return {n.removeprefix(front): v for n, v in batch.items() if n.startswith(front)}


def _compare_text(
    row: StageRow,
    name: str,
    left: NDArray[Any],
    right: NDArray[Any],
    mask: NDArray[Any],
    text: int,
    budget: Budget,
) -> None:
    """Compares one text's output, whose width may differ, at the positions that the mask shows.

    Args:
        row: gets the results.
        name: of the output.
        left: one answer.
        right: the other one.
        mask: int32[sequence] of the answer on the right.
        text: its number.
        budget: of the output.
    """
    length = int(mask.sum())
    by_position = right.ndim > 1 and right.shape[0] == len(mask)
    if by_position:
        left, right, mask = left[:length], right[:length], mask[:length]
    _compare_visible(row, name, left, right, mask if by_position else None, text, budget)


def _compare_visible(
    row: StageRow,
    name: str,
    got: NDArray[Any],
    expected: NDArray[Any],
    mask: NDArray[Any] | None,
    text: int,
    budget: Budget,
) -> None:
    """Applies the rule of compare.py at the visible positions.

    Args:
        row: gets the results.
        name: of the output.
        got: one answer.
        expected: the other one.
        mask: int32[sequence]; None compares everything.
        text: its number.
        budget: of the output.
    """
    if mask is not None and got.shape == expected.shape:
        got, expected = (unmasked_values(name, side, mask) for side in (got, expected))
    result = compare_arrays(
        got, expected, budget, f"{name}, {row.backend}, {row.comparison}, text {text}"
    )
    row.add_measures(text, result.measures)
    if result.problem is not None:
        row.add_problem(result.problem, {text})


def _settle_row(row: StageRow) -> StageRow:
    """Sets the row's status; a row that compared nothing has drifted."""
    if row.measures.compared == 0 and not row.problems:
        where = f"{row.comparison}, {row.backend}"
        row.add_problem(make_problem("nothing", "0 values", "at least one", where), set())
    row.status = "drift" if row.problems else "pass"
    return row
