"""Weights in fewer bits, the preflight, and the refusals of both."""

import json
import subprocess
import sys

import numpy as np
import pytest

from support.errors import UserError
from support.node import find_node
from support.quiet_tensorflow import tensorflow
from tests.python.conftest import ROOT
from tests.python.graphs import freeze_function

tf, _ = tensorflow()
IDS = tf.TensorSpec([None, None], tf.int32, "input_ids")


def small_graph(scale=1.0):
    """Makes a graph with a table, a kernel and a bias."""
    generator = np.random.default_rng(0)
    table = tf.Variable(generator.normal(size=(9, 4)).astype(np.float32), name="table")
    kernel = tf.Variable(scale * generator.normal(size=(4, 6)).astype(np.float32), name="kernel")
    bias = tf.Variable(generator.normal(size=6).astype(np.float32), name="bias")

    def model(ids):
        return {"out": tf.tensordot(tf.gather(table, ids), kernel, 1) + bias}

    return freeze_function(model, [table, kernel, bias], IDS)[0]


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [
        ("float32", {}),
        ("float16", {"table": "float16", "kernel": "float16"}),
        ("uint16", {"table": "uint16", "kernel": "uint16"}),
        ("uint8", {"table": "uint16", "kernel": "uint8"}),
    ],
)
def test_only_matrices_are_stored_in_fewer_bits(dtype, stored):
    from export.graph.stored_dtypes import choose_stored_dtypes

    names = choose_stored_dtypes(small_graph(), dtype)
    assert {name.removeprefix("weights/"): kind for name, kind in names.items()} == stored


def test_a_weight_beyond_float16_stays_float32():
    from export.graph.stored_dtypes import choose_stored_dtypes

    assert set(choose_stored_dtypes(small_graph(1e6), "float16")) == {"weights/table"}


def test_accuracy_is_that_of_the_rounded_weights():
    from export.graph.stored_dtypes import choose_stored_dtypes, measure_accuracy, run_as_stored

    frozen = small_graph()
    feeds = {"input_ids": np.arange(6, dtype=np.int32).reshape(2, 3)}
    expected = frozen.run(feeds)
    weights = {name.removeprefix("weights/"): value for name, value in frozen.weights.items()}
    half = {k: v.astype(np.float16).astype(np.float32) for k, v in weights.items()}
    by_hand = half["table"][feeds["input_ids"]] @ half["kernel"] + weights["bias"]
    moved = float(np.max(np.abs(by_hand - expected["out"])))
    whole = np.ones((2, 3), bool)
    stored = run_as_stored(frozen, choose_stored_dtypes(frozen, "float16"), feeds)
    assert measure_accuracy(stored, expected, whole)["out"]["max_abs"] == pytest.approx(
        moved, rel=0.05
    )
    assert moved > 0
    plain = run_as_stored(frozen, {}, feeds)
    assert measure_accuracy(plain, expected, whole)["out"] == {"max_abs": 0.0, "cosine": 1.0}


def test_difference_over_the_budget_is_refused_unless_forced():
    from export.graph.stored_dtypes import derive_budgets, refuse_over_budget
    from numerics.budgets import Cost

    whole, truth = np.ones((2, 3), bool), {"out": np.ones((2, 3, 4), np.float32)}
    allowed = derive_budgets({"out": Cost(1e-6, 24.0, 24)}, "uint8", force=False)

    def refuse(moved, dtype="uint8", force=False):
        got = {"out": truth["out"] + np.float32(moved)}
        refuse_over_budget(got, truth, whole, allowed, dtype=dtype, force=force)

    # Half a unit for the eight bits, 8 x 1e-6 for float32, both for a scale of 1; rounded up.
    assert allowed["out"].atol == 0.51
    refuse(0.5)
    with pytest.raises(UserError, match="with uint8 weights out is off by 1 "):
        refuse(1)
    refuse(1, force=True)
    with pytest.raises(UserError, match="off by nan"):
        refuse(float("nan"), "float32")


def test_model_that_is_useless_in_float32_is_refused_unless_forced():
    from export.graph.stored_dtypes import derive_budgets
    from numerics.budgets import Cost

    for cost in (Cost(1e-2, 1.0, 1), Cost(float("nan"), 1.0, 1)):
        with pytest.raises(UserError, match="float32 costs the model .* at out, .*--force"):
            derive_budgets({"out": cost}, "float32", force=False)
    forced = derive_budgets({"out": Cost(1e-2, 1.0, 1)}, "float32", force=True)
    assert forced["out"].atol == 0.08


def test_the_preflight_names_what_no_backend_has():
    from export.graph import preflight

    preflight.check_kernels(small_graph())
    table = tf.Variable(np.ones((9, 4), np.float32))
    rows = lambda ids: tf.gather(table, ids)  # noqa: E731
    odd, _ = freeze_function(lambda ids: {"out": tf.math.xlogy(rows(ids), rows(ids))}, [table], IDS)
    with pytest.raises(UserError, match="no Xlogy of float32 on wasm and cpu"):
        preflight.check_kernels(odd)
    half, _ = freeze_function(
        lambda ids: {"out": tf.cast(tf.cast(tf.gather(table, ids), tf.float16), tf.float32)},
        [table],
        IDS,
    )
    with pytest.raises(UserError, match="no Cast of float16 on wasm and cpu"):
        preflight.check_kernels(half)


def test_the_kernel_list_is_that_of_the_installed_backends():
    """To update it: node node_bridge/backends/kernels.js > export/graph/kernels.json"""
    script = ROOT / "node_bridge" / "backends" / "kernels.js"
    done = subprocess.run([find_node(), script], capture_output=True, check=True)
    committed = (ROOT / "export" / "graph" / "kernels.json").read_text("utf-8")
    assert json.loads(committed) == json.loads(done.stdout)


@pytest.mark.parametrize(("dtype", "smaller"), [("float16", 1.9), ("uint8", 2.2)])
def test_node_reads_what_was_stored(tmp_path, embedded, dtype, smaller):
    bundle = tmp_path / "bundle"
    command = [sys.executable, "-m", "export", "model", embedded.model, "--vocab", embedded.vocab]
    command += ["--tokenizer", "tf-text", "--dtype", dtype, "--out", bundle]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    size = [
        sum(f.stat().st_size for f in place.glob("*.bin")) for place in (embedded.bundle, bundle)
    ]
    assert size[0] / size[1] > smaller
    measured = json.loads((bundle / "bundle.json").read_text("utf-8"))["accuracy"]["outputs"]
    verify = [find_node(), ROOT / "node_bridge" / "verify.js", "--bundle", bundle, "--json"]
    done = subprocess.run(verify, capture_output=True, check=False)
    answer = json.loads(done.stdout)
    assert answer["passed"]
    assert {row["name"] for row in answer["checks"][1:]} == set(measured)
    for row in answer["checks"][1:]:
        # Node's difference is the cost of rounding that the exporter measured.
        assert row["maxAbs"] == pytest.approx(measured[row["name"]]["max_abs"], rel=0.1)
