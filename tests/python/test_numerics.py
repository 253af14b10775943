"""Float64 evaluation, the cost of float32, and the budgets derived from it."""

import math

import numpy as np
import pytest

from numerics.budgets import (
    MULTIPLE,
    RELATIVE_ERROR,
    RTOL,
    Cost,
    atol_ceiling,
    derive_budget,
    pack_costs,
    round_up,
    round_weights_randomly,
    unpack_costs,
)
from support.quiet_tensorflow import tensorflow
from tests.python.graphs import freeze_function, save_and_load

tf, _ = tensorflow()
IDS = tf.TensorSpec([None, None], tf.int32, "input_ids")
GENERATOR = np.random.default_rng(0)
TABLE = GENERATOR.normal(size=(7, 8)).astype(np.float32)
KERNEL = GENERATOR.normal(size=(8, 8)).astype(np.float32)
FEEDS = {"input_ids": np.array([[1, 2, 3], [4, 5, 6]], np.int32)}


def encoder(normalise):
    table, kernel = tf.Variable(TABLE), tf.Variable(KERNEL)

    @tf.function
    def inner(x):
        return tf.tanh(tf.tensordot(x, kernel, 1)) * 0.1

    def model(ids):
        return {"out": normalise(inner(tf.gather(table, ids)))}

    return model, [table, kernel]


def numpy_encoder(normalise):
    """Computes the same in NumPy's float64, from the float32 weights and the float32 constant."""
    x = TABLE.astype(np.float64)[FEEDS["input_ids"]]
    return normalise(np.tanh(x @ KERNEL.astype(np.float64)) * np.float64(np.float32(0.1)))


def plain_norm(x):
    return x


def fused_norm(x):
    """Layer normalisation as in Keras, with FusedBatchNorm, which has no float64 kernel."""
    shape = tf.shape(x)
    flat = tf.reshape(x, [1, shape[0] * shape[1], 8, 1])
    ones, zeros = tf.ones([shape[0] * shape[1]]), tf.zeros([shape[0] * shape[1]])
    y, _, _ = tf.compat.v1.nn.fused_batch_norm(
        flat, ones, zeros, epsilon=1e-3, data_format="NCHW", is_training=True
    )
    return tf.reshape(y, shape)


def numpy_norm(x):
    centred = x - x.mean(axis=-1, keepdims=True)
    epsilon = np.float64(np.float32(1e-3))
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon)


@pytest.mark.parametrize(
    ("normalise", "expected"),
    [(plain_norm, plain_norm), (fused_norm, numpy_norm)],
    ids=["plain", "norm"],
)
def test_float64_equals_numpy(normalise, expected):
    from numerics.float64 import Float64Function, as_float64, graph_in_float64, run_graph

    model, variables = encoder(normalise)
    frozen, _ = freeze_function(model, variables, IDS)
    values = {n: as_float64(v) for n, v in {**frozen.weights, **FEEDS}.items()}
    by_graph = run_graph(graph_in_float64(frozen.graph_def), values, ["out"])["out"]
    source, _ = save_and_load(model, variables, IDS)
    by_function = Float64Function(source.function, {}).run(FEEDS)["out"]
    truth = numpy_encoder(expected)
    for got in (by_graph, by_function):
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, truth, rtol=1e-12, atol=1e-14)
    single = frozen.run(FEEDS)["out"] if normalise is plain_norm else None
    if single is not None:
        assert 1e-9 < np.abs(single - truth).max() < 1e-6


def test_op_without_float64_is_named_and_weights_are_rounded():
    from export import golden
    from numerics.float64 import NoFloat64, graph_in_float64

    table = tf.Variable(TABLE)

    def bits(ids):
        x = tf.gather(table, ids)
        return {"out": tf.bitcast(tf.bitcast(x, tf.int32), tf.float32) * 3.0}

    frozen, _ = freeze_function(bits, [table], IDS)
    with pytest.raises(NoFloat64, match="reads the bits"):
        graph_in_float64(frozen.graph_def)
    said: list[str] = []
    measured = golden.measure_costs(frozen, FEEDS, np.ones((2, 3), bool), said.append)
    assert "reads the bits" in said[0]
    assert measured.exact is None
    assert "randomly rounded" in measured.costs["out"].how
    # A weight of up to 3.2 moves by one unit in its last place, and is multiplied by 3.
    assert 0 <= measured.costs["out"].largest < 4 * 3 * 2**-22


def test_randomly_rounded_weights_are_neighbours():
    weights: dict[str, np.ndarray] = {"w": TABLE, "zero": np.zeros(3, np.float32)}
    weights["ids"] = np.arange(3)
    drawn = list(round_weights_randomly(weights))
    assert len(drawn) == 3
    for one in drawn:
        assert one["w"].dtype == np.float32
        apart = np.abs(one["w"].view(np.int32).astype(np.int64) - TABLE.view(np.int32))
        assert set(apart.ravel()) == {1}
        assert not one["zero"].any()
        assert (one["ids"] == np.arange(3)).all()
    assert (drawn[0]["w"] != drawn[1]["w"]).any()


def test_masked_values_and_relative_rounding_cost_nothing():
    single = np.ones((2, 2, 3), np.float32)
    exact = single.astype(np.float64)
    exact[1, 1] += 1
    exact[0, 0, 0] += 1e-5
    mask = np.array([[1, 1], [1, 0]])
    cost = Cost.measure("out", single, exact, mask)
    assert cost.largest == pytest.approx(1e-5 - RELATIVE_ERROR, rel=1e-4)
    assert cost.count == 9
    assert cost.rms == pytest.approx(1.0, rel=1e-5)
    scores = np.full((1, 2, 2, 2), -1e4)
    scores[..., 0] = 2.0
    found = Cost.measure("layer_0/attention_scores", scores + 4e-4, scores, np.array([[1, 0]]))
    assert found.rms == 2.0
    assert found.largest == pytest.approx(4e-4 - 2 * RELATIVE_ERROR, rel=1e-3)
    near = np.where(scores < 0, scores + 4e-4, scores)
    assert Cost.measure("layer_0/attention_scores", near, scores, np.array([[1, 0]])).largest == 0


def test_a_text_without_visible_positions_costs_nothing():
    exact = np.ones((2, 4), np.float32)
    single = exact + np.array([[2**-10], [9]], np.float32)
    mask = np.array([[1, 1], [0, 0]])
    cost = Cost.measure("pooled_output", single, exact, mask)
    assert (cost.largest, cost.count) == (2**-10 - RELATIVE_ERROR, 4)


def test_costs_are_summed_and_read_back_as_stored():
    both = Cost(1e-6, 2.0, 2) + Cost(3e-6, 6.0, 2)
    assert (both.largest, both.rms) == (3e-6, math.sqrt(2))
    assert math.isnan((both + Cost(math.nan, 1.0, 1)).largest)
    assert unpack_costs(pack_costs({"out": both})) == {"out": both}


def test_a_budget_is_a_multiple_of_the_cost_with_a_floor_and_a_ceiling():
    assert derive_budget(Cost(1.25e-6, 1.0, 1)).atol == 1e-5
    assert derive_budget(Cost(1.25e-6, 1.0, 1)).rtol == 2e-6
    assert (
        "8 × what float32 costs this model here, 1.3e-06"
        in derive_budget(Cost(1.23e-6, 1, 1)).origin
    )
    # Values of the scale 2: the floor is 1e-6 of it, the ceiling 4e-3.
    assert derive_budget(Cost(0.0, 4.0, 1)).atol == 2e-6
    assert atol_ceiling(Cost(1.0, 4.0, 1)) == 8e-3
    assert math.isnan(derive_budget(Cost(math.nan, 1.0, 1)).atol)
    # 2e-3 for uint16 at the scale 3, and 8 × 1e-6: 6.008e-3, rounded up to two digits.
    assert derive_budget(Cost(1e-6, 9.0, 1), "uint16").atol == 6.1e-3
    # The relative part that a cost omits, times the multiple, is the budget's relative part.
    assert MULTIPLE * RELATIVE_ERROR <= RTOL * (1 + 1e-12)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [(1.21e-6, 1.3e-6), (1.2e-6, 1.2e-6), (9.91e-6, 1e-5), (3.0, 3.0), (0.0, 0.0), (101.0, 110.0)],
)
def test_round_up_never_returns_less(value, rounded):
    assert round_up(value) == rounded


def test_a_changed_budget_changes_the_exporters_version(monkeypatch, tmp_path):
    from export import bundle
    from fault_injection.__main__ import CODE_FOLDERS
    from fault_injection.evaluator import JUDGE_FOLDERS
    from fault_injection.material import CODE_FOLDERS as MADE_BY

    for rooms in (CODE_FOLDERS, JUDGE_FOLDERS, MADE_BY, bundle.SOURCE_FOLDERS):
        assert "numerics" in rooms
    room = tmp_path / "numerics"
    (tmp_path / "export").mkdir()
    room.mkdir()
    monkeypatch.setattr(bundle, "__file__", str(tmp_path / "export" / "bundle.py"))
    (room / "budgets.toml").write_text("multiple = 8")
    before = bundle.exporter_sha256()
    (room / "budgets.toml").write_text("multiple = 9")
    assert bundle.exporter_sha256() != before


def test_integer_outputs_have_a_budget_of_zero():
    """An integer output needs a budget too: a bundle without one would be refused."""
    from export import golden

    table = tf.Variable(TABLE)

    def both(ids):
        x = tf.gather(table, ids)
        return {"out": tf.tanh(x), "best": tf.argmax(x, -1, tf.int32)}

    frozen, _ = freeze_function(both, [table], IDS)
    costs = golden.measure_costs(frozen, FEEDS, np.ones((2, 3), bool)).costs
    assert set(costs) == {"out", "best"}
    assert derive_budget(costs["best"]).atol == 0
    assert derive_budget(costs["out"]).atol > 0
