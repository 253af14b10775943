"""What has to hold whatever the weights are, and what golden values cannot see.

Pairs are two answers of Node's that must be close: alone = in a batch = padded more = in another
order, whatever stands at masked positions, and equal to the bit when run again, with as many
tensors held as before. Variants are unusual inputs, answered by Python too: a type, a mask or an
order of ids that does not reach the model shows there. See invariances.js.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerics.budgets import Budget, seen
from parity_tests.checks.budgets import EXACT, Budgets
from parity_tests.checks.compare import compare, compare_form, compare_names, wrong
from parity_tests.checks.stages import Row
from parity_tests.runners.runs import IDS, Run

# Inputs that no tokenizer gives, and that tell a model's inputs apart; and what a model promises.
#
# Both sides make the variants, each of its own ids: run_node.js by way of invariances.js,
# run_python.py here. A claim that the model itself does not keep in Python is nothing that Node
# could keep: an LSTM, for one, reads the padding whatever the mask says.

FEW = 4
"""Texts of the first batch that are asked: few, for the slow backends."""
MORE = 3
"""Positions that are added to a padded batch."""
VARIANTS = ("types", "holes", "turned")

Batch = dict[str, NDArray[Any]]
Answer = Callable[[Batch], Batch]


def variants(batch: Batch, inputs: set[str] | None = None) -> dict[str, Batch]:
    """A batch with other token types, with holes in its mask, and with its ids turned round.

    Args:
        batch: `input_ids`, `attention_mask`, `token_type_ids`, int32[batch, sequence].
        inputs: the roles that the model takes, None for all; what changes another is left out.

    >>> ids, ones = np.int32([[5, 6, 7, 0]]), np.int32([[1, 1, 1, 0]])
    >>> batch = {"input_ids": ids, "attention_mask": ones, "token_type_ids": ones * 0}
    >>> found = variants(batch)
    >>> found["types"]["token_type_ids"].tolist(), found["holes"]["attention_mask"].tolist()
    ([[0, 1, 0, 0]], [[1, 1, 0, 0]])
    >>> found["turned"]["input_ids"].tolist()
    [[7, 6, 5, 0]]
    >>> list(variants(batch, {"input_ids"}))
    ['turned']
    """
    ids, mask = batch["input_ids"], batch["attention_mask"]
    place = np.arange(ids.shape[1], dtype=np.int32)
    turned = ids.copy()
    for row, length in zip(turned, mask.sum(axis=1), strict=True):
        row[:length] = row[:length][::-1]
    changed = {
        "types": ("token_type_ids", np.where(mask == 1, place % 2, 0).astype(np.int32)),
        "holes": ("attention_mask", np.where(place % 3 == 2, 0, mask).astype(np.int32)),
        "turned": ("input_ids", turned),
    }
    return {
        name: batch | {role: value}
        for name, (role, value) in changed.items()
        if inputs is None or role in inputs
    }


def unclaimed(facts: Mapping[str, Any]) -> dict[str, str]:
    """The claims that a model with these facts (see `Source.facts`) cannot be asked for, and why.

    >>> unclaimed({"inputs": {"ids": "input_ids"}, "padding": "masked", "length": 8})["types"]
    'the model takes no token types'
    """
    roles = set(facts["inputs"].values())
    found = {}
    if facts["length"] is not None:
        found["padded"] = f"the model's length is fixed at {facts['length']}"
    if facts["padding"] == "attended":
        found |= dict.fromkeys(("padded", "masked", "alone"), "the model attends to padding")
    if "attention_mask" not in roles:
        why = "the model takes no attention mask"
        found = dict.fromkeys(("padded", "masked", "alone", "holes"), why) | found
    if "token_type_ids" not in roles:
        found["types"] = "the model takes no token types"
    return found


def moved(run: Answer, batch: Batch, room: int | None) -> dict[str, float]:
    """By how much a model's own outputs move where a claim says that they do not.

    Args:
        run: gives the outputs of a padded batch by role.
        batch: a few texts.
        room: positions that may be added to it; None where the model's length is fixed.

    Returns:
        the largest difference at positions that the mask shows, by claim: `reordered`, `masked`
        and `alone`, and `padded` where there is room.
    """
    ids, mask = batch["input_ids"], batch["attention_mask"]
    whole = run(batch)
    turned = run({role: rows[::-1] for role, rows in batch.items()})
    found = {"reordered": apart({name: v[::-1] for name, v in turned.items()}, whole, mask)}
    other = np.where(mask == 1, ids, ids + 1)
    found["masked"] = apart(run(batch | {"input_ids": other}), whole, mask)
    if room is not None and room >= MORE:
        pad = ids[mask == 0][0] if (mask == 0).any() else 0
        fill = {"input_ids": pad, "attention_mask": 0, "token_type_ids": 0}
        wider = {
            role: np.pad(rows, ((0, 0), (0, MORE)), constant_values=fill[role])
            for role, rows in batch.items()
        }
        found["padded"] = apart(run(wider), whole, mask)
    alone = 0.0
    for row, shown in enumerate(mask):
        width = ids.shape[1] if room is None else max(int(shown.sum()), 1)
        one = {role: rows[row : row + 1, :width] for role, rows in batch.items()}
        text = {name: value[row : row + 1] for name, value in whole.items()}
        alone = max(alone, apart(run(one), text, mask[row : row + 1]))
    return found | {"alone": alone}


def apart(left: Batch, right: Batch, mask: NDArray[Any]) -> float:
    """The largest difference of two answers, whose widths may differ, where the mask shows it."""
    largest = 0.0
    for name, value in right.items():
        other = left[name]
        for row, shown in enumerate(mask):
            if not shown.any():
                continue
            one, two = other[row].astype(np.float64), value[row].astype(np.float64)
            if two.ndim > 1 and len(two) == len(shown):
                length = int(shown.sum())
                one, two = one[:length], two[:length]
            largest = max(largest, float(np.abs(one - two).max(initial=0)))
    return largest


STAGE = "invariances"
SAID = {
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


def judge(backend: str, node: Run, python: Run, budgets: Budgets) -> list[Row]:
    """A row for each claim that the runs have; each output is compared within its own budget."""
    rows = []
    for name in VARIANTS:
        if ("added", 0) in python.batches and (name, 0) in python.batches:
            row = Row(backend, name, STAGE, widest(budgets, python.outputs()))
            compare_variant(row, node.batches.get((name, 0), {}), python.batches[name, 0], budgets)
            rows.append(settled(row))
    pairs: dict[int, Feeds] = {
        number: batch for (special, number), batch in node.batches.items() if special == "pairs"
    }
    mask = node.batches.get(("turned", 0), {}).get("attention_mask")
    for claim in dict.fromkeys(name.split("/")[0] for name in pairs.get(0, {})):
        exact = claim in ("repeated", "tensors")
        row = Row(backend, claim, STAGE, EXACT if exact else widest(budgets, python.outputs()))
        compare_pair(row, claim, pairs, mask, None if exact else budgets)
        rows.append(settled(row))
    return rows


def widest(budgets: Budgets, outputs: list[str]) -> Budget:
    """The widest budget of the outputs, to be shown for a row that compares all of them."""
    return max((budgets.of(name) for name in outputs), key=lambda b: b.atol, default=EXACT)


def compare_variant(row: Row, node: Feeds, python: Feeds, budgets: Budgets) -> None:
    """Every output, where the variant's mask shows it."""
    missing = compare_names(node, python, f"{row.special}, {row.backend}")
    if missing is not None:
        row.fail(missing, set())
        return
    for name, expected in python.items():
        if name not in IDS:
            form = compare_form(node[name], expected, f"{name}, {row.backend}, {row.special}")
            if form is not None:
                row.fail(form, set())
                continue
            for index, mask in enumerate(python["attention_mask"]):
                budget = budgets.of(name)
                check(row, name, node[name][index], expected[index], mask, index, budget)


def compare_pair(
    row: Row,
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
    right = part(pairs[0], claim, "right")
    lefts = {number: part(batch, claim, "left") for number, batch in pairs.items()}
    lefts = {number: answers for number, answers in lefts.items() if answers}
    for number, left in lefts.items():
        missing = compare_names(left, right, f"{claim}, {row.backend}")
        if missing is not None:
            row.fail(missing, {number})
            continue
        for name, expected in right.items():
            budget = EXACT if budgets is None else budgets.of(name)
            if claim == "tensors" or mask is None:
                check(row, name, left[name], expected, None, 0, budget)
            elif claim == "alone":
                one = left[name][0]
                check_text(row, name, one, expected[number], mask[number], number, budget)
            else:
                got = left[name][::-1] if claim == "reordered" else left[name]
                for index, shown in enumerate(mask):
                    check_text(row, name, got[index], expected[index], shown, index, budget)


def part(batch: Feeds, claim: str, side: str) -> dict[str, NDArray[Any]]:
    """One side of a claim: outputs by name."""
    front = f"{claim}/{side}/"
    return {n.removeprefix(front): v for n, v in batch.items() if n.startswith(front)}


def check_text(
    row: Row,
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
    check(row, name, left, right, mask if by_position else None, text, budget)


def check(
    row: Row,
    name: str,
    got: NDArray[Any],
    should: NDArray[Any],
    mask: NDArray[Any] | None,
    text: int,
    budget: Budget,
) -> None:
    """The one rule, on what is seen."""
    if mask is not None and got.shape == should.shape:
        got, should = (seen(name, side, mask) for side in (got, should))
    result = compare(got, should, budget, f"{name}, {row.backend}, {row.special}, text {text}")
    row.take(text, result.measures)
    if result.problem is not None:
        row.fail(result.problem, {text})


def settled(row: Row) -> Row:
    """The row with its verdict; one that compared nothing fails."""
    if row.measures.compared == 0 and not row.problems:
        where = f"{row.special}, {row.backend}"
        row.fail(wrong("nothing", "0 values", "at least one", where), set())
    row.status = "drift" if row.problems else "pass"
    return row
