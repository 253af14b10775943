"""Models in another float than float32; NumPy is the reference."""

import numpy as np
import pytest

from support.quiet_tensorflow import tensorflow
from tests.python.graphs import freeze_function

tf, _ = tensorflow()
IDS = tf.TensorSpec([None, None], tf.int32, "input_ids")
GENERATOR = np.random.default_rng(3)


def model(dtype):
    table = tf.Variable(tf.cast(GENERATOR.normal(size=(9, 6)), dtype), name="table")
    kernel = tf.Variable(tf.cast(GENERATOR.normal(size=(6, 6)), dtype), name="kernel")

    def function(ids):
        x = tf.tensordot(tf.gather(table, ids), kernel, 1) * tf.constant(0.1, dtype)
        mask = tf.cast(ids > 0, dtype)[..., None]
        return {"out": x * mask, "first": tf.cast(x[:, 0], tf.float32)}

    return function, table, kernel


def widened(variable):
    return tf.cast(variable, tf.float32).numpy()


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float64])
def test_other_floats_become_float32(dtype):
    from export.graph import preflight, stored_dtypes
    from export.rewrites.tfjs_faults import faulty_by_sound

    function, table, kernel = model(dtype)
    frozen, _ = freeze_function(function, [table, kernel], IDS)
    changed, halves = stored_dtypes.convert_to_float32(frozen)
    assert halves == ([] if dtype == tf.float64 else [dtype.name])
    assert {end.name: end.dtype for end in changed.outputs} == {
        "out": tf.float32,
        "first": tf.float32,
    }
    preflight.check_kernels(faulty_by_sound(changed))
    ids = GENERATOR.integers(0, 9, (2, 5)).astype(np.int32)
    got = changed.run({"input_ids": ids})
    factor = widened(tf.constant(0.1, dtype))
    x = widened(table)[ids] @ widened(kernel) * factor
    np.testing.assert_allclose(got["out"], x * (ids > 0)[..., None], atol=1e-5)
    np.testing.assert_allclose(got["first"], x[:, 0], atol=1e-5)


def test_half_precision_weights_are_stored_exactly():
    from export.graph import stored_dtypes, tfjs

    function, table, kernel = model(tf.float16)
    frozen, _ = stored_dtypes.convert_to_float32(freeze_function(function, [table, kernel], IDS)[0])
    stored = stored_dtypes.choose_stored_dtypes(frozen, "float16")
    assert sorted(stored) == ["weights/kernel", "weights/table"]
    for name in stored:
        value = frozen.weights[name]
        assert np.array_equal(tfjs.round_to_stored(value, "float16"), value)


def test_float32_graph_is_not_changed():
    from export.graph import stored_dtypes

    function, table, kernel = model(tf.float32)
    frozen, _ = freeze_function(function, [table, kernel], IDS)
    assert stored_dtypes.convert_to_float32(frozen) == (frozen, [])
