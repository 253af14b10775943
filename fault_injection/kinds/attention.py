"""The graph's attention: mask, scale, heads."""

from math import sqrt
from random import Random

import numpy as np

from fault_injection.copies import Weights
from fault_injection.graph import GraphParts
from fault_injection.registry import Change, kind
from fault_injection.target import Target
from support.tfjs_weights import WEIGHT_PREFIX, Array

INT = {"T": {"type": "DT_INT32"}}
HIDDEN = 1e4
"""What the source subtracts from the score of a masked position."""
GONE = 104.0
"""exp(-GONE) is 0 in float32."""
FIRST = "layer_0/attention_scores"


@kind("graph", stages=FIRST, times=5)
def mask_ignored(target: Target, choose: Random) -> str:
    """The graph attends to all positions."""
    graph = target.graph
    (cast,) = [n for n in graph.users("attention_mask") if graph.op(n) == "Cast"]
    graph.rewire(cast, "attention_mask", graph.add("OnesLike", "ones", "attention_mask", **INT))
    graph.write()
    return "ones instead of attention_mask"


@kind("graph", stages=FIRST)
def mask_inverted(target: Target, choose: Random) -> str:
    """The graph hides the positions that the mask shows."""
    graph = target.graph
    bias = GraphParts(graph).mask()
    inverse = GraphParts(graph).input_of_op(bias, "Sub")
    (mask,) = [n for n in graph.inputs(inverse) if graph.op(n) == "StridedSlice"]
    graph.rewire(bias, inverse, mask)
    graph.write()
    return "the mask instead of 1 - mask"


@kind("graph", stages=FIRST)
def mask_value_zero(target: Target, choose: Random) -> str:
    """A masked position keeps its whole score."""
    return _set_mask_value(target, 0.0)


@kind("graph", stages=FIRST)
def mask_value_weak(target: Target, choose: Random) -> str:
    """A masked position loses so little of its score that it counts."""
    return _set_mask_value(target, choose.choice((-1.0, -5.0, -10.0)))


@kind("graph", stages=FIRST, times=2)
def mask_value_one_layer(target: Target, choose: Random) -> Change:
    """One layer does not add the mask's bias."""
    graph, parts = target.graph, GraphParts(target.graph)
    layer = choose.randrange(parts.layers)
    scores = parts.scores(layer)
    graph.replace(scores, parts.product(layer))
    graph.write()
    return Change(f"layer {layer} without the mask", (f"layer_{layer}/attention_scores",))


@kind("graph", stages=FIRST, times=3)
def mask_value_other(target: Target, choose: Random) -> Change:
    """A masked position loses 1e9, or a million, and not 1e4."""
    value = choose.choice((-1e9, -1e6))
    bound = _largest_score(target.weights)
    assert HIDDEN - 2 * bound > GONE
    reason = (
        f"by the weights' spectral norms no score is beyond ±{bound:.0f}, so a masked key is at "
        f"least {HIDDEN - 2 * bound:.0f} below any shown one in both, and exp of that is exactly "
        "0 in float32; where everything is masked, outputs have no meaning by the contract"
    )
    return Change(_set_mask_value(target, value), (FIRST,), reason)


def _set_mask_value(target: Target, value: float) -> str:
    """Sets what is added to the score of a masked position; returns what was changed."""
    graph = target.graph
    bias = GraphParts(graph).mask()
    (old,) = [n for n in graph.inputs(bias) if graph.op(n) == "Const"]
    before = float(graph.value(old))
    assert before == -HIDDEN
    graph.rewire(bias, old, graph.constant("mask_value", value))
    graph.write()
    return f"the mask's value: {before:g} became {value:g}"


def _largest_score(weights: Weights) -> float:
    """Returns a bound of all attention scores, for any input; float32 rounding does not matter."""

    def norm(name: str) -> float:
        return float(np.linalg.norm(weights.widened(name).astype(np.float64), 2))

    def shown(front: str) -> float:
        gamma = np.abs(weights.widened(f"{front}/gamma")).max()
        beta = weights.widened(f"{front}/beta")
        return float(gamma) * sqrt(beta.size) + norm(f"{front}/beta")

    name = weights.names("/embeddings/norm/gamma")[0].split("/")[1]
    root = f"{WEIGHT_PREFIX}{name}"
    first = shown(f"{root}/embeddings/norm")
    if weights.names("/projection/kernel"):
        first = first * norm(f"{root}/projection/kernel") + norm(f"{root}/projection/bias")
    largest = 0.0
    for query in weights.names("/self/query/kernel"):
        layer = query.removesuffix("/self/query/kernel")
        # The input of a layer is the output of the embeddings or of a layer's last normalisation.
        size = max(
            first, *(shown(g.removesuffix("/gamma")) for g in weights.names("/output_norm/gamma"))
        )
        parts = [f"{layer}/self/{part}" for part in ("query", "key")]
        product = 1.0
        for part in parts:
            product *= norm(f"{part}/kernel") * size + norm(f"{part}/bias")
        largest = max(largest, product)
    return largest


@kind("graph", stages=FIRST, times=2)
def key_bias_dropped(target: Target, choose: Random) -> Change:
    """The keys have no bias."""
    graph = target.graph
    products = [n for n in graph.nodes_of_op("_FusedMatMul") if "/self/key/" in n]
    for number, product in enumerate(products):
        bias = graph.inputs(product)[2]
        zeros: Array = np.zeros_like(graph.value(bias))
        graph.rewire(product, bias, graph.constant(f"no_bias_{number}", zeros))
    graph.write()
    reason = (
        "q·(k + b) = q·k + q·b, and q·b is one number for all keys of a query: softmax ignores "
        "it, so that no weight of the attention changes"
    )
    return Change("the bias of all keys omitted", (FIRST,), reason)


@kind("graph", times=5)
def scale_lost(target: Target, choose: Random) -> Change:
    """A layer's scores are not divided by the root of the heads' width."""
    graph, parts = target.graph, GraphParts(target.graph)
    layer = choose.randrange(parts.layers)
    queries = parts.input_of_op(parts.product(layer), "Mul")
    (scale,) = [n for n in graph.inputs(queries) if graph.op(n) == "Const"]
    before = float(graph.value(scale))
    graph.rewire(queries, scale, graph.constant("scale", 1.0))
    graph.write()
    what = f"the scale of layer {layer}: {before:g} became 1"
    return Change(what, (f"layer_{layer}/attention_scores",))


@kind("graph")
def scores_transposed(target: Target, choose: Random) -> Change:
    """A layer uses its keys as queries, and its queries as keys."""
    graph, parts = target.graph, GraphParts(target.graph)
    layer = choose.randrange(parts.layers)
    product = graph.nodes[parts.product(layer)]
    product["input"] = product["input"][::-1]
    graph.write()
    return Change(
        f"queries and keys of layer {layer} swapped", (f"layer_{layer}/attention_scores",)
    )


@kind("graph", stages=FIRST)
def heads_and_width_swapped(target: Target, choose: Random) -> str:
    """The number of heads and the width of a head are swapped."""
    graph = target.graph
    (shape,) = [n for n in graph.nodes_of_op("Pack") if len(graph.inputs(n)) == 4]
    sizes = graph.nodes[shape]["input"]
    sizes[2], sizes[3] = sizes[3], sizes[2]
    graph.write()
    return "the number of heads and their width swapped"


@kind("graph")
def heads_not_transposed(target: Target, choose: Random) -> Change:
    """A layer's heads are concatenated without being transposed first."""
    graph, parts = target.graph, GraphParts(target.graph)
    layer = choose.randrange(parts.layers)
    context = parts.context(layer)
    graph.replace(parts.user_of_op(context, "Transpose"), context)
    graph.write()
    return Change(f"heads of layer {layer} not transposed", (f"layer_{layer}/attention_output",))


@kind("graph")
def softmax_over_queries(target: Target, choose: Random) -> Change:
    """A layer's attention weights add up to 1 over the queries."""
    graph, parts = target.graph, GraphParts(target.graph)
    layer = choose.randrange(parts.layers)
    softmax, scores = parts.softmaxes[layer], parts.scores(layer)
    order = graph.constant("order", [0, 1, 3, 2], "int32")
    kinds = {"Tperm": {"type": "DT_INT32"}}
    before = graph.add("Transpose", "before", scores, order, **kinds)
    graph.rewire(softmax, scores, before)
    after = graph.add("Transpose", "after", softmax, order, **kinds)
    graph.replace(softmax, after, after)
    graph.write()
    return Change(f"softmax of layer {layer} over the queries", (f"layer_{layer}/context",))


@kind("graph")
def keys_for_values(target: Target, choose: Random) -> Change:
    """A layer sums its keys instead of its values."""
    graph, parts = target.graph, GraphParts(target.graph)
    layer = choose.randrange(parts.layers)
    context = parts.context(layer)
    values = next(n for n in graph.inputs(context) if n != parts.softmaxes[layer])
    keys = graph.inputs(parts.product(layer))[1]
    graph.rewire(context, values, keys)
    graph.write()
    return Change(f"layer {layer} sums its keys", (f"layer_{layer}/context",))


@kind("graph")
def wrong_weight_wired(target: Target, choose: Random) -> Change:
    """A layer's keys are made with the queries' weights; the stored weights are right."""
    graph, parts = target.graph, GraphParts(target.graph)
    layer = choose.randrange(parts.layers)
    products = [n for n in graph.nodes_of_op("_FusedMatMul") if "/self/key/" in n]
    weight = graph.inputs(products[layer])[1]
    graph.rewire(products[layer], weight, weight.replace("/key/", "/query/"))
    graph.write()
    what = f"keys of layer {layer} made with the queries' kernel"
    return Change(what, (f"layer_{layer}/attention_scores",))
