"""Compares what Node's `predict.js` answers with what a publisher's own classifier answers.

Both are read into one form. A label may differ only where float64 says that the two likeliest are
nearer to each other than what the probabilities may be off; each such flip is counted.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerics.budgets import Budget
from parity_tests.checks.decisions import LabelDecisions, decide_each, decide_label
from parity_tests.conformance.published import CEILING, ROUNDING, largest_absolute
from parity_tests.conformance.rows import ConformanceRow
from parity_tests.runners.runs import Decision

Array = NDArray[Any]
LARGEST_SHARE = 0.8
"""The largest part of all decisions that one label may have. Equal labels prove little otherwise: a
broken model too gives most texts the same one."""
LEAST_SPREAD = 1000
"""A regression's numbers must vary by so many times what they may be off."""
THRESHOLD = 0.5
TOKENS = "token_labels"


@dataclass(frozen=True)
class ClassifierReference:
    """A publisher's answers.

    Attributes:
        task: see `write_answers` of publishers/reference.py; so are `labels` and `answers`.
        labels: in the order of the scores.
        answers: of each text.
        texts: each text, "" where it is a pair.
        single: probabilities, or the numbers of a regression, float32[rows, labels]. A row is a
            text, or a token that is neither [CLS] nor [SEP].
        exact: the same in float64.
        rounding: the largest distance between both, over all texts that the publisher answered.
    """

    task: str
    labels: list[str]
    answers: list[dict[str, Any]]
    texts: list[str]
    single: Array
    exact: Array
    rounding: float

    @classmethod
    def read(
        cls, answers: dict[str, Any], tensors: dict[str, Array], cases: Sequence[dict[str, str]]
    ) -> "ClassifierReference":
        """Reads what a script wrote for the first texts, as many as there are cases.

        Args:
            answers: its `answers.json`.
            tensors: its `reference.safetensors`.
            cases: the texts.
        """
        count = rows = len(cases)
        single, exact = (tensors[f"probabilities{end}"] for end in ("", ".float64"))
        if answers["task"] == TOKENS:
            inside = _positions_of_tokens(tensors["attention_mask"])
            single, exact, rows = single[inside], exact[inside], int(inside[:count].sum())
        return cls(
            task=answers["task"],
            labels=answers["labels"],
            answers=answers["answers"][:count],
            texts=[case.get("text", "") for case in cases],
            single=single[:rows],
            exact=exact[:rows],
            rounding=largest_absolute(single - exact),
        )

    @property
    def allowed(self) -> float:
        """How far a number may be from float64; see ROUNDING and CEILING."""
        return min(ROUNDING * self.rounding, CEILING * largest_absolute(self.exact))

    def decisions(self) -> list[Decision]:
        """Returns each decision that follows from float64, in the order of `_decided_labels`."""
        if self.task == "regression":
            return []
        if self.task == "multi_label":
            return [one for row in self.exact for one in decide_each(row, self.labels, THRESHOLD)]
        return [decide_label(row, self.labels) for row in self.exact]


def _positions_of_tokens(mask: Array) -> Array:
    """Returns where there are tokens other than [CLS] and [SEP], bool[texts, sequence]."""
    inside: Array = mask == 1
    inside[:, 0] = False
    inside[np.arange(len(mask)), mask.sum(axis=1) - 1] = False
    return inside


def compare_decisions(
    row: ConformanceRow,
    backend: str,
    reference: ClassifierReference,
    predictions: Sequence[dict[str, Any]],
) -> str:
    """Compares Node's predictions with the publisher's; adds the figures to the row.

    Args:
        row: gets the largest differences, the largest bound, and the decisions.
        backend: of Node, for the names of the figures.
        reference: the publisher's answers.
        predictions: what `predict.js` wrote, an object a text.

    Returns:
        what differs, or "".
    """
    if len(predictions) != len(reference.answers):
        return f"got {len(predictions)} answers, expected {len(reference.answers)}"
    problem = _find_other_form(reference, predictions)
    if problem:
        return problem
    problems = [
        _compare_numbers(row, backend, reference, predictions),
        _compare_labels(row, backend, reference, predictions),
    ]
    return ", ".join(filter(None, problems))


def _find_other_form(reference: ClassifierReference, predictions: Sequence[dict[str, Any]]) -> str:
    """Returns the first prediction that lacks a field, has other labels or other tokens, or ""."""
    field = {"regression": "values", TOKENS: "tokens"}.get(reference.task, "probabilities")
    for at, (expected, got) in enumerate(zip(reference.answers, predictions, strict=True)):
        if field not in got:
            return f"text {at}: got {', '.join(got)}, expected {field}"
        if reference.task == TOKENS:
            if len(got[field]) != len(expected[field]):
                return f"text {at}: got {len(got[field])} tokens, expected {len(expected[field])}"
        elif list(got[field]) != reference.labels:
            labels = ", ".join(reference.labels)
            return f"text {at}: got the labels {', '.join(got[field])}, expected {labels}"
    return ""


def _compare_numbers(
    row: ConformanceRow,
    backend: str,
    reference: ClassifierReference,
    predictions: Sequence[dict[str, Any]],
) -> str:
    """Compares the probabilities, or the numbers of a regression; returns what differs, or "".

    Args:
        row: gets the largest differences and the bound.
        backend: of Node.
        reference: the publisher's answers.
        predictions: Node's, of the right form.
    """
    if reference.task == TOKENS:
        # Node says only the probability of the label that it gives.
        tokens = [token for one in predictions for token in one["tokens"]]
        columns = [reference.labels.index(token["label"]) for token in tokens]
        mine = np.array([token["probability"] for token in tokens], np.float64)
        rows = np.arange(len(tokens))
        single, exact = (side[rows, columns] for side in (reference.single, reference.exact))
    else:
        name = "values" if reference.task == "regression" else "probabilities"
        mine = np.array([list(one[name].values()) for one in predictions], np.float64)
        single, exact = reference.single, reference.exact
    moved = largest_absolute(mine - exact)
    row.max_abs[f"probabilities, {backend} against float64"] = moved
    row.max_abs[f"probabilities, {backend} against float32"] = largest_absolute(mine - single)
    row.max_abs["probabilities, float32 against float64"] = reference.rounding
    row.budget = max(row.budget or 0.0, reference.allowed)
    if moved <= reference.allowed:
        return ""
    return f"probabilities: {moved:.2g} from float64, expected at most {reference.allowed:.2g}"


def _compare_labels(
    row: ConformanceRow,
    backend: str,
    reference: ClassifierReference,
    predictions: Sequence[dict[str, Any]],
) -> str:
    """Compares every decision; of tokens also their places, and the spans that they make.

    Args:
        row: gets the number of decisions and of those that differ.
        backend: of Node.
        reference: the publisher's answers.
        predictions: Node's, of the right form.
    """
    counts = row.decisions[backend] = LabelDecisions()
    budget = Budget(reference.allowed, 0.0, "")
    decisions = iter(reference.decisions())
    problem = ""
    for at, (theirs, ours) in enumerate(zip(reference.answers, predictions, strict=True)):
        sides = (_decided_labels(reference, answer) for answer in (theirs, ours))
        flipped = False
        for expected, got in zip(*sides, strict=True):
            decision = next(decisions)
            differs = got != expected
            counts.add(decision.margin, differs)
            flipped |= differs
            # The publisher's label must follow from its own numbers too.
            wrong = {got, expected} != {decision.label} and not decision.is_undecided(budget)
            if wrong and not problem:
                problem = (
                    f"text {at}: got the label {got!r}, expected {expected!r}; in float64 it is "
                    f"{decision.label!r} by {decision.margin:.2g}, and each probability may be "
                    f"off by {budget.atol:.2g}"
                )
        if reference.task == TOKENS and not problem and not flipped:
            problem = _compare_places(at, reference.texts[at], theirs, ours)
    return problem


def _decided_labels(reference: ClassifierReference, answer: dict[str, Any]) -> list[str]:
    """Returns each decision in an answer of either side; "" is a label that a text has not."""
    if reference.task == TOKENS:
        return [token["label"] for token in answer["tokens"]]
    if reference.task == "multi_label":
        return [label if label in answer["labels"] else "" for label in reference.labels]
    return [] if reference.task == "regression" else [answer["label"]]


def _compare_places(at: int, text: str, theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """Compares where tokens are, and the publisher's spans if it has any; returns what differs.

    Args:
        at: the number of the text.
        text: the text.
        theirs: the publisher's answer, whose places count code points.
        ours: Node's answer, whose places count UTF-16 units.
    """
    # units[n] is the number of UTF-16 units of the first n code points.
    units = [0, *np.cumsum([len(c.encode("utf-16-le")) // 2 for c in text]).tolist()]
    for kind in theirs:
        expected = [(one["label"], units[one["start"]], units[one["end"]]) for one in theirs[kind]]
        got = [(one["label"], one["start"], one["end"]) for one in ours[kind]]
        if expected != got:
            pairs = zip([*got, "none"], [*expected, "none"], strict=False)
            mine, other = next(pair for pair in pairs if pair[0] != pair[1])
            return f"{kind} of text {at}: got {mine}, expected {other}"
    return ""


def find_uniform_answers(reference: ClassifierReference) -> str:
    """Returns what the publisher answers to nearly all texts alike, or ""."""
    if reference.task == "regression":
        spread = float(np.ptp(reference.exact, axis=0).min())
        if spread >= LEAST_SPREAD * reference.allowed:
            return ""
        return f"the reference's numbers vary by {spread:.2g} alone, so they prove nothing"
    for decided in _decisions_by_question(reference):
        ((label, count),) = Counter(decided).most_common(1)
        if count > LARGEST_SHARE * len(decided):
            share = f"{count} of {len(decided)} decisions"
            return f"the reference gives the label {label!r} in {share}, so they prove nothing"
    return ""


def _decisions_by_question(reference: ClassifierReference) -> Iterator[list[str]]:
    """Yields the publisher's labels; of `multi_label` those of each label for themselves."""
    decided = [_decided_labels(reference, answer) for answer in reference.answers]
    if reference.task == "multi_label":
        yield from map(list, zip(*decided, strict=True))
    else:
        yield [label for one in decided for label in one]
