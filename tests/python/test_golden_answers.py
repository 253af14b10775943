"""A classifier's golden answers are compared one by one, and an answer that is missing fails."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from numerics.budgets import Cost
from parity_tests.cases import read_cases
from parity_tests.checks.budgets import Budgets
from parity_tests.checks.head import judge_golden_answers
from parity_tests.checks.stages import StageRow
from parity_tests.runners.runners import NodeSide
from parity_tests.runners.runs import RunOutput
from support.contracts import seal_description
from tests.hostile.contracts import classifier_description

pytestmark = pytest.mark.quick

BUDGETS = Budgets({"probabilities": Cost(1.25e-6, 0.0, 1)})
"""Eight times that is 1e-5."""
GOLDEN = [
    {"text": "很好的书", "label": "a", "probabilities": [0.75, 0.25]},
    {"text": "不", "label": "b", "probabilities": [0.25, 0.75]},
    {"text": "一般", "label": "a", "probabilities": [0.500004, 0.499996]},
]
PROBABILITIES = [[0.25, 0.75], [0.500004, 0.499996], [0.75, 0.25]]
"""Those of the golden texts, the shortest text first."""
LABELS = ["b", "a", "a"]


@dataclass(frozen=True)
class FakeNode(NodeSide):
    """Answers with what it is given, and remembers the texts."""

    given: RunOutput = field(default_factory=lambda: RunOutput({}, {}))
    texts: list[str] = field(default_factory=list)

    def answers(
        self, backend: str, cases: Path, out: Path, max_length: int, batches: int = 1
    ) -> RunOutput:
        self.texts.extend(case.text for case in read_cases(cases))
        return self.given


def judged(
    place: Path, probabilities: list[list[float]], labels: list[str], count: int = 3
) -> tuple[StageRow, StageRow]:
    (place / "classifier.json").write_bytes(
        seal_description(classifier_description() | {"golden": GOLDEN})
    )
    answers = {("added", 0): {"probabilities": np.array(probabilities, np.float32)}}
    given = RunOutput(answers, {}, labels={("added", 0): [[label] for label in labels]})
    node = FakeNode(place, place, given=given)
    numbers, words = judge_golden_answers("wasm", count, node, place, BUDGETS)
    assert node.texts == ["不", "一般", "很好的书"][:count]
    return numbers, words


def statuses(rows: tuple[StageRow, StageRow]) -> tuple[str, str]:
    return rows[0].status, rows[1].status


def test_equal_answers_pass(tmp_path: Path) -> None:
    numbers, words = judged(tmp_path, PROBABILITIES, LABELS)
    assert statuses((numbers, words)) == ("pass", "pass")
    assert (numbers.measures.compared, words.measures.compared) == (6, 3)


def test_a_slow_backend_compares_the_shortest_texts(tmp_path: Path) -> None:
    numbers, words = judged(tmp_path, PROBABILITIES[:2], LABELS[:2], count=2)
    assert statuses((numbers, words)) == ("pass", "pass")
    assert (numbers.measures.compared, words.measures.compared) == (4, 2)


def test_another_probability_drifts(tmp_path: Path) -> None:
    other = [[0.25, 0.75], [0.500004, 0.499996], [0.75002, 0.24998]]
    numbers, words = judged(tmp_path, other, LABELS)
    assert statuses((numbers, words)) == ("drift", "pass")
    assert numbers.failing == {2}
    assert "golden text 2 “很好的书”" in numbers.problems[0][1].message


def test_another_label_drifts_unless_the_answer_is_undecided(tmp_path: Path) -> None:
    rows = judged(tmp_path, PROBABILITIES, ["b", "b", "a"])
    assert statuses(rows) == ("pass", "pass"), "0.500004 and 0.499996 are within the budget"
    numbers, words = judged(tmp_path, PROBABILITIES, ["a", "a", "a"])
    assert statuses((numbers, words)) == ("pass", "drift")
    assert words.failing == {0}


def test_labels_that_follow_wrong_probabilities_are_downstream(tmp_path: Path) -> None:
    swapped = [row[::-1] for row in PROBABILITIES]
    assert statuses(judged(tmp_path, swapped, ["a", "b", "b"])) == ("drift", "downstream")


def test_a_missing_answer_drifts(tmp_path: Path) -> None:
    for labels in (LABELS[:2], []):
        numbers, words = judged(tmp_path, PROBABILITIES, labels)
        assert statuses((numbers, words)) == ("pass", "drift")
        assert words.failing == set(range(len(labels), 3))
    assert statuses(judged(tmp_path, PROBABILITIES[:2], LABELS)) == ("drift", "pass")
