"""Puts a failure at the first stage that is off, from tokens to the label.

A text that failed at an earlier stage is no news at a later one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerics.budgets import Budget, unmasked_values
from parity_tests.cases import TextCase
from parity_tests.checks.budgets import Budgets
from parity_tests.checks.compare import (
    Measures,
    Problem,
    compare_arrays,
    compare_dtype_and_shape,
    compare_names,
    make_problem,
)
from parity_tests.runners import runs
from parity_tests.runners.runs import IDS, PROBABILITIES, TAPS, RunOutput

# One row of the matrix: a backend and a stage, over all texts.


@dataclass
class StageRow:
    """One backend, one stage, with or without special tokens, over all texts.

    `decisions` counts, at the stage `label`, how often the label flipped, and by how much Python
    preferred its label where it did, and at the least.
    """

    backend: str
    special: str
    stage: str
    budget: Budget
    measures: Measures = field(default_factory=Measures)
    problems: list[tuple[int | None, Problem]] = field(default_factory=list)
    failing: set[int] = field(default_factory=set)
    by_text: dict[int, Measures] = field(default_factory=dict)
    status: str = "pass"
    decisions: dict[str, Any] | None = None

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

    def place(self) -> str:
        """Where the row stands, in words."""
        words = "with special tokens" if self.special == "added" else "without special tokens"
        return f"{self.backend}, {words}"


Array = NDArray[Any]
TOKENS, IDS_STAGE, LABEL = "tokens", "ids", "label"


def judge_stages(
    backend: str,
    node: RunOutput,
    python: RunOutput,
    picked: list[TextCase],
    budgets: Budgets,
    taps: list[str] | None = None,
) -> list[StageRow]:
    """Compares the batches of `picked` and says which stages hold.

    Args:
        backend: its name, for the rows.
        node: the backend's run.
        python: the reference, of at least the same batches.
        picked: the cases this backend was given.
        budgets: derived from what float32 costs the source.
        taps: names of what was looked at inside the model, in the order of the flow.
    """
    batches: dict[int, list[TextCase]] = {}
    for case in picked:
        batches.setdefault(case.batch, []).append(case)
    inner = [f"{TAPS}{tap}" for tap in taps or [] if python.has(f"{TAPS}{tap}")]
    stages = [TOKENS, IDS_STAGE, *inner, *python.outputs()]
    if python.has(PROBABILITIES):
        stages += [PROBABILITIES, LABEL]
    rows = []
    for special in runs.SPECIALS:
        tower = [StageRow(backend, special, s, budgets.of(s)) for s in stages]
        for number, cases in batches.items():
            compare_tokens_and_labels(tower, node, python, (special, number), cases)
            sides = [side.batches.get((special, number), {}) for side in (node, python)]
            compare_batch(tower, sides[0], sides[1], cases)
        settle_rows(tower)
        rows += tower
    return rows


def compare_tokens_and_labels(
    tower: list[StageRow],
    node: RunOutput,
    python: RunOutput,
    batch: tuple[str, int],
    cases: list[TextCase],
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
    tower: list[StageRow],
    node: Mapping[str, Array],
    python: Mapping[str, Array],
    cases: list[TextCase],
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


def compare_ids(
    row: StageRow, name: str, node: Array, python: Array, cases: list[TextCase]
) -> None:
    """Exact, text by text.

    Where the widths differ, all texts of the batch are off, since they share its shape; the
    common part still says which text differs, and where.
    """
    form = compare_dtype_and_shape(node, python, f"{name}, {row.place()}, batch {cases[0].batch}")
    if form is None or form.check != "shape" or len(node) != len(python):
        compare_output(row, node, python, cases, name=name)
        return
    width = min(node.shape[1], python.shape[1])
    if width:
        compare_output(row, node[:, :width], python[:, :width], cases, name=name)
    row.fail(form, {case.case for case in cases})


def compare_output(
    row: StageRow,
    node: Array,
    python: Array,
    cases: list[TextCase],
    mask: Array | None = None,
    name: str | None = None,
) -> None:
    """Within the budget, text by text, where the text's mask shows it; no mask shows all."""
    name = name or row.stage
    told = name.removeprefix(TAPS)
    form = compare_dtype_and_shape(node, python, f"{told}, {row.place()}, batch {cases[0].batch}")
    if form is None and len(node) != len(cases):
        form = make_problem("shape", f"{len(node)} rows", len(cases), f"{told}, {row.place()}")
    if form is not None:
        row.fail(form, {case.case for case in cases})
        return
    for index, case in enumerate(cases):
        one, other = node[index], python[index]
        if mask is not None:
            if not mask[index].any():
                continue
            one, other = (unmasked_values(name, side, mask[index]) for side in (one, other))
        where = f"{told}, {row.place()}, text {case.case} {case.quoted}"
        result = compare_arrays(one, other, row.budget, where)
        row.take(case.case, result.measures)
        if result.problem is not None:
            row.fail(result.problem, {case.case})


def settle_rows(tower: list[StageRow]) -> None:
    """Decides each row: `pass`, `drift`, or `downstream` of a drift above it.

    A row that compared nothing fails. A row is downstream where each of its failing texts failed
    at an earlier stage already.
    """
    known: set[int] = set()
    for row in tower:
        if row.measures.compared == 0 and not row.problems:
            where = f"{row.stage}, {row.place()}"
            row.fail(make_problem("nothing", "0 values", "at least one", where), set())
        if row.problems:
            row.status = "downstream" if row.failing and row.failing <= known else "drift"
        known |= row.failing


# Compares what is no number: the tokens of a text, and the label decided for it.

Starts = list[list[int]]


def compare_tokens(
    row: StageRow,
    node: list[list[str]],
    python: list[list[str]],
    starts: Starts,
    cases: list[TextCase],
) -> None:
    """Exact, text by text; `starts` has where in its text each of Node's tokens begins."""
    for index, case in enumerate(cases):
        if index >= min(len(node), len(python)):
            row.fail(
                make_problem("shape", f"{len(node)} texts", len(cases), row.place()), {case.case}
            )
            continue
        row.take(case.case, Measures(compared=max(len(python[index]), 1)))
        told = starts[index] if index < len(starts) else []
        problem = first_difference(node[index], python[index], told, case, row.place())
        if problem is not None:
            row.fail(problem, {case.case})


def first_difference(
    node: list[str], python: list[str], starts: list[int], case: TextCase, where: str
) -> Problem | None:
    """The first token that is another, or missing, and the character of the text it begins at."""
    if node == python:
        return None
    longer = max(len(node), len(python))
    at = next(i for i in range(longer) if node[i : i + 1] != python[i : i + 1])
    got, should = ((side[at] if at < len(side) else "no token") for side in (node, python))
    spot = f", character {starts[at]}" if at < len(starts) else ""
    text = f"text {case.case} {case.quoted}{spot}"
    return make_problem("values", repr(got), repr(should), f"token {at}, {where}, {text}")


def compare_labels(
    row: StageRow,
    node: list[str],
    python: list[str],
    probabilities: NDArray[Any],
    cases: list[TextCase],
    allowed: Budget,
) -> None:
    """Text by text; equal, unless both probabilities together may be off by Python's margin.

    Args:
        row: takes what is found.
        node: Node's labels.
        python: Python's.
        probabilities: Python's, float32[batch, labels].
        cases: the texts.
        allowed: the budget of a probability.
    """
    told = row.decisions or {"texts": 0, "flipped": 0, "margins_of_flipped": []}
    for index, case in enumerate(cases):
        if index >= min(len(node), len(python), len(probabilities)):
            row.fail(
                make_problem("shape", f"{len(node)} labels", len(cases), row.place()), {case.case}
            )
            continue
        margin = label_margin(probabilities[index])
        told["texts"] += 1
        told["smallest_margin"] = min(margin, told.get("smallest_margin", margin))
        row.take(case.case, Measures(compared=1))
        if node[index] != python[index]:
            told["flipped"] += 1
            told["margins_of_flipped"].append(margin)
            if is_undecided(probabilities[index], allowed):
                continue
            spot = f"{row.place()}, text {case.case} {case.quoted}, margin {margin:.2g}"
            problem = make_problem(
                "values", repr(node[index]), repr(python[index]), f"label, {spot}"
            )
            row.fail(problem, {case.case})
    row.decisions = told


def is_undecided(probabilities: NDArray[Any], allowed: Budget) -> bool:
    """Whether the two likeliest labels may change places within the budget of each.

    >>> near = Budget(1e-5, 0.0, "")
    >>> is_undecided(np.array([0.500009, 0.499991]), near), is_undecided(np.array([0.6, 0.4]), near)
    (True, False)
    """
    most = float(np.max(probabilities))
    return label_margin(probabilities) <= 2 * (allowed.atol + allowed.rtol * most)


def label_margin(probabilities: NDArray[Any]) -> float:
    """By how much the most probable label leads the next.

    >>> label_margin(np.array([0.125, 0.75, 0.125]))
    0.625
    """
    if probabilities.size < 2:
        return 1.0
    second, first = np.sort(probabilities.astype(np.float64))[-2:]
    return float(first - second)
