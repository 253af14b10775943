"""Compares what is no number: the tokens of a text, and the label decided for it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerics.budgets import Budget
from parity_tests.cases import Case
from parity_tests.compare import Problem, wrong
from parity_tests.measures import Measures
from parity_tests.row import Row

Starts = list[list[int]]


def compare_tokens(
    row: Row, node: list[list[str]], python: list[list[str]], starts: Starts, cases: list[Case]
) -> None:
    """Exact, text by text; `starts` has where in its text each of Node's tokens begins."""
    for index, case in enumerate(cases):
        if index >= min(len(node), len(python)):
            row.fail(wrong("shape", f"{len(node)} texts", len(cases), row.place()), {case.case})
            continue
        row.take(case.case, Measures(compared=max(len(python[index]), 1)))
        told = starts[index] if index < len(starts) else []
        problem = first_difference(node[index], python[index], told, case, row.place())
        if problem is not None:
            row.fail(problem, {case.case})


def first_difference(
    node: list[str], python: list[str], starts: list[int], case: Case, where: str
) -> Problem | None:
    """The first token that is another, or missing, and the character of the text it begins at."""
    if node == python:
        return None
    longer = max(len(node), len(python))
    at = next(i for i in range(longer) if node[i : i + 1] != python[i : i + 1])
    got, should = ((side[at] if at < len(side) else "no token") for side in (node, python))
    spot = f", character {starts[at]}" if at < len(starts) else ""
    text = f"text {case.case} {case.quoted}{spot}"
    return wrong("values", repr(got), repr(should), f"token {at}, {where}, {text}")


def compare_labels(
    row: Row,
    node: list[str],
    python: list[str],
    probabilities: NDArray[Any],
    cases: list[Case],
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
            row.fail(wrong("shape", f"{len(node)} labels", len(cases), row.place()), {case.case})
            continue
        margin = margin_of(probabilities[index])
        told["texts"] += 1
        told["smallest_margin"] = min(margin, told.get("smallest_margin", margin))
        row.take(case.case, Measures(compared=1))
        if node[index] != python[index]:
            told["flipped"] += 1
            told["margins_of_flipped"].append(margin)
            if undecided(probabilities[index], allowed):
                continue
            spot = f"{row.place()}, text {case.case} {case.quoted}, margin {margin:.2g}"
            problem = wrong("values", repr(node[index]), repr(python[index]), f"label, {spot}")
            row.fail(problem, {case.case})
    row.decisions = told


def undecided(probabilities: NDArray[Any], allowed: Budget) -> bool:
    """Whether the two likeliest labels may change places within the budget of each.

    >>> near = Budget(1e-5, 0.0, "")
    >>> undecided(np.array([0.500009, 0.499991]), near), undecided(np.array([0.6, 0.4]), near)
    (True, False)
    """
    most = float(np.max(probabilities))
    return margin_of(probabilities) <= 2 * (allowed.atol + allowed.rtol * most)


def margin_of(probabilities: NDArray[Any]) -> float:
    """By how much the most probable label leads the next.

    >>> margin_of(np.array([0.125, 0.75, 0.125]))
    0.625
    """
    if probabilities.size < 2:
        return 1.0
    second, first = np.sort(probabilities.astype(np.float64))[-2:]
    return float(first - second)
