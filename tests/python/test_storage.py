"""The stage `storage`: how far narrower weights move Python's own outputs.

The arrays are small, so that each expected number can be checked by hand.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from numerics.budgets import Cost
from parity_tests.cases import TextCase
from parity_tests.checks.budgets import Budgets
from parity_tests.checks.compare import Array
from parity_tests.checks.stages import StageRow, judge_stages
from parity_tests.checks.stored_parts import PartResult
from parity_tests.flow import FlowResult, compare_storage
from parity_tests.provenance import Contract
from parity_tests.reports.assemble import ReportInputs, assemble_report
from parity_tests.reports.report import ParityReport
from parity_tests.runners.runs import SPECIALS, RunOutput
from parity_tests.runners.tokenizer_source import TokenizerSource

pytestmark = pytest.mark.quick

COSTS = dict.fromkeys(("sequence_output", "pooled_output"), Cost(1e-6, 1.0, 1))
UINT8 = Budgets(COSTS, "uint8")
"""0.5 for eight bits and 8 × 1e-6 for float32, at a scale of 1; rounded up to two digits: 0.51."""
CASES = [TextCase(0, 0, "书"), TextCase(1, 0, "好书"), TextCase(2, 1, "很好")]
STORED_PARTS = dict.fromkeys(
    ("contract", "weights", "vocab", "tables"), PartResult("pass", compared=1)
)


def run(**moved: tuple[int, tuple[int, ...], float]) -> RunOutput:
    """Returns a run of two batches.

    `moved` has, by the name of an output, a batch, an index in it, and how far the value there is
    moved (with special tokens only).
    """
    batches: dict[tuple[str, int], dict[str, Array]] = {}
    tokens = {}
    for special in SPECIALS:
        for number, rows in ((0, 2), (1, 1)):
            mask = np.ones((rows, 2), np.int32)
            mask[0, 1] = 0
            batches[special, number] = {
                "input_ids": mask * 5,
                "attention_mask": mask,
                "token_type_ids": mask * 0,
                "sequence_output": np.ones((rows, 2, 4), np.float32),
                "pooled_output": np.ones((rows, 4), np.float32),
            }
            tokens[special, number] = [["好"]] * rows
    for name, (number, index, far) in moved.items():
        batches["added", number][name][index] += np.float32(far)
    return RunOutput(batches, {}, tokens)


def drifted(rows: list[StageRow]) -> set[tuple[str, str]]:
    return {(row.special_tokens, row.stage) for row in rows if row.status == "drift"}


def test_outputs_moved_within_the_budget_of_the_dtype_pass() -> None:
    stored = run(sequence_output=(0, (1, 0, 2), 0.375), pooled_output=(1, (0, 3), -0.5))
    rows = compare_storage(stored, run(), CASES, UINT8)
    assert [(row.special_tokens, row.stage, row.status) for row in rows] == [
        ("added", "sequence_output", "pass"),
        ("added", "pooled_output", "pass"),
        ("none", "sequence_output", "pass"),
        ("none", "pooled_output", "pass"),
    ]
    assert [row.measures.max_abs for row in rows] == [0.375, 0.5, 0.0, 0.0]
    # 1 + 2 + 1 visible positions of 4 values; 3 texts of 4 values.
    assert [row.measures.compared for row in rows] == [16, 12, 16, 12]


def test_an_output_moved_beyond_the_budget_of_the_dtype_drifts() -> None:
    rows = compare_storage(run(pooled_output=(0, (1, 3), 0.75)), run(), CASES, UINT8)
    assert drifted(rows) == {("added", "pooled_output")}
    [row] = [row for row in rows if row.problems]
    assert row.budget.atol == 0.51
    [(case, problem)] = row.problems
    assert case == 1
    assert problem.message == (
        "got 1.75, but should be 1.0 ± 0.51 ± 2e-06 of it "
        "[pooled_output, python, with special tokens, text 1 “好书” at [3]]"
    )


def test_the_budget_of_float32_is_not_enough_for_narrower_weights() -> None:
    stored = run(pooled_output=(0, (1, 3), 0.375))
    assert drifted(compare_storage(stored, run(), CASES, Budgets(COSTS))) == {
        ("added", "pooled_output")
    }
    assert drifted(compare_storage(stored, run(), CASES, UINT8)) == set()


def test_each_output_has_the_budget_of_its_own_scale() -> None:
    """A scale of 3 has three times the budget for eight bits."""
    wider = Budgets(COSTS | {"pooled_output": Cost(1e-6, 9.0, 1)}, "uint8")
    stored = run(sequence_output=(0, (1, 0, 0), 0.75), pooled_output=(0, (1, 0), 0.75))
    assert drifted(compare_storage(stored, run(), CASES, wider)) == {("added", "sequence_output")}


def test_a_text_of_a_later_batch_is_reported_by_its_own_number() -> None:
    rows = compare_storage(run(sequence_output=(1, (0, 0, 0), 1.0)), run(), CASES, UINT8)
    [row] = [row for row in rows if row.problems]
    assert row.failing == {2}
    assert row.worst_case == 2
    assert "text 2 “很好”" in row.problems[0][1].message


def test_masked_positions_do_not_count() -> None:
    rows = compare_storage(run(sequence_output=(0, (0, 1, 0), 9.0)), run(), CASES, UINT8)
    assert drifted(rows) == set()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_drift(bad: float) -> None:
    rows = compare_storage(run(pooled_output=(0, (0, 0), bad)), run(), CASES, UINT8)
    assert drifted(rows) == {("added", "pooled_output")}


def test_an_output_that_was_not_compared_drifts() -> None:
    python = run()
    for batch in python.batches.values():
        batch["attention_mask"][:] = 0
    rows = compare_storage(run(), python, CASES, UINT8)
    assert {row.status for row in rows} == {"drift"}


def reported(stored: RunOutput, tmp_path: Path, node: RunOutput | None = None) -> ParityReport:
    """Makes the report where Node answers exactly as Python does with the stored weights."""
    (tmp_path / "saved_model.pb").write_bytes(b"a model")
    python = replace(stored, costs=COSTS)
    rows = judge_stages("wasm", node or stored, python, CASES, Budgets(COSTS))
    storage = compare_storage(stored, run(), CASES, UINT8)
    flow = FlowResult(python, "float32", True, {"wasm": node or stored}, rows, storage)
    contract = Contract(
        Path("bundle"), "ab" * 32, {"name": "b", "weight_dtype": "uint8", "provenance": {}}
    )
    inputs = ReportInputs(contract, tmp_path, TokenizerSource(Path("tokenizer")))
    return assemble_report(inputs, CASES, flow, STORED_PARTS)


def test_the_report_names_storage_as_the_first_stage_off(tmp_path: Path) -> None:
    document = reported(run(pooled_output=(0, (1, 3), 0.75)), tmp_path)
    assert {row.status for row in document.rows} == {"pass"}, "Node has the stored weights"
    assert (document.verdict, document.first_stage_off) == ("drift", "storage")
    assert [failure.case for failure in document.failures] == [1]


def test_storage_comes_before_the_stages_of_node(tmp_path: Path) -> None:
    stored = run(pooled_output=(0, (1, 3), 0.75))
    document = reported(stored, tmp_path, run(sequence_output=(0, (0, 0, 0), 1.0)))
    off = {row.stage for row in document.rows if row.status == "drift"}
    assert off == {"sequence_output", "pooled_output"}
    assert document.first_stage_off == "storage"


def test_the_report_passes_where_storage_is_within_the_budget(tmp_path: Path) -> None:
    document = reported(run(pooled_output=(0, (1, 3), 0.375)), tmp_path)
    assert (document.verdict, document.first_stage_off) == ("pass", None)
