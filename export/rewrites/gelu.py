"""Small rewrites of a frozen graph that keep its meaning; each says why it is there."""

import math
from collections import Counter

import numpy as np
from tensorflow.core.framework import graph_pb2, node_def_pb2
from tensorflow.python.framework import tensor_util

# tanh-GELU is x·sigmoid(2·√(2/π)·(x + 0.044715·x³)), exactly.
SLOPE = 2.0 * math.sqrt(2.0 / math.pi)
CUBIC = 0.044715


def merge_equal_constants(graph_def: graph_pb2.GraphDef) -> graph_pb2.GraphDef:
    """Keeps one of each set of equal constants.

    Freezing copies a weight once for each use, so ALBERT's shared layer stands there once a layer:
    albert_tiny with a vocab of 5,000 is 22 MB before and 8 MB after.
    """
    kept: dict[bytes, str] = {}
    stands_for: dict[str, str] = {}
    result = graph_pb2.GraphDef(versions=graph_def.versions, library=graph_def.library)
    for node in graph_def.node:
        if node.op == "Const" and not node.input:
            value = node.attr["value"].SerializeToString(deterministic=True)
            first = kept.setdefault(value, node.name)
            if first != node.name:
                stands_for[node.name] = first
                continue
        result.node.add().CopyFrom(node)
    for node in result.node:
        for i, name in enumerate(node.input):
            node.input[i] = redirected(name, stands_for)
    return result


def redirected(name: str, stands_for: dict[str, str]) -> str:
    """An input reference (`node`, `node:k` or `^node`) with its node replaced."""
    mark = "^" if name.startswith("^") else ""
    node, colon, port = name.removeprefix("^").partition(":")
    return f"{mark}{stands_for.get(node, node)}{colon}{port}"


def gelu_by_sigmoid(graph_def: graph_pb2.GraphDef) -> graph_pb2.GraphDef:
    """Turns tanh-GELU into x·sigmoid(x·(a + b·x²)), the same function.

    On wasm `Pow` and `Tanh` take a fifth of albert_tiny's time, `Sigmoid` a fiftieth.
    """
    result = graph_pb2.GraphDef()
    result.CopyFrom(graph_def)
    nodes = {node.name: node for node in result.node}
    uses = Counter(name.split(":")[0] for node in result.node for name in node.input)
    for node in list(result.node):
        x = gelu_argument(node, nodes, uses)
        if x is not None:
            replace_gelu(result, node, x)
    return result


def gelu_argument(
    node: node_def_pb2.NodeDef, nodes: dict[str, node_def_pb2.NodeDef], uses: Counter[str]
) -> str | None:
    """The x of 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) if `node` is that product."""
    for half, gate in pairs(node, "Mul", nodes):
        for x in (other for other, c in pairs(half, "Mul", nodes) if is_close(c, 0.5)):
            tanh = next((t for t, c in pairs(gate, "AddV2", nodes) if is_close(c, 1.0)), None)
            if tanh is None or tanh.op != "Tanh" or uses[gate.name] != 1:
                continue
            inner = nodes[tanh.input[0]]
            factors = pairs(inner, "Mul", nodes)
            scaled = next((s for s, c in factors if is_close(c, SLOPE / 2)), None)
            if scaled is not None and is_cubic_of(scaled, x, nodes):
                return str(x.name)
    return None


def is_cubic_of(
    node: node_def_pb2.NodeDef, x: node_def_pb2.NodeDef, nodes: dict[str, node_def_pb2.NodeDef]
) -> bool:
    """Whether `node` is x + 0.044715·x³."""
    for same, term in pairs(node, "AddV2", nodes):
        if same.name != x.name:
            continue
        power = next((p for p, c in pairs(term, "Mul", nodes) if is_close(c, CUBIC)), None)
        if power is not None and power.op == "Pow":
            return power.input[0] == x.name and is_close(nodes[power.input[1]], 3.0)
    return False


def pairs(
    node: node_def_pb2.NodeDef, op: str, nodes: dict[str, node_def_pb2.NodeDef]
) -> list[tuple[node_def_pb2.NodeDef, node_def_pb2.NodeDef]]:
    """Both orders of the operands of a commutative node, if it is an `op`."""
    if node.op != op or any(name not in nodes for name in node.input):
        return []
    first, second = (nodes[name] for name in node.input)
    return [(first, second), (second, first)]


def is_close(node: node_def_pb2.NodeDef, value: float) -> bool:
    """Whether a node is a constant scalar of this value."""
    if node.op != "Const":
        return False
    constant = tensor_util.MakeNdarray(node.attr["value"].tensor)
    return constant.size == 1 and bool(np.isclose(constant.item(), value, rtol=1e-6))


def replace_gelu(graph: graph_pb2.GraphDef, node: node_def_pb2.NodeDef, x: str) -> None:
    """Rewires `node` to multiply x with its sigmoid gate; what it used before may fall away."""
    prefix = f"{node.name}/gelu"
    dtype = node.attr["T"]

    def add(op: str, name: str, *inputs: str) -> str:
        new = graph.node.add(op=op, name=f"{prefix}/{name}", input=inputs)
        new.attr["T"].CopyFrom(dtype)
        return str(new.name)

    def constant(name: str, value: float) -> str:
        new = graph.node.add(op="Const", name=f"{prefix}/{name}")
        new.attr["dtype"].CopyFrom(dtype)
        tensor = tensor_util.make_tensor_proto(value, dtype.type, [])
        new.attr["value"].tensor.CopyFrom(tensor)
        return str(new.name)

    square = add("Mul", "square", x, x)
    bent = add("Mul", "bent", square, constant("cubic", SLOPE * CUBIC))
    slope = add("AddV2", "slope", bent, constant("linear", SLOPE))
    gate = add("Sigmoid", "gate", add("Mul", "argument", x, slope))
    node.input[:] = [x, gate]
