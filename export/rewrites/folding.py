"""Computes in advance what depends only on weights, constants and shapes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import tensorflow as tf
from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.framework import tensor_util
from tensorflow.python.grappler import tf_optimizer

from export.graph.graph import Endpoint, FrozenGraph, make_signature_def, topological_order
from export.rewrites.elementary import copy_graph
from export.source.signature_choice import DEFAULT_SIGNATURE
from support.tfjs_weights import WEIGHT_PREFIX

PASSING = ("Const", "Placeholder", "Identity")


def fold_weights(frozen: FrozenGraph) -> FrozenGraph:
    """Replaces each largest part of the graph that depends only on weights by a weight.

    An example is the reshaped kernel of `EinsumDense`. Grappler cannot fold it, since weights are
    placeholders.
    """
    from_weights = set(frozen.weights)
    computed = []
    for node in topological_order(frozen.graph_def):
        sources = {name.split(":")[0] for name in node.input if not name.startswith("^")}
        if node.op == "Const" or (sources and sources <= from_weights):
            from_weights.add(node.name)
            if node.op not in PASSING:
                computed.append(node.name)
    required = set(frozen.required_nodes)
    needed = {
        name.split(":")[0]
        for node in frozen.graph_def.node
        if node.name not in from_weights or node.name in required
        for name in node.input
    }
    folded = [name for name in computed if name in needed and _depends_on_weights(frozen, name)]
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
            new.input.append(WEIGHT_PREFIX + node.name)
            weights[WEIGHT_PREFIX + node.name] = value
            weight = result.node.add(op="Placeholder", name=WEIGHT_PREFIX + node.name)
            weight.attr["dtype"].type = tf.as_dtype(value.dtype).as_datatype_enum
            weight.attr["shape"].shape.CopyFrom(tf.TensorShape(value.shape).as_proto())
    return replace(frozen, graph_def=result, weights=weights)


def _depends_on_weights(frozen: FrozenGraph, name: str) -> bool:
    """Whether a node depends on a weight; Grappler folds those that depend only on constants."""
    part = tf.compat.v1.graph_util.extract_sub_graph(frozen.graph_def, [name])
    return any(node.name in frozen.weights for node in part.node)


# Grappler's optimisers. Without `remap`, dense layers stay MatMul and BiasAdd, which every backend
# runs: fused with a tanh, as in each pooler, they fail on wasm.
OPTIMIZERS = ["pruning", "constfold", "arithmetic", "dependency", "pruning"]


def simplify(frozen: FrozenGraph) -> FrozenGraph:
    """Simplifies the graph with TensorFlow's optimiser: folds constants, removes unused nodes."""
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(frozen.graph_def, name="")
        for name in frozen.required_nodes:
            # Grappler does not remove the nodes in this collection.
            graph.add_to_collection("train_op", graph.get_operation_by_name(name))
        meta_graph = tf.compat.v1.train.export_meta_graph(graph=graph)
    meta_graph.signature_def[DEFAULT_SIGNATURE].CopyFrom(make_signature_def(frozen))
    config = config_pb2.ConfigProto()
    config.graph_options.rewrite_options.min_graph_nodes = -1
    config.graph_options.rewrite_options.optimizers[:] = OPTIMIZERS
    return frozen.with_graph(tf_optimizer.OptimizeGraph(config, meta_graph)).pruned()


# Shapes as formulas of batch and sequence, instead of many ops.
#
# A Keras dense layer on three axes reads the shape of its input, splits it, multiplies, and packs
# it again: in albert_tiny two thirds of all nodes do nothing else.

# Batch and sequence of two test graphs; a size that fits a formula in both has this formula.
TEST_SIZES = ((3, 5), (7, 11))
SHAPE_SCOPE = "shapes"


def shapes_by_inputs(frozen: FrozenGraph) -> FrozenGraph:
    """Replaces the shape of each `Reshape` by a constant, or a pack of batch and sequence."""
    first = next((e for e in frozen.inputs if len(e.shape) == 2), None)
    if first is None:
        return frozen
    # A size that the model fixes is the same in both test graphs.
    batch, sequence = first.shape
    pairs = [(batch or size[0], sequence or size[1]) for size in TEST_SIZES]
    graphs = [_infer_shapes(frozen, *pair) for pair in pairs]
    result = copy_graph(frozen)
    written: dict[tuple[str, ...], str] = {}
    for node in [node for node in result.node if node.op == "Reshape"]:
        shapes = [graph.get_tensor_by_name(f"{node.name}:0").shape for graph in graphs]
        if not all(shape.is_fully_defined() for shape in shapes):
            continue
        sizes = [_size_formula(one, other, pairs) for one, other in zip(*shapes, strict=True)]
        if None in sizes:
            continue
        key = tuple(str(size) for size in sizes)
        if key not in written:
            written[key] = f"{SHAPE_SCOPE}/{'_'.join(key) or 'scalar'}"
            _write_shape(result, written[key], key, first)
        node.input[1] = written[key]
        node.attr["Tshape"].type = tf.int32.as_datatype_enum
    return frozen.with_graph(result) if written else frozen


def _infer_shapes(frozen: FrozenGraph, batch: int, sequence: int) -> tf.Graph:
    """Returns the graph with the shapes that TensorFlow infers for one batch and sequence."""
    graph_def = copy_graph(frozen)
    names = {endpoint.name for endpoint in frozen.inputs}
    for node in graph_def.node:
        if node.name in names:
            shape = [dim.size for dim in node.attr["shape"].shape.dim]
            pair = (batch, sequence)
            known = [pair[axis] if size == -1 else size for axis, size in enumerate(shape)]
            node.attr["shape"].shape.CopyFrom(tf.TensorShape(known).as_proto())
        # The shapes that were inferred for free axes would contradict it.
        if "_output_shapes" in node.attr:
            del node.attr["_output_shapes"]
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
    return graph


def _size_formula(
    one: int, other: int, pairs: Sequence[tuple[int, int]] = TEST_SIZES
) -> str | None:
    """Returns the formula of a size: a number, `batch`, `sequence`, or their product `rows`.

    `pairs` are the batch and sequence of the two graphs that have the sizes `one` and `other`.

    >>> [_size_formula(*sizes) for sizes in ((312, 312), (3, 7), (5, 11), (15, 77), (6, 9))]
    ['312', 'batch', 'sequence', 'rows', None]
    """
    if one == other:
        return str(one)
    (b1, s1), (b2, s2) = pairs
    known = {(b1 * s1, b2 * s2): "rows", (b1, b2): "batch", (s1, s2): "sequence"}
    return known.get((one, other))


def _write_shape(
    graph_def: graph_pb2.GraphDef, name: str, sizes: tuple[str, ...], source: Endpoint
) -> None:
    """Adds the node of a shape, int32[axes].

    Args:
        graph_def: the graph, changed in place.
        name: the name of the node.
        sizes: the formulas of the sizes, see `_size_formula`.
        source: the input that has the batch and the sequence.
    """
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
    """Yields the names, in the whole graph, of the inputs of a fragment's node."""
    for one in inputs:
        yield source if one == "ids" else f"{name}/{one}"
