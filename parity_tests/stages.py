"""Puts a failure at the first stage that is off, from ids to probabilities.

A text that failed at an earlier stage is no news at a later one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from parity_tests import budgets, runs
from parity_tests.budgets import Budget
from parity_tests.cases import Case
from parity_tests.compare import Problem, compare, compare_form, compare_names, wrong
from parity_tests.measures import Measures
from parity_tests.runs import IDS, Run

Array = NDArray[Any]


@dataclass
class Row:
    """One backend, one stage, with or without special tokens, over all texts."""

    backend: str
    special: str
    stage: str
    budget: Budget
    measures: Measures = field(default_factory=Measures)
    problems: list[tuple[int | None, Problem]] = field(default_factory=list)
    failing: set[int] = field(default_factory=set)
    by_text: dict[int, Measures] = field(default_factory=dict)
    status: str = "pass"

    @property
    def worst(self) -> int | None:
        """The text with the largest difference."""
        return max(self.by_text, key=lambda c: self.by_text[c].max_abs, default=None)

    def fail(self, problem: Problem, texts: set[int]) -> None:
        """Notes a problem of some texts; of one, it is that text's."""
        self.failing |= texts
        self.problems.append((next(iter(texts)) if len(texts) == 1 else None, problem))

    def take(self, case: int, measures: Measures) -> None:
        """Adds what was measured on one text."""
        self.measures += measures
        self.by_text[case] = self.by_text.get(case, Measures()) + measures


def judge(backend: str, node: Run, python: Run, picked: list[Case], dtype: str | None) -> list[Row]:
    """Compares the batches of `picked` and says which stages hold.

    Args:
        backend: its name, for the rows.
        node: the backend's run.
        python: the reference, of at least the same batches.
        picked: the cases this backend was given.
        dtype: weight dtype of the bundle, which decides the budget.
    """
    batches: dict[int, list[Case]] = {}
    for case in picked:
        batches.setdefault(case.batch, []).append(case)
    stages = ["ids", *python.outputs()]
    rows = []
    for special in runs.SPECIALS:
        tower = [Row(backend, special, s, budgets.of_stage(s, dtype)) for s in stages]
        for number, cases in batches.items():
            sides = [side.batches.get((special, number), {}) for side in (node, python)]
            compare_batch(tower, sides[0], sides[1], cases)
        settle(tower)
        rows += tower
    return rows


def compare_batch(
    tower: list[Row], node: Mapping[str, Array], python: Mapping[str, Array], cases: list[Case]
) -> None:
    """Compares one batch at every stage."""
    ids, *outputs = tower
    numbers = {case.case for case in cases}
    where = f"{place(ids)}, batch {cases[0].batch}"
    missing = compare_names(node, python, where)
    if missing is not None:
        for row in tower:
            expected = set(IDS) if row is ids else {row.stage}
            if not expected <= set(node) & set(python):
                row.fail(missing, numbers)
        if not set(node) <= set(python):
            ids.fail(missing, numbers)
    for name in IDS:
        if name in node and name in python:
            compare_ids(ids, name, node[name], python[name], cases)
    for row in outputs:
        if row.stage in node and row.stage in python:
            compare_output(row, row.stage, node[row.stage], python[row.stage], cases)


def compare_ids(row: Row, name: str, node: Array, python: Array, cases: list[Case]) -> None:
    """Exact, text by text.

    Where the widths differ, all texts of the batch are off, since they share its shape; the
    common part still says which text differs, and where.
    """
    form = compare_form(node, python, f"{name}, {place(row)}, batch {cases[0].batch}")
    if form is None or form.check != "shape" or len(node) != len(python):
        compare_output(row, name, node, python, cases)
        return
    width = min(node.shape[1], python.shape[1])
    if width:
        compare_output(row, name, node[:, :width], python[:, :width], cases)
    row.fail(form, {case.case for case in cases})


def compare_output(row: Row, name: str, node: Array, python: Array, cases: list[Case]) -> None:
    """Within the budget, text by text."""
    form = compare_form(node, python, f"{name}, {place(row)}, batch {cases[0].batch}")
    if form is None and len(node) != len(cases):
        form = wrong("shape", f"{len(node)} rows", len(cases), f"{name}, {place(row)}")
    if form is not None:
        row.fail(form, {case.case for case in cases})
        return
    for index, case in enumerate(cases):
        where = f"{name}, {place(row)}, text {case.case} “{short(case.text)}”"
        result = compare(node[index], python[index], row.budget, where)
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
            row.fail(wrong("nothing", "0 values", "at least one", place(row, True)), set())
        if row.problems:
            row.status = "downstream" if row.failing and row.failing <= known else "drift"
        known |= row.failing


def place(row: Row, stage: bool = False) -> str:
    """Where a row stands, in words."""
    special = "with special tokens" if row.special == "added" else "without special tokens"
    return f"{row.stage}, {row.backend}, {special}" if stage else f"{row.backend}, {special}"


def short(text: str, limit: int = 24) -> str:
    """The start of a text, on one line."""
    line = " ".join(text.split()) or text
    return line if len(line) <= limit else line[: limit - 1] + "…"
