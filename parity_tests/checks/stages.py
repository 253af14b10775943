"""Assigns a failure to the first stage that drifted, from tokens to the label.

A text that failed at an earlier stage is not reported again at a later one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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
from parity_tests.checks.decisions import LabelDecisions
from parity_tests.checks.offsets import Offsets, first_wrong_offset
from parity_tests.runners import runs
from parity_tests.runners.runs import IDS, PROBABILITIES, TAPS, Decision, RunOutput

ON_TEXTS = "texts"
"""The comparison of Node with Python on the case file's texts."""


@dataclass
class StageRow:
    """One row of the matrix: a backend, a comparison and a stage, over all texts.

    Attributes:
        backend: its name.
        special_tokens: `added` or `none`.
        stage: the stage of the flow that was compared.
        budget: the tolerance.
        comparison: what was compared: ON_TEXTS, `golden` (a classifier with the answers that it
            was saved with), `long` (a classifier on texts that are longer than it may take), or an
            invariance of invariances.py.
        decisions: at the stage `label`.
    """

    backend: str
    special_tokens: str
    stage: str
    budget: Budget
    comparison: str = ON_TEXTS
    measures: Measures = field(default_factory=Measures)
    problems: list[tuple[int | None, Problem]] = field(default_factory=list)
    failing: set[int] = field(default_factory=set)
    by_text: dict[int, Measures] = field(default_factory=dict)
    status: str = "pass"
    decisions: LabelDecisions | None = None

    @property
    def worst_case(self) -> int | None:
        """The text with the largest difference."""
        return max(self.by_text, key=lambda c: self.by_text[c].max_abs, default=None)

    def add_problem(self, problem: Problem, texts: set[int]) -> None:
        """Adds a problem of some texts; the problem of a single text names it."""
        self.failing |= texts
        self.problems.append((next(iter(texts)) if len(texts) == 1 else None, problem))

    def add_measures(self, case: int, measures: Measures) -> None:
        """Adds the measures of one text."""
        self.measures += measures
        self.by_text[case] = self.by_text.get(case, Measures()) + measures

    def where(self) -> str:
        """Returns backend and special tokens, for messages."""
        word = "with" if self.special_tokens == "added" else "without"
        return f"{self.backend}, {word} special tokens"


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
    """Compares the batches of `picked` at every stage.

    Args:
        backend: its name, for the rows.
        node: the backend's run.
        python: the reference, of at least the same batches.
        picked: the cases that this backend ran.
        budgets: derived from what float32 costs the source.
        taps: names of the taps inside the model, in the order of the flow.
    """
    batches: dict[int, list[TextCase]] = {}
    for case in picked:
        batches.setdefault(case.batch, []).append(case)
    inner = [f"{TAPS}{tap}" for tap in taps or [] if python.has(f"{TAPS}{tap}")]
    stages = [TOKENS, IDS_STAGE, *inner, *python.outputs()]
    if python.has(PROBABILITIES):
        stages.append(PROBABILITIES)
    if any(decision for texts in python.decisions.values() for decision in texts):
        stages.append(LABEL)
    rows = []
    for special in runs.SPECIALS:
        special_rows = [StageRow(backend, special, s, budgets.for_stage(s)) for s in stages]
        for number, cases in batches.items():
            _compare_tokens_and_labels(special_rows, node, python, (special, number), cases)
            sides = [side.batches.get((special, number), {}) for side in (node, python)]
            _compare_batch(special_rows, sides[0], sides[1], cases)
        settle_rows(special_rows)
        rows += special_rows
    return rows


def _compare_tokens_and_labels(
    rows: list[StageRow],
    node: RunOutput,
    python: RunOutput,
    batch: tuple[str, int],
    cases: list[TextCase],
) -> None:
    """Compares tokens and labels.

    Args:
        rows: of all stages, in order.
        node: the backend's run.
        python: Python's run.
        batch: special tokens and batch number.
        cases: of the batch.
    """
    tokens, label = rows[0], rows[-1]
    offsets = node.offsets.get(batch, [])
    both = node.tokens.get(batch, []), python.tokens.get(batch, [])
    compare_tokens(tokens, *both, offsets, cases)
    if label.stage == LABEL:
        allowed = next(row.budget for row in rows if row.stage == PROBABILITIES)
        got, expected = node.labels.get(batch, []), python.decisions[batch]
        compare_labels(label, got, expected, cases, allowed)


def _compare_batch(
    rows: list[StageRow],
    node: Mapping[str, Array],
    python: Mapping[str, Array],
    cases: list[TextCase],
) -> None:
    """Compares one batch's tensors at every stage.

    Args:
        rows: of all stages, in order.
        node: Node's tensors by name.
        python: Python's tensors by name.
        cases: of the batch.
    """
    ids = next(row for row in rows if row.stage == IDS_STAGE)
    outputs = [row for row in rows if row.stage not in (TOKENS, IDS_STAGE, LABEL)]
    numbers = {case.case for case in cases}
    missing = compare_names(node, python, f"{ids.where()}, batch {cases[0].batch}")
    if missing is not None:
        for row in (ids, *outputs):
            expected = set(IDS) if row is ids else {row.stage} & (set(node) | set(python))
            if not expected <= set(node) & set(python):
                row.add_problem(missing, numbers)
        if not set(node) <= set(python) or not node:
            ids.add_problem(missing, numbers)
    for name in IDS:
        if name in node and name in python:
            _compare_ids(ids, name, node[name], python[name], cases)
    for row in outputs:
        if row.stage in node and row.stage in python:
            compare_output(
                row, node[row.stage], python[row.stage], cases, python.get("attention_mask")
            )


def _compare_ids(
    row: StageRow, name: str, node: Array, python: Array, cases: list[TextCase]
) -> None:
    """Compares ids, mask or types exactly, text by text.

    Where the widths differ, all texts of the batch have drifted, since they share its shape; the
    common part says which text differs, and where.

    Args:
        row: of the stage `ids`.
        name: of the tensor.
        node: int32[batch, sequence].
        python: the same of Python's.
        cases: of the batch.
    """
    form = compare_dtype_and_shape(node, python, f"{name}, {row.where()}, batch {cases[0].batch}")
    if form is None or form.check != "shape" or len(node) != len(python):
        compare_output(row, node, python, cases, name=name)
        return
    width = min(node.shape[1], python.shape[1])
    if width:
        compare_output(row, node[:, :width], python[:, :width], cases, name=name)
    row.add_problem(form, {case.case for case in cases})


def compare_output(
    row: StageRow,
    node: Array,
    python: Array,
    cases: list[TextCase],
    mask: Array | None = None,
    name: str | None = None,
) -> None:
    """Compares an output within the budget, text by text.

    Args:
        row: of the output's stage.
        node: Node's array, a row for each case.
        python: Python's array.
        cases: of the batch.
        mask: int32[batch, sequence]; compares the positions where it is 1. None compares all.
        name: of the tensor, for messages; None: the stage.
    """
    name = name or row.stage
    title = name.removeprefix(TAPS)
    form = compare_dtype_and_shape(node, python, f"{title}, {row.where()}, batch {cases[0].batch}")
    if form is None and len(node) != len(cases):
        form = make_problem("shape", f"{len(node)} rows", len(cases), f"{title}, {row.where()}")
    if form is not None:
        row.add_problem(form, {case.case for case in cases})
        return
    for index, case in enumerate(cases):
        one, other = node[index], python[index]
        if mask is not None:
            if not mask[index].any():
                continue
            one, other = (unmasked_values(name, side, mask[index]) for side in (one, other))
        where = f"{title}, {row.where()}, text {case.case} {case.quoted}"
        result = compare_arrays(one, other, row.budget, where)
        row.add_measures(case.case, result.measures)
        if result.problem is not None:
            row.add_problem(result.problem, {case.case})


def settle_rows(rows: list[StageRow]) -> None:
    """Sets each row's status: `pass`, `drift`, or `downstream` of an earlier drift.

    A row that compared nothing has drifted. A row is downstream where each of its failing texts
    failed at an earlier stage already.
    """
    known: set[int] = set()
    for row in rows:
        require_comparison(row)
        if row.problems:
            row.status = "downstream" if row.failing and row.failing <= known else "drift"
        known |= row.failing


def require_comparison(row: StageRow) -> None:
    """Adds a problem to a row that compared nothing: it must not pass."""
    if row.measures.compared == 0 and not row.problems:
        where = f"{row.stage}, {row.where()}"
        row.add_problem(make_problem("nothing", "0 values", "at least one", where), set())


# Tokens and labels.


def compare_tokens(
    row: StageRow,
    node: list[list[str]],
    python: list[list[str]],
    offsets: list[Offsets],
    cases: list[TextCase],
) -> None:
    """Compares tokens exactly, text by text, and checks the offsets of equal ones.

    Args:
        row: of the stage `tokens`.
        node: Node's tokens of each text.
        python: Python's tokens of each text.
        offsets: of Node's tokens, for each text.
        cases: of the batch.
    """
    for index, case in enumerate(cases):
        if index >= min(len(node), len(python)):
            row.add_problem(
                make_problem("shape", f"{len(node)} texts", len(cases), row.where()), {case.case}
            )
            continue
        row.add_measures(case.case, Measures(compared=max(len(python[index]), 1)))
        own = offsets[index] if index < len(offsets) else []
        starts = [start for start, _ in own]
        problem = first_difference(node[index], python[index], starts, case, row.where())
        if problem is None and own:
            problem = first_wrong_offset(node[index], own, case, row.where())
        if problem is not None:
            row.add_problem(problem, {case.case})


def first_difference(
    node: list[str], python: list[str], starts: list[int], case: TextCase, where: str
) -> Problem | None:
    """Finds the first token that differs or is missing.

    Args:
        node: Node's tokens.
        python: Python's tokens.
        starts: the character at which each of Node's tokens begins.
        case: the text.
        where: for the message.
    """
    if node == python:
        return None
    longer = max(len(node), len(python))
    at = next(i for i in range(longer) if node[i : i + 1] != python[i : i + 1])
    got, expected = ((side[at] if at < len(side) else "no token") for side in (node, python))
    spot = f", character {starts[at]}" if at < len(starts) else ""
    text = f"text {case.case} {case.quoted}{spot}"
    return make_problem("values", repr(got), repr(expected), f"token {at}, {where}, {text}")


def compare_labels(
    row: StageRow,
    node: list[list[str]],
    python: list[list[Decision]],
    cases: list[TextCase],
    allowed: Budget,
) -> None:
    """Compares decisions text by text; one may differ where its margin is within the budgets.

    Args:
        row: of the stage `label`; gets the results.
        node: Node's labels of each text.
        python: Python's decisions of each text.
        cases: of the batch.
        allowed: the budget of a probability.
    """
    row.decisions = row.decisions or LabelDecisions()
    for index, case in enumerate(cases):
        if index >= min(len(node), len(python)):
            row.add_problem(
                make_problem("shape", f"{len(node)} texts", len(cases), row.where()), {case.case}
            )
            continue
        got, expected = node[index], python[index]
        spot = f"{row.where()}, text {case.case} {case.quoted}"
        if len(got) != len(expected):
            problem = make_problem("shape", f"{len(got)} labels", len(expected), spot)
            row.add_problem(problem, {case.case})
            continue
        if expected:
            row.add_measures(case.case, Measures(compared=len(expected)))
        for at, (label, decision) in enumerate(zip(got, expected, strict=True)):
            flipped = label != decision.label
            row.decisions.add(decision.margin, flipped)
            if flipped and not decision.is_undecided(allowed):
                which = f", decision {at}" if len(expected) > 1 else ""
                where = f"label, {spot}{which}, margin {decision.margin:.2g}"
                problem = make_problem("values", repr(label), repr(decision.label), where)
                row.add_problem(problem, {case.case})
