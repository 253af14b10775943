"""Compares the answers of a program of the user's with Python's, text by text.

The program is compared on single texts, so that it may pad as it likes. A stage that it does not
answer has no row: it is named in the report, and never counts as passed.
"""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from parity_tests.cases import TextCase
from parity_tests.checks.budgets import Budgets
from parity_tests.checks.compare import compare_arrays, compare_dtype_and_shape
from parity_tests.checks.stages import (
    IDS_STAGE,
    LABEL,
    TOKENS,
    StageRow,
    compare_labels,
    compare_tokens,
    settle_rows,
)
from parity_tests.runners.own_answers import Answer
from parity_tests.runners.own_program import PROTOCOL, OwnProgram
from parity_tests.runners.runs import IDS, PROBABILITIES, RunOutput
from support.errors import UserError

SPECIAL = "added"
"""Only texts with special tokens are compared: that is what a product encodes."""
Array = NDArray[Any]


@dataclass(frozen=True)
class OwnProgramResult:
    """What a program answered.

    Attributes:
        program: that answered.
        rows: of the stages that it answered.
        answered: their names.
        not_answered: the names of the others.
        tokens: of the texts, by batch, for the report.
        skipped: the reason for each text that it does not take.
    """

    program: OwnProgram
    rows: list[StageRow]
    answered: list[str]
    not_answered: list[str]
    tokens: dict[tuple[str, int], list[list[str]]]
    skipped: dict[int, str]


def judge_own_program(
    program: OwnProgram,
    answers: list[Answer],
    python: RunOutput,
    picked: list[TextCase],
    budgets: Budgets,
    labels: tuple[str, ...] = (),
) -> OwnProgramResult:
    """Compares the answers at every stage that the program answers.

    Args:
        program: that answered.
        answers: one for each case, in order.
        python: the reference.
        picked: the cases.
        budgets: derived from what float32 costs the source.
        labels: of the classifier, where a text may have several of them; else none.

    Raises:
        UserError: the program answers a stage for some texts only, or no stage at all.
    """
    stages = [TOKENS, IDS_STAGE, *python.outputs()]
    stages += [PROBABILITIES] if python.has(PROBABILITIES) else []
    if any(decision for texts in python.decisions.values() for decision in texts):
        stages.append(LABEL)
    skipped = {c.case: a.skipped for c, a in zip(picked, answers, strict=True) if a.skipped}
    taken = [a for a in answers if not a.skipped]
    numbers = [case.case for case in picked if case.case not in skipped]
    answered = [stage for stage in stages if _is_answered(program, stage, taken, numbers)]
    if not answered:
        raise UserError(
            f"--runner {program.name}: the answers have nothing to compare, expected some of "
            f"{', '.join(stages)}; {PROTOCOL}"
        )
    rows = [StageRow(program.name, SPECIAL, s, budgets.for_stage(s)) for s in answered]
    by_stage = {row.stage: row for row in rows}
    allowed = budgets.for_stage(PROBABILITIES) if LABEL in answered else None
    tokens: dict[tuple[str, int], list[list[str]]] = {}
    first_of_batch: dict[int, int] = {}
    for case, answer in zip(picked, answers, strict=True):
        index = case.case - first_of_batch.setdefault(case.batch, case.case)
        all_tokens = tokens.setdefault((SPECIAL, case.batch), [])
        all_tokens.append(answer.tokens or [])
        if answer.skipped:
            continue
        theirs = {name: row[index] for name, row in python.batches[SPECIAL, case.batch].items()}
        mask = theirs["attention_mask"] == 1
        if answer.tokens is not None:
            expected = [python.tokens[SPECIAL, case.batch][index]]
            compare_tokens(by_stage[TOKENS], [answer.tokens], expected, [], [case])
        if answer.ids is not None:
            _compare(by_stage[IDS_STAGE], answer.ids, theirs[IDS[0]][mask], case)
        for name, value in answer.tensors.items():
            is_per_token = theirs[name].ndim > 1
            _compare(
                by_stage[name], value, theirs[name][mask] if is_per_token else theirs[name], case
            )
        if answer.labels is not None and allowed is not None:
            decided = _one_per_decision(answer.labels, labels)
            expected_decisions = [python.decisions[SPECIAL, case.batch][index]]
            compare_labels(by_stage[LABEL], [decided], expected_decisions, [case], allowed)
    settle_rows(rows)
    missing = [stage for stage in stages if stage not in answered]
    return OwnProgramResult(program, rows, answered, missing, tokens, skipped)


def _is_answered(
    program: OwnProgram, stage: str, answers: list[Answer], numbers: list[int]
) -> bool:
    """Returns whether the program answers a stage for all texts.

    Args:
        program: for the message.
        stage: of the flow.
        answers: to the texts that the program takes.
        numbers: of these texts.

    Raises:
        UserError: it answers some texts only.
    """
    has = [_part(answer, stage) is not None for answer in answers]
    if any(has) and not all(has):
        lacking = numbers[has.index(False)]
        raise UserError(
            f"--runner {program.name}: {sum(has)} of {len(has)} answers have {stage}, not that to "
            f"text {lacking}; expected all or none"
        )
    return bool(has) and all(has)


def _part(answer: Answer, stage: str) -> Any:
    """Returns what an answer has for a stage, or None."""
    known = {TOKENS: answer.tokens, IDS_STAGE: answer.ids, LABEL: answer.labels}
    return known[stage] if stage in known else answer.tensors.get(stage)


def _one_per_decision(found: list[str], labels: tuple[str, ...]) -> list[str]:
    """Returns the decision for each label, "" where it was not chosen; or `found` as it is.

    >>> _one_per_decision(["b"], ("a", "b"))
    ['', 'b']
    >>> _one_per_decision(["b"], ())
    ['b']
    """
    if not labels:
        return found
    unknown = [label for label in found if label not in labels]
    return [label if label in found else "" for label in labels] + unknown


def _compare(row: StageRow, ours: Array, theirs: Array, case: TextCase) -> None:
    """Compares one text's array within the row's budget.

    Args:
        row: of the stage.
        ours: the program's.
        theirs: Python's.
        case: the text.
    """
    where = f"{row.stage}, {row.where()}, text {case.case} {case.quoted}"
    form = compare_dtype_and_shape(ours, theirs, where)
    if form is not None:
        row.add_problem(form, {case.case})
        return
    if theirs.size == 0:
        return
    result = compare_arrays(ours, theirs, row.budget, where)
    row.add_measures(case.case, result.measures)
    if result.problem is not None:
        row.add_problem(result.problem, {case.case})
