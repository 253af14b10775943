"""Replaces a node by a TensorFlow function, and merges equal constants and weights."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import graph_pb2

from export.graph.graph import FrozenGraph


class InferredTensors:
    """The shapes and dtypes that TensorFlow infers for a graph's tensors, by node name."""

    def __init__(self, graph_def: graph_pb2.GraphDef) -> None:
        with tf.Graph().as_default() as graph:
            tf.import_graph_def(graph_def, name="")
        self._graph = graph

    def __getitem__(self, name: str) -> tf.Tensor:
        """Returns a tensor by its name in a node's inputs."""
        return self._graph.get_tensor_by_name(name if ":" in name else f"{name}:0")


def splice(
    graph_def: graph_pb2.GraphDef,
    node: str,
    inputs: list[str],
    tensors: InferredTensors,
    function: Callable[..., Any],
) -> None:
    """Replaces a node by a function of other tensors.

    The function's nodes get the node's name as a prefix; the node itself becomes an identity.

    Args:
        graph_def: the graph, changed in place.
        node: the name of the node.
        inputs: the tensors that the function takes.
        tensors: the shapes and dtypes of the graph's tensors.
        function: returns the tensor that replaces the node's result.
    """
    with tf.Graph().as_default() as graph:
        placeholders = [
            tf.compat.v1.placeholder(tensors[n].dtype, tensors[n].shape) for n in inputs
        ]
        outer = {tensor.op.name: name for tensor, name in zip(placeholders, inputs, strict=True)}
        result = function(*placeholders)
        fragment = graph.as_graph_def()
    for part in fragment.node:
        if part.name in outer:
            continue
        new = graph_def.node.add()
        new.CopyFrom(part)
        new.name = f"{node}/by/{part.name}"
        new.input[:] = [outer.get(n.split(":")[0], f"{node}/by/{n}") for n in part.input]
    target = next(one for one in graph_def.node if one.name == node)
    dtype = tensors[node].dtype.as_datatype_enum
    target.Clear()
    target.name, target.op = node, "Identity"
    target.attr["T"].type = dtype
    target.input.append(outer.get(result.op.name, f"{node}/by/{result.name.removesuffix(':0')}"))


def merge_equal_weights(frozen: FrozenGraph) -> FrozenGraph:
    """Merges equal weights.

    A model that was already frozen has a copy of a weight for each use: ALBERT's shared layer once
    for each layer. Variables have no copies.
    """
    first: dict[bytes, str] = {}
    stands_for: dict[str, str] = {}
    for name, value in frozen.weights.items():
        same = f"{value.dtype}{value.shape}".encode() + sha256(value.tobytes()).digest()
        if first.setdefault(same, name) != name:
            stands_for[name] = first[same]
    return (
        frozen.with_graph(_redirect_inputs(frozen.graph_def, stands_for)) if stands_for else frozen
    )


def merge_equal_constants(frozen: FrozenGraph) -> FrozenGraph:
    """Merges equal constants, for example the same shape in every layer."""
    first: dict[bytes, str] = {}
    stands_for: dict[str, str] = {}
    for node in frozen.graph_def.node:
        if node.op == "Const" and not node.input:
            value = node.attr["value"].SerializeToString(deterministic=True)
            if first.setdefault(value, node.name) != node.name:
                stands_for[node.name] = first[value]
    return (
        frozen.with_graph(_redirect_inputs(frozen.graph_def, stands_for)) if stands_for else frozen
    )


def _redirect_inputs(
    graph_def: graph_pb2.GraphDef, stands_for: dict[str, str]
) -> graph_pb2.GraphDef:
    """Returns the graph with inputs from some nodes replaced by others."""
    result = graph_pb2.GraphDef()
    result.CopyFrom(graph_def)
    for node in result.node:
        for i, name in enumerate(node.input):
            mark = "^" if name.startswith("^") else ""
            source, colon, port = name.removeprefix("^").partition(":")
            node.input[i] = f"{mark}{stands_for.get(source, source)}{colon}{port}"
    return result


def scalar_constants(graph_def: graph_pb2.GraphDef) -> dict[str, float]:
    """Returns the value of every constant with one element, by name."""
    values = {}
    for node in graph_def.node:
        if node.op == "Const":
            value = tf.make_ndarray(node.attr["value"].tensor)
            if value.size == 1 and value.dtype.kind in "fiu":
                values[node.name] = float(value.item())
    return values
