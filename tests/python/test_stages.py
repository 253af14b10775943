"""Where a failure is put: at the first stage that is off, and nothing missing passes."""

import numpy as np
import pytest

from parity_tests.cases import Case
from parity_tests.compare import Array
from parity_tests.runs import Run
from parity_tests.stages import Row, judge

CASES = [Case(0, 0, " "), Case(1, 0, "你好"), Case(2, 0, "好")]


def run() -> Run:
    batch: dict[str, Array] = {
        "input_ids": np.array([[0, 0], [5, 6], [6, 0]], np.int32),
        "attention_mask": np.array([[0, 0], [1, 1], [1, 0]], np.int32),
        "token_type_ids": np.zeros((3, 2), np.int32),
        "sequence_output": np.ones((3, 2, 4), np.float32),
        "pooled_output": np.ones((3, 4), np.float32),
    }
    batches = {(s, 0): {k: v.copy() for k, v in batch.items()} for s in ("added", "none")}
    return Run(batches, {})


def statuses(node: Run) -> dict[str, str]:
    rows = judge("wasm", node, run(), CASES, "float32")
    return {row.stage: row.status for row in rows if row.special == "added"}


def test_equal_runs_pass() -> None:
    assert set(statuses(run()).values()) == {"pass"}


def test_a_changed_id_is_put_at_the_ids_and_what_follows_is_said_to_follow() -> None:
    node = run()
    node.batches["added", 0]["input_ids"][1, 1] = 7
    node.batches["added", 0]["sequence_output"][1] += 1
    assert statuses(node) == {
        "ids": "drift",
        "sequence_output": "downstream",
        "pooled_output": "pass",
    }


def test_another_text_that_is_off_does_not_hide_behind_the_first() -> None:
    node = run()
    node.batches["added", 0]["input_ids"][1, 1] = 7
    node.batches["added", 0]["sequence_output"][2] += 1
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
    assert statuses(node)["ids"] == "drift"
    assert "pass" not in statuses(node).values()


def test_missing_rows_fail() -> None:
    node = run()
    node.batches["added", 0]["pooled_output"] = np.ones((2, 4), np.float32)
    assert statuses(node)["pooled_output"] == "drift"
    both: list[Row] = judge("wasm", run(), run(), [*CASES, Case(3, 0, "书")], "float32")
    assert {row.status for row in both} != {"pass"}


def test_no_cases_at_all_fail() -> None:
    rows = judge("wasm", run(), run(), [], "float32")
    assert rows
    assert all(row.status == "drift" for row in rows)
