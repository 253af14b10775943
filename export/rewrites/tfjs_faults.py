"""Ops that TF.js 4.22 computes wrongly for some attributes, by others that it computes rightly.

`export/graph/wrong_kernels.py` says what is wrong; the preflight refuses the rest.
"""

from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import node_def_pb2

from export.graph.graph import FrozenGraph
from export.graph.wrong_kernels import mixed_batches
from export.rewrites.elementary import copy_graph
from export.rewrites.splice import InferredTensors, scalar_constants, splice

Function = Callable[..., Any]


def faulty_by_sound(frozen: FrozenGraph) -> FrozenGraph:
    """Replaces each op that a function of this file fits."""
    tensors = InferredTensors(frozen.graph_def)
    places = list(find_replacements(frozen, tensors))
    if not places:
        return frozen
    result = copy_graph(frozen)
    for node, inputs, function in places:
        splice(result, node.name, inputs, tensors, function)
    return frozen.with_graph(result)


def find_replacements(
    frozen: FrozenGraph, tensors: InferredTensors
) -> Iterator[tuple[node_def_pb2.NodeDef, list[str], Function]]:
    """Each node that is to go, with the tensors and the function that take its place."""
    constants = scalar_constants(frozen.graph_def)
    for node in frozen.graph_def.node:
        inputs = [name for name in node.input if not name.startswith("^")]
        if node.op == "Cast" and node.attr["DstT"].type == tf.bool.as_datatype_enum:
            if tensors[inputs[0]].dtype != tf.bool:
                yield node, inputs, lambda x: tf.not_equal(x, tf.zeros([], x.dtype))
        elif node.op in ("Cumsum", "Cumprod"):
            axis = constants.get(inputs[1], 0)
            if axis < 0:
                yield node, inputs[:1], make_cumulative(node, int(axis))
        elif node.op == "GatherV2" and node.attr["batch_dims"].i > 0:
            batch = node.attr["batch_dims"].i
            rank = tensors[inputs[0]].shape.rank
            if rank is not None and constants.get(inputs[2]) in (batch, batch - rank):
                yield node, inputs[:2], make_flat_gather(batch)
        elif node.op == "MatrixBandPart":
            yield node, inputs, band_part
        elif node.op == "BiasAdd" and node.attr["data_format"].s == b"NCHW":
            yield node, inputs, add_bias_to_axis_1
        elif node.op == "Sign" and tensors[inputs[0]].dtype.is_floating:
            yield node, inputs, sign
        elif node.op == "FloorDiv" and tensors[inputs[0]].dtype.is_floating:
            yield node, inputs, lambda x, y: tf.floor(x / y)
        elif node.op == "EnsureShape":
            yield node, inputs, tf.identity
        elif node.op in ("Select", "SelectV2"):
            condition, chosen = (tensors[name] for name in inputs[:2])
            by_row = node.op == "Select" and condition.shape.rank == 1 != chosen.shape.rank
            if by_row or chosen.dtype == tf.bool:
                yield node, inputs, make_select(by_row)
        elif node.op in ("BatchMatMul", "BatchMatMulV2") and mixed_batches(
            *(tensors[name].shape for name in inputs[:2])
        ):
            adjoint = [node.attr["adj_x"].b, node.attr["adj_y"].b]
            yield node, inputs, make_broadcast_product(*adjoint)


def make_cumulative(node: node_def_pb2.NodeDef, axis: int) -> Function:
    """A cumulative sum or product along an axis that counts from the front."""
    function = tf.cumsum if node.op == "Cumsum" else tf.math.cumprod
    exclusive, reverse = node.attr["exclusive"].b, node.attr["reverse"].b
    return lambda x: function(x, axis + x.shape.rank, exclusive, reverse)


def make_flat_gather(batch: int) -> Function:
    """A gather with leading axes in common, as one of a table with these axes flattened."""

    def function(table: Any, ids: Any) -> Any:
        shape, wanted = tf.shape(table), tf.shape(ids)
        count, rows = tf.reduce_prod(shape[:batch]), shape[batch]
        flat = tf.reshape(table, tf.concat([[count * rows], shape[batch + 1 :]], 0))
        each = tf.reshape(tf.cast(ids, tf.int32), tf.stack([count, -1]))
        each = each + tf.expand_dims(tf.range(count) * rows, 1)
        found = tf.gather(flat, tf.reshape(each, [-1]))
        return tf.reshape(found, tf.concat([wanted, shape[batch + 1 :]], 0))

    return function


def band_part(x: Any, lower: Any, upper: Any) -> Any:
    """The matrices with zeros outside a band; a negative bound is none."""
    shape = tf.shape(x)
    row = tf.expand_dims(tf.range(shape[-2]), 1)
    below = row - tf.expand_dims(tf.range(shape[-1]), 0)
    lower, upper = tf.cast(lower, tf.int32), tf.cast(upper, tf.int32)
    inside_lower = tf.logical_or(tf.less(lower, 0), tf.less_equal(below, lower))
    inside_upper = tf.logical_or(tf.less(upper, 0), tf.less_equal(-below, upper))
    inside = tf.logical_and(inside_lower, inside_upper)
    if x.dtype == tf.bool:
        return tf.logical_and(x, inside)
    return tf.where(inside, x, tf.zeros([], x.dtype))


def add_bias_to_axis_1(x: Any, bias: Any) -> Any:
    """float[batch, channels, …] plus a bias of the channels."""
    return x + tf.reshape(bias, [1, -1] + [1] * (x.shape.rank - 2))


def sign(x: Any) -> Any:
    """-1, 0 or 1; of the x's dtype."""
    positive, negative = (tf.cast(side, x.dtype) for side in (tf.greater(x, 0), tf.less(x, 0)))
    return positive - negative


def make_select(by_row: bool) -> Function:
    """A choice; `by_row` where the condition has one element a row."""

    def function(condition: Any, one: Any, other: Any) -> Any:
        if by_row:
            condition = tf.reshape(condition, [-1] + [1] * (one.shape.rank - 1))
        if one.dtype != tf.bool:
            return tf.where(condition, one, other)
        otherwise = tf.logical_and(tf.logical_not(condition), other)
        return tf.logical_or(tf.logical_and(condition, one), otherwise)

    return function


def make_broadcast_product(adjoint_x: bool, adjoint_y: bool) -> Function:
    """A product of matrices whose leading axes are made equal first."""

    def function(x: Any, y: Any) -> Any:
        lead = tf.broadcast_dynamic_shape(tf.shape(x)[:-2], tf.shape(y)[:-2])
        x, y = (tf.broadcast_to(m, tf.concat([lead, tf.shape(m)[-2:]], 0)) for m in (x, y))
        return tf.matmul(x, y, transpose_a=adjoint_x, transpose_b=adjoint_y)

    return function


# `FusedBatchNorm` where TF.js does not compute what TensorFlow does.

BATCH_NORM_OPS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")


def batch_norm_by_moments(frozen: FrozenGraph) -> FrozenGraph:
    """Writes out what TF.js ignores: `is_training` and the data format NCHW.

    Keras computes a layer norm with an epsilon of 2e-5 or more that way: each row is a channel in
    NCHW, and the mean and variance are the row's own. TF.js takes the empty mean and variance that
    are given instead, and answers NaN. Where a node's other outputs are used it stays.
    """
    used = {name for node in frozen.graph_def.node for name in node.input}
    places = [
        node
        for node in frozen.graph_def.node
        if node.op in BATCH_NORM_OPS
        and (is_training(node) or node.attr["data_format"].s == b"NCHW")
        and not any(f"{node.name}:{port}" in used for port in range(1, 6))
    ]
    if not places:
        return frozen
    tensors, result = InferredTensors(frozen.graph_def), copy_graph(frozen)
    for node in places:
        channels = 1 if node.attr["data_format"].s == b"NCHW" else 3
        epsilon = node.attr["epsilon"].f if "epsilon" in node.attr else 1e-4
        function = make_batch_norm(is_training(node), channels, epsilon)
        splice(result, node.name, list(node.input[:5]), tensors, function)
    return frozen.with_graph(result)


def is_training(node: node_def_pb2.NodeDef) -> bool:
    """Whether the mean and variance are the batch's own; so the op's default has it."""
    return "is_training" not in node.attr or node.attr["is_training"].b


def make_batch_norm(training: bool, channels: int, epsilon: float) -> Callable[..., Any]:
    """The function of x, scale, offset, mean and variance; `channels` is the axis they are of."""

    def function(x: Any, scale: Any, offset: Any, mean: Any, variance: Any) -> Any:
        shape = [-1 if axis == channels else 1 for axis in range(4)]
        if training:
            # An axis of length 1 has nothing to sum, and would make wasm transpose.
            axes = [axis for axis in range(4) if axis != channels and x.shape[axis] != 1]
            mean = tf.reduce_mean(x, axes, keepdims=True)
            centred = x - mean
            variance = tf.reduce_mean(tf.square(centred), axes, keepdims=True)
        else:
            centred = x - tf.reshape(mean, shape)
            variance = tf.reshape(variance, shape)
        scaled = centred * tf.math.rsqrt(variance + epsilon) * tf.reshape(scale, shape)
        return scaled + tf.reshape(offset, shape)

    return function
