"""A SavedModel's signature as one small graph and its weights beside it.

The graph has the signature's own names: inputs are placeholders, outputs identities, and nothing
relies on their order. Weights are placeholders too, one a variable, and their values stand in a
dict: a protobuf may hold 2 GB, and freezing would copy ALBERT's shared layer once a layer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework import graph_pb2, node_def_pb2
from tensorflow.python.framework import convert_to_constants, tensor_util

from export import control_flow
from export.errors import UserError

SIGNATURE = "serving_default"
WEIGHTS = "weights/"
# Without these two TensorFlow turns a tf.case into the Switch and Merge of TensorFlow 1.
convert_to_constants._CONTROL_FLOW_OPS.update(("Case", "StatelessCase"))
LARGE = 1024  # elements; a constant with more is a weight

Array = NDArray[Any]


@dataclass(frozen=True)
class Endpoint:
    """One input or output of the signature; `shape` has None where it is free."""

    name: str
    dtype: tf.DType
    shape: list[int | None]


@dataclass(frozen=True)
class FrozenGraph:
    """A graph without variables, its weights by the name of their placeholder, its endpoints.

    `taps` are nodes that no output is, and that are kept for a judge to look at.
    """

    graph_def: graph_pb2.GraphDef
    weights: dict[str, Array] = field(repr=False)
    inputs: list[Endpoint]
    outputs: list[Endpoint]
    taps: tuple[str, ...] = ()

    @property
    def kept(self) -> list[str]:
        """The nodes that no rewrite may drop: the outputs and the taps."""
        return [*(endpoint.name for endpoint in self.outputs), *self.taps]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """What TensorFlow gives for inputs by name: outputs by name."""
        with tf.Graph().as_default():
            tf.import_graph_def(self.graph_def, name="")
            with tf.compat.v1.Session() as session:
                given = {f"{name}:0": value for name, value in {**self.weights, **feeds}.items()}
                fetched = {endpoint.name: f"{endpoint.name}:0" for endpoint in self.outputs}
                outputs: dict[str, Array] = session.run(fetched, given)
                return outputs

    def with_graph(self, graph_def: graph_pb2.GraphDef) -> "FrozenGraph":
        """The same endpoints and weights around another graph."""
        return replace(self, graph_def=graph_def)

    def pruned(self) -> "FrozenGraph":
        """Without the nodes, weights and inputs that neither an output nor a tap needs."""
        graph_def = tf.compat.v1.graph_util.extract_sub_graph(self.graph_def, self.kept)
        kept = {node.name for node in graph_def.node}
        weights = {name: value for name, value in self.weights.items() if name in kept}
        inputs = sorted((e for e in self.inputs if e.name in kept), key=lambda e: e.name)
        return replace(self, graph_def=graph_def, weights=weights, inputs=inputs)


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
class Inlined:
    """The signature's graph with every function it calls written out; variables stay outside.

    `inputs` and `outputs` go from the signature's names to those in the graph (outputs with
    `:0`); `captured` from placeholders to the variables and tables that TensorFlow feeds them.
    """

    graph_def: graph_pb2.GraphDef
    inputs: dict[str, str]
    outputs: dict[str, str]
    captured: dict[str, Any]


def inlined(source: Source) -> Inlined:
    """Writes out all function calls, with TensorFlow's own Grappler."""
    function = source.function
    graph_def = convert_to_constants._run_inline_graph_optimization(function, False, True)
    graph_def = control_flow.lowered(graph_def, [tensor.name for tensor in function.outputs])
    plain = {i.op.name: o for o, i in function.graph.captures if o.dtype != tf.resource}
    for node in graph_def.node:
        # Nothing here has a side effect that an order would matter to.
        node.input[:] = [name for name in node.input if not name.startswith("^")]
        # That it should run beside another would keep the other in the graph.
        node.attr.pop("_class", None)
        if node.name in plain:
            value = plain[node.name].numpy()
            node.op = "Const"
            del node.attr["shape"]
            node.attr["value"].tensor.CopyFrom(tensor_util.make_tensor_proto(value))
    # Both come flattened in the sorted order of their keys.
    given = sorted(function.structured_input_signature[1])
    results = sorted(function.structured_outputs)
    return Inlined(
        graph_def,
        {name: t.op.name for name, t in zip(given, function.inputs, strict=False)},
        {name: t.name for name, t in zip(results, function.outputs, strict=True)},
        {inner.op.name: outer for outer, inner in function.graph.captures},
    )


def freeze(source: Source, parts: Inlined, taps: Mapping[str, str] | None = None) -> FrozenGraph:
    """Placeholders for the weights, and the signature's own names.

    `taps` has names and the tensors of `parts` that get them besides.

    Raises:
        UserError: the graph does more to a variable than read it.
    """
    variables = {id(variable.handle): variable for variable in source.function.graph.variables}
    held = {
        name: variables[id(outer)]
        for name, outer in parts.captured.items()
        if id(outer) in variables
    }
    graph_def, constants = with_weights_outside(
        reading_weights(parts.graph_def, {n: v.dtype for n, v in held.items()})
    )
    nodes = {node.name: node for node in graph_def.node}
    values = {node: variable.numpy() for node, variable in held.items()} | constants
    names = {node: variable.name.split(":")[0] for node, variable in held.items()}
    weights: dict[str, Array] = {}
    inputs = []
    with tf.Graph().as_default() as graph:
        feeds: dict[str, tf.Tensor] = {}

        def stand_in(node: str, name: str, dtype: tf.DType, shape: tf.TensorShape) -> tf.Tensor:
            feeds[f"{node}:0"] = tf.compat.v1.placeholder(dtype, shape, name)
            return feeds[f"{node}:0"]

        for name, node in parts.inputs.items():
            tensor = stand_in(node, name, *type_of(nodes[node]))
            inputs.append(Endpoint(name, tensor.dtype, tensor.shape.as_list()))
        for node, value in values.items():
            name = WEIGHTS + names.get(node, node)
            weights[stand_in(node, name, value.dtype, value.shape).op.name] = value
        used = {name.split(":")[0] for node in graph_def.node for name in node.input}
        feeds = {name: tensor for name, tensor in feeds.items() if name[:-2] in used}
        wanted = {**parts.outputs, **(taps or {})}
        control_flow.refuse_unfit_branches(graph_def, feeds)
        fetched = tf.import_graph_def(graph_def, feeds, [*wanted.values()], name="model")
        results = [
            Endpoint(name, t.dtype, tf.identity(t, name=name).shape.as_list())
            for name, t in zip(wanted, fetched, strict=True)
        ]
        outputs = results[: len(parts.outputs)]
        frozen = FrozenGraph(graph.as_graph_def(), weights, inputs, outputs, tuple(taps or {}))
    frozen = frozen.pruned()
    control_flow.refuse_unequal_branches(frozen.graph_def)
    return frozen


def type_of(node: node_def_pb2.NodeDef) -> tuple[tf.DType, tf.TensorShape]:
    """What a placeholder holds."""
    return tf.as_dtype(node.attr["dtype"].type), tf.TensorShape(node.attr["shape"].shape)


def reading_weights(graph_def: graph_pb2.GraphDef, held: dict[str, tf.DType]) -> graph_pb2.GraphDef:
    """The graph with its variables as plain tensors; `held` has their handles' names and dtypes.

    Raises:
        UserError: an op other than `ReadVariableOp` and `ResourceGather` takes a variable.
    """
    result = graph_pb2.GraphDef(versions=graph_def.versions)
    handles = dict(held)
    for node in in_order(graph_def):
        new = result.node.add()
        new.CopyFrom(node)
        dtype = next((handles[n] for n in node.input if n in handles), None)
        if dtype is None:
            continue
        if node.op == "Identity":
            # Inlining leaves these where a handle went into a function.
            handles[node.name] = dtype
            new.attr["T"].type = dtype.as_datatype_enum
            continue
        if node.op == "ReadVariableOp":
            new.op = "Identity"
            new.attr["T"].CopyFrom(node.attr["dtype"])
            del new.attr["dtype"]
        elif node.op == "ResourceGather" and node.attr["batch_dims"].i == 0:
            axis = result.node.add(op="Const", name=f"{node.name}/axis")
            axis.attr["dtype"].type = tf.int32.as_datatype_enum
            axis.attr["value"].tensor.CopyFrom(tensor_util.make_tensor_proto(0, tf.int32))
            new.op = "GatherV2"
            new.input.insert(2, axis.name)
            new.attr["Tparams"].CopyFrom(node.attr["dtype"])
            new.attr["Taxis"].type = tf.int32.as_datatype_enum
            for name in ("dtype", "validate_indices"):
                del new.attr[name]
        else:
            raise UserError(
                f"the model's op {node.op} ({node.name}) takes a variable, expected only reads; "
                "export it with an inference signature"
            )
    return result


def with_weights_outside(
    graph_def: graph_pb2.GraphDef,
) -> tuple[graph_pb2.GraphDef, dict[str, Array]]:
    """Large constants become placeholders: the values of a model that was frozen before."""
    result = graph_pb2.GraphDef(versions=graph_def.versions)
    values: dict[str, Array] = {}
    for node in graph_def.node:
        shape = node.attr["value"].tensor.tensor_shape if node.op == "Const" else None
        if shape is not None and tf.TensorShape(shape).num_elements() > LARGE:
            values[node.name] = tensor_util.MakeNdarray(node.attr["value"].tensor)
            new = result.node.add(op="Placeholder", name=node.name)
            new.attr["dtype"].CopyFrom(node.attr["dtype"])
            new.attr["shape"].shape.CopyFrom(shape)
        else:
            result.node.add().CopyFrom(node)
    return result, values


def embedding_rows(frozen: FrozenGraph, ids: str) -> int | None:
    """Rows of the table that the ids are looked up in, or None where that cannot be seen."""
    nodes = {node.name: node for node in frozen.graph_def.node}
    for node in frozen.graph_def.node:
        if node.op != "GatherV2":
            continue
        table, indices = (beyond_identities(nodes, name) for name in node.input[:2])
        if indices == ids and table in frozen.weights:
            return int(frozen.weights[table].shape[0])
    return None


def beyond_identities(nodes: Mapping[str, node_def_pb2.NodeDef], name: str) -> str:
    """The node behind an input, past any that only hand it on."""
    node = nodes[name.split(":")[0]]
    while node.op in ("Identity", "StopGradient"):
        node = nodes[node.input[0].split(":")[0]]
    return str(node.name)


def in_order(graph_def: graph_pb2.GraphDef) -> list[node_def_pb2.NodeDef]:
    """The nodes, each after those that it takes."""
    nodes = {node.name: node for node in graph_def.node}
    done: dict[str, None] = {}
    for start in nodes:
        stack = [start]
        while stack:
            taken = (n.removeprefix("^").split(":")[0] for n in nodes[stack[-1]].input)
            waiting = [name for name in taken if name not in done]
            if waiting:
                stack += waiting
            else:
                done.setdefault(stack.pop())
    return [nodes[name] for name in done]
