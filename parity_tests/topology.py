"""The graph of a TF.js GraphModel, as it stands in `model.json`, and what Node made of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from parity_tests.errors import UserError


@dataclass(frozen=True)
class Found:
    """What Node gave: tensors and strings by node, and the node that threw, if one did."""

    tensors: dict[str, NDArray[Any]]
    strings: dict[str, dict[str, Any]]
    threw: dict[str, Any] | None


def read_topology(graph_model: Path) -> list[dict[str, Any]]:
    """The nodes of `model.json`, each after those that it takes.

    Raises:
        UserError: there is none.
    """
    try:
        document = json.loads((graph_model / "model.json").read_text(encoding="utf-8"))
        return in_order(document["modelTopology"]["node"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{graph_model} holds no TF.js GraphModel: {error}") from None


def in_order(topology: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The nodes, each after those that it takes."""
    by_name = {node["name"]: node for node in topology}
    done: dict[str, None] = {}
    for start in by_name:
        stack = [start]
        while stack:
            waiting = [n for n in taken(by_name[stack[-1]]) if n in by_name and n not in done]
            if waiting:
                stack += waiting
            else:
                done.setdefault(stack.pop())
    return [by_name[name] for name in done]


def taken(node: dict[str, Any]) -> list[str]:
    """The names of a node's inputs, control inputs left out."""
    return [name.split(":")[0] for name in node.get("input", []) if not name.startswith("^")]
