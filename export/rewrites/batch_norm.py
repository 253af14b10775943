"""`FusedBatchNorm` where TF.js does not compute what TensorFlow does."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import node_def_pb2

from export.graph import FrozenGraph
from export.rewrites.elementary import copy
from export.rewrites.splice import Tensors, splice

OPS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")


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
        if node.op in OPS
        and (trains(node) or node.attr["data_format"].s == b"NCHW")
        and not any(f"{node.name}:{port}" in used for port in range(1, 6))
    ]
    if not places:
        return frozen
    tensors, result = Tensors(frozen.graph_def), copy(frozen)
    for node in places:
        channels = 1 if node.attr["data_format"].s == b"NCHW" else 3
        epsilon = node.attr["epsilon"].f if "epsilon" in node.attr else 1e-4
        function = normalized(trains(node), channels, epsilon)
        splice(result, node.name, list(node.input[:5]), tensors, function)
    return frozen.with_graph(result)


def trains(node: node_def_pb2.NodeDef) -> bool:
    """Whether the mean and variance are the batch's own; so the op's default has it."""
    return "is_training" not in node.attr or node.attr["is_training"].b


def normalized(training: bool, channels: int, epsilon: float) -> Callable[..., Any]:
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
