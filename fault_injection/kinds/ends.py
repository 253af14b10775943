"""Faults at both ends of the graph: embeddings and outputs."""

from random import Random

from fault_injection.graph import GraphParts, norm_numbers
from fault_injection.registry import kind
from fault_injection.sources import POSITIONS
from fault_injection.target import Target

INT = {"T": {"type": "DT_INT32"}}


@kind("graph", stages="embeddings", fits=lambda clean: clean.source.positions > POSITIONS, times=5)
def position_offset(target: Target, choose: Random) -> str:
    """The first position is counted as 1."""
    graph = target.graph
    (table,) = graph.weights.names("/position_embeddings")
    (rows,) = graph.users(table)
    _, begin, end, _ = graph.inputs(rows)
    one = graph.constant("one", [1], "int32")
    graph.rewire(rows, begin, one)
    graph.rewire(rows, end, graph.add("AddV2", "end", end, one, **INT))
    # Without this, `begin` is ignored.
    graph.nodes[rows]["attr"]["begin_mask"] = {"i": "0"}
    graph.write()
    return "positions from 1 on, not from 0"


@kind("graph", stages="embeddings")
def positions_left_out(target: Target, choose: Random) -> str:
    """Positions are not added to the words."""
    graph = target.graph
    (table,) = graph.weights.names("/position_embeddings")
    (rows,) = graph.users(table)
    (total,) = graph.users(rows)
    words = next(n for n in graph.inputs(total) if n != rows)
    graph.replace(total, words)
    graph.write()
    return "position embeddings omitted"


@kind("graph", stages=("invariances", "embeddings"), times=6)
def types_zeroed(target: Target, choose: Random) -> str:
    """The graph treats every token as of the first text, which a single text does not show."""
    graph = target.graph
    (user,) = [n for n in graph.users("token_type_ids") if graph.op(n) != "Shape"]
    zeros = graph.add("ZerosLike", "zeros", "token_type_ids", **INT)
    graph.rewire(user, "token_type_ids", zeros)
    graph.write()
    return "zeros instead of token_type_ids"


@kind("graph", stages="embeddings")
def types_flipped(target: Target, choose: Random) -> str:
    """The graph treats the first text as the second."""
    graph = target.graph
    (user,) = [n for n in graph.users("token_type_ids") if graph.op(n) != "Shape"]
    ones = graph.add("OnesLike", "ones", "token_type_ids", **INT)
    flipped = graph.add("Sub", "flipped", ones, "token_type_ids", **INT)
    graph.rewire(user, "token_type_ids", flipped)
    graph.write()
    return "1 - token_type_ids instead of them"


@kind("graph", stages="embeddings")
def words_off_by_one(target: Target, choose: Random) -> str:
    """Each id is looked up in the row before."""
    graph = target.graph
    (table,) = graph.weights.names("/word_embeddings")
    (lookup,) = graph.users(table)
    one = graph.constant("one", 1, "int32")
    before = graph.add("Sub", "before", "input_ids", one, **INT)
    nothing = graph.constant("nothing", 0, "int32")
    graph.rewire(lookup, "input_ids", graph.add("Maximum", "row", before, nothing, **INT))
    graph.write()
    return "input_ids - 1 instead of them"


@kind("graph", stages="sequence_output")
def output_nodes_swapped(target: Target, choose: Random) -> str:
    """The nodes of the outputs are swapped."""
    graph = target.graph
    first, second = graph.nodes["sequence_output"], graph.nodes["pooled_output"]
    first["input"], second["input"] = second["input"], first["input"]
    graph.write()
    return "sequence_output and pooled_output swapped in the graph"


@kind("graph", stages="sequence_output")
def output_before_norm(target: Target, choose: Random) -> str:
    """`sequence_output` is the input of the last normalisation."""
    graph, parts = target.graph, GraphParts(target.graph)
    last = norm_numbers(parts.layers - 1)[1]
    graph.rewire("sequence_output", parts.normed(last), parts.norm_sum(last))
    graph.write()
    return "sequence_output taken before the last layer norm"


@kind("graph", stages="pooled_output")
def pooled_at_second_position(target: Target, choose: Random) -> str:
    """`pooled_output` is of position 1."""
    graph, parts = target.graph, GraphParts(target.graph)
    last = parts.normed(norm_numbers(parts.layers - 1)[1])
    rows = parts.user_of_op(last, "StridedSlice")
    _, begin, end, _ = graph.inputs(rows)
    graph.rewire(rows, begin, graph.constant("begin", [0, 1], "int32"))
    graph.rewire(rows, end, graph.constant("end", [0, 2], "int32"))
    graph.write()
    return "pooled_output of position 1, not 0"


@kind("graph", stages="pooled_output", fits=lambda clean: clean.source.pooled)
def pooler_activation_lost(target: Target, choose: Random) -> str:
    """`pooled_output` has no tanh."""
    graph = target.graph
    (tanh,) = graph.nodes_of_op("Tanh")
    graph.replace(tanh, graph.inputs(tanh)[0])
    graph.write()
    return "pooled_output without its tanh"
