"""Replaces ops that TF.js 4.22 computes wrongly for some attributes by others.

`export/graph/wrong_kernels.py` describes the faults; the preflight refuses the remaining ones.
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
    """Replaces each op for which this file has a function."""
    tensors = InferredTensors(frozen.graph_def)
    matches = list(_find_replacements(frozen, tensors))
    if not matches:
        return frozen
    result = copy_graph(frozen)
    for node, inputs, function in matches:
        splice(result, node.name, inputs, tensors, function)
    return frozen.with_graph(result)


def _find_replacements(
    frozen: FrozenGraph, tensors: InferredTensors
) -> Iterator[tuple[node_def_pb2.NodeDef, list[str], Function]]:
    """Yields each node to replace, with the tensors and the function that replace it."""
    constants = scalar_constants(frozen.graph_def)
    for node in frozen.graph_def.node:
        inputs = [name for name in node.input if not name.startswith("^")]
        if node.op == "Cast" and node.attr["DstT"].type == tf.bool.as_datatype_enum:
            if tensors[inputs[0]].dtype != tf.bool:
                yield node, inputs, lambda x: tf.not_equal(x, tf.zeros([], x.dtype))
        elif node.op in ("Cumsum", "Cumprod"):
            axis = constants.get(inputs[1], 0)
            if axis < 0:
                yield node, inputs[:1], _make_cumulative(node, int(axis))
        elif node.op == "GatherV2" and node.attr["batch_dims"].i > 0:
            batch = node.attr["batch_dims"].i
            rank = tensors[inputs[0]].shape.rank
            if rank is not None and constants.get(inputs[2]) in (batch, batch - rank):
                yield node, inputs[:2], _make_flat_gather(batch)
        elif node.op == "MatrixBandPart":
            yield node, inputs, band_part
        elif node.op == "BiasAdd" and node.attr["data_format"].s == b"NCHW":
            yield node, inputs, _add_bias_to_axis_1
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
                yield node, inputs, _make_select(by_row)
        elif node.op in ("BatchMatMul", "BatchMatMulV2") and mixed_batches(
            *(tensors[name].shape for name in inputs[:2])
        ):
            adjoint = [node.attr["adj_x"].b, node.attr["adj_y"].b]
            yield node, inputs, _make_broadcast_product(*adjoint)


def _make_cumulative(node: node_def_pb2.NodeDef, axis: int) -> Function:
    """Returns a cumulative sum or product along an axis that counts from the start."""
    function = tf.cumsum if node.op == "Cumsum" else tf.math.cumprod
    exclusive, reverse = node.attr["exclusive"].b, node.attr["reverse"].b
    return lambda x: function(x, axis + x.shape.rank, exclusive, reverse)


def _make_flat_gather(batch: int) -> Function:
    """Returns a gather with common leading axes, by a table with these axes flattened."""

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
    """Sets the matrices to zero outside a band; a negative bound means no bound."""
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


def _add_bias_to_axis_1(x: Any, bias: Any) -> Any:
    """Adds a bias per channel to float[batch, channels, …]."""
    return x + tf.reshape(bias, [1, -1] + [1] * (x.shape.rank - 2))


def sign(x: Any) -> Any:
    """Returns -1, 0 or 1 in the dtype of x."""
    positive, negative = (tf.cast(side, x.dtype) for side in (tf.greater(x, 0), tf.less(x, 0)))
    return positive - negative


def _make_select(by_row: bool) -> Function:
    """Returns a selection; `by_row` means that the condition has one element per row."""

    def function(condition: Any, one: Any, other: Any) -> Any:
        if by_row:
            condition = tf.reshape(condition, [-1] + [1] * (one.shape.rank - 1))
        if one.dtype != tf.bool:
            return tf.where(condition, one, other)
        otherwise = tf.logical_and(tf.logical_not(condition), other)
        return tf.logical_or(tf.logical_and(condition, one), otherwise)

    return function


def _make_broadcast_product(adjoint_x: bool, adjoint_y: bool) -> Function:
    """Returns a matrix product that first broadcasts the leading axes."""

    def function(x: Any, y: Any) -> Any:
        lead = tf.broadcast_dynamic_shape(tf.shape(x)[:-2], tf.shape(y)[:-2])
        x, y = (tf.broadcast_to(m, tf.concat([lead, tf.shape(m)[-2:]], 0)) for m in (x, y))
        return tf.matmul(x, y, transpose_a=adjoint_x, transpose_b=adjoint_y)

    return function


BATCH_NORM_OPS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")


def batch_norm_by_moments(frozen: FrozenGraph) -> FrozenGraph:
    """Replaces `FusedBatchNorm` with `is_training` or the data format NCHW, which TF.js ignores.

    Keras computes a layer norm with an epsilon of 2e-5 or more this way: each row is a channel in
    NCHW, and the mean and variance are those of the row. TF.js uses the empty mean and variance of
    the inputs instead, and returns NaN. A node whose other outputs are used is not replaced.
    """
    used = {name for node in frozen.graph_def.node for name in node.input}
    matches = [
        node
        for node in frozen.graph_def.node
        if node.op in BATCH_NORM_OPS
        and (is_training(node) or node.attr["data_format"].s == b"NCHW")
        and not any(f"{node.name}:{port}" in used for port in range(1, 6))
    ]
    if not matches:
        return frozen
    tensors, result = InferredTensors(frozen.graph_def), copy_graph(frozen)
    for node in matches:
        channels = 1 if node.attr["data_format"].s == b"NCHW" else 3
        epsilon = node.attr["epsilon"].f if "epsilon" in node.attr else 1e-4
        function = _make_batch_norm(is_training(node), channels, epsilon)
        splice(result, node.name, list(node.input[:5]), tensors, function)
    return frozen.with_graph(result)


def is_training(node: node_def_pb2.NodeDef) -> bool:
    """Whether the mean and variance are computed from the batch, which is the op's default."""
    return "is_training" not in node.attr or node.attr["is_training"].b


def _make_batch_norm(training: bool, channels: int, epsilon: float) -> Callable[..., Any]:
    """Returns a function that computes the batch norm along the axis `channels`."""

    def function(x: Any, scale: Any, offset: Any, mean: Any, variance: Any) -> Any:
        """Computes the batch norm.

        Args:
            x: float[a, b, c, d].
            scale: the scale of each channel.
            offset: the offset of each channel.
            mean: the mean of each channel; unused in training.
            variance: the variance of each channel; unused in training.
        """
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
