"""Who reaches whom in a SavedModel's main graph and its library of functions."""

from collections.abc import Iterable
from typing import Any


def plain(reference: str) -> str:
    """The node or argument of a reference such as `node:out:0`, `node:0` or `^node`."""
    return reference.removeprefix("^").partition(":")[0]


def data_inputs(node: Any) -> list[str]:
    """The inputs of a node that carry values, in order."""
    return [plain(reference) for reference in node.input if not reference.startswith("^")]


def traced(nodes: dict[str, Any], name: str) -> str:
    """The node or argument that a value comes from, through identities."""
    seen: set[str] = set()
    while name in nodes and nodes[name].op == "Identity" and name not in seen:
        seen.add(name)
        name = next(iter(data_inputs(nodes[name])), "")
    return name


def upstream(nodes: dict[str, Any], starts: Iterable[str]) -> set[str]:
    """The names of these nodes and of all that they depend on."""
    waiting = [plain(start) for start in starts]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in nodes and name not in found:
            found.add(name)
            waiting += [plain(source) for source in nodes[name].input]
    return found


def reached(
    functions: dict[str, Any], names: Iterable[str] = (), nodes: Iterable[Any] = ()
) -> set[str]:
    """The functions of these names, those that the nodes name, and all that these name in turn."""
    waiting = [*names, *(name for node in nodes for name in named_in(node))]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in functions and name not in found:
            found.add(name)
            waiting += [other for node in functions[name] for other in named_in(node)]
    return found


def named_in(node: Any) -> list[str]:
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
