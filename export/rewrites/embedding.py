"""Rewrites embedding lookups: small tables, `OneHot` products, and partitioned tables."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2

from export.graph.graph import Array, FrozenGraph, add_axis_zero, skip_identities
from export.rewrites.elementary import copy_graph
from export.rewrites.splice import InferredTensors, scalar_constants, splice
from support.tfjs_weights import WEIGHT_PREFIX

MAX_PRODUCT_ROWS = 4


def gather_by_product(frozen: FrozenGraph) -> FrozenGraph:
    """Replaces gathers from at most 4 rows by a product, exact since 0·x + 1·y is y.

    Wasm gathers element by element: 9 ms for 32 × 64 token types, the product 1 ms. (`OneHot`
    cannot be used: with a float result TF.js's wasm kernel computes wrong numbers, without an
    error.)
    """
    nodes = {node.name: node for node in frozen.graph_def.node}
    constants = scalar_constants(frozen.graph_def)
    matches = []
    for node in frozen.graph_def.node:
        if node.op != "GatherV2" or node.attr["batch_dims"].i != 0:
            continue
        if constants.get(node.input[2].split(":")[0]) == 0:
            table = frozen.weights.get(skip_identities(nodes, node.input[0]))
            if table is not None and table.ndim == 2 and len(table) <= MAX_PRODUCT_ROWS:
                matches.append(node)
    if not matches:
        return frozen
    tensors, result = InferredTensors(frozen.graph_def), copy_graph(frozen)
    for node in matches:
        splice(result, node.name, list(node.input[:2]), tensors, _gather_as_product)
    return frozen.with_graph(result)


def _gather_as_product(table: Any, indices: Any) -> Any:
    """Gathers rows: float32[rows, width], int[batch, sequence] → [batch, sequence, width]."""
    rows, width = table.shape
    column = tf.cast(tf.reshape(indices, [-1, 1]), tf.int32)
    flat = tf.cast(tf.equal(column, tf.range(rows)[None]), table.dtype)
    shape = tf.shape(indices)
    return tf.reshape(tf.matmul(flat, table), [shape[0], shape[1], width])


# `OneHot`: TF.js's kernels compute other numbers than TensorFlow, without an error.
#
# On wasm TF.js 4.22 writes the bits of integers into a float tensor: 1.0 becomes 1.4e-45, so every
# embedding that is looked up by a product with a float one-hot matrix becomes 0. On every backend
# it ignores the axis.

PRODUCTS = {"MatMul": "transpose", "BatchMatMulV2": "adj", "BatchMatMul": "adj"}
# Up to this many rows a product with the one-hot matrix is faster on wasm than a gather.
MAX_ONE_HOT_ROWS = 16


def one_hot_by_equal(frozen: FrozenGraph) -> FrozenGraph:
    """Replaces products of `OneHot` and a larger table by gathers, other `OneHot` by `Equal`.

    Both are exact: 0·x + 1·y is y.
    """
    if not any(node.op == "OneHot" for node in frozen.graph_def.node):
        return frozen
    tensors, result = InferredTensors(frozen.graph_def), copy_graph(frozen)
    for node in frozen.graph_def.node:
        lookup = _find_lookup(node, frozen, tensors)
        if lookup is not None:
            ids, table = lookup
            splice(result, node.name, [table, ids], tensors, _gather_rows)
    for node in frozen.graph_def.node:
        if node.op == "OneHot":
            function = _make_one_hot(node.attr["axis"].i)
            splice(result, node.name, list(node.input), tensors, function)
    return frozen.with_graph(result)


def _find_lookup(
    node: node_def_pb2.NodeDef, frozen: FrozenGraph, tensors: InferredTensors
) -> tuple[str, str] | None:
    """Returns the ids and the table, if a node is the product of a one-hot matrix and a table."""
    transposed = PRODUCTS.get(node.op)
    if transposed is None or any(
        node.attr[f"{transposed}_{side}"].b for side in _flag_suffixes(node)
    ):
        return None
    nodes = {one.name: one for one in frozen.graph_def.node}
    one_hot = nodes[skip_identities(nodes, node.input[0])]
    if one_hot.op != "OneHot" or one_hot.attr["axis"].i not in (
        -1,
        _one_hot_rank(one_hot, tensors),
    ):
        return None
    constants = scalar_constants(frozen.graph_def)
    depth, on, off = (constants.get(skip_identities(nodes, n)) for n in one_hot.input[1:4])
    shape = tensors[node.input[1]].shape
    fits = shape.rank == 2 and depth is not None and shape[0] == int(depth)
    if not fits or (on, off) != (1.0, 0.0) or int(shape[0]) <= MAX_ONE_HOT_ROWS:
        return None
    return one_hot.input[0], node.input[1]


def _flag_suffixes(node: node_def_pb2.NodeDef) -> tuple[str, str]:
    """Returns the suffixes of a product's two transpose flags."""
    return ("a", "b") if node.op == "MatMul" else ("x", "y")


def _one_hot_rank(one_hot: node_def_pb2.NodeDef, tensors: InferredTensors) -> int | None:
    """Returns the last axis of the one-hot tensor, which is the rank of its ids."""
    rank: int | None = tensors[one_hot.input[0]].shape.rank
    return rank


def _gather_rows(table: Any, ids: Any) -> Any:
    """Gathers rows: float[rows, width], int[…] → float[…, width]; zeros for ids out of range."""
    last = table.shape[0] - 1
    ids = tf.cast(ids, tf.int32)
    inside = tf.logical_and(tf.greater_equal(ids, 0), tf.less_equal(ids, last))
    found = tf.gather(table, tf.minimum(tf.maximum(ids, 0), last))
    return found * tf.expand_dims(tf.cast(inside, table.dtype), -1)


def _make_one_hot(axis: int) -> Callable[[Any, Any, Any, Any], Any]:
    """Returns a function that computes `OneHot` on an axis."""

    def function(ids: Any, depth: Any, on: Any, off: Any) -> Any:
        """Computes the one-hot tensor; an id out of range gives `off` everywhere.

        Args:
            ids: int[…].
            depth: the length of the new axis.
            on: the value at the id.
            off: the value elsewhere.
        """
        rank = ids.shape.rank
        axis_index = rank if axis == -1 else axis
        shape = [-1 if i == axis_index else 1 for i in range(rank + 1)]
        column = tf.expand_dims(tf.cast(ids, tf.int32), axis_index)
        hit = tf.equal(column, tf.reshape(tf.range(depth), shape))
        if on.dtype == tf.bool:
            off_anywhere = tf.logical_and(tf.logical_not(hit), off)
            return tf.logical_or(tf.logical_and(hit, on), off_anywhere)
        return tf.cast(hit, on.dtype) * (on - off) + off

    return function


# Partitioned variables.
#
# TF1's partitioner cuts a variable into parts. A lookup then sorts the ids by part
# (`DynamicPartition`) and the rows back (`ParallelDynamicStitch`): ops that TF.js lacks.

STITCHES = ("DynamicStitch", "ParallelDynamicStitch")
# The ops that compute the partition of an id and its index there.
INDEX_ARITHMETIC = {
    "Add", "AddV2", "Cast", "FloorDiv", "FloorMod", "GreaterEqual", "Identity", "Less", "LessEqual",
    "Maximum", "Minimum", "Mul", "Select", "SelectV2", "Sub",
}  # fmt: skip
PARTITION_NAME = re.compile(r"/part_\d+$")


def merge_partitions(frozen: FrozenGraph) -> FrozenGraph:
    """Replaces lookups in the parts of a table by lookups in the whole table.

    The whole table comes from the source's own lookup of every id, so it is correct for any
    distribution of the rows.
    """
    nodes = {node.name: node for node in frozen.graph_def.node}
    result = graph_pb2.GraphDef(versions=frozen.graph_def.versions)
    weights = dict(frozen.weights)
    for node in frozen.graph_def.node:
        parts = _find_partitions(node, nodes, frozen.weights) if node.op in STITCHES else []
        ids = _find_partition_ids(node, nodes) if parts else None
        if ids is None:
            result.node.add().CopyFrom(node)
            continue
        name = PARTITION_NAME.sub("", parts[0])
        if name not in weights:
            weights[name] = _whole_table(frozen, node.name, ids, parts)
            placeholder = result.node.add(op="Placeholder", name=name)
            placeholder.attr["dtype"].type = tf.as_dtype(weights[name].dtype).as_datatype_enum
            shape = tf.TensorShape(weights[name].shape).as_proto()
            placeholder.attr["shape"].shape.CopyFrom(shape)
        gather = result.node.add(op="GatherV2", name=node.name)
        gather.input[:] = [name, ids, add_axis_zero(result, node.name)]
        gather.attr["Tparams"].CopyFrom(node.attr["T"])
        gather.attr["Tindices"].type = _output_dtype(frozen, ids).as_datatype_enum
        gather.attr["Taxis"].type = tf.int32.as_datatype_enum
    if len(weights) == len(frozen.weights):
        return frozen
    return replace(frozen, graph_def=result, weights=weights).pruned()


def _find_partitions(
    stitch: node_def_pb2.NodeDef,
    nodes: Mapping[str, node_def_pb2.NodeDef],
    weights: Mapping[str, Array],
) -> list[str]:
    """Returns the weights whose rows a node merges; empty if it does something else."""
    count = stitch.attr["N"].i
    gathers = [nodes[skip_identities(nodes, name)] for name in stitch.input[count : 2 * count]]
    parts = [skip_identities(nodes, gather.input[0]) for gather in gathers]
    fits = all(gather.op == "GatherV2" for gather in gathers)
    named = all(
        name in weights and PARTITION_NAME.search(name.removeprefix(WEIGHT_PREFIX))
        for name in parts
    )
    return parts if fits and named else []


def _find_partition_ids(
    stitch: node_def_pb2.NodeDef, nodes: Mapping[str, node_def_pb2.NodeDef]
) -> str | None:
    """Returns the one tensor that decides the partition of each row; None if there are several."""
    count = stitch.attr["N"].i
    gather = nodes[skip_identities(nodes, stitch.input[count])]
    partition = nodes[skip_identities(nodes, gather.input[1])]
    if partition.op != "DynamicPartition":
        return None
    waiting = list(partition.input)
    ends: set[str] = set()
    while waiting:
        node = nodes[waiting.pop().partition(":")[0]]
        if node.op in INDEX_ARITHMETIC:
            waiting += node.input
        elif node.op != "Const":
            ends.add(node.name)
    return ends.pop() if len(ends) == 1 else None


def _whole_table(frozen: FrozenGraph, stitch: str, ids: str, parts: list[str]) -> Array:
    """Computes the whole table: the result of the source's lookup for every id.

    Args:
        frozen: the source's graph.
        stitch: the node that merges the rows.
        ids: the node of the ids.
        parts: the weights of the parts.
    """
    rows = sum(len(frozen.weights[name]) for name in parts)
    with tf.Graph().as_default():
        tf.import_graph_def(frozen.graph_def, name="")
        feeds = {f"{name}:0": frozen.weights[name] for name in parts}
        feeds[f"{ids}:0"] = np.arange(rows)
        with tf.compat.v1.Session() as session:
            found: Array = session.run(f"{stitch}:0", feeds)
    return found


def _output_dtype(frozen: FrozenGraph, name: str) -> tf.DType:
    """Returns the dtype of a node's first output."""
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(frozen.graph_def, name="")
        return graph.get_tensor_by_name(f"{name}:0").dtype
