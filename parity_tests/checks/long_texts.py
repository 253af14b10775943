"""A classifier on texts that are longer than it may take: rows of ids, vectors, answers.

Node's vectors and probabilities are those of the library's own path. Python makes the rows itself,
makes one vector of the vectors of a text's rows, and computes the head from it in float64.
"""

from collections.abc import Iterable, Iterator
from itertools import cycle

import numpy as np

from parity_tests.cases import TextCase
from parity_tests.checks.budgets import Budgets
from parity_tests.checks.compare import make_problem
from parity_tests.checks.decisions import decide_label
from parity_tests.checks.head import Head
from parity_tests.checks.stages import (
    IDS_STAGE,
    LABEL,
    StageRow,
    compare_labels,
    compare_output,
    settle_rows,
)
from parity_tests.runners.long_texts import LongRule
from parity_tests.runners.runs import IDS, PROBABILITIES, RunOutput
from support.tfjs_weights import Array

LONG, VECTORS = "long", "vectors"
LENGTHS = (0, 1.25, 2.5, 4)
"""How many times longer than a row the texts are; the first one is the shortest text there is."""
FEW = 2
"""Texts for a slow backend: the first ones."""
MAX_CHARACTERS = 16
"""The most characters of a made text for each position of a row."""


def make_long_cases(picked: Iterable[TextCase], rule: LongRule, task: str) -> list[TextCase]:
    """Makes texts of several lengths from other texts, each in a batch of its own.

    Args:
        picked: the cases of the comparison.
        rule: how the classifier reads long texts.
        task: `single` or `pair`; the longer text of a pair is once the second one, once the first.
    """
    texts = [case.text for case in picked if case.text.strip()]
    shortest = min(texts, key=lambda text: (len(text), text))
    supply = cycle(texts)
    made = [
        _join_texts(supply, factor * rule.max_length) if factor else shortest for factor in LENGTHS
    ]
    if task != "pair":
        return [TextCase(i, i, text) for i, text in enumerate(made)]
    pairs = [(shortest, shortest), (shortest, made[2]), (made[2], shortest), (made[2], made[3])]
    return [TextCase(i, i, *pair) for i, pair in enumerate(pairs)]


def _join_texts(supply: Iterator[str], tokens: float) -> str:
    """Joins texts until they have so many tokens, or are long enough for any tokenizer."""
    joined = ""
    while _least_tokens(joined) < tokens and len(joined) < MAX_CHARACTERS * tokens:
        joined += next(supply)
    return joined


def _least_tokens(text: str) -> int:
    """Returns how many tokens a text has at least: ideographs and words of other characters.

    >>> _least_tokens("这本 good book")
    4
    """
    ideographs = [c for c in text if "\u4e00" <= c <= "\u9fff"]
    others = "".join(" " if "\u4e00" <= c <= "\u9fff" else c for c in text)
    return len(ideographs) + len(others.split())


def judge_long_texts(
    backend: str,
    node: RunOutput,
    python: RunOutput,
    cases: list[TextCase],
    head: Head,
    rule: LongRule,
    budgets: Budgets,
    sequence: str,
) -> list[StageRow]:
    """Compares ids, vectors, probabilities and labels of long texts.

    Args:
        backend: its name, for the rows.
        node: the backend's run.
        python: the reference.
        cases: of at least these runs' batches, one in each.
        head: the classifier.
        rule: how it reads long texts.
        budgets: of the outputs and probabilities.
        sequence: the name of the output that the head takes.
    """
    limits = {
        IDS_STAGE: budgets.for_stage(IDS_STAGE),
        VECTORS: budgets.for_stage(sequence),
        PROBABILITIES: budgets.for_stage(PROBABILITIES),
        LABEL: budgets.for_stage(LABEL),
    }
    rows = [StageRow(backend, "added", stage, limits[stage], LONG) for stage in limits]
    longest = 0
    for case in cases:
        key = ("added", case.batch)
        got, expected = node.batches.get(key, {}), python.batches[key]
        longest = max(longest, int(expected["attention_mask"].sum(axis=1).max()))
        vectors = vectors_of(expected[sequence], expected["attention_mask"], head, rule)
        probabilities = head.probabilities(vectors, np.ones(vectors.shape[:2], np.int32))
        _compare_ids(rows[0], got, expected, case)
        flat = np.ascontiguousarray(vectors.reshape(1, -1))
        _compare_one(rows[1], got, flat, case)
        _compare_one(rows[2], got, probabilities, case)
        decision = decide_label(probabilities[0], head.labels)
        compare_labels(
            rows[3], node.labels.get(key, []), [[decision]], [case], limits[PROBABILITIES]
        )
    if longest < rule.max_length:
        where = f"long texts, {rows[0].where()}"
        rows[0].add_problem(
            make_problem("nothing", f"{longest} positions", f"a text of {rule.max_length}", where),
            set(),
        )
    settle_rows(rows)
    return rows


def vectors_of(sequence: Array, mask: Array, head: Head, rule: LongRule) -> Array:
    """Returns what the head gets of a text: float32[1, 1 or positions, hidden].

    Args:
        sequence: float32[rows, positions, hidden].
        mask: int32[rows, positions].
        head: `bilstm` gets all positions of the one row; the others one vector of the rows.
        rule: how the text was read.
    """
    if head.kind == "bilstm":
        return sequence[:, : int(mask.sum())]
    first = sequence[:, 0]
    return (first[0] if len(first) == 1 else rule.pool(first))[None, None]


def _compare_ids(
    row: StageRow, node: dict[str, Array], python: dict[str, Array], case: TextCase
) -> None:
    """Compares ids, mask and types of a text's rows exactly.

    Args:
        row: of the stage.
        node: Node's tensors by name.
        python: Python's tensors by name.
        case: the text.
    """
    for name in IDS:
        if name not in node:
            where = f"{row.where()}, text {case.case} {case.quoted}"
            row.add_problem(make_problem("names", "none", name, where), {case.case})
            continue
        rows = [case] * len(python[name])
        compare_output(row, node[name], python[name], rows, name=f"{name} of the rows")


def _compare_one(row: StageRow, node: dict[str, Array], expected: Array, case: TextCase) -> None:
    """Compares one tensor of a text.

    Args:
        row: of the stage, which has the tensor's name.
        node: Node's tensors by name.
        expected: Python's.
        case: the text.
    """
    if row.stage not in node:
        where = f"{row.where()}, text {case.case} {case.quoted}"
        row.add_problem(make_problem("names", "none", row.stage, where), {case.case})
        return
    compare_output(row, node[row.stage], expected, [case])


def few_cases(cases: list[TextCase], count: int) -> list[TextCase]:
    """Returns the cases for a backend that gets `count` texts: all, or few for a slow one.

    >>> texts = [TextCase(i, i, "") for i in range(4)]
    >>> [len(few_cases(texts, count)) for count in (8, 64)]
    [2, 4]
    """
    return cases if count >= 8 * len(cases) else cases[:FEW]
