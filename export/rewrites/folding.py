"""What depends on weights alone is computed once, here."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import tensorflow as tf
from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.framework import tensor_util
from tensorflow.python.grappler import tf_optimizer

from export.graph.graph import WEIGHTS, Endpoint, FrozenGraph, make_signature_def, topological_order
from export.rewrites.elementary import copy_graph
from export.source.signature_choice import DEFAULT_SIGNATURE

PASSING = ("Const", "Placeholder", "Identity")


def fold_weights(frozen: FrozenGraph) -> FrozenGraph:
    """Replaces each largest part of the graph that only weights go into by a weight.

    Such are the reshaped kernels of `EinsumDense`. Grappler cannot fold them: to it, weights are
    placeholders.
    """
    still = set(frozen.weights)
    computed = []
    for node in topological_order(frozen.graph_def):
        sources = {name.split(":")[0] for name in node.input if not name.startswith("^")}
        if node.op == "Const" or (sources and sources <= still):
            still.add(node.name)
            if node.op not in PASSING:
                computed.append(node.name)
    kept = set(frozen.kept)
    needed = {
        name.split(":")[0]
        for node in frozen.graph_def.node
        if node.name not in still or node.name in kept
        for name in node.input
    }
    folded = [name for name in computed if name in needed and depends_on_weights(frozen, name)]
    if not folded:
        return frozen
    part = FrozenGraph(
        frozen.graph_def, frozen.weights, [], [Endpoint(name, tf.float32, []) for name in folded]
    )
    values = part.pruned().run({})
    weights = dict(frozen.weights)
    result = graph_pb2.GraphDef(versions=frozen.graph_def.versions)
    for node in frozen.graph_def.node:
        new = result.node.add()
        new.CopyFrom(node)
        if node.name in values:
            new.Clear()
            value = values[node.name]
            new.name, new.op = node.name, "Identity"
            new.attr["T"].type = tf.as_dtype(value.dtype).as_datatype_enum
            new.input.append(WEIGHTS + node.name)
            weights[WEIGHTS + node.name] = value
            weight = result.node.add(op="Placeholder", name=WEIGHTS + node.name)
            weight.attr["dtype"].type = tf.as_dtype(value.dtype).as_datatype_enum
            weight.attr["shape"].shape.CopyFrom(tf.TensorShape(value.shape).as_proto())
    return replace(frozen, graph_def=result, weights=weights)


def depends_on_weights(frozen: FrozenGraph, name: str) -> bool:
    """Whether any weight goes into a node; constants alone are Grappler's."""
    part = tf.compat.v1.graph_util.extract_sub_graph(frozen.graph_def, [name])
    return any(node.name in frozen.weights for node in part.node)


# TensorFlow's own graph optimiser, which folds constants and removes what is not needed.

# Without `remap`, Grappler leaves dense layers as MatMul and BiasAdd, which every backend runs:
# fused with a tanh, as in each pooler, they fail on wasm.
OPTIMIZERS = ["pruning", "constfold", "arithmetic", "dependency", "pruning"]


def simplify(frozen: FrozenGraph) -> FrozenGraph:
    """The same function with fewer nodes."""
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(frozen.graph_def, name="")
        for name in frozen.kept:
            # Grappler keeps what this collection names.
            graph.add_to_collection("train_op", graph.get_operation_by_name(name))
        meta_graph = tf.compat.v1.train.export_meta_graph(graph=graph)
    meta_graph.signature_def[DEFAULT_SIGNATURE].CopyFrom(make_signature_def(frozen))
    config = config_pb2.ConfigProto()
    config.graph_options.rewrite_options.min_graph_nodes = -1
    config.graph_options.rewrite_options.optimizers[:] = OPTIMIZERS
    return frozen.with_graph(tf_optimizer.OptimizeGraph(config, meta_graph)).pruned()


# Shapes told in terms of batch and sequence, instead of being computed on the way.
#
# A Keras dense layer on three axes asks for the shape of its input, takes it apart, multiplies
# and packs it again: in albert_tiny two thirds of all nodes do nothing else.

# Batch and sequence in two trials; a size that fits a formula in both is taken to be of that form.
TEST_SIZES = ((3, 5), (7, 11))
SHAPE_SCOPE = "shapes"


def shapes_by_inputs(frozen: FrozenGraph) -> FrozenGraph:
    """Gives each `Reshape` its shape as a constant, or as batch, sequence and constants packed."""
    first = next((e for e in frozen.inputs if len(e.shape) == 2), None)
    if first is None:
        return frozen
    # A size that the model fixes is the same in both trials.
    batch, sequence = first.shape
    pairs = [(batch or trial[0], sequence or trial[1]) for trial in TEST_SIZES]
    trials = [infer_shapes(frozen, *pair) for pair in pairs]
    result = copy_graph(frozen)
    told: dict[tuple[str, ...], str] = {}
    for node in [node for node in result.node if node.op == "Reshape"]:
        shapes = [trial.get_tensor_by_name(f"{node.name}:0").shape for trial in trials]
        if not all(shape.is_fully_defined() for shape in shapes):
            continue
        sizes = [size_formula(one, other, pairs) for one, other in zip(*shapes, strict=True)]
        if None in sizes:
            continue
        key = tuple(str(size) for size in sizes)
        if key not in told:
            told[key] = f"{SHAPE_SCOPE}/{'_'.join(key) or 'scalar'}"
            write_shape(result, told[key], key, first)
        node.input[1] = told[key]
        node.attr["Tshape"].type = tf.int32.as_datatype_enum
    return frozen.with_graph(result) if told else frozen


def infer_shapes(frozen: FrozenGraph, batch: int, sequence: int) -> tf.Graph:
    """The graph with all shapes as TensorFlow infers them for one batch and sequence."""
    graph_def = copy_graph(frozen)
    names = {endpoint.name for endpoint in frozen.inputs}
    for node in graph_def.node:
        if node.name in names:
            shape = [dim.size for dim in node.attr["shape"].shape.dim]
            pair = (batch, sequence)
            known = [pair[axis] if size == -1 else size for axis, size in enumerate(shape)]
            node.attr["shape"].shape.CopyFrom(tf.TensorShape(known).as_proto())
        # What was inferred for free axes would stand beside it.
        if "_output_shapes" in node.attr:
            del node.attr["_output_shapes"]
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
    return graph


def size_formula(
    one: int, other: int, trials: Sequence[tuple[int, int]] = TEST_SIZES
) -> str | None:
    """What a size is made of: a number, `batch`, `sequence` or `rows`, their product.

    `trials` are the batch and sequence of the two graphs that the sizes are from.

    >>> [formula(*sizes) for sizes in ((312, 312), (3, 7), (5, 11), (15, 77), (6, 9))]
    ['312', 'batch', 'sequence', 'rows', None]
    """
    if one == other:
        return str(one)
    (b1, s1), (b2, s2) = trials
    known = {(b1 * s1, b2 * s2): "rows", (b1, b2): "batch", (s1, s2): "sequence"}
    return known.get((one, other))


def write_shape(
    graph_def: graph_pb2.GraphDef, name: str, sizes: tuple[str, ...], source: Endpoint
) -> None:
    """Adds the node `name`: int32[axes]."""
    free = [size for size in sizes if not size.isdecimal()]
    if len(free) <= 1:
        # One free axis follows from the others.
        value = [int(size) if size.isdecimal() else -1 for size in sizes]
        node = graph_def.node.add(op="Const", name=name)
        node.attr["dtype"].type = tf.int32.as_datatype_enum
        tensor = tensor_util.make_tensor_proto(value, tf.int32, [len(value)])
        node.attr["value"].tensor.CopyFrom(tensor)
        return
    with tf.Graph().as_default() as graph:
        ids = tf.compat.v1.placeholder(source.dtype, source.shape, "ids")
        shape = tf.shape(ids, name="shape")
        scalars = {"batch": shape[0], "sequence": shape[1], "rows": shape[0] * shape[1]}
        packed = tf.stack([int(s) if s.isdecimal() else scalars[s] for s in sizes], name="packed")
        fragment = graph.as_graph_def()
        end = packed.op.name
    for part in fragment.node:
        if part.name != "ids":
            new = graph_def.node.add()
            new.CopyFrom(part)
            new.name = name if part.name == end else f"{name}/{part.name}"
            new.input[:] = list(outer_names(part.input, name, source.name))


def outer_names(inputs: list[str], name: str, source: str) -> Iterator[str]:
    """Inputs of a fragment's node in the whole graph."""
    for one in inputs:
        yield source if one == "ids" else f"{name}/{one}"
