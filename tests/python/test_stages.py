"""A failure is assigned to the first stage that drifted, and missing values fail."""

import numpy as np
import pytest

from numerics.budgets import Cost
from parity_tests.cases import TextCase
from parity_tests.checks.budgets import Budgets
from parity_tests.checks.compare import Array
from parity_tests.checks.decisions import LabelDecisions, decide_label
from parity_tests.checks.stages import StageRow, judge_stages
from parity_tests.runners.runs import RunOutput
from support.errors import EnvironmentProblem

pytestmark = pytest.mark.quick

COST = Cost(1.25e-6, 1.0, 1)
"""Eight times that is 1e-5."""
MEASURED = ("sequence_output", "pooled_output", "extra", "probabilities")
BUDGETS = Budgets(
    dict.fromkeys([*MEASURED, "taps/layer_0/attention_scores", "taps/layer_0/context"], COST)
)
CASES = [TextCase(0, 0, " "), TextCase(1, 0, "你好"), TextCase(2, 0, "好")]


def run() -> RunOutput:
    batch: dict[str, Array] = {
        "input_ids": np.array([[0, 0], [5, 6], [6, 0]], np.int32),
        "attention_mask": np.array([[0, 0], [1, 1], [1, 0]], np.int32),
        "token_type_ids": np.zeros((3, 2), np.int32),
        "sequence_output": np.ones((3, 2, 4), np.float32),
        "pooled_output": np.ones((3, 4), np.float32),
    }
    batches = {(s, 0): {k: v.copy() for k, v in batch.items()} for s in ("added", "none")}
    tokens = {(s, 0): [[], ["你", "好"], ["好"]] for s in ("added", "none")}
    return RunOutput(batches, {}, tokens)


LABELS = ("good", "bad")


def with_head(run: RunOutput) -> RunOutput:
    for place, batch in run.batches.items():
        batch["probabilities"] = np.array([[0.5, 0.5], [0.75, 0.25], [0.375, 0.625]], np.float32)
        run.labels[place] = [["good"], ["good"], ["bad"]]
        run.decisions[place] = [[decide_label(row, LABELS)] for row in batch["probabilities"]]
    return run


def rows_of(
    node: RunOutput, python: RunOutput | None = None, **more: list[str]
) -> dict[str, StageRow]:
    rows = judge_stages("wasm", node, python or run(), CASES, BUDGETS, **more)
    return {row.stage: row for row in rows if row.special_tokens == "added"}


def statuses(node: RunOutput) -> dict[str, str]:
    return {stage: row.status for stage, row in rows_of(node).items()}


def test_equal_runs_pass() -> None:
    assert set(statuses(run()).values()) == {"pass"}


def test_a_changed_id_fails_at_the_ids_and_later_stages_are_downstream() -> None:
    node = run()
    node.batches["added", 0]["input_ids"][1, 1] = 7
    node.batches["added", 0]["sequence_output"][1] += 1
    assert statuses(node) == {
        "tokens": "pass",
        "ids": "drift",
        "sequence_output": "downstream",
        "pooled_output": "pass",
    }


def test_a_second_failing_text_is_a_drift_of_its_own() -> None:
    node = run()
    node.batches["added", 0]["input_ids"][1, 1] = 7
    node.batches["added", 0]["sequence_output"][2] += 1
    assert statuses(node)["sequence_output"] == "drift"


def test_a_stage_with_one_newly_failing_text_has_drifted() -> None:
    """Another text of the stage failed earlier, which does not explain this one."""
    node = run()
    node.batches["added", 0]["input_ids"][1, 1] = 7
    for text in (1, 2):
        node.batches["added", 0]["sequence_output"][text] += 1
    assert statuses(node)["sequence_output"] == "drift"


def test_a_wider_batch_fails_at_the_ids() -> None:
    node = run()
    batch = node.batches["added", 0]
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        batch[name] = np.pad(batch[name], ((0, 0), (0, 1)))
    batch["sequence_output"] = np.ones((3, 3, 4), np.float32)
    assert statuses(node)["ids"] == "drift"
    assert statuses(node)["sequence_output"] == "downstream"


@pytest.mark.parametrize("name", ["pooled_output", "attention_mask"])
def test_a_missing_tensor_fails(name: str) -> None:
    node = run()
    del node.batches["added", 0][name]
    stage = "ids" if name == "attention_mask" else name
    assert statuses(node)[stage] == "drift"


def test_an_output_that_only_node_has_fails() -> None:
    node = run()
    node.batches["added", 0]["extra"] = np.ones(1, np.float32)
    assert "drift" in statuses(node).values()


def test_a_missing_batch_fails_everywhere() -> None:
    node = run()
    del node.batches["added", 0]
    del node.tokens["added", 0]
    assert statuses(node)["tokens"] == "drift"
    assert "pass" not in statuses(node).values()


def test_missing_rows_fail() -> None:
    node = run()
    node.batches["added", 0]["pooled_output"] = np.ones((2, 4), np.float32)
    assert statuses(node)["pooled_output"] == "drift"
    both: list[StageRow] = judge_stages(
        "wasm", run(), run(), [*CASES, TextCase(3, 0, "书")], BUDGETS
    )
    assert {row.status for row in both} != {"pass"}


def test_no_cases_at_all_fail() -> None:
    rows = judge_stages("wasm", run(), run(), [], BUDGETS)
    assert rows
    assert all(row.status == "drift" for row in rows)


def test_a_changed_token_is_reported_with_its_character() -> None:
    node = run()
    node.tokens["added", 0][1] = ["你", "[UNK]"]
    node.offsets["added", 0] = [[], [[0, 1], [1, 2]], [[0, 1]]]
    row = rows_of(node)["tokens"]
    assert row.failing == {1}
    assert row.problems[0][1].message == (
        "got '[UNK]', but should be '好' "
        "[token 1, wasm, with special tokens, text 1 “你好”, character 1]"
    )


@pytest.mark.parametrize(
    ("text", "token", "offsets", "wrong"),
    [
        ("你好", "好", [1, 2], False),
        ("你好", "好", [0, 1], True),
        ("你好", "好", [1, 3], False),
        ("你好！", "好", [1, 3], True),
        ("Wifi", "##fi", [2, 4], False),
        ("WiFi", "##fi", [2, 3], True),
        # The tokenizer changes characters, or the token is not in the text.
        ("Ａ你", "a", [0, 1], False),
        ("𠮷野家", "家", [2, 3], False),
        ("你好", "[UNK]", [0, 1], False),
        ("你，好", ",", [1, 2], False),
    ],
)
def test_an_offset_that_gives_another_part_of_the_text_is_reported(
    text: str, token: str, offsets: list[int], wrong: bool
) -> None:
    node, python = run(), run()
    for side in (node, python):
        side.tokens["added", 0][1] = [token]
    node.offsets["added", 0] = [[], [offsets], [[0, 1]]]
    cases = [CASES[0], TextCase(1, 0, text), CASES[2]]
    row = judge_stages("wasm", node, python, cases, BUDGETS)[0]
    assert (row.stage, row.failing) == ("tokens", {1} if wrong else set())
    start, end = offsets
    for _, problem in row.problems:
        assert f"got '{text[start:end]}', but should be '{token.removeprefix('##')}' " in (
            problem.message
        )


def test_a_missing_offset_is_reported() -> None:
    node = run()
    node.offsets["added", 0] = [[], [[0, 1]], [[0, 1]]]
    assert "got 1 offsets, but should be 2" in rows_of(node)["tokens"].problems[0][1].message


def test_a_lost_token_is_reported() -> None:
    node = run()
    node.tokens["added", 0][1] = ["你"]
    assert "got 'no token', but should be '好'" in rows_of(node)["tokens"].problems[0][1].message


def test_a_flipped_label_is_counted_with_its_margin() -> None:
    node = with_head(run())
    node.labels["added", 0][1] = ["bad"]
    row = rows_of(node, with_head(run()))["label"]
    assert row.status == "drift"
    assert row.decisions == LabelDecisions(
        texts=3, flipped=1, margins_of_flipped=[0.5], smallest_margin=0.0
    )


def test_masked_positions_are_not_compared() -> None:
    node = run()
    node.batches["added", 0]["sequence_output"][2, 1] += 1
    assert set(statuses(node).values()) == {"pass"}
    node.batches["added", 0]["sequence_output"][2, 0] += 1
    assert statuses(node)["sequence_output"] == "drift"


def tapped(heads: int) -> RunOutput:
    both = run()
    for batch in both.batches.values():
        batch["taps/layer_0/attention_scores"] = np.zeros((3, heads, 2, 2), np.float32)
        batch["taps/layer_0/context"] = np.zeros((3, heads, 2, 4), np.float32)
    return both


@pytest.mark.parametrize("heads", [1, 2])
def test_taps_compare_masked_keys_but_not_masked_queries(heads: int) -> None:
    taps = ["layer_0/attention_scores", "layer_0/context"]
    node = tapped(heads)
    scores = node.batches["added", 0]["taps/layer_0/attention_scores"]
    scores[2, :, 1, :] = 9
    node.batches["added", 0]["taps/layer_0/context"][2, :, 1] = 9
    found = rows_of(node, tapped(heads), taps=taps)
    assert [row.status for row in found.values()] == ["pass"] * 6
    scores[2, 0, 0, 1] = 9
    found = rows_of(node, tapped(heads), taps=taps)
    assert found["taps/layer_0/attention_scores"].status == "drift"
    assert list(found)[2:4] == [f"taps/{tap}" for tap in taps]


def test_a_tap_that_is_missing_in_node_fails() -> None:
    found = rows_of(run(), tapped(2), taps=["layer_0/context"])
    assert found["taps/layer_0/context"].status == "drift"


@pytest.mark.parametrize(("margin", "status"), [(1e-6, "pass"), (1e-3, "drift")])
def test_an_undecided_label_is_no_drift(margin: float, status: str) -> None:
    both = [with_head(run()) for _ in range(2)]
    for side in both:
        near = [0.5 + margin / 2, 0.5 - margin / 2]
        probabilities = side.batches["added", 0]["probabilities"]
        probabilities[1] = np.array(near, np.float32)
        side.decisions["added", 0][1] = [decide_label(probabilities[1], LABELS)]
    both[0].labels["added", 0][1] = ["bad"]
    row = rows_of(*both)["label"]
    assert row.status == status
    assert row.decisions is not None
    assert row.decisions.flipped == 1


def test_each_output_has_the_budget_of_its_own_cost() -> None:
    costs = dict(BUDGETS.costs) | {"pooled_output": Cost(1.25e-4, 1.0, 1)}
    node = run()
    for name in ("sequence_output", "pooled_output"):
        node.batches["added", 0][name][1] += np.float32(1e-4)
    rows = judge_stages("wasm", node, run(), CASES, Budgets(costs))
    found = {row.stage: row.status for row in rows if row.special_tokens == "added"}
    assert (found["sequence_output"], found["pooled_output"]) == ("drift", "pass")
    with pytest.raises(EnvironmentProblem, match="no float32 cost of pooled_output"):
        judge_stages("wasm", node, run(), CASES, Budgets({"sequence_output": COST}))
