"""What a bundle with a classifier of its own decides, by arithmetic that can be checked by hand."""

import math
from typing import Any

import numpy as np
import pytest

from numerics.budgets import Budget, Cost, derive_budget
from parity_tests.cases import TextCase
from parity_tests.checks.budgets import Budgets
from parity_tests.checks.decisions import ROUNDING, OwnClassifier
from parity_tests.checks.stages import StageRow, judge_stages
from parity_tests.runners.runs import RunOutput
from support.errors import UserError

pytestmark = pytest.mark.quick

LN3 = math.log(3)
CASES = [TextCase(0, 0, "好"), TextCase(1, 0, "不好")]
MASK = np.array([[1, 0], [1, 1]], np.int32)


def classifier(task: str, activation: str, labels: tuple[str, ...], **more: Any) -> OwnClassifier:
    found = OwnClassifier.of_contract(
        {"classifier": {"task": task, "output": "logits", "activation": activation}
         | {"labels": list(labels)} | more}
    )  # fmt: skip
    assert found is not None
    return found


def run(logits: Any, cost: float = 1e-6) -> RunOutput:
    """Returns a run of Python's with these scores, with and without special tokens."""
    scores = np.array(logits, np.float32)
    batch = {
        "input_ids": MASK * 5,
        "attention_mask": MASK,
        "token_type_ids": MASK * 0,
        "logits": scores,
    }
    tokens = {(s, 0): [["好"], ["不", "好"]] for s in ("added", "none")}
    batches = {(s, 0): dict(batch) for s in ("added", "none")}
    return RunOutput(batches, {}, tokens, costs={"logits": Cost(cost, 8.0, 4)})


def test_bundle_without_a_classifier_decides_nothing() -> None:
    assert OwnClassifier.of_contract({}) is None
    assert OwnClassifier.of_contract({"classifier": None}) is None


def test_softmax_decides_for_the_most_probable_label() -> None:
    """Scores ln 3 and 0 are probabilities 3/4 and 1/4."""
    own = classifier("single_label", "softmax", ("bad", "good"))
    found = own.add_probabilities(run([[LN3, 0], [0, LN3]]))
    expected = [[0.75, 0.25], [0.25, 0.75]]
    np.testing.assert_allclose(found.batches["none", 0]["probabilities"], expected, rtol=1e-6)
    decisions = found.decisions["added", 0]
    assert [[one.label for one in text] for text in decisions] == [["bad"], ["good"]]
    assert decisions[0][0].margin == pytest.approx(0.5)


def test_sigmoid_decides_for_each_label_by_the_threshold() -> None:
    """Scores ln 3, 0 and -ln 3 are probabilities 3/4, 1/2 and 1/4."""
    own = classifier("multi_label", "sigmoid", ("a", "b", "c"), threshold=0.5)
    found = own.add_probabilities(run([[LN3, 0, -LN3], [-LN3, -LN3, -LN3]]))
    assert [[one.label for one in text] for text in found.decisions["added", 0]] == [
        ["a", "b", ""],
        ["", "", ""],
    ]
    margins = [one.margin for one in found.decisions["added", 0][0]]
    assert margins == pytest.approx([0.25, 0.0, 0.25], abs=1e-7)


def test_each_visible_token_gets_a_label() -> None:
    own = classifier("token_labels", "softmax", ("O", "B-PER"), scheme="BIO")
    found = own.add_probabilities(run([[[0, LN3], [9, 0]], [[LN3, 0], [0, LN3]]]))
    labels = [[one.label for one in text] for text in found.decisions["added", 0]]
    assert labels == [["B-PER"], ["O", "B-PER"]]


def test_regression_has_numbers_and_no_labels() -> None:
    own = classifier("regression", "none", ("stars",))
    found = own.add_probabilities(run([[3.5], [-1]]))
    np.testing.assert_array_equal(found.batches["added", 0]["probabilities"], [[3.5], [-1]])
    assert found.decisions["added", 0] == [[], []]
    assert [row.stage for row in rows_of(found, found, own)][-1] == "probabilities"


@pytest.mark.parametrize(("activation", "steepest"), [("softmax", 0.5), ("sigmoid", 0.25)])
def test_cost_of_probabilities_bounds_what_moved_scores_do(
    activation: str, steepest: float
) -> None:
    """Scores off by δ move no probability further than the bound, here for 2,000 random texts."""
    own = classifier(
        "single_label" if activation == "softmax" else "multi_label",
        activation, ("a", "b", "c"), **({} if activation == "softmax" else {"threshold": 0.5}),
    )  # fmt: skip
    draw, delta = np.random.default_rng(1), 1e-2
    scores = draw.normal(0, 2, (2000, 3))
    moved = scores + draw.choice((-delta, delta), scores.shape)
    off = np.abs(own.probabilities(moved) - own.probabilities(scores)).max()
    cost = own.cost(Cost(delta, 1.0, 1), [own.probabilities(scores)])
    assert steepest * delta < cost.largest == steepest * delta + ROUNDING
    assert 0.8 * steepest * delta < off <= cost.largest


def test_model_without_the_output_is_refused() -> None:
    own = classifier("single_label", "softmax", ("bad", "good"))
    lacking = RunOutput({("added", 0): {"attention_mask": MASK}}, {})
    with pytest.raises(UserError, match="no output logits"):
        own.add_probabilities(lacking)


# Both sides together.


def node_of(python: RunOutput, own: OwnClassifier, labels: list[list[str]]) -> RunOutput:
    """Returns Node's run, equal to Python's, with these labels."""
    places = dict.fromkeys(python.batches, labels)
    return RunOutput(
        {key: dict(batch) for key, batch in python.batches.items()}, {}, python.tokens, places
    )


def rows_of(node: RunOutput, python: RunOutput, own: OwnClassifier) -> list[StageRow]:
    rows = judge_stages("wasm", node, python, CASES, Budgets(python.costs))
    return [row for row in rows if row.special_tokens == "added"]


def test_another_label_drifts() -> None:
    own = classifier("single_label", "softmax", ("bad", "good"))
    python = own.add_probabilities(run([[LN3, 0], [0, LN3]]))
    right = rows_of(node_of(python, own, [["bad"], ["good"]]), python, own)
    assert {row.status for row in right} == {"pass"}
    *_, label = rows_of(node_of(python, own, [["bad"], ["bad"]]), python, own)
    assert (label.stage, label.status) == ("label", "drift")
    assert "got 'bad', but should be 'good' [label, wasm" in label.problems[0][1].message
    assert label.decisions is not None and label.decisions.flipped == 1


def test_label_of_a_token_drifts_by_its_index() -> None:
    own = classifier("token_labels", "softmax", ("O", "B-PER"), scheme="BIO")
    python = own.add_probabilities(run([[[0, LN3], [9, 0]], [[LN3, 0], [0, LN3]]]))
    *_, label = rows_of(node_of(python, own, [["B-PER"], ["O", "O"]]), python, own)
    assert label.status == "drift"
    assert "decision 1, margin 0.5]" in label.problems[0][1].message
    *_, label = rows_of(node_of(python, own, [["B-PER"], ["O"]]), python, own)
    assert "got 1 labels, but should be 2" in label.problems[0][1].message


@pytest.mark.parametrize(("far", "status"), [(0.4, "pass"), (4.0, "drift")])
def test_label_may_differ_at_the_threshold_within_the_budget(far: float, status: str) -> None:
    own = classifier("multi_label", "sigmoid", ("a", "b"), threshold=0.5)
    budget = derive_budget(own.cost(Cost(1e-3, 1.0, 1), [np.ones(1, np.float32)]), "float32")
    assert isinstance(budget, Budget)
    # The slope of a sigmoid at 0 is a quarter.
    python = own.add_probabilities(run([[4 * far * budget.atol, 3], [3, 3]], cost=1e-3))
    *_, label = rows_of(node_of(python, own, [["", "b"], ["a", "b"]]), python, own)
    assert (label.stage, label.status) == ("label", status)
