"""`python -m export inspect`: describes a SavedModel from its files alone.

It loads no model and runs no graph: it reads `saved_model.pb`.
"""

import argparse
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from export.bundle import ClassifierContract
from export.classifier_choice import SAY_TASK
from export.classifier_task import LOGITS, PROBABILITIES, describe_classifier
from export.graph.verdict import Verdict, assess_model
from export.source import hub, messages
from export.source.call_graph import data_inputs
from export.source.messages import dtype_name, node_lists, read_assets, read_shape
from export.source.repository_source import FORM, RepositoryHandle, parse_handle
from export.source.signature_choice import (
    AskedSignature,
    Signature,
    add_options,
    asked_from_options,
    choose_graph,
    read_signatures,
)
from export.source.vetting import vet
from support.errors import UserError
from support.printing import say

# Formatting an inspection as text.

LINE_WIDTH = 88


def _format_inspection(document: dict[str, Any]) -> str:
    """Formats the fields of an `Inspection` as lines of text."""
    made = document["tensorflow_version"] or "an unknown version"
    lines = [document["handle"], f"  saved by TensorFlow {made}, lies in {document['path']}"]
    if document["tags"] != [["serve"]]:
        lines.append(
            "graphs with the tags " + ", ".join(repr(",".join(t)) for t in document["tags"])
        )
    for signature in document["signatures"]:
        lines.append(f"signature {signature['name']}")
        lines += [f"  in   {_format_tensor(t)}" for t in signature["inputs"]]
        lines += [f"  out  {_format_tensor(t)}" for t in signature["outputs"]]
    if not document["signatures"]:
        lines.append("no signature")
    lines.append(f"ops: {sum(document['ops'].values())} nodes, {len(document['ops'])} kinds")
    lines += _wrap_words(f"{op} {count}" for op, count in document["ops"].items())
    lines.append("on disk")
    for part, size in document["bytes_on_disk"].items():
        lines.append(f"  {part:15}{size / 1e6:10.3f} MB")
    lines.append("weights")
    for dtype, weights in document["weights"].items():
        lines.append(f"  {weights['numbers']:,} {dtype} in {weights['variables']} variables")
    if not document["weights"]:
        lines.append("  none")
    for vocab in document["vocabs"]:
        lines.append(f"vocab: {vocab['tokens']} tokens in {vocab['where']}")
    if not document["vocabs"]:
        lines.append("vocab: none found")
    verdict = document["verdict"]
    if verdict["classifier"] is not None:
        decides = describe_classifier(ClassifierContract(**verdict["classifier"]))
        lines.append(f"decides: {decides}")
    scores = [n for n, r in verdict["outputs"].items() if r in (LOGITS, PROBABILITIES)]
    if scores and verdict["classifier"] is None:
        lines.append(f"decides: nothing says what {' and '.join(scores)} mean; give {SAY_TASK}")
    if verdict["exportable"]:
        can = "can" if verdict["certain"] else "may"
        lines.append(f"verdict: {can} be exported as {verdict['contract']}: {verdict['reason']}")
    else:
        lines.append(f"verdict: cannot be exported: {verdict['reason']}")
    return "\n".join(lines)


def _format_tensor(document: dict[str, Any]) -> str:
    """Formats an input or output as `name: dtype[shape]`, with `?` for free axes."""
    shape = document["shape"]
    axes = "..." if shape is None else ", ".join("?" if n is None else str(n) for n in shape)
    return f"{document['name']}: {document['dtype']}[{axes}]"


def _wrap_words(words: Any) -> list[str]:
    """Wraps words into indented lines."""
    lines = [" "]
    for word in words:
        if len(lines[-1]) + len(word) + 2 > LINE_WIDTH:
            lines.append(" ")
        lines[-1] += f" {word},"
    return [line.rstrip(",") if line is lines[-1] else line for line in lines]


# The vocabs in a SavedModel: files among its assets, and tables in its graph.

STRING_DTYPE = 7
TABLE_IMPORT_OPS = {
    "LookupTableImportV2",
    "LookupTableImport",
    "InitializeTableV2",
    "InitializeTable",
}


@dataclass(frozen=True)
class FoundVocab:
    """The location of a vocab, and its number of tokens."""

    where: str
    tokens: int


def _find_vocabs(meta_graph: Any, directory: Path) -> list[FoundVocab]:
    """Finds the vocabs of a vetted model."""
    files = [
        FoundVocab(f"assets/{asset.filename}", count_lines(directory / "assets" / asset.filename))
        for asset in read_assets(meta_graph)
    ]
    return files + list(_find_table_vocabs(meta_graph).values())


def count_lines(file: Path) -> int:
    r"""Counts the lines of a vocab; only \n ends a line: the usual vocab has U+2028 in two."""
    with file.open("rb") as stream:
        last = b"\n"
        count = 0
        while piece := stream.read(1 << 20):
            count += piece.count(b"\n")
            last = piece[-1:]
    return count + (last != b"\n")


def _find_table_vocabs(meta_graph: Any) -> dict[str, FoundVocab]:
    """Finds string constants that initialise a lookup table, by the name of the constant."""
    found = {}
    for function, nodes in node_lists(meta_graph):
        by_name = {node.name: node for node in nodes}
        for node in nodes:
            keys = data_inputs(node)[1:2] if node.op in TABLE_IMPORT_OPS else []
            for constant in (by_name[key] for key in keys if key in by_name):
                size = _string_count(constant)
                if size is not None:
                    where = f"a constant in {function}" if function else "a constant of the graph"
                    found[f"{function}/{constant.name}"] = FoundVocab(where, size)
    return found | _find_captured_vocabs(meta_graph)


def _find_captured_vocabs(meta_graph: Any) -> dict[str, FoundVocab]:
    """Finds string constants that the main graph passes to a function that initialises a table."""
    initializers = {
        name
        for name, nodes in node_lists(meta_graph)
        if any(n.op in TABLE_IMPORT_OPS for n in nodes)
    }
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    found = {}
    for node in nodes.values():
        if node.attr["f"].func.name in initializers if "f" in node.attr else False:
            for name in data_inputs(node):
                size = _string_count(nodes[name]) if name in nodes else None
                if size is not None:
                    found[name] = FoundVocab("a constant of the graph", size)
    return found


def _string_count(node: Any) -> int | None:
    """Returns the length of a constant vector of strings; None for any other node."""
    if node.op != "Const" or node.attr["dtype"].type != STRING_DTYPE:
        return None
    shape = read_shape(node.attr["value"].tensor.tensor_shape)
    return shape[0] if shape and len(shape) == 1 else None


EXAMPLE = """examples:
  python -m export inspect ./albert_tiny
  python -m export inspect albert_tiny.tar.gz --json
  python -m export inspect hf:hfl/rbt3
"""
VARIABLE_OPS = {"VarHandleOp", "VariableV2", "Variable"}
NOTHING_ASKED = AskedSignature()


@dataclass(frozen=True)
class Inspection:
    """What is known without loading; `ops` has the counts in the graph and its functions.

    `tags` are those of every graph in the file; all else describes the graph that is exported.
    """

    handle: str
    path: str
    tensorflow_version: str
    tags: list[list[str]]
    signatures: list[Signature]
    ops: dict[str, int]
    bytes_on_disk: dict[str, int]
    weights: dict[str, dict[str, int]]
    vocabs: list[FoundVocab]
    verdict: Verdict


def inspect_model(
    handle: str, sha256: str | None = None, asked: AskedSignature = NOTHING_ASKED
) -> Inspection:
    """Inspects the SavedModel of a handle.

    Raises:
        UserError: see `hub.locate` and `hub.find_saved_model`, or the file is no SavedModel.
        EnvironmentProblem: see `hub.locate`.
    """
    directory = hub.find_saved_model(hub.locate(handle, sha256), handle)
    saved_model = messages.read_saved_model(directory)
    verdict = assess_model(directory, saved_model, asked)
    try:
        meta_graph = choose_graph(saved_model, asked.tags, directory.name)
    except UserError:
        # The verdict reports this error; the description is of the first graph.
        meta_graph = saved_model.meta_graphs[0]
    return Inspection(
        handle=handle,
        path=str(directory),
        tensorflow_version=meta_graph.meta_info_def.tensorflow_version,
        tags=[sorted(graph.meta_info_def.tags) for graph in saved_model.meta_graphs],
        signatures=read_signatures(meta_graph),
        ops=_count_ops(meta_graph),
        bytes_on_disk=_file_sizes(directory),
        weights=_count_weights(meta_graph),
        vocabs=_find_vocabs(meta_graph, directory) if _is_vetted(directory) else [],
        verdict=verdict,
    )


def _is_vetted(directory: Path) -> bool:
    """Whether a model passes the vetting, so that its files may be opened."""
    try:
        vet(directory)
    except UserError:
        return False
    return True


def _count_ops(meta_graph: Any) -> dict[str, int]:
    """Counts the ops of the main graph and the functions, the most frequent first."""
    graphs = messages.node_lists(meta_graph)
    return dict(Counter(node.op for _, nodes in graphs for node in nodes).most_common())


def _file_sizes(directory: Path) -> dict[str, int]:
    """Returns the bytes of the graph, the variables, the assets, and the total."""
    sizes = {
        path.relative_to(directory): path.stat().st_size
        for path in directory.rglob("*")
        if path.is_file()
    }
    parts = ("saved_model.pb", "variables", "assets")
    by_part = {part: sum(n for path, n in sizes.items() if path.parts[0] == part) for part in parts}
    return by_part | {"total": sum(sizes.values())}


def _count_weights(meta_graph: Any) -> dict[str, dict[str, int]]:
    """Returns, by dtype, the number of variables and the number of their elements.

    They come from the shapes in the graph: the checkpoint's own list would need TensorFlow.
    """
    weights: dict[str, dict[str, int]] = {}
    for node in meta_graph.graph_def.node:
        dtype = dtype_name(node.attr["dtype"].type) if node.op in VARIABLE_OPS else "string"
        if dtype == "string":
            # Not a weight: TensorFlow stores the path of an asset in such a variable.
            continue
        numbers = 1
        for size in read_shape(node.attr["shape"].shape) or []:
            numbers *= size or 0
        of_dtype = weights.setdefault(dtype, {"variables": 0, "numbers": 0})
        of_dtype["variables"] += 1
        of_dtype["numbers"] += numbers
    return weights


def add_command(commands: Any) -> None:
    """Adds the subcommand to the parser of `python -m export`."""
    command = commands.add_parser(
        "inspect",
        help="what a SavedModel is and whether it can be exported; nothing is loaded or run",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("handle", help=f"{hub.HANDLE_HELP}, or {FORM}")
    command.add_argument("--sha256", help="of the archive, checked before anything else")
    hub.add_download_option(command)
    add_options(command)
    command.add_argument("--json", action="store_true", help="for programs")
    command.set_defaults(run=_run_inspect)


def _run_inspect(options: argparse.Namespace) -> None:
    """Runs `python -m export inspect`."""
    repository = parse_handle(options.handle)
    if repository is not None:
        _print_repository(options, repository)
        return
    document = asdict(inspect_model(options.handle, options.sha256, asked_from_options(options)))
    if options.json:
        print(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        print(_format_inspection(document))


def _print_repository(options: argparse.Namespace, handle: RepositoryHandle) -> None:
    """Prints what a repository of Hugging Face's hub has.

    Raises:
        UserError: an option is for SavedModels, or see `inspect_repository`.
        EnvironmentProblem: see `inspect_repository`.
    """
    from export.repository_inspection import inspect_repository

    if options.sha256 or asked_from_options(options) != NOTHING_ASKED:
        raise UserError(
            f"{handle.text}: got an option of a SavedModel, expected --json alone with a repository"
        )
    found = inspect_repository(handle, say)
    if options.json:
        print(json.dumps(found.document(), ensure_ascii=False, indent=2))
    else:
        print(found.text())
