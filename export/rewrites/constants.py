"""Equal constants and equal weights, kept once."""

from hashlib import sha256

import tensorflow as tf
from tensorflow.core.framework import graph_pb2

from export.graph import FrozenGraph


def merge_equal_weights(frozen: FrozenGraph) -> FrozenGraph:
    """Keeps one of each set of equal weights.

    A model that was frozen before it came here has a weight once for each use, ALBERT's shared
    layer once a layer. Variables are one each by themselves.
    """
    first: dict[bytes, str] = {}
    stands_for: dict[str, str] = {}
    for name, value in frozen.weights.items():
        same = f"{value.dtype}{value.shape}".encode() + sha256(value.tobytes()).digest()
        if first.setdefault(same, name) != name:
            stands_for[name] = first[same]
    return frozen.with_graph(redirect(frozen.graph_def, stands_for)) if stands_for else frozen


def merge_equal_constants(frozen: FrozenGraph) -> FrozenGraph:
    """Keeps one of each set of equal constants, such as the same shape for every layer."""
    first: dict[bytes, str] = {}
    stands_for: dict[str, str] = {}
    for node in frozen.graph_def.node:
        if node.op == "Const" and not node.input:
            value = node.attr["value"].SerializeToString(deterministic=True)
            if first.setdefault(value, node.name) != node.name:
                stands_for[node.name] = first[value]
    return frozen.with_graph(redirect(frozen.graph_def, stands_for)) if stands_for else frozen


def redirect(graph_def: graph_pb2.GraphDef, stands_for: dict[str, str]) -> graph_pb2.GraphDef:
    """The graph with some nodes' outputs taken from others."""
    result = graph_pb2.GraphDef()
    result.CopyFrom(graph_def)
    for node in result.node:
        for i, name in enumerate(node.input):
            mark = "^" if name.startswith("^") else ""
            source, colon, port = name.removeprefix("^").partition(":")
            node.input[i] = f"{mark}{stands_for.get(source, source)}{colon}{port}"
    return result


def constant_of(graph_def: graph_pb2.GraphDef) -> dict[str, float]:
    """The value of every constant that has one element, by name."""
    values = {}
    for node in graph_def.node:
        if node.op == "Const":
            value = tf.make_ndarray(node.attr["value"].tensor)
            if value.size == 1 and value.dtype.kind in "fiu":
                values[node.name] = float(value.item())
    return values
