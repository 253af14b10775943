"""Every invariance is compared, and a runner that breaks one is found."""

from dataclasses import replace

import numpy as np
import pytest

from numerics.budgets import Budget, Cost
from parity_tests.checks import invariances
from parity_tests.checks.budgets import Budgets
from parity_tests.checks.compare import Array
from parity_tests.flow import unpromised_claims
from parity_tests.runners.runs import RunOutput
from parity_tests.runners.variants import make_variants

pytestmark = pytest.mark.quick

BUDGET = Budgets({"out": Cost(1.25e-6, 1.0, 1)})
MASK = np.array([[1, 1, 1], [1, 1, 0]], np.int32)
OUTPUT = np.arange(12, dtype=np.float32).reshape(2, 3, 2)


def node() -> RunOutput:
    """Returns the run of a runner that keeps every invariance."""
    ids = np.array([[4, 5, 6], [4, 5, 0]], np.int32)
    batch: dict[str, Array] = {
        "input_ids": ids,
        "attention_mask": MASK,
        "token_type_ids": np.zeros_like(ids),
    }
    wider = np.concatenate([OUTPUT, np.full((2, 1, 2), 77, np.float32)], axis=1)
    first: dict[str, Array] = {"alone/right/out": OUTPUT, "alone/left/out": OUTPUT[:1]}
    for claim, left in {
        "repeated": OUTPUT,
        "reordered": OUTPUT[::-1],
        "padded": wider,
        "masked": OUTPUT,
    }.items():
        first |= {f"{claim}/left/out": left.copy(), f"{claim}/right/out": OUTPUT}
    first |= {"tensors/left/count": np.array([7], np.int32)}
    first |= {"tensors/right/count": np.array([7], np.int32)}
    second: dict[str, Array] = {"alone/left/out": OUTPUT[1:, :2]}
    batches = {("pairs", 0): first, ("pairs", 1): second}
    for name, variant in make_variants(batch).items():
        batches[name, 0] = variant | {"out": OUTPUT + 1}
    return RunOutput(batches, {})


def python() -> RunOutput:
    batches = {key: dict(b) for key, b in node().batches.items() if key[0] != "pairs"}
    return RunOutput(batches | {("added", 0): {}}, {})


def statuses(run: RunOutput) -> dict[str, str]:
    return {
        row.comparison: row.status
        for row in invariances.judge_invariances("wasm", run, python(), BUDGET)
    }


def test_a_runner_that_keeps_every_invariance_passes() -> None:
    assert statuses(node()) == dict.fromkeys(invariances.CLAIM_TEXTS, "pass")


@pytest.mark.parametrize(
    ("batch", "name", "at", "claim"),
    [
        (0, "repeated/left/out", (0, 0, 0), "repeated"),
        (0, "tensors/left/count", (0,), "tensors"),
        (0, "reordered/left/out", (1, 2, 1), "reordered"),
        (0, "padded/left/out", (1, 1, 0), "padded"),
        (0, "masked/left/out", (0, 2, 0), "masked"),
        (1, "alone/left/out", (0, 1, 1), "alone"),
    ],
)
def test_each_broken_invariance_is_found(
    batch: int, name: str, at: tuple[int, ...], claim: str
) -> None:
    run = node()
    changed = run.batches["pairs", batch][name].copy()
    changed[at] += 1
    run.batches["pairs", batch][name] = changed
    assert [special for special, status in statuses(run).items() if status == "drift"] == [claim]


def test_a_difference_of_one_bit_breaks_only_the_repeated_run() -> None:
    run = node()
    for claim in ("repeated", "masked"):
        changed = run.batches["pairs", 0][f"{claim}/left/out"].copy()
        changed[0, 1, 1] = np.nextafter(changed[0, 1, 1], np.float32(9))
        run.batches["pairs", 0][f"{claim}/left/out"] = changed
    assert [special for special, status in statuses(run).items() if status == "drift"] == [
        "repeated"
    ]


def test_masked_positions_are_not_compared() -> None:
    run = node()
    for claim in ("padded", "masked"):
        changed = run.batches["pairs", 0][f"{claim}/left/out"].copy()
        changed[1, 2] = 99
        run.batches["pairs", 0][f"{claim}/left/out"] = changed
    assert "drift" not in statuses(run).values()


@pytest.mark.parametrize("variant", ["types", "masked_inside", "reversed"])
def test_an_input_that_does_not_reach_the_model_is_found(variant: str) -> None:
    run = node()
    run.batches[variant, 0]["out"] = OUTPUT
    assert [special for special, status in statuses(run).items() if status == "drift"] == [variant]


@pytest.mark.parametrize("claim", ["repeated", "tensors", "reordered", "masked", "alone"])
def test_a_pair_that_node_did_not_answer_fails(claim: str) -> None:
    run = node()
    for batch in (run.batches["pairs", 0], run.batches["pairs", 1]):
        for name in [name for name in batch if name.startswith(f"{claim}/")]:
            del batch[name]
    assert [special for special, status in statuses(run).items() if status == "drift"] == [claim]


def test_no_pairs_at_all_fail() -> None:
    run = node()
    del run.batches["pairs", 0], run.batches["pairs", 1]
    off = {special for special, status in statuses(run).items() if status == "drift"}
    assert off == {"repeated", "tensors", "reordered", "masked", "alone"}


def test_pairs_that_the_model_does_not_promise_may_be_missing() -> None:
    run = node()
    del run.batches["pairs", 0], run.batches["pairs", 1]
    facts = {"inputs": {"ids": "input_ids"}, "padding": "masked", "length": None}
    source = replace(python(), facts=facts)
    rows = invariances.judge_invariances("wasm", run, source, BUDGET)
    off = {row.comparison for row in rows if row.status == "drift"}
    assert off == {"repeated", "tensors", "reordered"}


def test_what_the_model_breaks_in_python_is_not_required_of_node() -> None:
    """Only where its own outputs move by more than the budget of Node's."""
    facts = {
        "inputs": {"ids": "input_ids", "mask": "attention_mask"},
        "padding": "masked",
        "length": None,
        "moved": {"reordered": 0.0, "masked": 0.5e-5, "alone": 2e-5},
    }
    reasons = unpromised_claims(facts, Budget(1e-5, 0.0, "a test's"))
    assert set(reasons) == {"types", "alone"}
    assert reasons["alone"] == "the model's own outputs move by 2e-05 in Python too"


def test_a_variant_that_node_did_not_answer_fails() -> None:
    run = node()
    del run.batches["types", 0]
    assert statuses(run)["types"] == "drift"
