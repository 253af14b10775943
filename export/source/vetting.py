"""Judges a stranger's SavedModel before anything of it is loaded.

A SavedModel is a program: besides sums it can hold ops that read and write files or call Python.
So only ops of a committed list pass (`allowed_ops.txt`), what the list does not name is refused by
name, and the few that need a file may only have the model's own: see `file_ops`.
"""

import os
import stat
from collections.abc import Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from export.source import file_ops, messages
from support.errors import UserError
from support.quiet_tensorflow import tensorflow

ALLOWED_FILE = Path(__file__).with_name("allowed_ops.txt")
# What a loader may take in the place of saved_model.pb.
OTHER_FORMS = ("saved_model.cpb", "saved_model.pbtxt")
SHOWN = 5


def vet(saved_model: Path) -> None:
    """Stops at a SavedModel that could do anything but compute.

    Raises:
        UserError: an op outside the list, a file op away from its place, an asset or a link that
            leaves the directory, or a file that is no SavedModel.
    """
    vet_files(saved_model)
    for other in OTHER_FORMS:
        if (saved_model / other).exists():
            raise UserError(
                f"{saved_model} holds {other}, expected {messages.FILE} alone; "
                "which of them is loaded depends on the loader: remove one"
            )
    for meta_graph in messages.read_saved_model(saved_model).meta_graphs:
        problems = refused_ops(meta_graph) or file_ops.find_misplaced(meta_graph)
        if problems:
            more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
            raise UserError(
                f"{saved_model}: got {', '.join(problems[:SHOWN])}{more}, expected only ops that "
                f"compute (export/source/{ALLOWED_FILE.name}); nothing was loaded, since this "
                "could read, write or run things on this machine: save the model again without it"
            )
        vet_assets(meta_graph, saved_model)


@cache
def allowed_ops() -> frozenset[str]:
    """The committed list."""
    return frozenset(ALLOWED_FILE.read_text(encoding="utf-8").split())


def refused_ops(meta_graph: Any) -> list[str]:
    """Every op outside the list, once, with its function, and what would hide one."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    for function, nodes in messages.node_lists(meta_graph):
        if function in seen:
            found.setdefault(f"two functions called {function!r}", "")
        if function in allowed_ops():
            # A node of this op would call it.
            found.setdefault(f"a function called {function!r}, as an op is", "")
        seen.add(function)
        names: set[str] = set()
        for node in nodes:
            where = f" in {function}" if function else ""
            if node.op not in allowed_ops():
                found.setdefault(f"op {node.op}", where)
            if node.name in names:
                found.setdefault(f"two nodes called {node.name!r}", where)
            names.add(node.name)
    return [op + where for op, where in found.items()]


def vet_files(directory: Path) -> None:
    """Refuses links out of the directory, and what is neither a file nor a directory.

    Raises:
        UserError: there is one.
    """
    root = directory.resolve()
    for path in list_paths(directory):
        if not path.resolve().is_relative_to(root):
            raise UserError(
                f"{path} is a link out of {directory}, expected files inside it; put a copy there"
            )
        mode = path.stat().st_mode if path.exists() else 0
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise UserError(f"{path} is no plain file, expected one; put a copy there")


def list_paths(directory: Path) -> list[Path]:
    """Everything in a directory, links unfollowed."""
    return [
        Path(place) / name
        for place, folders, files in os.walk(directory)
        for name in sorted(folders) + sorted(files)
    ]


def vet_assets(meta_graph: Any, saved_model: Path) -> None:
    """Refuses assets, such as a vocab, that are not in the model's own `assets` folder.

    Raises:
        UserError: there is one.
    """
    for asset in messages.read_assets(meta_graph):
        name = PurePosixPath(asset.filename)
        leaves = name.is_absolute() or ".." in name.parts or "\\" in asset.filename
        if leaves or "://" in asset.filename or not (saved_model / "assets" / name).is_file():
            raise UserError(
                f"{saved_model}: got an asset {asset.filename!r}, expected a file inside its "
                "folder assets; copy the whole directory, or save the model again"
            )


# The one door through which a SavedModel is loaded, whoever made it: it is vetted first.
#
# Nothing else in this project calls TensorFlow's or TF-Hub's loaders; a test looks for that.

HUB_MODULE = "tfhub_module.pb"


def load_saved_model(directory: Path, tags: Sequence[str] | None = None) -> Any:
    """The loaded model, as `hub.load` gives it.

    Args:
        directory: of the SavedModel.
        tags: all tags of the graph to load; None where the file holds but one, or is a module of
            TF1's TF-Hub, whose graph for use has none.

    Raises:
        UserError: it does more than compute (see `vet`), or does not load.
        EnvironmentProblem: see `saved_model_messages.read`.
    """
    vet(directory)
    if tags is None and (directory / HUB_MODULE).is_file():
        tags = []
    tf, _ = tensorflow()
    try:
        return tf.saved_model.load(str(directory), tags=tags)
    except MemoryError:
        raise
    except Exception as error:
        # The loader trusts its file: a damaged one makes it raise anything at all.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"{directory} does not load as a SavedModel: {reason}") from error
