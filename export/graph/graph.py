"""A SavedModel's signature as one small graph and its weights beside it.

The graph has the signature's own names: inputs are placeholders, outputs identities, and nothing
relies on their order. Weights are placeholders too, one a variable, and their values stand in a
dict: a protobuf may hold 2 GB, and freezing would copy ALBERT's shared layer once a layer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework import graph_pb2, node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.framework import convert_to_constants, tensor_util

from export.graph import control_flow
from export.source.signature_choice import DEFAULT_SIGNATURE
from export.source.vetting import load_saved_model
from support.errors import UserError

WEIGHTS = "weights/"
# Without these two TensorFlow turns a tf.case into the Switch and Merge of TensorFlow 1.
convert_to_constants._CONTROL_FLOW_OPS.update(("Case", "StatelessCase"))
MAX_CONSTANT_SIZE = 1024  # elements; a constant with more is a weight
PLAIN_VARIABLES = ("VariableV2", "Variable")
TABLE_OPS = ("HashTableV2", "MutableHashTableV2")
WRITE_OPS = ("Assign", "AssignAdd", "AssignSub", "ScatterUpdate", "ScatterAdd", "ScatterSub")

Array = NDArray[Any]


@dataclass(frozen=True)
class Endpoint:
    """One input or output of the signature; `shape` has None where it is free.

    An input is int32 whatever the signature takes: see `freeze`.
    """

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

    @property
    def fixed_batch(self) -> int | None:
        """The rows that the graph takes at a time; None where they are free."""
        return next((e.shape[0] for e in self.inputs if e.shape and e.shape[0]), None)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """What TensorFlow gives for inputs by name: outputs by name; of any number of rows."""
        with tf.Graph().as_default():
            tf.import_graph_def(self.graph_def, name="")
            with tf.compat.v1.Session() as session:
                weights = {f"{name}:0": value for name, value in self.weights.items()}
                fetched = {endpoint.name: f"{endpoint.name}:0" for endpoint in self.outputs}

                def run_once(some: Mapping[str, Array]) -> dict[str, Array]:
                    given = {f"{name}:0": value for name, value in some.items()}
                    outputs: dict[str, Array] = session.run(fetched, weights | given)
                    return outputs

                return run_in_batches(run_once, feeds, self.fixed_batch)

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


def can_run(frozen: FrozenGraph, feeds: Mapping[str, Array]) -> bool:
    """Whether TensorFlow takes these inputs: no index leads out of a table, and all shapes fit."""
    try:
        frozen.run(feeds)
    except tf.errors.InvalidArgumentError:
        return False
    return True


def run_in_batches(
    run: Callable[[Mapping[str, Array]], Mapping[str, Array]],
    feeds: Mapping[str, Array],
    rows: int | None,
) -> dict[str, Array]:
    """Runs a batch of any size through a model that takes `rows` rows at a time (None: any).

    A short last batch is filled with copies of its last row, whose outputs are dropped.
    """
    if rows is None:
        return dict(run(feeds))
    count = len(next(iter(feeds.values())))
    parts = []
    for start in range(0, count, rows):
        some = {name: value[start : start + rows] for name, value in feeds.items()}
        real = min(rows, count - start)
        filled = {
            name: np.concatenate([value, np.repeat(value[-1:], rows - real, axis=0)])
            for name, value in some.items()
        }
        parts.append({name: value[:real] for name, value in run(filled).items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@dataclass(frozen=True)
class Source:
    """A loaded SavedModel and its signature; the object holds the variables, so it must live on."""

    loaded: Any
    function: Any

    @property
    def inputs(self) -> dict[str, tf.Tensor]:
        """The placeholders by the names that the file has: `Input-Token` is no name in Python."""
        return dict(zip(self.function._arg_keywords, self.function.inputs, strict=False))

    @property
    def fixed_batch(self) -> int | None:
        """The rows that the signature takes at a time; None where they are free."""
        shapes = [tensor.shape for tensor in self.inputs.values()]
        return next((shape[0] for shape in shapes if shape.rank and shape[0]), None)

    @property
    def takes_other_dtypes(self) -> bool:
        """Whether an input is not int32."""
        return any(tensor.dtype != tf.int32 for tensor in self.inputs.values())

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """What the signature gives for inputs by name: outputs by name; of any number of rows.

        Integers become the dtype that the signature takes.
        """
        inputs = self.inputs

        def run_once(some: Mapping[str, Array]) -> dict[str, Array]:
            given = {
                name: tf.constant(value)
                if inputs[name].dtype == tf.string
                else tf.cast(value, inputs[name].dtype)
                for name, value in some.items()
            }
            try:
                answer = self.function(**given)
            except tf.errors.InvalidArgumentError as error:
                reason = next(line for line in str(error).splitlines()[::-1] if line.strip())
                lines = [line for line in str(error).splitlines() if "indices[" in line]
                raise UserError(
                    f"the model does not run on these ids: {(lines or [reason])[0].strip()}; "
                    "is the vocab the model's own, and its longest text within its positions?"
                ) from error
            return {name: value.numpy() for name, value in answer.items()}

        return run_in_batches(run_once, feeds, self.fixed_batch)

    def value_of(self, node: str, argument: str, read: Callable[..., Any]) -> Any:
        """What `read` gives for a variable or table that is a node of a TF1 graph, as arrays.

        It is the argument of this name. TF2 models keep these outside of their graphs.
        """
        graph = self.loaded.graph
        with graph.as_default():
            tensors = read(**{argument: graph.get_tensor_by_name(f"{node}:0")})
        return tf.nest.map_structure(lambda t: t.numpy(), self.loaded.prune([], tensors)())


def load_source(
    saved_model: Path, tags: Sequence[str] | None = None, name: str = DEFAULT_SIGNATURE
) -> Source:
    """Loads a SavedModel and takes one of its signatures.

    Args:
        saved_model: its directory.
        tags: all tags of the graph to load; None where the file holds but one.
        name: of the signature.

    Raises:
        UserError: see `load_saved_model`; or the model has not this signature.
    """
    loaded = load_saved_model(saved_model, tags)
    if name not in loaded.signatures:
        got = ", ".join(loaded.signatures) or "none"
        raise UserError(f"{saved_model}: got signatures {got}, expected one called {name}")
    return Source(loaded, loaded.signatures[name])


@dataclass(frozen=True)
class InlinedGraph:
    """The signature's graph with every function it calls written out; variables stay outside.

    `inputs` and `outputs` go from the signature's names to those in the graph (outputs with
    `:0`); `captured` from placeholders to the variables and tables that TensorFlow feeds them.
    A TF1 graph holds these inside: `stored` has the values of its variables by node, `captured`
    the entries of its tables.
    """

    graph_def: graph_pb2.GraphDef
    inputs: dict[str, str]
    outputs: dict[str, str]
    captured: dict[str, Any]
    stored: dict[str, Array] = field(default_factory=dict, repr=False)


def inline_calls(source: Source) -> InlinedGraph:
    """Writes out all function calls, with TensorFlow's own Grappler."""
    function = source.function
    graph_def = function.graph.as_graph_def()
    # A TF1 graph has no calls, and Grappler does not read back one with a table in it.
    if any(node.op in control_flow.FUNCTIONAL or "f" in node.attr for node in graph_def.node):
        graph_def = convert_to_constants._run_inline_graph_optimization(function, False, True)
        graph_def = control_flow.lower_control_flow(
            graph_def, [tensor.name for tensor in function.outputs]
        )
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
    graph_def = upgrade_gathers(graph_def)
    # They come flattened in the sorted order of their keys.
    results = sorted(function.structured_outputs)
    return InlinedGraph(
        graph_def,
        {name: tensor.op.name for name, tensor in source.inputs.items()},
        {name: t.name for name, t in zip(results, function.outputs, strict=True)},
        {inner.op.name: outer for outer, inner in function.graph.captures}
        | read_tf1_tables(source, graph_def),
        read_tf1_variables(source, graph_def),
    )


def read_tf1_tables(source: Source, graph_def: graph_pb2.GraphDef) -> dict[str, Any]:
    """What the lookup tables of strings that a TF1 graph holds make of each string, by node."""
    tables = {}
    for node in graph_def.node:
        if node.op in TABLE_OPS and node.attr["key_dtype"].type == tf.string.as_datatype_enum:
            dtype = tf.as_dtype(node.attr["value_dtype"].type)
            export = partial(tf.raw_ops.LookupTableExportV2, Tkeys=tf.string, Tvalues=dtype)
            keys, values = source.value_of(node.name, "table_handle", export)
            tables[node.name] = dict(zip(map(bytes, keys), values.tolist(), strict=True))
    return tables


def read_tf1_variables(source: Source, graph_def: graph_pb2.GraphDef) -> dict[str, Array]:
    """The values of the variables that are nodes of the graph, as TF1 has them, by node."""
    values: dict[str, Array] = {}
    for node in graph_def.node:
        if node.op in PLAIN_VARIABLES:
            values[node.name] = source.value_of(node.name, "input", tf.identity)
        elif node.op == "VarHandleOp" and node.attr["dtype"].type != tf.string.as_datatype_enum:
            dtype = tf.as_dtype(node.attr["dtype"].type)
            read = partial(tf.raw_ops.ReadVariableOp, dtype=dtype)
            values[node.name] = source.value_of(node.name, "resource", read)
    return values


def upgrade_gathers(graph_def: graph_pb2.GraphDef) -> graph_pb2.GraphDef:
    """The graph with TF1's `Gather`, which TF.js has no kernel for, as `GatherV2` on axis 0."""
    result = graph_pb2.GraphDef(versions=graph_def.versions)
    for node in graph_def.node:
        if node.op == "Gather":
            axis = add_axis_zero(result, node.name)
            new = result.node.add()
            new.CopyFrom(node)
            new.op = "GatherV2"
            new.input.insert(2, axis)
            new.attr["Taxis"].type = tf.int32.as_datatype_enum
            new.attr.pop("validate_indices", None)
        else:
            result.node.add().CopyFrom(node)
    return result


def add_axis_zero(graph_def: graph_pb2.GraphDef, name: str) -> str:
    """Adds the constant 0 for the gather `name`; returns the constant's name."""
    axis = graph_def.node.add(op="Const", name=f"{name}/axis_zero")
    axis.attr["dtype"].type = tf.int32.as_datatype_enum
    axis.attr["value"].tensor.CopyFrom(tensor_util.make_tensor_proto(0, tf.int32))
    return str(axis.name)


def freeze(
    source: Source, parts: InlinedGraph, taps: Mapping[str, str] | None = None
) -> FrozenGraph:
    """Placeholders for the weights, and the signature's own names.

    Inputs of another dtype (int64 ids, a mask in float32 or bool) become int32 with a cast behind
    them, so that every bundle takes the same.

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
    graph_def, constants = extract_weights(
        replace_variables(
            parts.graph_def,
            {n: v.dtype for n, v in held.items()}
            | {n: tf.as_dtype(v.dtype) for n, v in parts.stored.items()},
        )
    )
    nodes = {node.name: node for node in graph_def.node}
    values = {node: variable.numpy() for node, variable in held.items()} | constants | parts.stored
    names = {node: variable.name.split(":")[0] for node, variable in held.items()}
    weights: dict[str, Array] = {}
    inputs = []
    with tf.Graph().as_default() as graph:
        feeds: dict[str, tf.Tensor] = {}

        def stand_in(node: str, name: str, dtype: tf.DType, shape: tf.TensorShape) -> tf.Tensor:
            feeds[f"{node}:0"] = tf.compat.v1.placeholder(dtype, shape, name)
            return feeds[f"{node}:0"]

        for name, node in parts.inputs.items():
            dtype, shape = placeholder_type(nodes[node])
            # A TF1 placeholder may leave even its rank open.
            shape = shape if shape.rank is not None else tf.TensorShape([None, None])
            tensor = tf.compat.v1.placeholder(tf.int32, shape, name)
            feeds[f"{node}:0"] = tensor if dtype == tf.int32 else tf.cast(tensor, dtype)
            inputs.append(Endpoint(name, tf.int32, shape.as_list()))
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


def placeholder_type(node: node_def_pb2.NodeDef) -> tuple[tf.DType, tf.TensorShape]:
    """What a placeholder holds."""
    return tf.as_dtype(node.attr["dtype"].type), tf.TensorShape(node.attr["shape"].shape)


def replace_variables(
    graph_def: graph_pb2.GraphDef, held: dict[str, tf.DType]
) -> graph_pb2.GraphDef:
    """The graph with its variables as plain tensors; `held` has their handles' names and dtypes.

    A TF1 variable is a reference instead, which any op may take that does not write.

    Raises:
        UserError: an op other than `ReadVariableOp` and `ResourceGather` takes a variable.
    """
    result = graph_pb2.GraphDef(versions=graph_def.versions)
    handles = dict(held)
    references = {node.name for node in graph_def.node if node.op in PLAIN_VARIABLES}
    for node in topological_order(graph_def):
        new = result.node.add()
        new.CopyFrom(node)
        if references & {n.split(":")[0] for n in node.input} and node.op not in WRITE_OPS:
            continue
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
            new.op = "GatherV2"
            new.input.insert(2, add_axis_zero(result, node.name))
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


def extract_weights(
    graph_def: graph_pb2.GraphDef,
) -> tuple[graph_pb2.GraphDef, dict[str, Array]]:
    """Large constants become placeholders: the values of a model that was frozen before."""
    result = graph_pb2.GraphDef(versions=graph_def.versions)
    values: dict[str, Array] = {}
    for node in graph_def.node:
        shape = node.attr["value"].tensor.tensor_shape if node.op == "Const" else None
        if shape is not None and tf.TensorShape(shape).num_elements() > MAX_CONSTANT_SIZE:
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
        table = skip_identities(nodes, node.input[0])
        if table in frozen.weights and lookup_source(nodes, node.input[1]) == ids:
            return int(frozen.weights[table].shape[0])
    return None


def lookup_source(nodes: Mapping[str, node_def_pb2.NodeDef], name: str) -> str:
    """The node whose values are looked up, past casts, shapes and Keras's wrap of negative ids."""
    while True:
        node = nodes[skip_identities(nodes, name)]
        if node.op not in ("Cast", "Reshape", "ExpandDims", "Squeeze", "SelectV2"):
            return str(node.name)
        name = node.input[2 if node.op == "SelectV2" else 0]


def skip_identities(nodes: Mapping[str, node_def_pb2.NodeDef], name: str) -> str:
    """The node behind an input, past any that only hand it on."""
    node = nodes[name.split(":")[0]]
    while node.op in ("Identity", "StopGradient"):
        node = nodes[node.input[0].split(":")[0]]
    return str(node.name)


def find_origins(parts: InlinedGraph) -> dict[str, str]:
    """The tensor behind each output, past what only hands it on, by the output's name."""
    nodes = {node.name: node for node in parts.graph_def.node}
    origins = {}
    for name, tensor in parts.outputs.items():
        node, _, port = tensor.partition(":")
        origin = skip_identities(nodes, node)
        origins[name] = origin if origin != node or port in ("", "0") else tensor
    return origins


def find_upstream(parts: InlinedGraph, name: str) -> set[str]:
    """The names of a node and of all that it depends on."""
    needed = tf.compat.v1.graph_util.extract_sub_graph(parts.graph_def, [name.partition(":")[0]])
    return {node.name for node in needed.node} | {name}


def topological_order(graph_def: graph_pb2.GraphDef) -> list[node_def_pb2.NodeDef]:
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


# The endpoints of a frozen graph in TensorFlow's own form.


def make_signature_def(frozen: FrozenGraph) -> meta_graph_pb2.SignatureDef:
    """The signature."""
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
