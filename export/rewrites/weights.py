"""What depends on weights alone is computed once, here."""

from dataclasses import replace

import tensorflow as tf
from tensorflow.core.framework import graph_pb2

from export.graph import WEIGHTS, Endpoint, FrozenGraph, in_order

PASSING = ("Const", "Placeholder", "Identity")


def fold_weights(frozen: FrozenGraph) -> FrozenGraph:
    """Replaces each largest part of the graph that only weights go into by a weight.

    Such are the reshaped kernels of `EinsumDense`. Grappler cannot fold them: to it, weights are
    placeholders.
    """
    still = set(frozen.weights)
    computed = []
    for node in in_order(frozen.graph_def):
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
