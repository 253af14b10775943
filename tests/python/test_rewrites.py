"""Rewrites do not change results: TensorFlow runs the graph before and after."""

import numpy as np
import pytest

from support.errors import UserError
from support.quiet_tensorflow import tensorflow
from tests.python.graphs import freeze_function

tf, _ = tensorflow()
IDS = tf.TensorSpec([None, None], tf.int32, "input_ids")
GENERATOR = np.random.default_rng(0)


def weight(*shape: int):
    return tf.Variable(GENERATOR.normal(size=shape).astype(np.float32))


def op_names(frozen) -> set[str]:
    return {node.op for node in frozen.graph_def.node}


def embed(table, ids):
    return tf.gather(table, ids)


def check_rewrites(function, variables, *, gone=(), there=(), dtype=tf.int32):
    """Rewrites the graph of a function of ids, compares the results, and returns the graph.

    Args:
        function: the function.
        variables: the variables that it uses.
        gone: ops that the rewrite must remove.
        there: ops that the rewrite must add.
        dtype: the dtype of the ids.
    """
    from export.rewrites import rewrite

    frozen, plain = freeze_function(function, variables, IDS)
    feeds = {"input_ids": GENERATOR.integers(0, 7, (3, 5)).astype(np.int32)}
    expected = plain(tf.constant(feeds["input_ids"]))
    assert set(gone) <= op_names(frozen)
    after, _ = rewrite(frozen, feeds, np.ones((3, 5), bool))
    got = after.run(feeds)
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value.numpy(), rtol=1e-5, atol=1e-6)
    assert not set(gone) & op_names(after)
    assert set(there) <= op_names(after)
    return after


def test_erfc_becomes_erf():
    table = weight(7, 4)
    check_rewrites(lambda ids: {"out": tf.math.erfc(embed(table, ids))}, [table], gone=["Erfc"])


@pytest.mark.parametrize("approximate", [True, False])
def test_gelu_runs_on_every_backend(approximate):
    table = weight(7, 4)
    check_rewrites(
        lambda ids: {"out": tf.nn.gelu(embed(table, ids), approximate=approximate)},
        [table],
        gone=["Pow", "Tanh"] if approximate else ["Erfc"],
        there=["Sigmoid"] if approximate else ["Erf"],
    )


def test_gelu_of_the_tf1_code_is_recognised():
    table = weight(7, 4)

    def gelu(x):
        return x * (0.5 * (1.0 + tf.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * tf.pow(x, 3)))))

    check_rewrites(lambda ids: {"out": gelu(embed(table, ids))}, [table], gone=["Tanh", "Pow"])


def test_tanh_outside_gelu_is_not_changed():
    table = weight(7, 4)

    def nearly(x):
        return 0.5 * x * (1.0 + tf.tanh(0.79 * (x + 0.044715 * tf.pow(x, 3))))

    check_rewrites(
        lambda ids: {"out": nearly(embed(table, ids))}, [table], gone=["Pow"], there=["Tanh"]
    )


def test_small_powers_become_products():
    table = weight(7, 4)
    check_rewrites(lambda ids: {"out": tf.pow(embed(table, ids), 3.0)}, [table], gone=["Pow"])
    after = check_rewrites(lambda ids: {"out": tf.pow(embed(table, ids), 5.0)}, [table])
    assert "Pow" in op_names(after)


@pytest.mark.parametrize(
    ("equation", "shape"),
    [
        ("abc,cd->abd", (4, 6)),
        ("abc,cde->abde", (4, 2, 3)),
        ("abc,dc->abd", (6, 4)),
        ("abc,cde->dabe", (4, 2, 3)),
    ],
)
def test_einsum_with_a_kernel_becomes_a_product(equation, shape):
    table, kernel = weight(7, 4), weight(*shape)
    check_rewrites(
        lambda ids: {"out": tf.einsum(equation, embed(table, ids), kernel)},
        [table, kernel],
        gone=["Einsum"],
    )


@pytest.mark.parametrize("equation", ["BTNH,BSNH->BNTS", "aecd,abcd->acbe"])
def test_einsum_of_attention_becomes_a_product(equation):
    table = weight(7, 6)

    def heads(ids):
        x = embed(table, ids)
        shape = tf.shape(x)
        split = tf.reshape(x, [shape[0], shape[1], 2, 3])
        return {"out": tf.einsum(equation, split, split * 0.5)}

    check_rewrites(heads, [table], gone=["Einsum"])


def test_attention_scale_moves_to_the_queries():
    table = weight(7, 4)

    def scores(ids):
        x = embed(table, ids)
        return {"out": tf.nn.softmax(tf.matmul(x, x, transpose_b=True) * 0.5)}

    after = check_rewrites(scores, [table])
    nodes = {node.name: node for node in after.graph_def.node}
    (product,) = [node for node in after.graph_def.node if node.op.startswith("BatchMatMul")]
    assert nodes[product.input[0]].op == "Mul"


@pytest.mark.parametrize("axes", [2, 3])
def test_bias_is_fused_with_its_product(axes):
    table, kernel, bias = weight(7, 4), weight(4, 6), weight(6)

    def dense(ids):
        x = embed(table, ids)
        x = x if axes == 3 else tf.reshape(x, [-1, 4])
        return {"out": tf.nn.bias_add(tf.tensordot(x, kernel, axes=1), bias)}

    check_rewrites(dense, [table, kernel, bias], gone=["BiasAdd"], there=["_FusedMatMul"])


def test_bias_is_not_fused_if_the_product_has_another_use_or_width():
    table, kernel, bias = weight(7, 4), weight(4, 6), weight(6)

    def twice(ids):
        product = tf.matmul(tf.reshape(embed(table, ids), [-1, 4]), kernel)
        return {"out": tf.nn.bias_add(product, bias), "other": product}

    assert "BiasAdd" in op_names(check_rewrites(twice, [table, kernel, bias]))
    short = weight(3)

    def split(ids):
        product = tf.matmul(tf.reshape(embed(table, ids), [-1, 4]), kernel)
        return {"out": tf.nn.bias_add(tf.reshape(product, [-1, 2, 3]), short)}

    assert "BiasAdd" in op_names(check_rewrites(split, [table, kernel, short]))


def test_gather_from_a_tiny_table_becomes_a_product():
    types, words = weight(2, 4), weight(7, 4)

    def both(ids):
        return {"out": tf.gather(types, ids % 2) + tf.gather(words, ids)}

    after = check_rewrites(both, [types, words], gone=[], there=["Equal"])
    assert sum(node.op == "GatherV2" for node in after.graph_def.node) == 1


@pytest.mark.parametrize("rows", [2, 16, 40])
@pytest.mark.parametrize("flat", [True, False])
def test_one_hot_lookup_becomes_a_gather(rows, flat):
    """Looks embeddings up as TF Model Garden and Google's modeling.py do."""
    table = weight(rows, 4)

    def lookup(ids):
        flat_ids = tf.reshape(ids, [-1]) if flat else ids
        found = tf.matmul(tf.one_hot(flat_ids, rows), table)
        return {"out": tf.reshape(found, [tf.shape(ids)[0], tf.shape(ids)[1], 4])}

    there = ["GatherV2"] if rows > 16 else ["Equal"]
    check_rewrites(lookup, [table], gone=["OneHot"], there=there)


def test_layer_norm_as_a_batch_norm_is_rewritten():
    """Keras computes a layer norm with its default epsilon in this way."""
    import tf_keras

    table = weight(7, 4)
    norm = tf_keras.layers.LayerNormalization(epsilon=1e-3)
    norm.build((None, None, 4))
    variables = [table, *norm.weights]
    check_rewrites(
        lambda ids: {"out": norm(embed(table, ids))}, variables, gone=["FusedBatchNormV3"]
    )


@pytest.mark.parametrize("epsilon", [1e-12, 1e-6, 2e-5, 1e-3])
@pytest.mark.parametrize("library", ["keras", "tf_keras"])
def test_layer_norm_with_any_epsilon_is_exported_correctly(library, epsilon):
    """Compares with float64 in NumPy; Keras uses a batch norm for epsilons from about 2e-5."""
    import importlib

    from export.graph import preflight

    table = weight(7, 4)
    # Rows with a small variance, so that the epsilon has an effect.
    table.assign(np.float32(0.01) * table)
    norm = importlib.import_module(library).layers.LayerNormalization(epsilon=epsilon)
    norm.build((None, None, 4))
    # Keras 3 wraps TensorFlow's variables.
    variables = [table, *(w if isinstance(w, tf.Variable) else w.value for w in norm.weights)]
    after = check_rewrites(lambda ids: {"out": norm(embed(table, ids))}, variables)
    preflight.check_kernels(after)
    ids = GENERATOR.integers(0, 7, (3, 5)).astype(np.int32)
    x = table.numpy().astype(np.float64)[ids]
    centred = x - x.mean(-1, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
    (got,) = after.run({"input_ids": ids}).values()
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6)


def test_causal_mask_and_reverse_positions_are_exported_correctly():
    table = weight(7, 4)

    def function(ids):
        x = embed(table, ids)
        scores = tf.matmul(x, x, transpose_b=True)
        positions = tf.cumsum(tf.cast(tf.cast(ids, tf.bool), tf.int32), -1)
        causal = tf.linalg.band_part(tf.ones_like(scores), -1, 0)
        masked = scores * causal
        return {"out": tf.matmul(masked, tf.gather(table, positions))}

    check_rewrites(function, [table], gone=["MatrixBandPart"])


def test_shapes_become_constants_or_formulas():
    table, kernel = weight(7, 4), weight(4, 6)

    def dense(ids):
        return {"out": tf.tensordot(embed(table, ids), kernel, axes=1)}

    after = check_rewrites(dense, [table, kernel], gone=["Prod"])
    assert {"Prod", "ConcatV2"}.isdisjoint(op_names(after))


def test_size_without_a_formula_is_not_changed():
    """The number of positions plus one is neither batch nor sequence nor their product."""
    table = weight(7, 4)

    def odd(ids):
        x = tf.pad(embed(table, ids), [[0, 0], [0, 1], [0, 0]])
        shape = tf.shape(x)
        return {"out": tf.reshape(x, [shape[0], shape[1], 2, 2])}

    check_rewrites(odd, [table])


def test_parts_that_depend_only_on_weights_are_folded():
    table, kernel = weight(7, 4), weight(4, 2, 3)

    def dense(ids):
        flat = tf.reshape(tf.tanh(kernel), [4, 6])
        return {"out": tf.tensordot(embed(table, ids), flat, axes=1)}

    after = check_rewrites(dense, [table, kernel], gone=["Tanh"])
    assert sorted(value.shape for value in after.weights.values()) == [(4, 6), (7, 4)]


def test_equal_large_constants_are_merged():
    """A model that was already frozen has its weights as constants, one for each use."""
    table = GENERATOR.normal(size=(700, 4)).astype(np.float32)

    def twice(ids):
        one, other = tf.constant(table), tf.constant(table.copy())
        return {"out": tf.gather(one, ids) + tf.gather(other, ids + 1)}

    after = check_rewrites(twice, [])
    assert [value.shape for value in after.weights.values()] == [(700, 4)]


def test_a_rewrite_that_changes_numbers_is_caught(monkeypatch):
    from export import rewrites

    table = weight(7, 4)
    frozen, _ = freeze_function(lambda ids: {"out": tf.tanh(embed(table, ids))}, [table], IDS)

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
        freeze_function(counting, [counter], IDS)


def test_a_rewrite_may_change_values_at_masked_positions(monkeypatch):
    from export import rewrites

    table = weight(7, 4)
    frozen, _ = freeze_function(lambda ids: {"out": tf.tanh(embed(table, ids))}, [table], IDS)
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
    """A change of 3e-6 moves float32 outputs by less than 1e-5, which used to pass."""
    from export import rewrites

    table = weight(7, 4)
    frozen, _ = freeze_function(lambda ids: {"out": tf.tanh(embed(table, ids))}, [table], IDS)

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
    """Large numbers cancel in a sum: another order changes float32 by far more than 1e-5."""
    from export import rewrites

    table = tf.Variable(GENERATOR.normal(size=(7, 4096)).astype(np.float32) * 1000)

    def summed(ids):
        return {"out": tf.reduce_sum(embed(table, ids), 2, keepdims=True)}

    frozen, _ = freeze_function(summed, [table], IDS)
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
