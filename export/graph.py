"""A SavedModel's signature as one frozen, optimised graph with the signature's own names.

Weights become constants, inputs are placeholders and outputs identities that carry exactly the
names of the signature; nothing relies on their order.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
from tensorflow.python.framework import convert_to_constants
from tensorflow.python.grappler import tf_optimizer

from export.errors import UserError
from export.rewrites import gelu_by_sigmoid, merge_equal_constants

# Without `remap`, Grappler leaves dense layers as MatMul and BiasAdd, which every backend runs.
OPTIMIZERS = ["pruning", "constfold", "arithmetic", "dependency", "pruning"]
SIGNATURE = "serving_default"


@dataclass(frozen=True)
class Endpoint:
    """One input or output of the signature; `shape` has None where it is free."""

    name: str
    dtype: tf.DType
    shape: list[int | None]


@dataclass(frozen=True)
class FrozenGraph:
    """A graph without variables and the endpoints that its signature names."""

    graph_def: graph_pb2.GraphDef
    inputs: list[Endpoint]
    outputs: list[Endpoint]


def signature_of(loaded: Any, where: Path) -> Any:
    """The concrete function of the model's signature.

    Raises:
        UserError: no signature, or several and none called `serving_default`.
    """
    names = list(loaded.signatures)
    if SIGNATURE in names:
        return loaded.signatures[SIGNATURE]
    if len(names) == 1:
        return loaded.signatures[names[0]]
    got = ", ".join(names) or "none"
    raise UserError(f"{where}: got signatures {got}, expected one called {SIGNATURE}")


@dataclass(frozen=True)
class Source:
    """A loaded SavedModel and its signature; the object holds the variables, so it must live on."""

    loaded: Any
    function: Any


def load(saved_model: Path) -> Source:
    """Loads a SavedModel.

    Raises:
        UserError: the directory holds no loadable SavedModel or no usable signature.
    """
    try:
        loaded = tf.saved_model.load(str(saved_model))
    except (OSError, ValueError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{saved_model} does not load as a SavedModel: {reason}") from error
    return Source(loaded, signature_of(loaded, saved_model))


def freeze(source: Source) -> FrozenGraph:
    """The signature with its variables as constants, under the signature's own names."""
    frozen = convert_to_constants.convert_variables_to_constants_v2(
        source.function, aggressive_inlining=True
    )
    # Outputs come flattened in the sorted order of their keys.
    names = sorted(source.function.structured_outputs)
    results = dict(zip(names, frozen.outputs, strict=True))
    return renamed(frozen.graph.as_graph_def(), frozen.inputs, results)


def renamed(
    graph_def: graph_pb2.GraphDef, inputs: list[tf.Tensor], outputs: dict[str, tf.Tensor]
) -> FrozenGraph:
    """The same graph between placeholders and identities that bear the signature's names."""
    with tf.Graph().as_default() as graph:
        feeds = {}
        for tensor in inputs:
            name = tensor.name.split(":")[0]
            feeds[tensor.name] = tf.compat.v1.placeholder(tensor.dtype, tensor.shape, name)
        fetched = tf.import_graph_def(
            graph_def, feeds, [tensor.name for tensor in outputs.values()], name="model"
        )
        for name, tensor in zip(outputs, fetched, strict=True):
            tf.identity(tensor, name=name)
    sources = [Endpoint(t.name.split(":")[0], t.dtype, t.shape.as_list()) for t in inputs]
    results = [Endpoint(n, t.dtype, t.shape.as_list()) for n, t in outputs.items()]
    return FrozenGraph(graph.as_graph_def(), sorted(sources, key=lambda e: e.name), results)


def optimise(frozen: FrozenGraph) -> FrozenGraph:
    """Folds constants and drops what does not reach an output, with TensorFlow's own Grappler."""
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(frozen.graph_def, name="")
        for endpoint in frozen.outputs:
            # Grappler keeps what this collection names.
            graph.add_to_collection("train_op", graph.get_operation_by_name(endpoint.name))
        meta_graph = tf.compat.v1.train.export_meta_graph(graph=graph)
    meta_graph.signature_def[SIGNATURE].CopyFrom(signature_def(frozen))
    config = config_pb2.ConfigProto()
    config.graph_options.rewrite_options.optimizers[:] = OPTIMIZERS
    optimised = tf_optimizer.OptimizeGraph(config, meta_graph)
    # Importing left each input a second, unfed placeholder; only what outputs need may stay.
    needed = tf.compat.v1.graph_util.extract_sub_graph(
        merge_equal_constants(gelu_by_sigmoid(optimised)),
        [endpoint.name for endpoint in frozen.outputs],
    )
    return FrozenGraph(needed, frozen.inputs, frozen.outputs)


def signature_def(frozen: FrozenGraph) -> meta_graph_pb2.SignatureDef:
    """The signature in TensorFlow's own form."""
    signature = meta_graph_pb2.SignatureDef()
    for target, endpoints in (
        (signature.inputs, frozen.inputs),
        (signature.outputs, frozen.outputs),
    ):
        for endpoint in endpoints:
            target[endpoint.name].name = f"{endpoint.name}:0"
            target[endpoint.name].dtype = endpoint.dtype.as_datatype_enum
            target[endpoint.name].tensor_shape.CopyFrom(tf.TensorShape(endpoint.shape).as_proto())
    return signature


def embedding_rows(graph_def: graph_pb2.GraphDef, ids: str) -> int | None:
    """Rows of the table that the ids are looked up in, or None where that cannot be seen."""
    nodes = {node.name: node for node in graph_def.node}
    for node in graph_def.node:
        if node.op == "GatherV2" and node.input[1].split(":")[0] == ids:
            table = nodes[node.input[0].split(":")[0]]
            if table.op == "Const":
                return int(table.attr["value"].tensor.tensor_shape.dim[0].size)
    return None
