"""Faults in the graph's layers: normalisation, residuals, activations, order, dropout."""

from random import Random

from fault_injection.graph import Graph, GraphParts, norm_numbers
from fault_injection.registry import Change, kind
from fault_injection.sources import CleanBundle
from fault_injection.target import Target

TANH = (1.5957691216057308, 0.044715)
ROOT_HALF = 0.7071067811865476


def _stage_of_norm(norm: int) -> str:
    """Returns the stage of a normalisation's result."""
    layer, last = divmod(norm - 1, 2)
    return "embeddings" if norm == 0 else f"layer_{layer}/{('attention_output', 'output')[last]}"


@kind("graph", stages="embeddings")
def epsilon_wrong(target: Target, choose: Random) -> str:
    """All normalisations have another library's ε."""
    graph, parts = target.graph, GraphParts(target.graph)
    value = choose.choice((1e-3, 1e-5))
    new = graph.constant("epsilon", value)
    for norm in range(len(parts.roots)):
        before = _set_epsilon(graph, parts, norm, new)
    graph.write()
    return f"ε of all layer norms: {before:g} became {value:g}"


@kind("graph", times=5)
def epsilon_of_one_norm(target: Target, choose: Random) -> Change:
    """One normalisation has Keras's ε, 1e-3."""
    graph, parts = target.graph, GraphParts(target.graph)
    norm = choose.randrange(1, len(parts.roots))
    before = _set_epsilon(graph, parts, norm, graph.constant("epsilon", 1e-3))
    graph.write()
    stage = _stage_of_norm(norm)
    return Change(f"ε at {stage}: {before:g} became 0.001", (stage,))


def _set_epsilon(graph: Graph, parts: GraphParts, norm: int, new: str) -> float:
    """Sets a normalisation's ε; returns the old one.

    Args:
        graph: to change.
        parts: of the graph.
        norm: the number of the normalisation.
        new: the node of the new ε.
    """
    total = parts.variance_sum(norm)
    (old,) = [n for n in graph.inputs(total) if graph.op(n) == "Const"]
    graph.rewire(total, old, new)
    return float(graph.value(old))


@kind("graph")
def norm_over_positions(target: Target, choose: Random) -> Change:
    """A normalisation goes over the positions, and not over the features."""
    graph, parts = target.graph, GraphParts(target.graph)
    norm = choose.randrange(1, len(parts.roots))
    axis = graph.constant("axis", [1], "int32")
    deviations = parts.deviations(norm)
    means = [
        parts.input_of_op(deviations, "Mean"),
        parts.input_of_op(parts.variance_sum(norm), "Mean"),
    ]
    for mean in means:
        graph.rewire(mean, graph.inputs(mean)[1], axis)
    graph.write()
    stage = _stage_of_norm(norm)
    return Change(f"layer norm at {stage} over the positions", (stage,))


@kind("graph")
def norm_skipped(target: Target, choose: Random) -> Change:
    """A normalisation is omitted."""
    graph, parts = target.graph, GraphParts(target.graph)
    norm = choose.randrange(len(parts.roots))
    graph.replace(parts.normed(norm), parts.norm_sum(norm))
    graph.write()
    stage = _stage_of_norm(norm)
    return Change(f"layer norm at {stage} omitted", (stage,))


@kind("graph")
def residual_dropped_after_attention(target: Target, choose: Random) -> Change:
    """The input of a layer is not added to its attention output."""
    return _drop_residual(target, choose, 0)


@kind("graph")
def residual_dropped_after_feed_forward(target: Target, choose: Random) -> Change:
    """The input of the feed-forward is not added to its output."""
    return _drop_residual(target, choose, 1)


def _drop_residual(target: Target, choose: Random, which: int) -> Change:
    """Omits a residual of a random layer: 0 after attention, 1 after the feed-forward."""
    graph, parts = target.graph, GraphParts(target.graph)
    norm = norm_numbers(choose.randrange(parts.layers))[which]
    made = next(n for n in parts.residual(norm) if "output/BiasAdd" in n)
    graph.replace(parts.norm_sum(norm), made)
    graph.write()
    stage = _stage_of_norm(norm)
    return Change(f"residual before {stage} omitted", (stage,))


def has_large_activations(clean: CleanBundle) -> bool:
    """Returns whether activations are so large that GELU's forms differ beyond rounding."""
    return clean.source.has_large_activations


@kind(
    "graph",
    times=6,
    fits=lambda clean: (
        has_large_activations(clean) and clean.source.activation in ("gelu_tanh", "gelu_erf")
    ),
)
def gelu_form_swapped(target: Target, choose: Random) -> Change:
    """A layer has GELU's other form: tanh instead of erf, or erf instead of tanh."""
    other = "gelu_erf" if target.clean.source.activation == "gelu_tanh" else "gelu_tanh"
    return _set_activation(target, choose, other)


@kind("graph", fits=has_large_activations)
def activation_of_another_family(target: Target, choose: Random) -> Change:
    """A layer has ReLU instead of GELU, or GELU instead of ReLU."""
    other = "gelu_tanh" if target.clean.source.activation == "relu" else "relu"
    return _set_activation(target, choose, other)


def _set_activation(target: Target, choose: Random, to: str) -> Change:
    """Sets the activation of a random layer."""
    graph, parts = target.graph, GraphParts(target.graph)
    layer = choose.randrange(parts.layers)
    old, x = _activation_of(graph, parts, layer)
    graph.replace(old, ACTIVATIONS[to](graph, x))
    graph.write()
    what = f"activation of layer {layer}: {target.clean.source.activation} became {to}"
    return Change(what, (f"layer_{layer}/output",))


def _activation_of(graph: Graph, parts: GraphParts, layer: int) -> tuple[str, str]:
    """Returns the node of a layer's activation, and its input."""
    (op,) = {op for op in ("Sigmoid", "Erf", "Relu") if graph.nodes_of_op(op)}
    node = graph.nodes_of_op(op)[layer]
    if op == "Relu":
        return node, graph.inputs(node)[0]
    if op == "Sigmoid":
        result = parts.user_of_op(node, "Mul")
        return result, next(n for n in graph.inputs(result) if n != node)
    result = parts.user_of_op(parts.user_of_op(node, "Sub"), "Mul")
    return result, graph.inputs(parts.input_of_op(graph.inputs(node)[0], "Neg"))[0]


def _add_relu(graph: Graph, x: str) -> str:
    """Adds max(x, 0)."""
    return graph.add("Relu", "relu", x)


def _add_gelu_tanh(graph: Graph, x: str) -> str:
    """Adds the tanh form: x · σ(1.5957691 · (x + 0.044715 x³))."""
    outer, inner = (graph.constant(f"gelu_{i}", value) for i, value in enumerate(TANH))
    square = graph.add("Mul", "square", x, x)
    bent = graph.add("Mul", "bent", graph.add("Mul", "cube", square, x), inner)
    total = graph.add("AddV2", "total", x, bent)
    share = graph.add("Sigmoid", "share", graph.add("Mul", "scaled", total, outer))
    return graph.add("Mul", "gelu", x, share)


def _add_gelu_erf(graph: Graph, x: str) -> str:
    """Adds the erf form: x / 2 · (1 + erf(x / √2))."""
    root, half, one = (
        graph.constant(f"gelu_{i}", value) for i, value in enumerate((ROOT_HALF, 0.5, 1.0))
    )
    bent = graph.add("Erf", "bent", graph.add("Mul", "scaled", x, root))
    share = graph.add("AddV2", "share", bent, one)
    return graph.add("Mul", "gelu", graph.add("Mul", "half", x, half), share)


ACTIVATIONS = {"relu": _add_relu, "gelu_tanh": _add_gelu_tanh, "gelu_erf": _add_gelu_erf}


@kind("graph", times=5, fits=lambda clean: clean.source.layers > 1)
def layer_skipped(target: Target, choose: Random) -> Change:
    """The users of a layer take the layer's input: the layer is in the graph, but unused."""
    graph, parts = target.graph, GraphParts(target.graph)
    layer = choose.randrange(parts.layers)
    first, last = norm_numbers(layer)
    made = parts.normed(last)
    came = next(n for n in parts.residual(first) if "output/BiasAdd" not in n)
    for user in graph.users(made):
        graph.rewire(user, made, came)
    graph.write()
    ends = layer + 1 == parts.layers
    stage = "sequence_output" if ends else f"layer_{layer + 1}/attention_scores"
    return Change(f"layer {layer} omitted", (stage,))


# Dropout that was left on, with new random numbers in every run.

FLOAT, INT, BOOL = ({"type": f"DT_{name}"} for name in ("FLOAT", "INT32", "BOOL"))


@kind("graph", stages="embeddings")
def dropout_of_embeddings(target: Target, choose: Random) -> str:
    """A tenth of the embeddings is lost."""
    graph = target.graph
    _add_dropout(graph, GraphParts(graph).normed(0))
    return "dropout of 0.1 on the embeddings"


@kind("graph")
def dropout_of_attention(target: Target, choose: Random) -> Change:
    """A tenth of a layer's attention weights is lost."""
    graph, parts = target.graph, GraphParts(target.graph)
    layer = choose.randrange(parts.layers)
    _add_dropout(graph, parts.softmaxes[layer])
    return Change(f"dropout of 0.1 on layer {layer}'s attention", (f"layer_{layer}/context",))


@kind("graph")
def dropout_of_hidden(target: Target, choose: Random) -> Change:
    """A tenth of a layer's attention or feed-forward output is lost."""
    graph, parts = target.graph, GraphParts(target.graph)
    layer, which = choose.randrange(parts.layers), choose.randrange(2)
    norm = norm_numbers(layer)[which]
    _add_dropout(graph, next(n for n in parts.residual(norm) if "output/BiasAdd" in n))
    stage = f"layer_{layer}/{('attention_output', 'output')[which]}"
    return Change(f"dropout of 0.1 before {stage}", (stage,))


def _add_dropout(graph: Graph, x: str) -> None:
    """Adds a dropout of 0.1 after a node."""
    shape = graph.add("Shape", "shape", x, out_type=INT)
    seeds = {"seed": {"i": "0"}, "seed2": {"i": "0"}}
    drawn = graph.add("RandomUniform", "drawn", shape, dtype=FLOAT, T=INT, **seeds)
    remaining = graph.add("GreaterEqual", "remaining", drawn, graph.constant("rate", 0.1))
    ones = graph.add("Cast", "ones", remaining, SrcT=BOOL, DstT=FLOAT)
    scale = graph.add("Mul", "scale", ones, graph.constant("scale_of_remaining", 1 / 0.9))
    graph.replace(x, graph.add("Mul", "dropped", x, scale), shape, "fault/dropped")
    graph.write()
