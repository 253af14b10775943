"""A TensorFlow graph in float64: the same function without float32's rounding.

Every float becomes a double: dtypes of nodes and functions, constants, and targets of casts. A
constant keeps its float32 value: the function stays the model's own, only its arithmetic is more
precise. Ops without a float64 kernel on the CPU are replaced by other ops.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework import attr_value_pb2, graph_pb2, node_def_pb2, types_pb2
from tensorflow.python.framework import convert_to_constants, kernels, ops, tensor_util

Array = NDArray[Any]
FLOAT_TYPES = (types_pb2.DT_FLOAT, types_pb2.DT_HALF, types_pb2.DT_BFLOAT16)
DOUBLE = types_pb2.DT_DOUBLE
BATCH_NORM_OPS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")


class NoFloat64(Exception):
    """The graph has ops that cannot run in float64; the message names them."""


def run_graph(
    graph_def: graph_pb2.GraphDef, feeds: Mapping[str, Array], fetched: Iterable[str]
) -> dict[str, Array]:
    """Runs a graph in TensorFlow; returns the values of some nodes by name.

    Args:
        graph_def: the graph, in float32 or from `graph_in_float64`.
        feeds: the values of the placeholders, by name.
        fetched: names of the nodes whose first output is returned.
    """
    with tf.Graph().as_default():
        tf.import_graph_def(graph_def, name="")
        with tf.compat.v1.Session() as session:
            inputs = {f"{name}:0": value for name, value in feeds.items()}
            values: dict[str, Array] = session.run({name: f"{name}:0" for name in fetched}, inputs)
            return values


def as_float64(value: Array) -> Array:
    """Returns an array of floats as float64, any other array unchanged."""
    return value.astype(np.float64) if tf.as_dtype(value.dtype).is_floating else value


def graph_in_float64(graph_def: graph_pb2.GraphDef) -> graph_pb2.GraphDef:
    """Returns the graph with float64 in place of every float; nodes keep their names.

    Raises:
        NoFloat64: an op has no float64 kernel and no known replacement.
    """
    result = graph_pb2.GraphDef(versions=graph_def.versions)
    result.library.CopyFrom(graph_def.library)
    for node in graph_def.node:
        _add_float64_node(node, result)
    for function in result.library.function:
        for argument in (*function.signature.input_arg, *function.signature.output_arg):
            if argument.type in FLOAT_TYPES:
                argument.type = DOUBLE
        for node in function.node_def:
            _widen_node(node)
    for node in result.node:
        _widen_node(node)
    known = {function.signature.name for function in result.library.function}
    nodes = [*result.node, *(n for f in result.library.function for n in f.node_def)]
    missing = {node.op for node in nodes if node.op not in known and not _has_kernel(node)}
    if missing:
        raise NoFloat64(f"no float64 kernel for {', '.join(sorted(missing))}")
    return result


def _widen_node(node: node_def_pb2.NodeDef) -> None:
    """Replaces floats by float64 in all attributes of a node, in place.

    Raises:
        NoFloat64: the node reads the bits of floats.
    """
    if node.op == "Bitcast" and {node.attr["T"].type, node.attr["type"].type} & set(FLOAT_TYPES):
        raise NoFloat64(f"{node.name} reads the bits of a float")
    for attribute in node.attr.values():
        _widen_attribute(attribute)


def _widen_attribute(attribute: attr_value_pb2.AttrValue) -> None:
    """Replaces floats by float64 in one attribute: a type, a list, a constant or a function."""
    if attribute.type in FLOAT_TYPES:
        attribute.type = DOUBLE
    for i, kind in enumerate(attribute.list.type):
        if kind in FLOAT_TYPES:
            attribute.list.type[i] = DOUBLE
    if attribute.tensor.dtype in FLOAT_TYPES:
        value = tensor_util.MakeNdarray(attribute.tensor).astype(np.float64)
        attribute.tensor.CopyFrom(tensor_util.make_tensor_proto(value))
    for inner in attribute.func.attr.values():
        _widen_attribute(inner)


def _has_kernel(node: node_def_pb2.NodeDef) -> bool:
    """Whether the CPU has a kernel for a node with these dtypes."""
    types = {name: {a.type, *a.list.type} - {0} for name, a in node.attr.items()}
    return any(
        all(types.get(name, set()) <= allowed for name, allowed in limits.items())
        for limits in cpu_kernels(node.op)
    )


@cache
def cpu_kernels(op: str) -> list[dict[str, set[int]]]:
    """Returns, for each CPU kernel of an op, the allowed dtypes by attribute."""
    return [
        {limit.name: set(limit.allowed_values.list.type) for limit in kernel.constraint}
        for kernel in kernels.get_registered_kernels_for_op(op).kernel
        if kernel.device_type in ("CPU", "DEFAULT")
    ]


def _add_float64_node(node: node_def_pb2.NodeDef, result: graph_pb2.GraphDef) -> None:
    """Adds a node to a graph, or equivalent nodes where it has no float64 kernel."""
    if node.op == "_FusedMatMul" and set(node.attr["fused_ops"].list.s) == {b"BiasAdd"}:
        product = result.node.add(op="MatMul", name=f"{node.name}/product")
        product.input[:] = node.input[:2]
        for name in ("T", "transpose_a", "transpose_b"):
            product.attr[name].CopyFrom(node.attr[name])
        added = result.node.add(op="BiasAdd", name=node.name)
        added.input[:] = [product.name, node.input[2]]
        added.attr["T"].CopyFrom(node.attr["T"])
    elif node.op in BATCH_NORM_OPS:
        _add_batch_norm(node, result)
    else:
        result.node.add().CopyFrom(node)


def _add_batch_norm(node: node_def_pb2.NodeDef, result: graph_pb2.GraphDef) -> None:
    """Adds the first output of FusedBatchNorm, which Keras's LayerNormalization uses.

    Its other outputs are statistics for training; a graph that uses one does not load.
    """
    last = node.attr["data_format"].s in (b"", b"NHWC")
    axes = [0, 1, 2] if last else [0, 2, 3]
    axis = [1, 1, 1, -1] if last else [1, -1, 1, 1]
    name = node.name
    if ":" in name:
        raise NoFloat64(f"{name} is inside a function")

    with tf.Graph().as_default() as graph:
        inputs = [tf.compat.v1.placeholder(tf.float64, name=f"input_{i}") for i in range(5)]
        x, scale, offset, mean, variance = inputs
        if node.attr["is_training"].b or "is_training" not in node.attr:
            mean = tf.reduce_mean(x, axes)
            variance = tf.reduce_mean(tf.math.squared_difference(x, tf.reshape(mean, axis)), axes)
        epsilon = node.attr["epsilon"].f if "epsilon" in node.attr else 1e-4
        factor = tf.reshape(scale * tf.math.rsqrt(variance + tf.cast(epsilon, tf.float64)), axis)
        centred = x - tf.reshape(mean, axis)
        tf.identity(centred * factor + tf.reshape(offset, axis), name="result")
        written = graph.as_graph_def()
    outer_names = {f"input_{i}": source for i, source in enumerate(node.input[:5])}
    for inner in written.node:
        if inner.name in outer_names:
            continue
        new = result.node.add()
        new.CopyFrom(inner)
        new.name = name if inner.name == "result" else f"{name}/{inner.name}"
        new.input[:] = [outer_names.get(taken) or f"{name}/{taken}" for taken in inner.input]


class Float64Function:
    """A SavedModel's signature in float64: the same inputs and variables, every float a double."""

    def __init__(self, function: Any, taps: Mapping[str, str]) -> None:
        """Converts the signature's graph, with all called functions inlined.

        Args:
            function: the signature's concrete function.
            taps: tensors inside the graph, by the name under which `run` returns them. The
                outputs of the signature are returned too, by their own names.

        Raises:
            NoFloat64: an op has no float64 kernel.
        """
        results = sorted(function.structured_outputs)
        names = [tensor.name for tensor in function.outputs]
        tensors = dict(zip(results, names, strict=True)) | dict(taps)
        self._names = list(tensors)
        self._keys = sorted(function.structured_input_signature[1])
        written = convert_to_constants._run_inline_graph_optimization(function, False, True)
        graph_def = graph_in_float64(written)
        variables = {id(variable.handle): variable for variable in function.graph.variables}
        capture_feeds = {}
        self._copies = []
        for outer, inner in function.graph.captures:
            variable = variables.get(id(outer))
            if variable is not None and variable.dtype.is_floating:
                self._copies.append(tf.Variable(as_float64(variable.numpy())))
                capture_feeds[inner.name] = self._copies[-1].handle
            else:
                capture_feeds[inner.name] = (
                    tf.cast(outer, tf.float64) if outer.dtype.is_floating else outer
                )
        free = function.inputs[: len(self._keys)]

        def fetch(*inputs: tf.Tensor) -> list[tf.Tensor]:
            feeds = {tensor.name: value for tensor, value in zip(free, inputs, strict=True)}
            feeds |= {
                n: ops.get_default_graph().capture(outer) for n, outer in capture_feeds.items()
            }
            wanted = list(tensors.values())
            fetched: list[tf.Tensor] = tf.import_graph_def(graph_def, feeds, wanted, name="")
            return fetched

        specs = [
            tf.TensorSpec(t.shape, tf.float64 if t.dtype.is_floating else t.dtype) for t in free
        ]
        self._run = tf.compat.v1.wrap_function(fetch, specs)

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Array]:
        """Returns outputs and taps in float64, from the signature's inputs by name."""
        inputs = [as_float64(np.asarray(feeds[key])) for key in self._keys]
        answers = self._run(*(tf.constant(value) for value in inputs))
        return {name: answer.numpy() for name, answer in zip(self._names, answers, strict=True)}
