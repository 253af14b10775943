"""A SavedModel's signature as one small graph, with its weights beside it.

The graph uses the signature's names: inputs are placeholders and outputs are identities; their
order does not matter. Each variable is a placeholder too, and the weights' values are in a dict: a
protobuf is limited to 2 GB, and freezing would copy ALBERT's shared layer for each layer.
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
from support.tfjs_weights import WEIGHT_PREFIX

# Without these two, TensorFlow converts a tf.case into the Switch and Merge of TensorFlow 1.
convert_to_constants._CONTROL_FLOW_OPS.update(("Case", "StatelessCase"))
MAX_CONSTANT_SIZE = 1024  # elements; a constant with more is a weight
PLAIN_VARIABLES = ("VariableV2", "Variable")
TABLE_OPS = ("HashTableV2", "MutableHashTableV2")
WRITE_OPS = ("Assign", "AssignAdd", "AssignSub", "ScatterUpdate", "ScatterAdd", "ScatterSub")

Array = NDArray[Any]


@dataclass(frozen=True)
class Endpoint:
    """One input or output of the signature; `shape` has None for free axes.

    An input is always int32, see `freeze`.
    """

    name: str
    dtype: tf.DType
    shape: list[int | None]


@dataclass(frozen=True)
class FrozenGraph:
    """A graph without variables, its weights by the name of their placeholder, and its endpoints.

    `taps` are inner nodes that parity compares.
    """

    graph_def: graph_pb2.GraphDef
    weights: dict[str, Array] = field(repr=False)
    inputs: list[Endpoint]
    outputs: list[Endpoint]
    taps: tuple[str, ...] = ()

    @property
    def required_nodes(self) -> list[str]:
        """The nodes that no rewrite may drop: the outputs and the taps."""
        return [*(endpoint.name for endpoint in self.outputs), *self.taps]

    @property
    def fixed_batch(self) -> int | None:
        """The number of rows that the graph takes at a time; None if it is free."""
        return next((e.shape[0] for e in self.inputs if e.shape and e.shape[0]), None)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the graph on a batch of any size; takes inputs and returns outputs by name."""
        with tf.Graph().as_default():
            tf.import_graph_def(self.graph_def, name="")
            with tf.compat.v1.Session() as session:
                weights = {f"{name}:0": value for name, value in self.weights.items()}
                fetched = {endpoint.name: f"{endpoint.name}:0" for endpoint in self.outputs}

                def run_once(some: Mapping[str, Array]) -> dict[str, Array]:
                    feed = {f"{name}:0": value for name, value in some.items()}
                    outputs: dict[str, Array] = session.run(fetched, weights | feed)
                    return outputs

                return run_in_batches(run_once, feeds, self.fixed_batch)

    def with_graph(self, graph_def: graph_pb2.GraphDef) -> "FrozenGraph":
        """Returns a copy with another graph and the same endpoints and weights."""
        return replace(self, graph_def=graph_def)

    def pruned(self) -> "FrozenGraph":
        """Returns a copy without nodes, weights and inputs that no output and no tap needs."""
        graph_def = tf.compat.v1.graph_util.extract_sub_graph(self.graph_def, self.required_nodes)
        names = {node.name for node in graph_def.node}
        weights = {name: value for name, value in self.weights.items() if name in names}
        inputs = sorted((e for e in self.inputs if e.name in names), key=lambda e: e.name)
        return replace(self, graph_def=graph_def, weights=weights, inputs=inputs)


def can_run(frozen: FrozenGraph, feeds: Mapping[str, Array]) -> bool:
    """Whether TensorFlow accepts these inputs: indices are in range, and all shapes fit."""
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

    The last batch is padded with copies of its last row, whose outputs are dropped.
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
    """A loaded SavedModel and its signature; this object owns the variables."""

    loaded: Any
    function: Any

    @property
    def inputs(self) -> dict[str, tf.Tensor]:
        """The placeholders by their names in the file, such as `Input-Token`."""
        return dict(zip(self.function._arg_keywords, self.function.inputs, strict=False))

    @property
    def fixed_batch(self) -> int | None:
        """The number of rows that the signature takes at a time; None if it is free."""
        shapes = [tensor.shape for tensor in self.inputs.values()]
        return next((shape[0] for shape in shapes if shape.rank and shape[0]), None)

    @property
    def takes_other_dtypes(self) -> bool:
        """Whether an input is not int32."""
        return any(tensor.dtype != tf.int32 for tensor in self.inputs.values())

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the signature on a batch of any size; takes inputs and returns outputs by name.

        Integers are cast to the signature's dtype.
        """
        inputs = self.inputs

        def run_once(some: Mapping[str, Array]) -> dict[str, Array]:
            feed = {
                name: tf.constant(value)
                if inputs[name].dtype == tf.string
                else tf.cast(value, inputs[name].dtype)
                for name, value in some.items()
            }
            try:
                answer = self.function(**feed)
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
        """Reads a variable or table that is a node of a TF1 graph, as arrays.

        `read` is called with the node's tensor as its argument `argument`. TF2 models store
        variables and tables outside their graphs.
        """
        graph = self.loaded.graph
        with graph.as_default():
            tensors = read(**{argument: graph.get_tensor_by_name(f"{node}:0")})
        return tf.nest.map_structure(lambda t: t.numpy(), self.loaded.prune([], tensors)())


def load_source(
    saved_model: Path, tags: Sequence[str] | None = None, name: str = DEFAULT_SIGNATURE
) -> Source:
    """Loads a SavedModel and one of its signatures.

    Args:
        saved_model: its directory.
        tags: all tags of the graph to load; None if the file has only one graph.
        name: the name of the signature.

    Raises:
        UserError: see `load_saved_model`; or the model has no such signature.
    """
    loaded = load_saved_model(saved_model, tags)
    if name not in loaded.signatures:
        got = ", ".join(loaded.signatures) or "none"
        raise UserError(f"{saved_model}: got signatures {got}, expected one called {name}")
    return Source(loaded, loaded.signatures[name])


@dataclass(frozen=True)
class InlinedGraph:
    """The signature's graph with all called functions inlined; variables are outside the graph.

    `inputs` and `outputs` map the signature's names to those in the graph (outputs with `:0`).
    `captured` maps placeholders to the variables and tables that TensorFlow feeds. A TF1 graph
    contains these: `stored` then has the values of its variables by node, `captured` the entries
    of its tables.
    """

    graph_def: graph_pb2.GraphDef
    inputs: dict[str, str]
    outputs: dict[str, str]
    captured: dict[str, Any]
    stored: dict[str, Array] = field(default_factory=dict, repr=False)


def inline_calls(source: Source) -> InlinedGraph:
    """Inlines all function calls with TensorFlow's Grappler."""
    function = source.function
    graph_def = function.graph.as_graph_def()
    # A TF1 graph has no calls, and Grappler cannot import one with a table.
    if any(node.op in control_flow.FUNCTIONAL or "f" in node.attr for node in graph_def.node):
        graph_def = convert_to_constants._run_inline_graph_optimization(function, False, True)
        graph_def = control_flow.lower_control_flow(
            graph_def, [tensor.name for tensor in function.outputs]
        )
    plain = {i.op.name: o for o, i in function.graph.captures if o.dtype != tf.resource}
    for node in graph_def.node:
        # Nothing here has side effects, so the order does not matter.
        node.input[:] = [name for name in node.input if not name.startswith("^")]
        # A colocation constraint would keep the other node in the graph.
        node.attr.pop("_class", None)
        if node.name in plain:
            value = plain[node.name].numpy()
            node.op = "Const"
            del node.attr["shape"]
            node.attr["value"].tensor.CopyFrom(tensor_util.make_tensor_proto(value))
    graph_def = _upgrade_gathers(graph_def)
    # The outputs are flattened in the sorted order of their keys.
    results = sorted(function.structured_outputs)
    return InlinedGraph(
        graph_def,
        {name: tensor.op.name for name, tensor in source.inputs.items()},
        {name: t.name for name, t in zip(results, function.outputs, strict=True)},
        {inner.op.name: outer for outer, inner in function.graph.captures}
        | _read_tf1_tables(source, graph_def),
        _read_tf1_variables(source, graph_def),
    )


def _read_tf1_tables(source: Source, graph_def: graph_pb2.GraphDef) -> dict[str, Any]:
    """Reads the entries of the lookup tables of strings in a TF1 graph, by node."""
    tables = {}
    for node in graph_def.node:
        if node.op in TABLE_OPS and node.attr["key_dtype"].type == tf.string.as_datatype_enum:
            dtype = tf.as_dtype(node.attr["value_dtype"].type)
            export = partial(tf.raw_ops.LookupTableExportV2, Tkeys=tf.string, Tvalues=dtype)
            keys, values = source.value_of(node.name, "table_handle", export)
            tables[node.name] = dict(zip(map(bytes, keys), values.tolist(), strict=True))
    return tables


def _read_tf1_variables(source: Source, graph_def: graph_pb2.GraphDef) -> dict[str, Array]:
    """Reads the values of the variables in a TF1 graph, by node."""
    values: dict[str, Array] = {}
    for node in graph_def.node:
        if node.op in PLAIN_VARIABLES:
            values[node.name] = source.value_of(node.name, "input", tf.identity)
        elif node.op == "VarHandleOp" and node.attr["dtype"].type != tf.string.as_datatype_enum:
            dtype = tf.as_dtype(node.attr["dtype"].type)
            read = partial(tf.raw_ops.ReadVariableOp, dtype=dtype)
            values[node.name] = source.value_of(node.name, "resource", read)
    return values


def _upgrade_gathers(graph_def: graph_pb2.GraphDef) -> graph_pb2.GraphDef:
    """Replaces TF1's `Gather`, which TF.js has no kernel for, by `GatherV2` on axis 0."""
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
    """Makes a graph with placeholders for the weights, and with the signature's names.

    Inputs of another dtype (int64 ids, a mask in float32 or bool) become int32 followed by a cast,
    so that all bundles take int32.

    `taps` maps additional names to tensors of `parts`.

    Raises:
        UserError: the graph does not only read a variable.
    """
    variables = {id(variable.handle): variable for variable in source.function.graph.variables}
    variables_by_node = {
        name: variables[id(outer)]
        for name, outer in parts.captured.items()
        if id(outer) in variables
    }
    graph_def, constants = extract_weights(
        _replace_variables(
            parts.graph_def,
            {n: v.dtype for n, v in variables_by_node.items()}
            | {n: tf.as_dtype(v.dtype) for n, v in parts.stored.items()},
        )
    )
    nodes = {node.name: node for node in graph_def.node}
    values = (
        {node: variable.numpy() for node, variable in variables_by_node.items()}
        | constants
        | parts.stored
    )
    names = {node: variable.name.split(":")[0] for node, variable in variables_by_node.items()}
    weights: dict[str, Array] = {}
    inputs = []
    with tf.Graph().as_default() as graph:
        feeds: dict[str, tf.Tensor] = {}

        def add_weight(node: str, name: str, dtype: tf.DType, shape: tf.TensorShape) -> tf.Tensor:
            """Adds a weight's placeholder.

            Args:
                node: the node that it replaces.
                name: the name of the placeholder.
                dtype: its dtype.
                shape: its shape.
            """
            feeds[f"{node}:0"] = tf.compat.v1.placeholder(dtype, shape, name)
            return feeds[f"{node}:0"]

        for name, node in parts.inputs.items():
            dtype, shape = _placeholder_type(nodes[node])
            # A TF1 placeholder may have an unknown rank.
            shape = shape if shape.rank is not None else tf.TensorShape([None, None])
            tensor = tf.compat.v1.placeholder(tf.int32, shape, name)
            feeds[f"{node}:0"] = tensor if dtype == tf.int32 else tf.cast(tensor, dtype)
            inputs.append(Endpoint(name, tf.int32, shape.as_list()))
        for node, value in values.items():
            name = WEIGHT_PREFIX + names.get(node, node)
            weights[add_weight(node, name, value.dtype, value.shape).op.name] = value
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


def _placeholder_type(node: node_def_pb2.NodeDef) -> tuple[tf.DType, tf.TensorShape]:
    """Returns the dtype and shape of a placeholder."""
    return tf.as_dtype(node.attr["dtype"].type), tf.TensorShape(node.attr["shape"].shape)


def _replace_variables(
    graph_def: graph_pb2.GraphDef, variables_by_node: dict[str, tf.DType]
) -> graph_pb2.GraphDef:
    """Replaces variables by plain tensors; `variables_by_node` has the dtypes of their handles.

    A TF1 variable is a reference, which any op that does not write may take.

    Raises:
        UserError: an op other than `ReadVariableOp` and `ResourceGather` takes a variable.
    """
    result = graph_pb2.GraphDef(versions=graph_def.versions)
    handles = dict(variables_by_node)
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
            # Inlining adds an identity where a handle was an argument of a function.
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
    """Replaces large constants by placeholders: the weights of a model that was frozen before."""
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
    """Returns the number of rows of the word embeddings; None if they cannot be found."""
    nodes = {node.name: node for node in frozen.graph_def.node}
    for node in frozen.graph_def.node:
        if node.op != "GatherV2":
            continue
        table = skip_identities(nodes, node.input[0])
        if table in frozen.weights and _lookup_source(nodes, node.input[1]) == ids:
            return int(frozen.weights[table].shape[0])
    return None


def _lookup_source(nodes: Mapping[str, node_def_pb2.NodeDef], name: str) -> str:
    """Returns the source of a lookup's indices, past casts, reshapes and Keras's index wrapping."""
    while True:
        node = nodes[skip_identities(nodes, name)]
        if node.op not in ("Cast", "Reshape", "ExpandDims", "Squeeze", "SelectV2"):
            return str(node.name)
        name = node.input[2 if node.op == "SelectV2" else 0]


def skip_identities(nodes: Mapping[str, node_def_pb2.NodeDef], name: str) -> str:
    """Returns the source of an input, past identities."""
    node = nodes[name.split(":")[0]]
    while node.op in ("Identity", "StopGradient"):
        node = nodes[node.input[0].split(":")[0]]
    return str(node.name)


def find_origins(parts: InlinedGraph) -> dict[str, str]:
    """Returns the source tensor of each output, past identities, by the output's name."""
    nodes = {node.name: node for node in parts.graph_def.node}
    origins = {}
    for name, tensor in parts.outputs.items():
        node, _, port = tensor.partition(":")
        origin = skip_identities(nodes, node)
        origins[name] = origin if origin != node or port in ("", "0") else tensor
    return origins


def find_upstream(parts: InlinedGraph, name: str) -> set[str]:
    """Returns the names of a node and of all nodes that it depends on."""
    needed = tf.compat.v1.graph_util.extract_sub_graph(parts.graph_def, [name.partition(":")[0]])
    return {node.name for node in needed.node} | {name}


def topological_order(graph_def: graph_pb2.GraphDef) -> list[node_def_pb2.NodeDef]:
    """Returns the nodes in topological order: each after its inputs."""
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


def make_signature_def(frozen: FrozenGraph) -> meta_graph_pb2.SignatureDef:
    """Returns the endpoints of a frozen graph as TensorFlow's signature."""
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
