"""Rewrites keep the function: TensorFlow runs the graph before and after, on the same inputs."""

import numpy as np
import pytest

from support.errors import UserError
from support.quiet_tensorflow import tensorflow
from tests.python.graphs import frozen_of

tf, _ = tensorflow()
IDS = tf.TensorSpec([None, None], tf.int32, "input_ids")
GENERATOR = np.random.default_rng(0)


def weight(*shape: int):
    return tf.Variable(GENERATOR.normal(size=shape).astype(np.float32))


def ops(frozen) -> set[str]:
    return {node.op for node in frozen.graph_def.node}


def embedded(table, ids):
    return tf.gather(table, ids)


def check(function, held, *, gone=(), there=(), dtype=tf.int32):
    """Rewrites a function of ids; returns the graph after it."""
    from export.rewrites import rewrite

    frozen, plain = frozen_of(function, held, IDS)
    feeds = {"input_ids": GENERATOR.integers(0, 7, (3, 5)).astype(np.int32)}
    expected = plain(tf.constant(feeds["input_ids"]))
    assert set(gone) <= ops(frozen)
    after, _ = rewrite(frozen, feeds, np.ones((3, 5), bool))
    got = after.run(feeds)
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value.numpy(), rtol=1e-5, atol=1e-6)
    assert not set(gone) & ops(after)
    assert set(there) <= ops(after)
    return after


def test_erfc_becomes_erf():
    table = weight(7, 4)
    check(lambda ids: {"out": tf.math.erfc(embedded(table, ids))}, [table], gone=["Erfc"])


@pytest.mark.parametrize("approximate", [True, False])
def test_gelu_runs_on_every_backend(approximate):
    table = weight(7, 4)
    check(
        lambda ids: {"out": tf.nn.gelu(embedded(table, ids), approximate=approximate)},
        [table],
        gone=["Pow", "Tanh"] if approximate else ["Erfc"],
        there=["Sigmoid"] if approximate else ["Erf"],
    )


def test_gelu_as_the_tf1_code_spells_it():
    table = weight(7, 4)

    def gelu(x):
        return x * (0.5 * (1.0 + tf.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * tf.pow(x, 3)))))

    check(lambda ids: {"out": gelu(embedded(table, ids))}, [table], gone=["Tanh", "Pow"])


def test_a_tanh_that_is_no_gelu_stays():
    table = weight(7, 4)

    def nearly(x):
        return 0.5 * x * (1.0 + tf.tanh(0.79 * (x + 0.044715 * tf.pow(x, 3))))

    check(lambda ids: {"out": nearly(embedded(table, ids))}, [table], gone=["Pow"], there=["Tanh"])


def test_small_powers_become_products():
    table = weight(7, 4)
    check(lambda ids: {"out": tf.pow(embedded(table, ids), 3.0)}, [table], gone=["Pow"])
    after = check(lambda ids: {"out": tf.pow(embedded(table, ids), 5.0)}, [table])
    assert "Pow" in ops(after)


@pytest.mark.parametrize(
    ("equation", "shape"),
    [
        ("abc,cd->abd", (4, 6)),
        ("abc,cde->abde", (4, 2, 3)),
        ("abc,dc->abd", (6, 4)),
        ("abc,cde->dabe", (4, 2, 3)),
    ],
)
def test_einsum_with_a_kernel(equation, shape):
    table, kernel = weight(7, 4), weight(*shape)
    check(
        lambda ids: {"out": tf.einsum(equation, embedded(table, ids), kernel)},
        [table, kernel],
        gone=["Einsum"],
    )


@pytest.mark.parametrize("equation", ["BTNH,BSNH->BNTS", "aecd,abcd->acbe"])
def test_einsum_of_attention(equation):
    table = weight(7, 6)

    def heads(ids):
        x = embedded(table, ids)
        shape = tf.shape(x)
        split = tf.reshape(x, [shape[0], shape[1], 2, 3])
        return {"out": tf.einsum(equation, split, split * 0.5)}

    check(heads, [table], gone=["Einsum"])


def test_the_scale_moves_to_the_queries():
    table = weight(7, 4)

    def scores(ids):
        x = embedded(table, ids)
        return {"out": tf.nn.softmax(tf.matmul(x, x, transpose_b=True) * 0.5)}

    after = check(scores, [table])
    nodes = {node.name: node for node in after.graph_def.node}
    (product,) = [node for node in after.graph_def.node if node.op.startswith("BatchMatMul")]
    assert nodes[product.input[0]].op == "Mul"


@pytest.mark.parametrize("axes", [2, 3])
def test_a_bias_goes_into_its_product(axes):
    table, kernel, bias = weight(7, 4), weight(4, 6), weight(6)

    def dense(ids):
        x = embedded(table, ids)
        x = x if axes == 3 else tf.reshape(x, [-1, 4])
        return {"out": tf.nn.bias_add(tf.tensordot(x, kernel, axes=1), bias)}

    check(dense, [table, kernel, bias], gone=["BiasAdd"], there=["_FusedMatMul"])


def test_a_bias_stays_where_the_product_has_another_use_or_another_width():
    table, kernel, bias = weight(7, 4), weight(4, 6), weight(6)

    def twice(ids):
        product = tf.matmul(tf.reshape(embedded(table, ids), [-1, 4]), kernel)
        return {"out": tf.nn.bias_add(product, bias), "other": product}

    assert "BiasAdd" in ops(check(twice, [table, kernel, bias]))
    short = weight(3)

    def split(ids):
        product = tf.matmul(tf.reshape(embedded(table, ids), [-1, 4]), kernel)
        return {"out": tf.nn.bias_add(tf.reshape(product, [-1, 2, 3]), short)}

    assert "BiasAdd" in ops(check(split, [table, kernel, short]))


def test_rows_of_a_tiny_table_by_a_product():
    types, words = weight(2, 4), weight(7, 4)

    def both(ids):
        return {"out": tf.gather(types, ids % 2) + tf.gather(words, ids)}

    after = check(both, [types, words], gone=[], there=["Equal"])
    assert sum(node.op == "GatherV2" for node in after.graph_def.node) == 1


@pytest.mark.parametrize("rows", [2, 16, 40])
@pytest.mark.parametrize("flat", [True, False])
def test_a_one_hot_lookup(rows, flat):
    """As TF Model Garden and Google's modeling.py look embeddings up."""
    table = weight(rows, 4)

    def lookup(ids):
        given = tf.reshape(ids, [-1]) if flat else ids
        found = tf.matmul(tf.one_hot(given, rows), table)
        return {"out": tf.reshape(found, [tf.shape(ids)[0], tf.shape(ids)[1], 4])}

    there = ["GatherV2"] if rows > 16 else ["Equal"]
    check(lookup, [table], gone=["OneHot"], there=there)


def test_a_layer_norm_by_a_batch_norm():
    """Keras computes a layer norm with its default epsilon so."""
    import tf_keras

    table = weight(7, 4)
    norm = tf_keras.layers.LayerNormalization(epsilon=1e-3)
    norm.build((None, None, 4))
    held = [table, *norm.weights]
    check(lambda ids: {"out": norm(embedded(table, ids))}, held, gone=["FusedBatchNormV3"])


@pytest.mark.parametrize("epsilon", [1e-12, 1e-6, 2e-5, 1e-3])
@pytest.mark.parametrize("library", ["keras", "tf_keras"])
def test_a_layer_norm_of_any_epsilon_is_exported_and_right(library, epsilon):
    """Expected values by hand in float64; Keras takes a batch norm from 2e-5 on or so."""
    import importlib

    from export.graph import preflight

    table = weight(7, 4)
    # Rows of little variance, so that the epsilon shows.
    table.assign(np.float32(0.01) * table)
    norm = importlib.import_module(library).layers.LayerNormalization(epsilon=epsilon)
    norm.build((None, None, 4))
    # Keras 3 wraps TensorFlow's variables.
    held = [table, *(w if isinstance(w, tf.Variable) else w.value for w in norm.weights)]
    after = check(lambda ids: {"out": norm(embedded(table, ids))}, held)
    preflight.check_kernels(after)
    ids = GENERATOR.integers(0, 7, (3, 5)).astype(np.int32)
    x = table.numpy().astype(np.float64)[ids]
    centred = x - x.mean(-1, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
    (got,) = after.run({"input_ids": ids}).values()
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6)


def test_a_causal_mask_and_positions_counted_from_the_end():
    table = weight(7, 4)

    def function(ids):
        x = embedded(table, ids)
        scores = tf.matmul(x, x, transpose_b=True)
        positions = tf.cumsum(tf.cast(tf.cast(ids, tf.bool), tf.int32), -1)
        causal = tf.linalg.band_part(tf.ones_like(scores), -1, 0)
        masked = scores * causal
        return {"out": tf.matmul(masked, tf.gather(table, positions))}

    check(function, [table], gone=["MatrixBandPart"])


def test_shapes_are_told_and_not_computed():
    table, kernel = weight(7, 4), weight(4, 6)

    def dense(ids):
        return {"out": tf.tensordot(embedded(table, ids), kernel, axes=1)}

    after = check(dense, [table, kernel], gone=["Prod"])
    assert {"Prod", "ConcatV2"}.isdisjoint(ops(after))


def test_a_size_that_is_no_formula_keeps_its_shape():
    """The number of positions plus one is neither batch nor sequence nor their product."""
    table = weight(7, 4)

    def odd(ids):
        x = tf.pad(embedded(table, ids), [[0, 0], [0, 1], [0, 0]])
        shape = tf.shape(x)
        return {"out": tf.reshape(x, [shape[0], shape[1], 2, 2])}

    check(odd, [table])


def test_what_only_weights_go_into_is_computed_once():
    table, kernel = weight(7, 4), weight(4, 2, 3)

    def dense(ids):
        flat = tf.reshape(tf.tanh(kernel), [4, 6])
        return {"out": tf.tensordot(embedded(table, ids), flat, axes=1)}

    after = check(dense, [table, kernel], gone=["Tanh"])
    assert sorted(value.shape for value in after.weights.values()) == [(4, 6), (7, 4)]


def test_equal_large_constants_are_kept_once():
    """A model that was frozen before has its weights as constants, one for each use."""
    table = GENERATOR.normal(size=(700, 4)).astype(np.float32)

    def twice(ids):
        one, other = tf.constant(table), tf.constant(table.copy())
        return {"out": tf.gather(one, ids) + tf.gather(other, ids + 1)}

    after = check(twice, [])
    assert [value.shape for value in after.weights.values()] == [(700, 4)]


def test_a_rewrite_that_changes_numbers_is_caught(monkeypatch):
    from export import rewrites

    table = weight(7, 4)
    frozen, _ = frozen_of(lambda ids: {"out": tf.tanh(embedded(table, ids))}, [table], IDS)

    def careless(graph):
        weights = {name: value * 1.001 for name, value in graph.weights.items()}
        return type(graph)(graph.graph_def, weights, graph.inputs, graph.outputs)

    monkeypatch.setattr(rewrites, "REWRITES", (careless,))
    with pytest.raises(UserError, match="rewrite careless moves out by .* at most"):
        rewrites.rewrite(frozen, {"input_ids": np.ones((2, 3), np.int32)}, np.ones((2, 3), bool))


def test_a_model_that_writes_its_variables_is_refused():
    counter = tf.Variable(0.0)

    def counting(ids):
        return {"out": counter.assign_add(1.0) + tf.cast(ids, tf.float32)}

    with pytest.raises(UserError, match="AssignAddVariableOp .* takes a variable, expected only"):
        frozen_of(counting, [counter], IDS)


def test_what_a_rewrite_does_to_masked_positions_does_not_count(monkeypatch):
    from export import rewrites

    table = weight(7, 4)
    frozen, _ = frozen_of(lambda ids: {"out": tf.tanh(embedded(table, ids))}, [table], IDS)
    (name,) = frozen.weights

    def careless(graph):
        value = graph.weights[name].copy()
        value[0] += 1.0
        return type(graph)(graph.graph_def, {name: value}, graph.inputs, graph.outputs)

    monkeypatch.setattr(rewrites, "REWRITES", (careless,))
    feeds = {"input_ids": np.array([[3, 0], [2, 4]], np.int32)}
    visible = np.array([[True, False], [True, True]])
    rewrites.rewrite(frozen, feeds, visible)
    with pytest.raises(UserError, match="rewrite careless"):
        rewrites.rewrite(frozen, feeds, np.ones((2, 2), bool))


def test_a_constant_that_is_slightly_wrong_is_refused(monkeypatch):
    """3e-6 of a weight: float32 outputs move by less than 1e-5, which used to pass."""
    from export import rewrites

    table = weight(7, 4)
    frozen, _ = frozen_of(lambda ids: {"out": tf.tanh(embedded(table, ids))}, [table], IDS)

    def careless(graph):
        weights = {name: value * np.float32(1 + 3e-6) for name, value in graph.weights.items()}
        return type(graph)(graph.graph_def, weights, graph.inputs, graph.outputs)

    feeds = {"input_ids": np.arange(6, dtype=np.int32).reshape(2, 3)}
    moved = np.abs(careless(frozen).run(feeds)["out"] - frozen.run(feeds)["out"]).max()
    assert 0 < moved < 1e-5
    monkeypatch.setattr(rewrites, "REWRITES", (careless,))
    with pytest.raises(UserError, match="rewrite careless moves out"):
        rewrites.rewrite(frozen, feeds, np.ones((2, 3), bool))


def test_an_exact_rewrite_is_not_refused_for_the_noise_of_float32(monkeypatch):
    """Sums of large numbers that cancel: another order moves float32 by far more than 1e-5."""
    from export import rewrites

    table = tf.Variable(GENERATOR.normal(size=(7, 4096)).astype(np.float32) * 1000)

    def summed(ids):
        return {"out": tf.reduce_sum(embedded(table, ids), 2, keepdims=True)}

    frozen, _ = frozen_of(summed, [table], IDS)
    order = GENERATOR.permutation(4096)

    def reordered(graph):
        weights = {name: value[:, order] for name, value in graph.weights.items()}
        return type(graph)(graph.graph_def, weights, graph.inputs, graph.outputs)

    feeds = {"input_ids": np.arange(6, dtype=np.int32).reshape(2, 3)}
    moved = np.abs(reordered(frozen).run(feeds)["out"] - frozen.run(feeds)["out"]).max()
    assert moved > 1e-5
    monkeypatch.setattr(rewrites, "REWRITES", (reordered,))
    _, (step,) = rewrites.rewrite(frozen, feeds, np.ones((2, 3), bool))
    assert step.max_abs < 1e-9
