"""`OneHot`, by other ops: TF.js's kernels give other numbers than TensorFlow, without an error.

On wasm TF.js 4.22 writes int bits under the dtype's label: 1.0 comes out as 1.4e-45, so every
embedding that is looked up by a product with a float one-hot matrix vanishes. On every backend it
ignores the axis.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import node_def_pb2

from export.graph import FrozenGraph, beyond_identities
from export.rewrites.constants import constant_of
from export.rewrites.elementary import copy
from export.rewrites.splice import Tensors, splice

PRODUCTS = {"MatMul": "transpose", "BatchMatMulV2": "adj", "BatchMatMul": "adj"}
# Up to so many rows a product with the one-hot matrix is faster on wasm than a gather.
SMALL = 16


def one_hot_by_equal(frozen: FrozenGraph) -> FrozenGraph:
    """A product with a one-hot matrix of a larger table becomes a gather; the rest compares.

    Both are exact: 0·x + 1·y is y.
    """
    if not any(node.op == "OneHot" for node in frozen.graph_def.node):
        return frozen
    tensors, result = Tensors(frozen.graph_def), copy(frozen)
    for node in frozen.graph_def.node:
        lookup = lookup_of(node, frozen, tensors)
        if lookup is not None:
            ids, table = lookup
            splice(result, node.name, [table, ids], tensors, rows)
    for node in frozen.graph_def.node:
        if node.op == "OneHot":
            function = compared(node.attr["axis"].i)
            splice(result, node.name, list(node.input), tensors, function)
    return frozen.with_graph(result)


def lookup_of(
    node: node_def_pb2.NodeDef, frozen: FrozenGraph, tensors: Tensors
) -> tuple[str, str] | None:
    """The ids and the table, if a node is a one-hot matrix times a larger table's rows."""
    transposed = PRODUCTS.get(node.op)
    if transposed is None or any(node.attr[f"{transposed}_{side}"].b for side in sides(node)):
        return None
    nodes = {one.name: one for one in frozen.graph_def.node}
    one_hot = nodes[beyond_identities(nodes, node.input[0])]
    if one_hot.op != "OneHot" or one_hot.attr["axis"].i not in (-1, one_hot_rank(one_hot, tensors)):
        return None
    constants = constant_of(frozen.graph_def)
    depth, on, off = (constants.get(beyond_identities(nodes, n)) for n in one_hot.input[1:4])
    shape = tensors[node.input[1]].shape
    fits = shape.rank == 2 and depth is not None and shape[0] == int(depth)
    if not fits or (on, off) != (1.0, 0.0) or int(shape[0]) <= SMALL:
        return None
    return one_hot.input[0], node.input[1]


def sides(node: node_def_pb2.NodeDef) -> tuple[str, str]:
    """The suffixes of a product's two flags."""
    return ("a", "b") if node.op == "MatMul" else ("x", "y")


def one_hot_rank(one_hot: node_def_pb2.NodeDef, tensors: Tensors) -> int | None:
    """The last axis of the one-hot tensor, which is the rank of its ids."""
    rank: int | None = tensors[one_hot.input[0]].shape.rank
    return rank


def rows(table: Any, ids: Any) -> Any:
    """float[rows, width], int[…] → float[…, width]; zeros for an id outside the table."""
    last = table.shape[0] - 1
    ids = tf.cast(ids, tf.int32)
    inside = tf.logical_and(tf.greater_equal(ids, 0), tf.less_equal(ids, last))
    found = tf.gather(table, tf.minimum(tf.maximum(ids, 0), last))
    return found * tf.expand_dims(tf.cast(inside, table.dtype), -1)


def compared(axis: int) -> Callable[[Any, Any, Any, Any], Any]:
    """The function of ids, depth, on and off value; an id outside gives off everywhere."""

    def function(ids: Any, depth: Any, on: Any, off: Any) -> Any:
        rank = ids.shape.rank
        place = rank if axis == -1 else axis
        shape = [-1 if i == place else 1 for i in range(rank + 1)]
        column = tf.expand_dims(tf.cast(ids, tf.int32), place)
        hit = tf.equal(column, tf.reshape(tf.range(depth), shape))
        if on.dtype == tf.bool:
            off_anywhere = tf.logical_and(tf.logical_not(hit), off)
            return tf.logical_or(tf.logical_and(hit, on), off_anywhere)
        return tf.cast(hit, on.dtype) * (on - off) + off

    return function
