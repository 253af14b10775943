"""Rewrites of matrix products: `Einsum`, biases, and the scale of attention."""

import string
from collections import Counter
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import node_def_pb2

from export.graph.graph import FrozenGraph
from export.rewrites.elementary import copy_graph
from export.rewrites.splice import InferredTensors, scalar_constants, splice

ELLIPSIS = "..."


def einsum_by_matmul(frozen: FrozenGraph) -> FrozenGraph:
    """Replaces `Einsum`, which wasm lacks, by transposes, sums and one matrix product.

    It handles one or two operands without a repeated label in one operand. The preflight reports
    the others.
    """
    matches = [node for node in frozen.graph_def.node if node.op == "Einsum"]
    if not matches:
        return frozen
    tensors, result = InferredTensors(frozen.graph_def), copy_graph(frozen)
    changed = False
    for node in matches:
        ranks = [tensors[name].shape.rank for name in node.input]
        function = _make_contraction(node.attr["equation"].s.decode(), ranks)
        if function is not None:
            splice(result, node.name, list(node.input), tensors, function)
            changed = True
    return frozen.with_graph(result) if changed else frozen


def _make_contraction(equation: str, ranks: list[int | None]) -> Callable[..., Any] | None:
    """Returns the function of an equation for operands of these ranks; None if there is no rule.

    >>> _make_contraction("abc,cd->abd", [3, 2]) is None
    False
    >>> _make_contraction("...x,xy->...y", [4, 2]) is None
    False
    >>> _make_contraction("aab,b->a", [3, 1]) is None
    True
    """
    labels = _expand_ellipsis(equation, ranks)
    if labels is None or any(len(set(side)) != len(side) for side in labels):
        return None
    *operands, out = labels
    if not set(out) <= set("".join(operands)):
        return None
    if len(operands) == 1:
        return lambda x: _sum_out_labels(x, operands[0], out)
    return _make_product(operands[0], operands[1], out) if len(operands) == 2 else None


def _expand_ellipsis(equation: str, ranks: list[int | None]) -> list[str] | None:
    """Returns the labels of each operand and of the result, with letters for an ellipsis.

    >>> _expand_ellipsis("...x,xy->...y", [3, 2])
    ['ABx', 'xy', 'ABy']
    """
    left_side, arrow, out = equation.replace(" ", "").partition("->")
    operands = left_side.split(",")
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
        # Ellipses are aligned on the right, and the result has the longest.
        count = counts.pop(0) if ELLIPSIS in side and side is not out else most
        written.append(side.replace(ELLIPSIS, names[most - count :]))
    return written if all(side.isalpha() or not side for side in written) else None


def _sum_out_labels(x: Any, labels: str, out: str) -> Any:
    """Sums a tensor over the labels that the result lacks, and orders its axes as the result."""
    gone = [i for i, c in enumerate(labels) if c not in out]
    x = tf.reduce_sum(x, gone) if gone else x
    return _reorder_axes(x, "".join(c for c in labels if c in out), list(out))


def _make_product(left: str, right: str, out: str) -> Callable[[Any, Any], Any]:
    """Returns the function of two operands: a batch of matrix products."""
    left_labels = "".join(c for c in left if c in right or c in out)
    right_labels = "".join(c for c in right if c in left or c in out)
    batch = [c for c in out if c in left and c in right]
    summed = [c for c in left if c in right and c not in out]
    rows = [c for c in left_labels if c not in right]
    columns = [c for c in right_labels if c not in left]

    def multiply(a: Any, b: Any) -> Any:
        a, b = _sum_out_labels(a, left, left_labels), _sum_out_labels(b, right, right_labels)
        one = {c: _axis_length(a, i) for i, c in enumerate(left_labels)}
        other = {c: _axis_length(b, i) for i, c in enumerate(right_labels)}
        a = _reorder_axes(a, left_labels, [*batch, *rows, *summed])
        b = _reorder_axes(b, right_labels, [*batch, *summed, *columns])
        # An axis of the ellipsis may have length 1 on one side.
        size = other | one | {c: _broadcast_length(one[c], other[c]) for c in [*batch, *summed]}
        if any(_is_one(one[c]) != _is_one(other[c]) for c in [*batch, *summed]):
            a = tf.broadcast_to(a, [size[c] for c in [*batch, *rows, *summed]])
            b = tf.broadcast_to(b, [size[c] for c in [*batch, *summed, *columns]])
        lead = [size[c] for c in batch]
        m, k, n = (_product_of_sizes([size[c] for c in part]) for part in (rows, summed, columns))
        matrix = tf.matmul(tf.reshape(a, [*lead, m, k]), tf.reshape(b, [*lead, k, n]))
        order = [*batch, *rows, *columns]
        return _reorder_axes(
            tf.reshape(matrix, [size[c] for c in order]), "".join(order), list(out)
        )

    return multiply


def _broadcast_length(one: Any, other: Any) -> Any:
    """Returns the length of a broadcast axis: the one that is not known to be 1."""
    if isinstance(one, int) and one != 1:
        return one
    return other if (isinstance(other, int) and other != 1) or _is_one(one) else one


def _axis_length(x: Any, axis: int) -> Any:
    """Returns an axis's length: an int if it is known, else a tensor."""
    return x.shape[axis] if x.shape[axis] is not None else tf.shape(x)[axis]


def _is_one(size: Any) -> bool:
    """Whether a length is known to be 1."""
    return isinstance(size, int) and size == 1


def _product_of_sizes(sizes: list[Any]) -> Any:
    """Returns the product of lengths."""
    whole: Any = 1
    for size in sizes:
        whole = whole * size
    return whole


def _reorder_axes(x: Any, labels: str, wanted: list[str]) -> Any:
    """Returns the tensor with its axes in the order of `wanted`."""
    order = [labels.index(c) for c in wanted]
    return x if order == sorted(order) else tf.transpose(x, order)


def fuse_biases(frozen: FrozenGraph) -> FrozenGraph:
    """Replaces `MatMul` and `BiasAdd` by one `_FusedMatMul`, without an activation.

    XNNPACK adds a bias at no cost; a separate `BiasAdd` reads the whole layer again, 1 % of
    albert_tiny on wasm. (With the pooler's tanh fused too, as TF.js's converter does, wasm throws.)
    If a reshape to batch and sequence is between the two, the bias moves before it.
    """
    nodes = {node.name: node for node in frozen.graph_def.node}
    uses = Counter(n.split(":")[0] for node in frozen.graph_def.node for n in node.input)
    matches = {}
    for node in frozen.graph_def.node:
        if node.op != "BiasAdd" or node.attr["data_format"].s not in (b"", b"NHWC"):
            continue
        before = nodes[node.input[0]]
        reshape = before if before.op == "Reshape" and uses[before.name] == 1 else None
        product = nodes[before.input[0]] if reshape is not None else before
        if product.op == "MatMul" and uses[product.name] == 1:
            matches[node.name] = (product, reshape)
    if not matches:
        return frozen
    tensors, result = InferredTensors(frozen.graph_def), copy_graph(frozen)
    for node in [node for node in result.node if node.name in matches]:
        product, reshape = matches[node.name]
        bias, dtype = node.input[1], node.attr["T"].type
        width = tensors[product.name].shape[-1]
        if reshape is None:
            fused = node
        elif width is not None and width == tensors[reshape.name].shape[-1]:
            name = node.name
            fused = result.node.add(name=f"{name}/fused")
            node.CopyFrom(reshape)
            node.name, node.input[0] = name, fused.name
        else:
            continue
        _make_fused_product(fused, product, bias, dtype)
    return frozen.with_graph(result)


def _make_fused_product(
    node: node_def_pb2.NodeDef, product: node_def_pb2.NodeDef, bias: str, dtype: int
) -> None:
    """Turns a node into a product with a bias.

    Args:
        node: the node, changed in place.
        product: the `MatMul`.
        bias: the tensor of the bias.
        dtype: the dtype of the result.
    """
    name = node.name
    node.Clear()
    node.name, node.op = name, "_FusedMatMul"
    node.input[:] = [*product.input, bias]
    node.attr["T"].type = dtype
    for attribute in ("transpose_a", "transpose_b"):
        node.attr[attribute].CopyFrom(product.attr[attribute])
    node.attr["num_args"].i = 1
    node.attr["fused_ops"].list.s.append(b"BiasAdd")
    node.attr["epsilon"].f = 0.0


PRODUCTS = ("BatchMatMulV2", "BatchMatMul")


def scale_queries(frozen: FrozenGraph) -> FrozenGraph:
    """Replaces (q·kᵀ)·c by (q·c)·kᵀ: the queries are fewer numbers than the scores.

    With 64 positions and heads of 26 the scores are 2.5 times as many numbers.
    """
    constants = scalar_constants(frozen.graph_def)
    nodes = {node.name: node for node in frozen.graph_def.node}
    uses = Counter(n.split(":")[0] for node in frozen.graph_def.node for n in node.input)
    matches = {}
    for node in frozen.graph_def.node:
        if node.op not in ("Mul", "RealDiv"):
            continue
        orders = [node.input[:2]] + ([node.input[1::-1]] if node.op == "Mul" else [])
        for scores, scale in orders:
            product = nodes.get(scores)
            if scale in constants and product is not None and product.op in PRODUCTS:
                c = constants[scale]
                if uses[scores] == 1:
                    matches[node.name] = (product, c if node.op == "Mul" else 1.0 / c)
    if not matches:
        return frozen
    tensors, result = InferredTensors(frozen.graph_def), copy_graph(frozen)
    for name, (product, scale) in matches.items():
        adjoint = [product.attr["adj_x"].b, product.attr["adj_y"].b]

        def multiply(
            q: tf.Tensor, k: tf.Tensor, c: float = scale, t: list[bool] = adjoint
        ) -> tf.Tensor:
            """Computes the scores.

            Args:
                q: the queries.
                k: the keys.
                c: the scale.
                t: whether to transpose each operand.
            """
            return tf.matmul(q * c, k, transpose_a=t[0], transpose_b=t[1])

        splice(result, name, list(product.input), tensors, multiply)
    return frozen.with_graph(result)
