"""`python -m export inspect`: what a SavedModel is, told from its files alone.

Nothing is loaded and no graph is run: what is shown is read off `saved_model.pb`.
"""

import argparse
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from export import hub, saved_model_messages
from export.errors import UserError
from export.inspection_text import as_text
from export.saved_model_messages import dtype_name, shape_of
from export.signature_choice import (
    Asked,
    Signature,
    add_options,
    asked_of,
    graph_for,
    signatures_of,
)
from export.verdict import Verdict, verdict_of
from export.vetting import vet
from export.vocab_in_graph import Vocab, vocabs_in

EXAMPLE = """examples:
  python -m export inspect ./albert_tiny
  python -m export inspect albert_tiny.tar.gz --json
"""
VARIABLES = {"VarHandleOp", "VariableV2", "Variable"}
NOTHING_ASKED = Asked()


@dataclass(frozen=True)
class Inspection:
    """All that can be told without loading; `ops` counts them over the graph and its functions.

    `tags` are those of every graph in the file; the rest is of the one that is exported.
    """

    handle: str
    path: str
    tensorflow_version: str
    tags: list[list[str]]
    signatures: list[Signature]
    ops: dict[str, int]
    bytes_on_disk: dict[str, int]
    weights: dict[str, dict[str, int]]
    vocabs: list[Vocab]
    verdict: Verdict


def inspect(handle: str, sha256: str | None = None, asked: Asked = NOTHING_ASKED) -> Inspection:
    """Looks at the SavedModel behind a handle.

    Raises:
        UserError: see `hub.located` and `hub.checked`, or the file is no SavedModel.
        EnvironmentProblem: see `hub.located`.
    """
    directory = hub.checked(hub.located(handle, sha256), handle)
    saved_model = saved_model_messages.read(directory)
    verdict = verdict_of(directory, saved_model, asked)
    try:
        meta_graph = graph_for(saved_model, asked.tags, directory.name)
    except UserError:
        # The verdict says it; what there is can be shown of any.
        meta_graph = saved_model.meta_graphs[0]
    return Inspection(
        handle=handle,
        path=str(directory),
        tensorflow_version=meta_graph.meta_info_def.tensorflow_version,
        tags=[sorted(graph.meta_info_def.tags) for graph in saved_model.meta_graphs],
        signatures=signatures_of(meta_graph),
        ops=ops_of(meta_graph),
        bytes_on_disk=sizes_of(directory),
        weights=weights_of(meta_graph),
        vocabs=vocabs_in(meta_graph, directory) if is_vetted(directory) else [],
        verdict=verdict,
    )


def is_vetted(directory: Path) -> bool:
    """Whether the files of a model may be opened."""
    try:
        vet(directory)
    except UserError:
        return False
    return True


def ops_of(meta_graph: Any) -> dict[str, int]:
    """How often each op stands in the main graph and the functions, the most frequent first."""
    graphs = saved_model_messages.graphs(meta_graph)
    return dict(Counter(node.op for _, nodes in graphs for node in nodes).most_common())


def sizes_of(directory: Path) -> dict[str, int]:
    """Bytes of the graph, the variables, the assets and in all."""
    sizes = {
        path.relative_to(directory): path.stat().st_size
        for path in directory.rglob("*")
        if path.is_file()
    }
    parts = ("saved_model.pb", "variables", "assets")
    by_part = {part: sum(n for path, n in sizes.items() if path.parts[0] == part) for part in parts}
    return by_part | {"total": sum(sizes.values())}


def weights_of(meta_graph: Any) -> dict[str, dict[str, int]]:
    """By dtype, how many variables there are and how many numbers they hold.

    Told by the shapes that the graph declares: the checkpoint's own list would need TensorFlow.
    """
    weights: dict[str, dict[str, int]] = {}
    for node in meta_graph.graph_def.node:
        dtype = dtype_name(node.attr["dtype"].type) if node.op in VARIABLES else "string"
        if dtype == "string":
            # No weight: TensorFlow keeps the path of an asset in such a variable.
            continue
        numbers = 1
        for size in shape_of(node.attr["shape"].shape) or []:
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
    command.add_argument("handle", help=hub.HANDLE_HELP)
    command.add_argument("--sha256", help="of the archive, checked before anything else")
    hub.add_download_option(command)
    add_options(command)
    command.add_argument("--json", action="store_true", help="for programs")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """`python -m export inspect`."""
    document = asdict(inspect(options.handle, options.sha256, asked_of(options)))
    if options.json:
        print(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        print(as_text(document))
