"""What has to hold whatever the weights are, and what golden values cannot see.

Pairs are two answers of Node's that must be close: alone = in a batch = padded more = in another
order, whatever stands at masked positions, and equal to the bit when run again, with as many
tensors held as before. Variants are unusual inputs, answered by Python too: a type, a mask or an
order of ids that does not reach the model shows there. See invariances.js.
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
from parity_tests.runners.variants import VARIANTS

STAGE = "invariances"
CLAIM_TEXTS = {
    "repeated": "run again, the same to the bit",
    "tensors": "as many tensors held after a run as before",
    "reordered": "in another order, the same",
    "padded": "padded more, the same",
    "masked": "whatever stands at masked positions, the same",
    "alone": "alone, the same as in a batch",
    "types": "with other token types, as Python",
    "holes": "with holes in the mask, as Python",
    "turned": "with its tokens turned round, as Python",
}
Feeds = Mapping[str, NDArray[Any]]


def judge_invariances(
    backend: str, node: RunOutput, python: RunOutput, budgets: Budgets
) -> list[StageRow]:
    """A row for each claim that the runs have; each output is compared within its own budget."""
    rows = []
    for name in VARIANTS:
        if ("added", 0) in python.batches and (name, 0) in python.batches:
            row = StageRow(backend, name, STAGE, widest_budget(budgets, python.outputs()))
            compare_variant(row, node.batches.get((name, 0), {}), python.batches[name, 0], budgets)
            rows.append(settle_row(row))
    pairs: dict[int, Feeds] = {
        number: batch for (special, number), batch in node.batches.items() if special == "pairs"
    }
    mask = node.batches.get(("turned", 0), {}).get("attention_mask")
    for claim in dict.fromkeys(name.split("/")[0] for name in pairs.get(0, {})):
        exact = claim in ("repeated", "tensors")
        row = StageRow(
            backend, claim, STAGE, EXACT if exact else widest_budget(budgets, python.outputs())
        )
        compare_pair(row, claim, pairs, mask, None if exact else budgets)
        rows.append(settle_row(row))
    return rows


def widest_budget(budgets: Budgets, outputs: list[str]) -> Budget:
    """The widest budget of the outputs, to be shown for a row that compares all of them."""
    return max((budgets.of(name) for name in outputs), key=lambda b: b.atol, default=EXACT)


def compare_variant(row: StageRow, node: Feeds, python: Feeds, budgets: Budgets) -> None:
    """Every output, where the variant's mask shows it."""
    missing = compare_names(node, python, f"{row.special}, {row.backend}")
    if missing is not None:
        row.fail(missing, set())
        return
    for name, expected in python.items():
        if name not in IDS:
            form = compare_dtype_and_shape(
                node[name], expected, f"{name}, {row.backend}, {row.special}"
            )
            if form is not None:
                row.fail(form, set())
                continue
            for index, mask in enumerate(python["attention_mask"]):
                budget = budgets.of(name)
                compare_visible(row, name, node[name][index], expected[index], mask, index, budget)


def compare_pair(
    row: StageRow,
    claim: str,
    pairs: dict[int, Feeds],
    mask: NDArray[Any] | None,
    budgets: Budgets | None,
) -> None:
    """Two answers of Node's.

    Args:
        row: takes what is found.
        claim: which of SAID.
        pairs: both answers, by batch.
        mask: int32[texts, sequence] of the batch on the right.
        budgets: None where the two must be equal.
    """
    right = outputs_of_side(pairs[0], claim, "right")
    lefts = {number: outputs_of_side(batch, claim, "left") for number, batch in pairs.items()}
    lefts = {number: answers for number, answers in lefts.items() if answers}
    for number, left in lefts.items():
        missing = compare_names(left, right, f"{claim}, {row.backend}")
        if missing is not None:
            row.fail(missing, {number})
            continue
        for name, expected in right.items():
            budget = EXACT if budgets is None else budgets.of(name)
            if claim == "tensors" or mask is None:
                compare_visible(row, name, left[name], expected, None, 0, budget)
            elif claim == "alone":
                one = left[name][0]
                compare_text(row, name, one, expected[number], mask[number], number, budget)
            else:
                got = left[name][::-1] if claim == "reordered" else left[name]
                for index, shown in enumerate(mask):
                    compare_text(row, name, got[index], expected[index], shown, index, budget)


def outputs_of_side(batch: Feeds, claim: str, side: str) -> dict[str, NDArray[Any]]:
    """One side of a claim: outputs by name."""
    front = f"{claim}/{side}/"
    return {n.removeprefix(front): v for n, v in batch.items() if n.startswith(front)}


def compare_text(
    row: StageRow,
    name: str,
    left: NDArray[Any],
    right: NDArray[Any],
    mask: NDArray[Any],
    text: int,
    budget: Budget,
) -> None:
    """One text's output on both sides, whose widths may differ: what the mask shows."""
    length = int(mask.sum())
    by_position = right.ndim > 1 and right.shape[0] == len(mask)
    if by_position:
        left, right, mask = left[:length], right[:length], mask[:length]
    compare_visible(row, name, left, right, mask if by_position else None, text, budget)


def compare_visible(
    row: StageRow,
    name: str,
    got: NDArray[Any],
    should: NDArray[Any],
    mask: NDArray[Any] | None,
    text: int,
    budget: Budget,
) -> None:
    """The one rule, on what is seen."""
    if mask is not None and got.shape == should.shape:
        got, should = (unmasked_values(name, side, mask) for side in (got, should))
    result = compare_arrays(
        got, should, budget, f"{name}, {row.backend}, {row.special}, text {text}"
    )
    row.take(text, result.measures)
    if result.problem is not None:
        row.fail(result.problem, {text})


def settle_row(row: StageRow) -> StageRow:
    """The row with its verdict; one that compared nothing fails."""
    if row.measures.compared == 0 and not row.problems:
        where = f"{row.special}, {row.backend}"
        row.fail(make_problem("nothing", "0 values", "at least one", where), set())
    row.status = "drift" if row.problems else "pass"
    return row
