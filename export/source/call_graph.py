"""Who reaches whom in a SavedModel's main graph and its library of functions."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any


def reference_name(reference: str) -> str:
    """The node or argument of a reference such as `node:out:0`, `node:0` or `^node`."""
    return reference.removeprefix("^").partition(":")[0]


def data_inputs(node: Any) -> list[str]:
    """The inputs of a node that carry values, in order."""
    return [reference_name(reference) for reference in node.input if not reference.startswith("^")]


def trace_identities(nodes: dict[str, Any], name: str) -> str:
    """The node or argument that a value comes from, through identities."""
    seen: set[str] = set()
    while name in nodes and nodes[name].op == "Identity" and name not in seen:
        seen.add(name)
        name = next(iter(data_inputs(nodes[name])), "")
    return name


def find_upstream(nodes: dict[str, Any], starts: Iterable[str]) -> set[str]:
    """The names of these nodes and of all that they depend on."""
    waiting = [reference_name(start) for start in starts]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in nodes and name not in found:
            found.add(name)
            waiting += [reference_name(source) for source in nodes[name].input]
    return found


def reachable_functions(
    functions: dict[str, Any], names: Iterable[str] = (), nodes: Iterable[Any] = ()
) -> set[str]:
    """The functions of these names, those that the nodes name, and all that these name in turn."""
    waiting = [*names, *(name for node in nodes for name in function_names(node))]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in functions and name not in found:
            found.add(name)
            waiting += [other for node in functions[name] for other in function_names(node)]
    return found


def function_names(node: Any) -> list[str]:
    """The functions that a node names in its attributes, however deep."""
    waiting = list(node.attr.values())
    names = []
    while waiting:
        value = waiting.pop()
        kind = value.WhichOneof("value")
        functions = [value.func] if kind == "func" else value.list.func if kind == "list" else ()
        for function in functions:
            names += [function.name] if function.name else []
            waiting += list(function.attr.values())
    return names


# What a signature runs, told from the file alone: its nodes, in the graph and in its functions.
#
# Values are followed, control dependencies are not: an exported graph has none. A node counts as
# computed from the inputs where their values, not only their shapes, reach it: what depends on
# shapes and weights alone may yet be folded away.

CALL_OPS = {"PartitionedCall", "StatefulPartitionedCall"}
# What these give says nothing of the values they take.
VALUELESS = {"Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike"}


@dataclass(frozen=True)
class Node:
    """A node that a signature runs; `from_inputs`: it is computed from the inputs' values."""

    name: str
    op: str
    from_inputs: bool


@dataclass
class NodeSearch:
    """The functions of a model, and the nodes found so far by function and name."""

    functions: dict[str, Any]
    found: dict[tuple[str, str], Node] = field(default_factory=dict)
    done: dict[tuple[str, frozenset[str], frozenset[str]], set[str]] = field(default_factory=dict)


def find_run_nodes(meta_graph: Any, outputs: Iterable[str], inputs: Iterable[str]) -> list[Node]:
    """The nodes that the tensors `outputs` of the main graph need, with `inputs` given."""
    functions = {f.signature.name: f for f in meta_graph.graph_def.library.function}
    search = NodeSearch(functions)
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    follow_nodes(search, "", nodes, set(outputs), {reference_name(name) for name in inputs})
    return list(search.found.values())


def follow_nodes(
    search: NodeSearch, scope: str, nodes: dict[str, Any], wanted: set[str], given: set[str]
) -> set[str]:
    """Notes the nodes that `wanted` references need; returns all names computed from `given`."""
    from_inputs = set(given)
    needed = find_references(nodes, wanted, given)
    for name in topological_names(nodes, wanted, given):
        node = nodes[name]
        sources = [reference_name(source) for source in node.input if not source.startswith("^")]
        called = [one for one in function_names(node) if one in search.functions]
        depends = node.op not in VALUELESS and any(source in from_inputs for source in sources)
        for one in called:
            depends = (
                bool(follow_call(search, one, node, needed[name], sources, from_inputs)) or depends
            )
        if depends:
            from_inputs.add(name)
        before = search.found.get((scope, name))
        depends = depends or (before is not None and before.from_inputs)
        search.found[scope, name] = Node(name, node.op, depends)
    return from_inputs


def follow_call(
    search: NodeSearch,
    name: str,
    node: Any,
    needed: set[str],
    sources: list[str],
    from_inputs: set[str],
) -> set[str]:
    """Follows a function that a node calls; returns its results that come from the inputs."""
    function = search.functions[name]
    arguments = [argument.name for argument in function.signature.input_arg]
    by_place = node.op in CALL_OPS
    given = {
        argument
        for place, argument in enumerate(arguments)
        if (place < len(sources) and sources[place] in from_inputs)
        or (not by_place and any(source in from_inputs for source in sources))
    }
    ends = [function.ret[out.name] for out in function.signature.output_arg]
    places = {int(end) for end in (one.rpartition(":")[2] for one in needed) if end.isdecimal()}
    wanted = {end for i, end in enumerate(ends) if i in places or not by_place or not places}
    key = (name, frozenset(given), frozenset(wanted))
    if key not in search.done:
        search.done[key] = set()
        body = {node.name: node for node in function.node_def}
        reached = follow_nodes(search, name, body, wanted, given)
        search.done[key] = {end for end in wanted if reference_name(end) in reached}
    return search.done[key]


def find_references(
    nodes: dict[str, Any], wanted: set[str], given: set[str]
) -> dict[str, set[str]]:
    """How each needed node is referred to: `node`, `node:1` or `node:output:1`, with its place."""
    found: dict[str, set[str]] = {}
    waiting = list(wanted)
    while waiting:
        reference = waiting.pop()
        name = reference_name(reference)
        new = name not in found
        found.setdefault(name, set()).add(reference if ":" in reference else f"{reference}:0")
        if new and name in nodes and name not in given:
            waiting += [source for source in nodes[name].input if not source.startswith("^")]
    return found


def topological_names(nodes: dict[str, Any], wanted: set[str], given: set[str]) -> Iterator[str]:
    """The needed nodes, each after those that it takes, as far as no loop forbids."""
    waiting = [(reference_name(reference), False) for reference in sorted(wanted)]
    seen: set[str] = set()
    while waiting:
        name, ready = waiting.pop()
        if ready:
            yield name
        elif name in nodes and name not in given and name not in seen:
            seen.add(name)
            waiting.append((name, True))
            sources = [s for s in nodes[name].input if not s.startswith("^")]
            waiting += [(reference_name(source), False) for source in sources]
