"""The vocabs that a SavedModel carries: files among its assets, and tables in its graph."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.call_graph import data_inputs
from export.saved_model_messages import assets_of, graphs, shape_of

STRING = 7
IMPORTS = {"LookupTableImportV2", "LookupTableImport", "InitializeTableV2", "InitializeTable"}


@dataclass(frozen=True)
class Vocab:
    """Where a vocab stands, and how many tokens it has."""

    where: str
    tokens: int


def vocabs_in(meta_graph: Any, directory: Path) -> list[Vocab]:
    """The vocabs of a model that has been vetted."""
    files = [
        Vocab(f"assets/{asset.filename}", lines_of(directory / "assets" / asset.filename))
        for asset in assets_of(meta_graph)
    ]
    return files + list(tables(meta_graph).values())


def lines_of(file: Path) -> int:
    r"""The lines of a vocab; only \n ends one, as in the usual vocab two hold U+2028."""
    with file.open("rb") as stream:
        last = b"\n"
        count = 0
        while piece := stream.read(1 << 20):
            count += piece.count(b"\n")
            last = piece[-1:]
    return count + (last != b"\n")


def tables(meta_graph: Any) -> dict[str, Vocab]:
    """Constants of strings that a lookup table is filled from, by the name of the constant."""
    found = {}
    for function, nodes in graphs(meta_graph):
        by_name = {node.name: node for node in nodes}
        for node in nodes:
            keys = data_inputs(node)[1:2] if node.op in IMPORTS else []
            for constant in (by_name[key] for key in keys if key in by_name):
                size = tokens_of(constant)
                if size is not None:
                    where = f"a constant in {function}" if function else "a constant of the graph"
                    found[f"{function}/{constant.name}"] = Vocab(where, size)
    return found | captured_tables(meta_graph)


def captured_tables(meta_graph: Any) -> dict[str, Vocab]:
    """Constants that the main graph hands to a function which fills a table from them."""
    fills = {name for name, nodes in graphs(meta_graph) if any(n.op in IMPORTS for n in nodes)}
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    found = {}
    for node in nodes.values():
        if node.attr["f"].func.name in fills if "f" in node.attr else False:
            for name in data_inputs(node):
                size = tokens_of(nodes[name]) if name in nodes else None
                if size is not None:
                    found[name] = Vocab("a constant of the graph", size)
    return found


def tokens_of(node: Any) -> int | None:
    """The length of a constant vector of strings."""
    if node.op != "Const" or node.attr["dtype"].type != STRING:
        return None
    shape = shape_of(node.attr["value"].tensor.tensor_shape)
    return shape[0] if shape and len(shape) == 1 else None
