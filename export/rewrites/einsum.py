"""`Einsum`, which TF.js's wasm backend lacks, as transposes, sums and one matrix product."""

import string
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from export.graph import FrozenGraph
from export.rewrites.elementary import copy
from export.rewrites.splice import Tensors, splice

ELLIPSIS = "..."


def einsum_by_matmul(frozen: FrozenGraph) -> FrozenGraph:
    """Rewrites every `Einsum` of one or two operands without a repeated label in one operand.

    Others stay, and the preflight names them.
    """
    places = [node for node in frozen.graph_def.node if node.op == "Einsum"]
    if not places:
        return frozen
    tensors, result = Tensors(frozen.graph_def), copy(frozen)
    changed = False
    for node in places:
        ranks = [tensors[name].shape.rank for name in node.input]
        function = contraction(node.attr["equation"].s.decode(), ranks)
        if function is not None:
            splice(result, node.name, list(node.input), tensors, function)
            changed = True
    return frozen.with_graph(result) if changed else frozen


def contraction(equation: str, ranks: list[int | None]) -> Callable[..., Any] | None:
    """The function of an equation for operands of some ranks; None where there is no rule for it.

    >>> contraction("abc,cd->abd", [3, 2]) is None
    False
    >>> contraction("...x,xy->...y", [4, 2]) is None
    False
    >>> contraction("aab,b->a", [3, 1]) is None
    True
    """
    labels = written_out(equation, ranks)
    if labels is None or any(len(set(side)) != len(side) for side in labels):
        return None
    *operands, out = labels
    if not set(out) <= set("".join(operands)):
        return None
    if len(operands) == 1:
        return lambda x: summed_to(x, operands[0], out)
    return product(*operands, out) if len(operands) == 2 else None


def written_out(equation: str, ranks: list[int | None]) -> list[str] | None:
    """The labels of each operand and of the result, with letters in the place of an ellipsis.

    >>> written_out("...x,xy->...y", [3, 2])
    ['ABx', 'xy', 'ABy']
    """
    given, arrow, out = equation.replace(" ", "").partition("->")
    operands = given.split(",")
    if not arrow or len(operands) != len(ranks):
        return None
    free = [c for c in string.ascii_uppercase + string.ascii_lowercase if c not in equation]
    counts = []
    for side, rank in zip(operands, ranks, strict=True):
        if ELLIPSIS in side:
            if rank is None:
                return None
            counts.append(rank - len(side) + len(ELLIPSIS))
    most = max(counts, default=0)
    if most > len(free) or min(counts, default=0) < 0:
        return None
    names = "".join(free[:most])
    written = []
    for side in [*operands, out]:
        # Ellipses line up from the right, and the result has the longest.
        count = counts.pop(0) if ELLIPSIS in side and side is not out else most
        written.append(side.replace(ELLIPSIS, names[most - count :]))
    return written if all(side.isalpha() or not side for side in written) else None


def summed_to(x: Any, labels: str, out: str) -> Any:
    """The tensor summed over the labels that the result lacks, its axes in the result's order."""
    gone = [i for i, c in enumerate(labels) if c not in out]
    x = tf.reduce_sum(x, gone) if gone else x
    return arranged(x, "".join(c for c in labels if c in out), list(out))


def product(left: str, right: str, out: str) -> Callable[[Any, Any], Any]:
    """The function of two operands: a batch of matrix products."""
    left_kept = "".join(c for c in left if c in right or c in out)
    right_kept = "".join(c for c in right if c in left or c in out)
    batch = [c for c in out if c in left and c in right]
    summed = [c for c in left if c in right and c not in out]
    rows = [c for c in left_kept if c not in right]
    columns = [c for c in right_kept if c not in left]

    def multiply(a: Any, b: Any) -> Any:
        a, b = summed_to(a, left, left_kept), summed_to(b, right, right_kept)
        one = {c: length(a, i) for i, c in enumerate(left_kept)}
        other = {c: length(b, i) for i, c in enumerate(right_kept)}
        a = arranged(a, left_kept, [*batch, *rows, *summed])
        b = arranged(b, right_kept, [*batch, *summed, *columns])
        # An axis of the ellipsis may have length 1 on one side.
        size = other | one | {c: longer(one[c], other[c]) for c in [*batch, *summed]}
        if any(is_one(one[c]) != is_one(other[c]) for c in [*batch, *summed]):
            a = tf.broadcast_to(a, [size[c] for c in [*batch, *rows, *summed]])
            b = tf.broadcast_to(b, [size[c] for c in [*batch, *summed, *columns]])
        lead = [size[c] for c in batch]
        m, k, n = (volume([size[c] for c in part]) for part in (rows, summed, columns))
        matrix = tf.matmul(tf.reshape(a, [*lead, m, k]), tf.reshape(b, [*lead, k, n]))
        order = [*batch, *rows, *columns]
        return arranged(tf.reshape(matrix, [size[c] for c in order]), "".join(order), list(out))

    return multiply


def longer(one: Any, other: Any) -> Any:
    """Of two lengths of one axis the one that is not 1, as far as that is known."""
    if isinstance(one, int) and one != 1:
        return one
    return other if (isinstance(other, int) and other != 1) or is_one(one) else one


def length(x: Any, axis: int) -> Any:
    """An axis's length: an int where it is known."""
    return x.shape[axis] if x.shape[axis] is not None else tf.shape(x)[axis]


def is_one(size: Any) -> bool:
    """Whether a length is known to be 1."""
    return isinstance(size, int) and size == 1


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
