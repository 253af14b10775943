"""Puts a failure at the first stage that is off, from tokens to the label.

A text that failed at an earlier stage is no news at a later one.
"""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from numerics.visible import seen
from parity_tests import runs
from parity_tests.budgets import Budgets
from parity_tests.cases import Case
from parity_tests.compare import compare, compare_form, compare_names, wrong
from parity_tests.row import Row
from parity_tests.runs import IDS, PROBABILITIES, TAPS, Run
from parity_tests.words import compare_labels, compare_tokens

Array = NDArray[Any]
TOKENS, IDS_STAGE, LABEL = "tokens", "ids", "label"


def judge(
    backend: str,
    node: Run,
    python: Run,
    picked: list[Case],
    budgets: Budgets,
    taps: list[str] | None = None,
) -> list[Row]:
    """Compares the batches of `picked` and says which stages hold.

    Args:
        backend: its name, for the rows.
        node: the backend's run.
        python: the reference, of at least the same batches.
        picked: the cases this backend was given.
        budgets: derived from what float32 costs the source.
        taps: names of what was looked at inside the model, in the order of the flow.
    """
    batches: dict[int, list[Case]] = {}
    for case in picked:
        batches.setdefault(case.batch, []).append(case)
    inner = [f"{TAPS}{tap}" for tap in taps or [] if python.has(f"{TAPS}{tap}")]
    stages = [TOKENS, IDS_STAGE, *inner, *python.outputs()]
    if python.has(PROBABILITIES):
        stages += [PROBABILITIES, LABEL]
    rows = []
    for special in runs.SPECIALS:
        tower = [Row(backend, special, s, budgets.of(s)) for s in stages]
        for number, cases in batches.items():
            compare_words(tower, node, python, (special, number), cases)
            sides = [side.batches.get((special, number), {}) for side in (node, python)]
            compare_batch(tower, sides[0], sides[1], cases)
        settle(tower)
        rows += tower
    return rows


def compare_words(
    tower: list[Row], node: Run, python: Run, batch: tuple[str, int], cases: list[Case]
) -> None:
    """Compares what is no tensor: tokens and labels."""
    tokens, label = tower[0], tower[-1]
    starts = node.starts.get(batch, [])
    compare_tokens(tokens, node.tokens.get(batch, []), python.tokens.get(batch, []), starts, cases)
    if label.stage == LABEL:
        probabilities = python.batches[batch][PROBABILITIES]
        allowed = next(row.budget for row in tower if row.stage == PROBABILITIES)
        got, should = node.labels.get(batch, []), python.labels[batch]
        compare_labels(label, got, should, probabilities, cases, allowed)


def compare_batch(
    tower: list[Row], node: Mapping[str, Array], python: Mapping[str, Array], cases: list[Case]
) -> None:
    """Compares one batch's tensors at every stage."""
    ids = next(row for row in tower if row.stage == IDS_STAGE)
    outputs = [row for row in tower if row.stage not in (TOKENS, IDS_STAGE, LABEL)]
    numbers = {case.case for case in cases}
    missing = compare_names(node, python, f"{ids.place()}, batch {cases[0].batch}")
    if missing is not None:
        for row in (ids, *outputs):
            expected = set(IDS) if row is ids else {row.stage} & (set(node) | set(python))
            if not expected <= set(node) & set(python):
                row.fail(missing, numbers)
        if not set(node) <= set(python) or not node:
            ids.fail(missing, numbers)
    for name in IDS:
        if name in node and name in python:
            compare_ids(ids, name, node[name], python[name], cases)
    for row in outputs:
        if row.stage in node and row.stage in python:
            compare_output(
                row, node[row.stage], python[row.stage], cases, python.get("attention_mask")
            )


def compare_ids(row: Row, name: str, node: Array, python: Array, cases: list[Case]) -> None:
    """Exact, text by text.

    Where the widths differ, all texts of the batch are off, since they share its shape; the
    common part still says which text differs, and where.
    """
    form = compare_form(node, python, f"{name}, {row.place()}, batch {cases[0].batch}")
    if form is None or form.check != "shape" or len(node) != len(python):
        compare_output(row, node, python, cases, name=name)
        return
    width = min(node.shape[1], python.shape[1])
    if width:
        compare_output(row, node[:, :width], python[:, :width], cases, name=name)
    row.fail(form, {case.case for case in cases})


def compare_output(
    row: Row,
    node: Array,
    python: Array,
    cases: list[Case],
    mask: Array | None = None,
    name: str | None = None,
) -> None:
    """Within the budget, text by text, where the text's mask shows it; no mask shows all."""
    name = name or row.stage
    told = name.removeprefix(TAPS)
    form = compare_form(node, python, f"{told}, {row.place()}, batch {cases[0].batch}")
    if form is None and len(node) != len(cases):
        form = wrong("shape", f"{len(node)} rows", len(cases), f"{told}, {row.place()}")
    if form is not None:
        row.fail(form, {case.case for case in cases})
        return
    for index, case in enumerate(cases):
        one, other = node[index], python[index]
        if mask is not None:
            if not mask[index].any():
                continue
            one, other = (seen(name, side, mask[index]) for side in (one, other))
        where = f"{told}, {row.place()}, text {case.case} {case.quoted}"
        result = compare(one, other, row.budget, where)
        row.take(case.case, result.measures)
        if result.problem is not None:
            row.fail(result.problem, {case.case})


def settle(tower: list[Row]) -> None:
    """Decides each row: `pass`, `drift`, or `downstream` of a drift above it.

    A row that compared nothing fails. A row is downstream where each of its failing texts failed
    at an earlier stage already.
    """
    known: set[int] = set()
    for row in tower:
        if row.measures.compared == 0 and not row.problems:
            where = f"{row.stage}, {row.place()}"
            row.fail(wrong("nothing", "0 values", "at least one", where), set())
        if row.problems:
            row.status = "downstream" if row.failing and row.failing <= known else "drift"
        known |= row.failing
