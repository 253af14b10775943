"""Finds the places inside a model that a judge can look at: what each layer takes and gives.

By structure alone, so that it works whatever the layers are called: every attention has a softmax,
and what flows from one attention to the next passes through a few tensors that nothing goes round.
"""

from dataclasses import dataclass

from tensorflow.core.framework import node_def_pb2

from export.graph.graph import InlinedGraph, topological_order

PREFIX = "taps/"
LOOKUPS = ("GatherV2", "ResourceGather", "Gather")
# What they give says nothing of the values they take.
VALUELESS = ("Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike")
PRODUCTS = ("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum")
NORMALISERS = ("Rsqrt", "Sqrt", "FusedBatchNormV3")


@dataclass(frozen=True)
class Flow:
    """The nodes on the way from the looked-up embeddings to the last layer, in order.

    `users` has the nodes of the way that take a node, by place; `cuts` the places that every way
    passes through.
    """

    nodes: list[node_def_pb2.NodeDef]
    users: list[list[int]]
    cuts: list[int]


def find_taps(parts: InlinedGraph, ids: str, last: str) -> dict[str, str]:
    """Taps by name, each with its tensor in the inlined graph, in the order of the flow.

    `embeddings` is what the first layer takes. Layer N has `layer_N/attention_scores` (float32
    [batch, heads, sequence, sequence], mask and scale applied), `layer_N/context` (per head),
    `layer_N/attention_output` and `layer_N/output` (float32[batch, sequence, hidden]). What cannot
    be told apart in a graph is left out.

    Args:
        parts: the inlined graph.
        ids: name of the signature's input of ids.
        last: name of the output that is the last layer.
    """
    flow = find_flow(parts, parts.inputs[ids], parts.outputs[last].split(":")[0])
    softmaxes = [i for i, node in enumerate(flow.nodes) if node.op == "Softmax"]
    if not softmaxes:
        return {}
    forks = [place for place in flow.cuts if len(flow.users[place]) > 1]
    ends = [*softmaxes[1:], len(flow.nodes)]
    places: dict[str, int | None] = {"embeddings": last_between(forks, 0, softmaxes[0])}
    scores = {}
    for number, (start, end) in enumerate(zip(softmaxes, ends, strict=True)):
        layer = f"layer_{number}"
        scores[f"{layer}/attention_scores"] = flow.nodes[start].input[0]
        output = last_between(forks, start, end) if end < len(flow.nodes) else end - 1
        places[f"{layer}/attention_scores"] = start
        places[f"{layer}/context"] = find_product(flow, start)
        places[f"{layer}/attention_output"] = find_normalised(flow, forks, start, output)
        places[f"{layer}/output"] = output
    found = {n: f"{flow.nodes[p].name}:0" for n, p in places.items() if p is not None}
    return found | {name: add_port(tensor) for name, tensor in scores.items()}


def find_flow(parts: InlinedGraph, ids: str, last: str) -> Flow:
    """The way from the tables that the ids are looked up in to the node `last`."""
    order = [node for node in topological_order(parts.graph_def) if node.op not in VALUELESS]
    from_ids = find_dependents(order, {ids})
    starts = {n.name for n in order if n.op in LOOKUPS and n.name in from_ids}
    before = {last}
    for node in reversed(order):
        if node.name in before:
            before.update(source_names(node))
    way = find_dependents(order, starts) & before
    nodes = [node for node in order if node.name in way]
    place = {node.name: i for i, node in enumerate(nodes)}
    users: list[list[int]] = [[] for _ in nodes]
    for i, node in enumerate(nodes):
        for name in {name for name in source_names(node) if name in place}:
            users[place[name]].append(i)
    cuts, furthest = [], 0
    for i, taken in enumerate(users):
        if furthest <= i:
            cuts.append(i)
        furthest = max([furthest, *taken])
    return Flow(nodes, users, cuts)


def find_dependents(order: list[node_def_pb2.NodeDef], starts: set[str]) -> set[str]:
    """The names of `starts` and of all nodes that depend on them."""
    reached = set(starts)
    for node in order:
        if any(name in reached for name in source_names(node)):
            reached.add(node.name)
    return reached


def source_names(node: node_def_pb2.NodeDef) -> list[str]:
    """The names of the nodes whose values a node takes."""
    return [name.split(":")[0] for name in node.input if not name.startswith("^")]


def last_between(places: list[int], start: int, end: int) -> int | None:
    """The last of the places after `start` and before `end`."""
    return max((place for place in places if start < place < end), default=None)


def find_product(flow: Flow, softmax: int) -> int | None:
    """The product of the attention's weights with the values, past what hands them on."""
    place = softmax
    while flow.nodes[place].op not in PRODUCTS:
        if len(flow.users[place]) != 1:
            return None
        (place,) = flow.users[place]
    return place


def find_normalised(flow: Flow, forks: list[int], start: int, end: int | None) -> int | None:
    """The first fork between two places that a layer normalisation comes before."""
    for place in forks:
        if end is None or not start < place < end:
            continue
        if any(node.op in NORMALISERS for node in flow.nodes[start:place]):
            return place
    return None


def add_port(name: str) -> str:
    """A tensor's name with its port, which an input that is a node's first output leaves out."""
    return name if ":" in name else f"{name}:0"
