"""Loops and branches are removed; TensorFlow's own function is the reference."""

import numpy as np
import pytest

from support.errors import UserError
from support.quiet_tensorflow import tensorflow
from tests.python.graphs import freeze_function

tf, _ = tensorflow()
IDS = tf.TensorSpec([None, None], tf.int32, "input_ids")
GENERATOR = np.random.default_rng(0)
TABLE = tf.Variable(GENERATOR.normal(size=(7, 4)).astype(np.float32), name="table")
KERNEL = tf.Variable(GENERATOR.normal(size=(4, 4)).astype(np.float32), name="kernel")
FUNCTIONAL = {"While", "StatelessWhile", "If", "StatelessIf", "Case", "PartitionedCall"}


def embedded(ids):
    return tf.gather(TABLE, ids)


def dense(x):
    return tf.tanh(tf.tensordot(x, KERNEL, 1))


def loop(rounds, body, x, **more):
    return tf.while_loop(lambda i, _: i < rounds, lambda i, y: (i + 1, body(i, y)), [0, x], **more)[
        1
    ]


def for_over_range(ids):
    x = embedded(ids)
    for i in tf.range(4):
        x = dense(x) + tf.cast(i, tf.float32)
    return x


def if_in_while(ids):
    x, n = embedded(ids), tf.constant(0)
    while n < 5:
        if n % 2 == 0:  # noqa: SIM108  autograph makes a tf.cond of it
            x = x * 2.0
        else:
            x = dense(x) + 1.0
        n += 1
    return x


def nested(ids):
    return loop(2, lambda i, x: loop(i + 1, lambda _, y: dense(y), x), embedded(ids))


def choice(ids):
    return tf.cond(tf.shape(ids)[1] > 4, lambda: dense(embedded(ids)), lambda: embedded(ids) * 0.5)


def three_ways(ids):
    sides = [lambda: embedded(ids) * 2.0, lambda: dense(embedded(ids)), lambda: embedded(ids) + 3.0]
    return tf.switch_case(tf.shape(ids)[1] - 4, sides)


@pytest.mark.parametrize(
    "function",
    [
        lambda ids: loop(3, lambda i, x: dense(x) * tf.cast(i + 1, tf.float32), embedded(ids)),
        lambda ids: loop(0, lambda _, x: dense(x), embedded(ids)),
        lambda ids: loop(30, lambda _, x: dense(x), embedded(ids), maximum_iterations=7),
        for_over_range,
        if_in_while,
        nested,
        choice,
        three_ways,
        lambda ids: tf.cond(
            tf.constant(3) > 8, lambda: embedded(ids), lambda: dense(embedded(ids))
        ),
        lambda ids: loop(
            2,
            lambda _, x: tf.cond(tf.reduce_sum(x) > 0, lambda: dense(x), lambda: x * 0.5),
            embedded(ids),
        ),
    ],
)
@pytest.mark.parametrize("length", [3, 4, 5, 9])
def test_loops_and_branches_are_removed(function, length):
    frozen, plain = freeze_function(lambda ids: {"out": function(ids)}, [TABLE, KERNEL], IDS)
    assert not FUNCTIONAL & {node.op for node in frozen.graph_def.node}
    # A variable that several rounds read is one weight, with the variable's name.
    assert "weights/table" in frozen.weights
    assert set(frozen.weights) <= {"weights/table", "weights/kernel"}
    ids = GENERATOR.integers(0, 7, (2, length)).astype(np.int32)
    expected = plain(tf.constant(ids))["out"].numpy()
    np.testing.assert_allclose(frozen.run({"input_ids": ids})["out"], expected, atol=1e-6)


def test_a_large_constant_in_a_loop_is_one_weight():
    values = GENERATOR.normal(size=(40, 50)).astype(np.float32)

    def function(ids):
        return {"out": loop(3, lambda _, x: x + tf.reduce_sum(tf.constant(values)), embedded(ids))}

    frozen, _ = freeze_function(function, [TABLE], IDS)
    assert sorted(value.shape for value in frozen.weights.values()) == [(7, 4), (40, 50)]


def shorter(ids):
    return tf.cond(tf.shape(ids)[1] > 8, lambda: embedded(ids)[:, :-1], lambda: embedded(ids))


def one_row(ids):
    """A selection would repeat the row without an error."""
    return tf.cond(tf.shape(ids)[1] > 8, lambda: embedded(ids)[:, :1], lambda: embedded(ids))


def narrower(ids):
    return tf.cond(tf.shape(ids)[1] > 8, lambda: embedded(ids)[..., :3], lambda: embedded(ids))


def old_condition(ids):
    false, true = tf.raw_ops.Switch(data=embedded(ids), pred=tf.shape(ids)[1] > 8)
    return tf.raw_ops.Merge(inputs=[false, true * 2.0])[0]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda ids: loop(tf.shape(ids)[1], lambda _, x: dense(x), embedded(ids)),
            r"rounds of a tf.while_loop depends on the input \(node .*while\); save .*unroll=True",
        ),
        (
            lambda ids: tf.while_loop(
                lambda x: tf.reduce_sum(x) < 9.0, lambda x: (x + 1.0,), [embedded(ids)]
            )[0],
            r"rounds of a tf.while_loop depends on the input",
        ),
        (
            lambda ids: loop(5000, lambda _, x: dense(x), embedded(ids)),
            r"a tf.while_loop has more than 4,096 rounds \(node",
        ),
        (
            lambda ids: tf.map_fn(lambda row: row * 2.0, embedded(ids)),
            r"a loop over a list, as a recurrent layer, tf.map_fn .*\(node .*unroll=True",
        ),
        (shorter, r"sides of a tf.cond \(node .*cond\) give the shapes .*3, 4, 4"),
        (one_row, r"sides of a tf.cond \(node .*cond\) give the shapes .*3, 1, 4"),
        (narrower, r"sides of a tf.cond \(node .*cond\) give the shapes .*None, None, 3"),
        (old_condition, r"a loop or branch of TensorFlow 1 \((Switch|Merge), node"),
    ],
)
def test_unsupported_control_flow_is_refused_in_one_line(function, message):
    with pytest.raises(UserError, match=message) as caught:
        freeze_function(lambda ids: {"out": function(ids)}, [TABLE, KERNEL], IDS)
    assert "\n" not in str(caught.value)


def test_a_branch_that_writes_a_variable_is_refused():
    counter = tf.Variable(0.0)

    def counting(ids):
        def side():
            counter.assign_add(1.0)
            return embedded(ids)

        return {"out": tf.cond(tf.shape(ids)[1] > 8, side, lambda: embedded(ids))}

    with pytest.raises(UserError, match="AssignAddVariableOp .* takes a variable"):
        freeze_function(counting, [TABLE, counter], IDS)


def test_a_keras_lstm_is_refused_and_an_unrolled_one_is_not():
    import keras

    def built(unroll):
        layer = keras.layers.LSTM(4, unroll=unroll)
        layer.build((None, 5, 4))
        variables = [TABLE, *(weight.value for weight in layer.weights)]
        return (lambda ids: {"out": layer(embedded(ids))}), variables

    with pytest.raises(UserError, match="a recurrent layer"):
        freeze_function(*built(False), IDS)
    function, variables = built(True)
    frozen, plain = freeze_function(
        function, variables, tf.TensorSpec([None, 5], tf.int32, "input_ids")
    )
    ids = GENERATOR.integers(0, 7, (2, 5)).astype(np.int32)
    expected = plain(tf.constant(ids))["out"].numpy()
    np.testing.assert_allclose(frozen.run({"input_ids": ids})["out"], expected, atol=1e-6)
