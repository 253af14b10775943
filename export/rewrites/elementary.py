"""Replaces functions of one tensor that TF.js lacks, or runs slowly, by others."""

import math
from collections import Counter

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2
from tensorflow.python.framework import tensor_util

from export.graph.graph import FrozenGraph
from export.rewrites.splice import InferredTensors, scalar_constants, splice


def erfc_by_erf(frozen: FrozenGraph) -> FrozenGraph:
    """Replaces `Erfc` by 1 − `Erf`: no TF.js backend has the first, all have the second.

    Exact GELU is x/2·erfc(−x/√2). Its argument is small wherever the value matters, so the
    subtraction loses no precision.
    """
    matches = [node.name for node in frozen.graph_def.node if node.op == "Erfc"]
    if not matches:
        return frozen
    tensors, result = InferredTensors(frozen.graph_def), copy_graph(frozen)
    for node in [node for node in result.node if node.op == "Erfc"]:
        splice(result, node.name, [node.input[0]], tensors, lambda x: 1.0 - tf.math.erf(x))
    return frozen.with_graph(result)


def power_by_products(frozen: FrozenGraph) -> FrozenGraph:
    """Replaces x² and x³ by products: on wasm `Pow` takes 14 % of a BERT whose GELU has a cube."""
    constants = scalar_constants(frozen.graph_def)
    powers = {2.0: lambda x: x * x, 3.0: lambda x: x * x * x}
    matches = {
        node.name: powers[constants[node.input[1]]]
        for node in frozen.graph_def.node
        if node.op == "Pow" and constants.get(node.input[1]) in powers
    }
    if not matches:
        return frozen
    tensors, result = InferredTensors(frozen.graph_def), copy_graph(frozen)
    for node in [node for node in result.node if node.name in matches]:
        splice(result, node.name, [node.input[0]], tensors, matches[node.name])
    return frozen.with_graph(result)


def copy_graph(frozen: FrozenGraph) -> graph_pb2.GraphDef:
    """Returns a copy of the graph, to be changed."""
    result = graph_pb2.GraphDef()
    result.CopyFrom(frozen.graph_def)
    return result


# tanh-GELU is x·sigmoid(2·√(2/π)·(x + 0.044715·x³)), exactly.
SLOPE = 2.0 * math.sqrt(2.0 / math.pi)
CUBIC = 0.044715


def gelu_by_sigmoid(frozen: FrozenGraph) -> FrozenGraph:
    """Replaces tanh-GELU by x·sigmoid(x·(a + b·x²)), the same function.

    On wasm `Pow` and `Tanh` take a fifth of albert_tiny's time, `Sigmoid` a fiftieth.
    """
    nodes = {node.name: node for node in frozen.graph_def.node}
    uses = Counter(name.split(":")[0] for node in frozen.graph_def.node for name in node.input)
    found = {node.name: _gelu_argument(node, nodes, uses) for node in frozen.graph_def.node}
    matches = {name: x for name, x in found.items() if x is not None}
    if not matches:
        return frozen
    tensors, result = InferredTensors(frozen.graph_def), copy_graph(frozen)
    for name, x in matches.items():
        splice(result, name, [x], tensors, _sigmoid_gate)
    return frozen.with_graph(result)


def _sigmoid_gate(x: tf.Tensor) -> tf.Tensor:
    """Computes GELU's tanh form: float[…] → the same shape."""
    return x * tf.sigmoid(x * (x * x * (SLOPE * CUBIC) + SLOPE))


def _gelu_argument(
    node: node_def_pb2.NodeDef, nodes: dict[str, node_def_pb2.NodeDef], uses: Counter[str]
) -> str | None:
    """Returns the x of 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) if `node` is this product.

    Keras has (0.5·x)·gate, the TF1 code x·(0.5·gate).
    """
    for one, other in _operand_orders(node, "Mul", nodes):
        for x, gate in [(c, other) for c in _halved_operands(one, nodes)] + [
            (one, c) for c in _halved_operands(other, nodes)
        ]:
            tanh = next(
                (t for t, c in _operand_orders(gate, "AddV2", nodes) if _is_close(c, 1.0)), None
            )
            if tanh is None or tanh.op != "Tanh" or uses[gate.name] != 1:
                continue
            inner = nodes[tanh.input[0]]
            factors = _operand_orders(inner, "Mul", nodes)
            scaled = next((s for s, c in factors if _is_close(c, SLOPE / 2)), None)
            if scaled is not None and _is_cubic_of(scaled, x, nodes):
                return str(x.name)
    return None


def _halved_operands(
    node: node_def_pb2.NodeDef, nodes: dict[str, node_def_pb2.NodeDef]
) -> list[node_def_pb2.NodeDef]:
    """Returns the y of 0.5·y, for both orders of the operands."""
    return [y for y, c in _operand_orders(node, "Mul", nodes) if _is_close(c, 0.5)]


def _is_cubic_of(
    node: node_def_pb2.NodeDef, x: node_def_pb2.NodeDef, nodes: dict[str, node_def_pb2.NodeDef]
) -> bool:
    """Whether `node` is x + 0.044715·x³."""
    for same, term in _operand_orders(node, "AddV2", nodes):
        if same.name != x.name:
            continue
        power = next(
            (p for p, c in _operand_orders(term, "Mul", nodes) if _is_close(c, CUBIC)), None
        )
        if power is not None and power.op == "Pow":
            return power.input[0] == x.name and _is_close(nodes[power.input[1]], 3.0)
    return False


def _operand_orders(
    node: node_def_pb2.NodeDef, op: str, nodes: dict[str, node_def_pb2.NodeDef]
) -> list[tuple[node_def_pb2.NodeDef, node_def_pb2.NodeDef]]:
    """Returns both orders of the operands of a commutative node, if it is an `op`."""
    if node.op != op or any(name not in nodes for name in node.input):
        return []
    first, second = (nodes[name] for name in node.input)
    return [(first, second), (second, first)]


def _is_close(node: node_def_pb2.NodeDef, value: float) -> bool:
    """Whether a node is a constant scalar of this value."""
    if node.op != "Const":
        return False
    constant = tensor_util.MakeNdarray(node.attr["value"].tensor)
    return constant.size == 1 and bool(np.isclose(constant.item(), value, rtol=1e-6))
