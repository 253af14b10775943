"""Rows of a tiny table, such as the two token types, by a matrix product."""

from typing import Any

import tensorflow as tf

from export.graph import FrozenGraph, beyond_identities
from export.rewrites.constants import constant_of
from export.rewrites.elementary import copy
from export.rewrites.splice import Tensors, splice

TINY = 4


def gather_by_product(frozen: FrozenGraph) -> FrozenGraph:
    """Gathers from at most 4 rows become a product, exact since 0·x + 1·y is y.

    Wasm gathers element by element, 9 ms for 32 × 64 token types against 1 for the product. (Not
    by `OneHot`: with a float result TF.js's wasm kernel gives other numbers, without an error.)
    """
    nodes = {node.name: node for node in frozen.graph_def.node}
    constants = constant_of(frozen.graph_def)
    places = []
    for node in frozen.graph_def.node:
        if node.op != "GatherV2" or node.attr["batch_dims"].i != 0:
            continue
        if constants.get(node.input[2].split(":")[0]) == 0:
            table = frozen.weights.get(beyond_identities(nodes, node.input[0]))
            if table is not None and table.ndim == 2 and len(table) <= TINY:
                places.append(node)
    if not places:
        return frozen
    tensors, result = Tensors(frozen.graph_def), copy(frozen)
    for node in places:
        splice(result, node.name, list(node.input[:2]), tensors, product)
    return frozen.with_graph(result)


def product(table: Any, indices: Any) -> Any:
    """float32[rows, width], int[batch, sequence] → float32[batch, sequence, width]."""
    rows, width = table.shape
    column = tf.cast(tf.reshape(indices, [-1, 1]), tf.int32)
    flat = tf.cast(tf.equal(column, tf.range(rows)[None]), table.dtype)
    shape = tf.shape(indices)
    return tf.reshape(tf.matmul(flat, table), [shape[0], shape[1], width])
