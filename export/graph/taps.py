"""Finds the taps of a model: tensors inside it that parity compares, for each layer.

It uses only the structure of the graph, so the layers can have any names: every attention has a
softmax, and all values between two attentions pass through a few tensors.
"""

from dataclasses import dataclass

from tensorflow.core.framework import node_def_pb2

from export.graph.graph import InlinedGraph, topological_order

PREFIX = "taps/"
LOOKUPS = ("GatherV2", "ResourceGather", "Gather")
# Ops whose result does not depend on the values of their input.
VALUELESS = ("Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike")
PRODUCTS = ("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum")
NORMALISERS = ("Rsqrt", "Sqrt", "FusedBatchNormV3")


@dataclass(frozen=True)
class Flow:
    """The nodes between the embedding lookup and the last layer, in topological order.

    `users` has, for each node, the indices of the nodes that use it; `cuts` the indices of the
    nodes through which every path passes.
    """

    nodes: list[node_def_pb2.NodeDef]
    users: list[list[int]]
    cuts: list[int]


def find_taps(parts: InlinedGraph, ids: str, last: str) -> dict[str, str]:
    """Returns taps by name, each with its tensor in the inlined graph, in topological order.

    `embeddings` is the input of the first layer. Layer N has `layer_N/attention_scores` (float32
    [batch, heads, sequence, sequence], mask and scale applied), `layer_N/context` (per head),
    `layer_N/attention_output` and `layer_N/output` (float32[batch, sequence, hidden]). Taps that
    cannot be identified are left out.

    Args:
        parts: the inlined graph.
        ids: the name of the signature's input of ids.
        last: the name of the output of the last layer.
    """
    flow = _find_flow(parts, parts.inputs[ids], parts.outputs[last].split(":")[0])
    softmaxes = [i for i, node in enumerate(flow.nodes) if node.op == "Softmax"]
    if not softmaxes:
        return {}
    forks = [index for index in flow.cuts if len(flow.users[index]) > 1]
    ends = [*softmaxes[1:], len(flow.nodes)]
    positions: dict[str, int | None] = {"embeddings": _last_between(forks, 0, softmaxes[0])}
    scores = {}
    for number, (start, end) in enumerate(zip(softmaxes, ends, strict=True)):
        layer = f"layer_{number}"
        scores[f"{layer}/attention_scores"] = flow.nodes[start].input[0]
        output = _last_between(forks, start, end) if end < len(flow.nodes) else end - 1
        positions[f"{layer}/attention_scores"] = start
        positions[f"{layer}/context"] = _find_product(flow, start)
        positions[f"{layer}/attention_output"] = _find_normalised(flow, forks, start, output)
        positions[f"{layer}/output"] = output
    found = {n: f"{flow.nodes[p].name}:0" for n, p in positions.items() if p is not None}
    return found | {name: _add_port(tensor) for name, tensor in scores.items()}


def _find_flow(parts: InlinedGraph, ids: str, last: str) -> Flow:
    """Returns the nodes between the lookups of the ids and the node `last`."""
    order = [node for node in topological_order(parts.graph_def) if node.op not in VALUELESS]
    from_ids = _find_dependents(order, {ids})
    starts = {n.name for n in order if n.op in LOOKUPS and n.name in from_ids}
    before = {last}
    for node in reversed(order):
        if node.name in before:
            before.update(_source_names(node))
    path = _find_dependents(order, starts) & before
    nodes = [node for node in order if node.name in path]
    index = {node.name: i for i, node in enumerate(nodes)}
    users: list[list[int]] = [[] for _ in nodes]
    for i, node in enumerate(nodes):
        for name in {name for name in _source_names(node) if name in index}:
            users[index[name]].append(i)
    cuts, furthest = [], 0
    for i, taken in enumerate(users):
        if furthest <= i:
            cuts.append(i)
        furthest = max([furthest, *taken])
    return Flow(nodes, users, cuts)


def _find_dependents(order: list[node_def_pb2.NodeDef], starts: set[str]) -> set[str]:
    """Returns the names of `starts` and of all nodes that depend on them."""
    reached = set(starts)
    for node in order:
        if any(name in reached for name in _source_names(node)):
            reached.add(node.name)
    return reached


def _source_names(node: node_def_pb2.NodeDef) -> list[str]:
    """Returns the names of the nodes whose values a node uses."""
    return [name.split(":")[0] for name in node.input if not name.startswith("^")]


def _last_between(indices: list[int], start: int, end: int) -> int | None:
    """Returns the largest index between `start` and `end`, both excluded."""
    return max((index for index in indices if start < index < end), default=None)


def _find_product(flow: Flow, softmax: int) -> int | None:
    """Returns the index of the product of attention weights and values after a softmax."""
    index = softmax
    while flow.nodes[index].op not in PRODUCTS:
        if len(flow.users[index]) != 1:
            return None
        (index,) = flow.users[index]
    return index


def _find_normalised(flow: Flow, forks: list[int], start: int, end: int | None) -> int | None:
    """Returns the index of the first fork after a layer normalisation.

    Args:
        flow: the nodes.
        forks: the indices of the forks.
        start: where to begin.
        end: where to end; None: nothing is found.
    """
    for index in forks:
        if end is None or not start < index < end:
            continue
        if any(node.op in NORMALISERS for node in flow.nodes[start:index]):
            return index
    return None


def _add_port(name: str) -> str:
    """Returns a tensor's name with its port, which inputs omit for a node's first output."""
    return name if ":" in name else f"{name}:0"
