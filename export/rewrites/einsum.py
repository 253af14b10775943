"""`Einsum`, which TF.js's wasm backend lacks, as transposes and one matrix product."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from export.graph import FrozenGraph
from export.rewrites.elementary import copy
from export.rewrites.splice import Tensors, splice


def einsum_by_matmul(frozen: FrozenGraph) -> FrozenGraph:
    """Rewrites every `Einsum` of two operands; others stay, and the preflight names them."""
    places = [node for node in frozen.graph_def.node if node.op == "Einsum"]
    functions = {node.name: product(node.attr["equation"].s.decode()) for node in places}
    if not any(functions.values()):
        return frozen
    tensors, result = Tensors(frozen.graph_def), copy(frozen)
    for node in places:
        function = functions[node.name]
        if function is not None:
            splice(result, node.name, list(node.input), tensors, function)
    return frozen.with_graph(result)


def product(equation: str) -> Callable[[Any, Any], Any] | None:
    """The function of an equation; None where it is no matrix product of two operands.

    >>> product("abc,cd->abd") is None
    False
    >>> product("aab,b->a") is None
    True
    """
    operands, _, out = equation.replace(" ", "").partition("->")
    left, _, right = operands.partition(",")
    labels = [left, right, out]
    plain = all(side.isalpha() and len(set(side)) == len(side) for side in labels)
    one_sided = set(left) ^ set(right)
    if not plain or not one_sided <= set(out) or not set(out) <= set(left + right):
        return None
    batch = [c for c in out if c in left and c in right]
    summed = [c for c in left if c in right and c not in out]
    rows = [c for c in left if c not in right]
    columns = [c for c in right if c not in left]

    def multiply(a: Any, b: Any) -> Any:
        size = {c: length(a, i) for i, c in enumerate(left)}
        size |= {c: length(b, i) for i, c in enumerate(right)}
        a = arranged(a, left, [*batch, *rows, *summed])
        b = arranged(b, right, [*batch, *summed, *columns])
        lead = [size[c] for c in batch]
        m, k, n = (volume([size[c] for c in part]) for part in (rows, summed, columns))
        matrix = tf.matmul(tf.reshape(a, [*lead, m, k]), tf.reshape(b, [*lead, k, n]))
        order = [*batch, *rows, *columns]
        return arranged(tf.reshape(matrix, [size[c] for c in order]), "".join(order), list(out))

    return multiply


def length(x: Any, axis: int) -> Any:
    """An axis's length: an int where it is known."""
    return x.shape[axis] if x.shape[axis] is not None else tf.shape(x)[axis]


def volume(sizes: list[Any]) -> Any:
    """The product of lengths."""
    whole: Any = 1
    for size in sizes:
        whole = whole * size
    return whole


def arranged(x: Any, labels: str, wanted: list[str]) -> Any:
    """The tensor with its axes in another order."""
    order = [labels.index(c) for c in wanted]
    return x if order == sorted(order) else tf.transpose(x, order)
