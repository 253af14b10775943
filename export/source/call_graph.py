"""Finds which nodes and functions of a SavedModel depend on which."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any


def reference_name(reference: str) -> str:
    """Returns the node or argument of a reference such as `node:out:0`, `node:0` or `^node`."""
    return reference.removeprefix("^").partition(":")[0]


def data_inputs(node: Any) -> list[str]:
    """Returns the inputs of a node that are values, in order."""
    return [reference_name(reference) for reference in node.input if not reference.startswith("^")]


def trace_identities(nodes: dict[str, Any], name: str) -> str:
    """Returns the node or argument from which a value comes, through identities."""
    seen: set[str] = set()
    while name in nodes and nodes[name].op == "Identity" and name not in seen:
        seen.add(name)
        name = next(iter(data_inputs(nodes[name])), "")
    return name


def find_upstream(nodes: dict[str, Any], starts: Iterable[str]) -> set[str]:
    """Returns the names of these nodes and of all nodes that they depend on."""
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
    """Returns the functions with these names, those that the nodes call, and all their callees."""
    waiting = [*names, *(name for node in nodes for name in function_names(node))]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in functions and name not in found:
            found.add(name)
            waiting += [other for node in functions[name] for other in function_names(node)]
    return found


def function_names(node: Any) -> list[str]:
    """Returns the functions in a node's attributes, at any depth."""
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


# The nodes that a signature runs, in the graph and in its functions, from the file alone.
#
# Only values are followed; control dependencies are not, since an exported graph has none. A node
# counts as computed from the inputs if it depends on their values: a node that depends only on
# shapes and weights may be folded later.

CALL_OPS = {"PartitionedCall", "StatefulPartitionedCall"}
# Ops whose result does not depend on the values of their input.
VALUELESS = {"Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike"}


@dataclass(frozen=True)
class Node:
    """A node that a signature runs; `from_inputs`: it depends on the values of the inputs."""

    name: str
    op: str
    from_inputs: bool


@dataclass
class NodeSearch:
    """The functions of a model, and the nodes found, by function and name."""

    functions: dict[str, Any]
    found: dict[tuple[str, str], Node] = field(default_factory=dict)
    done: dict[tuple[str, frozenset[str], frozenset[str]], set[str]] = field(default_factory=dict)


def find_run_nodes(meta_graph: Any, outputs: Iterable[str], inputs: Iterable[str]) -> list[Node]:
    """Returns the nodes that compute the tensors `outputs` of the main graph from `inputs`."""
    functions = {f.signature.name: f for f in meta_graph.graph_def.library.function}
    search = NodeSearch(functions)
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    _follow_nodes(search, "", nodes, set(outputs), {reference_name(name) for name in inputs})
    return list(search.found.values())


def _follow_nodes(
    search: NodeSearch, scope: str, nodes: dict[str, Any], wanted: set[str], known: set[str]
) -> set[str]:
    """Records the nodes that references need; returns all names that depend on known values.

    Args:
        search: the search, which records the nodes.
        scope: the function, "" for the main graph.
        nodes: its nodes by name.
        wanted: the references.
        known: the names whose values come from the inputs.
    """
    from_inputs = set(known)
    needed = _find_references(nodes, wanted, known)
    for name in _topological_names(nodes, wanted, known):
        node = nodes[name]
        sources = [reference_name(source) for source in node.input if not source.startswith("^")]
        called = [one for one in function_names(node) if one in search.functions]
        depends = node.op not in VALUELESS and any(source in from_inputs for source in sources)
        for one in called:
            depends = (
                bool(_follow_call(search, one, node, needed[name], sources, from_inputs)) or depends
            )
        if depends:
            from_inputs.add(name)
        before = search.found.get((scope, name))
        depends = depends or (before is not None and before.from_inputs)
        search.found[scope, name] = Node(name, node.op, depends)
    return from_inputs


def _follow_call(
    search: NodeSearch,
    name: str,
    node: Any,
    needed: set[str],
    sources: list[str],
    from_inputs: set[str],
) -> set[str]:
    """Follows a function that a node calls; returns its results that depend on the inputs.

    Args:
        search: the search.
        name: the function.
        node: the node that calls it.
        needed: the references to the node's outputs.
        sources: the names of the node's inputs.
        from_inputs: the names that depend on the inputs.
    """
    function = search.functions[name]
    arguments = [argument.name for argument in function.signature.input_arg]
    by_position = node.op in CALL_OPS
    known = {
        argument
        for position, argument in enumerate(arguments)
        if (position < len(sources) and sources[position] in from_inputs)
        or (not by_position and any(source in from_inputs for source in sources))
    }
    ends = [function.ret[out.name] for out in function.signature.output_arg]
    positions = {int(end) for end in (one.rpartition(":")[2] for one in needed) if end.isdecimal()}
    wanted = {
        end for i, end in enumerate(ends) if i in positions or not by_position or not positions
    }
    key = (name, frozenset(known), frozenset(wanted))
    if key not in search.done:
        search.done[key] = set()
        body = {node.name: node for node in function.node_def}
        reached = _follow_nodes(search, name, body, wanted, known)
        search.done[key] = {end for end in wanted if reference_name(end) in reached}
    return search.done[key]


def _find_references(
    nodes: dict[str, Any], wanted: set[str], known: set[str]
) -> dict[str, set[str]]:
    """Returns the references to each needed node: `node:1` or `node:output:1`, with the index."""
    found: dict[str, set[str]] = {}
    waiting = list(wanted)
    while waiting:
        reference = waiting.pop()
        name = reference_name(reference)
        new = name not in found
        found.setdefault(name, set()).add(reference if ":" in reference else f"{reference}:0")
        if new and name in nodes and name not in known:
            waiting += [source for source in nodes[name].input if not source.startswith("^")]
    return found


def _topological_names(nodes: dict[str, Any], wanted: set[str], known: set[str]) -> Iterator[str]:
    """Yields the needed nodes, each after its inputs, except in loops."""
    waiting = [(reference_name(reference), False) for reference in sorted(wanted)]
    seen: set[str] = set()
    while waiting:
        name, ready = waiting.pop()
        if ready:
            yield name
        elif name in nodes and name not in known and name not in seen:
            seen.add(name)
            waiting.append((name, True))
            sources = [s for s in nodes[name].input if not s.startswith("^")]
            waiting += [(reference_name(source), False) for source in sources]
