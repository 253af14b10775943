"""Puts a TensorFlow function in the place of a node."""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import graph_pb2

Shapes = Mapping[str, tf.TensorShape]
Types = Mapping[str, tf.DType]


class Tensors:
    """Shapes and dtypes of a graph's tensors, by node name, as TensorFlow infers them."""

    def __init__(self, graph_def: graph_pb2.GraphDef) -> None:
        with tf.Graph().as_default() as graph:
            tf.import_graph_def(graph_def, name="")
        self._graph = graph

    def __getitem__(self, name: str) -> tf.Tensor:
        """A tensor by its name in a node's inputs."""
        return self._graph.get_tensor_by_name(name if ":" in name else f"{name}:0")


def splice(
    graph_def: graph_pb2.GraphDef,
    node: str,
    inputs: list[str],
    tensors: Tensors,
    function: Callable[..., Any],
) -> None:
    """Makes node `node` give `function` of the tensors `inputs`, in place.

    The function's nodes are named after the node, which itself becomes an identity.
    """
    with tf.Graph().as_default() as graph:
        given = [tf.compat.v1.placeholder(tensors[n].dtype, tensors[n].shape) for n in inputs]
        outer = {tensor.op.name: name for tensor, name in zip(given, inputs, strict=True)}
        result = function(*given)
        fragment = graph.as_graph_def()
    for part in fragment.node:
        if part.name in outer:
            continue
        new = graph_def.node.add()
        new.CopyFrom(part)
        new.name = f"{node}/by/{part.name}"
        new.input[:] = [outer.get(n.split(":")[0], f"{node}/by/{n}") for n in part.input]
    place = next(one for one in graph_def.node if one.name == node)
    dtype = tensors[node].dtype.as_datatype_enum
    place.Clear()
    place.name, place.op = node, "Identity"
    place.attr["T"].type = dtype
    place.input.append(outer.get(result.op.name, f"{node}/by/{result.name.removesuffix(':0')}"))
