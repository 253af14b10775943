"""A variable in partitions, put together again.

TF1's partitioner cuts a variable into parts, and a lookup then sorts the ids by part
(`DynamicPartition`) and the rows back (`ParallelDynamicStitch`): ops that TF.js lacks.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2

from export.graph import WEIGHTS, Array, FrozenGraph, add_axis_zero, beyond_identities

STITCHES = ("DynamicStitch", "ParallelDynamicStitch")
# What the partition of an id and its place in it are computed with.
ARITHMETIC = {
    "Add", "AddV2", "Cast", "FloorDiv", "FloorMod", "GreaterEqual", "Identity", "Less", "LessEqual",
    "Maximum", "Minimum", "Mul", "Select", "SelectV2", "Sub",
}  # fmt: skip
PART = re.compile(r"/part_\d+$")


def merge_partitions(frozen: FrozenGraph) -> FrozenGraph:
    """Looks ids up in whole tables where the source looked them up in parts of these.

    The whole table is what the source's own lookup gives for every id, so it is right whichever
    way the rows were dealt out.
    """
    nodes = {node.name: node for node in frozen.graph_def.node}
    result = graph_pb2.GraphDef(versions=frozen.graph_def.versions)
    weights = dict(frozen.weights)
    for node in frozen.graph_def.node:
        parts = parts_of(node, nodes, frozen.weights) if node.op in STITCHES else []
        ids = ids_of(node, nodes) if parts else None
        if ids is None:
            result.node.add().CopyFrom(node)
            continue
        name = PART.sub("", parts[0])
        if name not in weights:
            weights[name] = whole_table(frozen, node.name, ids, parts)
            placeholder = result.node.add(op="Placeholder", name=name)
            placeholder.attr["dtype"].type = tf.as_dtype(weights[name].dtype).as_datatype_enum
            shape = tf.TensorShape(weights[name].shape).as_proto()
            placeholder.attr["shape"].shape.CopyFrom(shape)
        gather = result.node.add(op="GatherV2", name=node.name)
        gather.input[:] = [name, ids, add_axis_zero(result, node.name)]
        gather.attr["Tparams"].CopyFrom(node.attr["T"])
        gather.attr["Tindices"].type = output_dtype(frozen, ids).as_datatype_enum
        gather.attr["Taxis"].type = tf.int32.as_datatype_enum
    if len(weights) == len(frozen.weights):
        return frozen
    return replace(frozen, graph_def=result, weights=weights).pruned()


def parts_of(
    stitch: node_def_pb2.NodeDef,
    nodes: Mapping[str, node_def_pb2.NodeDef],
    weights: Mapping[str, Array],
) -> list[str]:
    """The weights whose rows a node puts in order; none where it does something else."""
    count = stitch.attr["N"].i
    gathers = [nodes[beyond_identities(nodes, name)] for name in stitch.input[count : 2 * count]]
    parts = [beyond_identities(nodes, gather.input[0]) for gather in gathers]
    fits = all(gather.op == "GatherV2" for gather in gathers)
    named = all(name in weights and PART.search(name.removeprefix(WEIGHTS)) for name in parts)
    return parts if fits and named else []


def ids_of(stitch: node_def_pb2.NodeDef, nodes: Mapping[str, node_def_pb2.NodeDef]) -> str | None:
    """The one tensor that tells the partition of each row; None where it is not one."""
    count = stitch.attr["N"].i
    gather = nodes[beyond_identities(nodes, stitch.input[count])]
    partition = nodes[beyond_identities(nodes, gather.input[1])]
    if partition.op != "DynamicPartition":
        return None
    waiting = list(partition.input)
    ends: set[str] = set()
    while waiting:
        node = nodes[waiting.pop().partition(":")[0]]
        if node.op in ARITHMETIC:
            waiting += node.input
        elif node.op != "Const":
            ends.add(node.name)
    return ends.pop() if len(ends) == 1 else None


def whole_table(frozen: FrozenGraph, stitch: str, ids: str, parts: list[str]) -> Array:
    """What the source's lookup gives for every id."""
    rows = sum(len(frozen.weights[name]) for name in parts)
    with tf.Graph().as_default():
        tf.import_graph_def(frozen.graph_def, name="")
        feeds = {f"{name}:0": frozen.weights[name] for name in parts}
        feeds[f"{ids}:0"] = np.arange(rows)
        with tf.compat.v1.Session() as session:
            found: Array = session.run(f"{stitch}:0", feeds)
    return found


def output_dtype(frozen: FrozenGraph, name: str) -> tf.DType:
    """The dtype of a node's first output."""
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(frozen.graph_def, name="")
        return graph.get_tensor_by_name(f"{name}:0").dtype
