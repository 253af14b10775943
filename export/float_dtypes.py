"""Models in float16, bfloat16 or float64, computed in float32: TF.js has no other float.

The numbers of a half-precision model are widened, which is exact, and its sums are then more
precise than the source's own. So the bundle's reference is the source's function in float32, and
what separates that from the source's answers is measured and told.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2
from tensorflow.python.framework import tensor_util

from export.graph import Array, FrozenGraph

HALVES = (tf.float16, tf.bfloat16)
OTHERS = {dtype.as_datatype_enum for dtype in (*HALVES, tf.float64)}
FLOAT32 = tf.float32.as_datatype_enum


def in_float32(frozen: FrozenGraph) -> tuple[FrozenGraph, list[str]]:
    """The graph with float32 for every other float, and the half-precision dtypes it had.

    Weights are converted too; an output that the signature has in another float is float32. A
    graph with float32 alone comes back as it is.
    """
    found: set[int] = set()
    result = graph_pb2.GraphDef(versions=frozen.graph_def.versions)
    for node in frozen.graph_def.node:
        new = result.node.add()
        new.CopyFrom(node)
        found |= convert(new)
    if not found:
        return frozen, []
    weights = as_float32(frozen.weights)
    outputs = [
        replace(end, dtype=tf.float32) if end.dtype.as_datatype_enum in OTHERS else end
        for end in frozen.outputs
    ]
    halves = sorted(dtype.name for dtype in HALVES if dtype.as_datatype_enum in found)
    return replace(frozen, graph_def=result, weights=weights, outputs=outputs), halves


def as_float32(values: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays by name, those of another float in float32."""
    return {
        name: value.astype(np.float32)
        if tf.as_dtype(value.dtype).as_datatype_enum in OTHERS
        else value
        for name, value in values.items()
    }


def convert(node: node_def_pb2.NodeDef) -> set[int]:
    """Changes a node's dtypes in place; those it had."""
    found: set[int] = set()
    for value in node.attr.values():
        kind = value.WhichOneof("value")
        if kind == "type" and value.type in OTHERS:
            found.add(value.type)
            value.type = FLOAT32
        elif kind == "list":
            found |= set(value.list.type) & OTHERS
            value.list.type[:] = [FLOAT32 if t in OTHERS else t for t in value.list.type]
        elif kind == "tensor" and value.tensor.dtype in OTHERS:
            found.add(value.tensor.dtype)
            numbers = tensor_util.MakeNdarray(value.tensor).astype(np.float32)
            value.tensor.CopyFrom(tensor_util.make_tensor_proto(numbers))
    if node.op == "Cast" and node.attr["SrcT"].type == node.attr["DstT"].type:
        dtype = node.attr["DstT"].type
        node.op = "Identity"
        node.attr.clear()
        node.attr["T"].type = dtype
    return found
