"""Dropout that was left on: real random numbers, drawn anew in every run."""

from random import Random

from trial.graph import Graph, Places, norms_of
from trial.patient import Patient
from trial.registry import Change, kind

FLOAT, INT, BOOL = ({"type": f"DT_{name}"} for name in ("FLOAT", "INT32", "BOOL"))


@kind("graph", stages="embeddings")
def dropout_of_embeddings(patient: Patient, choose: Random) -> str:
    """A tenth of the embeddings is lost."""
    graph = patient.graph
    drop(graph, Places(graph).normed(0))
    return "dropout of 0.1 on the embeddings"


@kind("graph")
def dropout_of_attention(patient: Patient, choose: Random) -> Change:
    """A tenth of a layer's attention weights is lost."""
    graph, places = patient.graph, Places(patient.graph)
    layer = choose.randrange(places.layers)
    drop(graph, places.softmaxes[layer])
    return Change(f"dropout of 0.1 on layer {layer}'s attention", (f"layer_{layer}/context",))


@kind("graph")
def dropout_of_hidden(patient: Patient, choose: Random) -> Change:
    """A tenth of what a layer's attention or feed-forward gives is lost."""
    graph, places = patient.graph, Places(patient.graph)
    layer, which = choose.randrange(places.layers), choose.randrange(2)
    norm = norms_of(layer)[which]
    drop(graph, next(n for n in places.residual(norm) if "output/BiasAdd" in n))
    stage = f"layer_{layer}/{('attention_output', 'output')[which]}"
    return Change(f"dropout of 0.1 before {stage}", (stage,))


def drop(graph: Graph, x: str) -> None:
    """Puts a dropout of 0.1 behind a node."""
    shape = graph.add("Shape", "shape", x, out_type=INT)
    seeds = {"seed": {"i": "0"}, "seed2": {"i": "0"}}
    drawn = graph.add("RandomUniform", "drawn", shape, dtype=FLOAT, T=INT, **seeds)
    kept = graph.add("GreaterEqual", "kept", drawn, graph.constant("rate", 0.1))
    ones = graph.add("Cast", "ones", kept, SrcT=BOOL, DstT=FLOAT)
    scale = graph.add("Mul", "scale", ones, graph.constant("scale_of_kept", 1 / 0.9))
    graph.replace(x, graph.add("Mul", "dropped", x, scale), shape, "fault/dropped")
    graph.write()
