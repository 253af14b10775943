"""Vets an untrusted SavedModel before anything of it is loaded.

A SavedModel is a program: besides arithmetic it can contain ops that read and write files or call
Python. So only ops of a committed list (`allowed_ops.txt`) are allowed, all others are refused, and
the few file ops may use only the model's own files: see `file_ops`.
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
# Files that a loader may read instead of saved_model.pb.
OTHER_FORMS = ("saved_model.cpb", "saved_model.pbtxt")
SHOWN = 5


def vet(saved_model: Path) -> None:
    """Refuses a SavedModel that could do anything but compute.

    Raises:
        UserError: it has an op outside the list, a file op where none is allowed, an asset or a
            link out of the directory, or is no SavedModel.
    """
    _vet_files(saved_model)
    for other in OTHER_FORMS:
        if (saved_model / other).exists():
            raise UserError(
                f"{saved_model} holds {other}, expected {messages.FILE} alone; "
                "which of them is loaded depends on the loader: remove one"
            )
    for meta_graph in messages.read_saved_model(saved_model).meta_graphs:
        problems = _refused_ops(meta_graph) or file_ops.find_misplaced(meta_graph)
        if problems:
            more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
            raise UserError(
                f"{saved_model}: got {', '.join(problems[:SHOWN])}{more}, expected only ops that "
                f"compute (export/source/{ALLOWED_FILE.name}); nothing was loaded, since this "
                "could read, write or run things on this machine: save the model again without it"
            )
        _vet_assets(meta_graph, saved_model)


@cache
def allowed_ops() -> frozenset[str]:
    """Reads the committed list."""
    return frozenset(ALLOWED_FILE.read_text(encoding="utf-8").split())


def _refused_ops(meta_graph: Any) -> list[str]:
    """Describes every op outside the list with its function, and names that could hide one."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    for function, nodes in messages.node_lists(meta_graph):
        if function in seen:
            found.setdefault(f"two functions called {function!r}", "")
        if function in allowed_ops():
            # A node with this op would call the function.
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


def _vet_files(directory: Path) -> None:
    """Refuses links out of the directory, and anything but files and directories.

    Raises:
        UserError: there is one.
    """
    root = directory.resolve()
    for path in _list_paths(directory):
        if not path.resolve().is_relative_to(root):
            raise UserError(
                f"{path} is a link out of {directory}, expected files inside it; put a copy there"
            )
        mode = path.stat().st_mode if path.exists() else 0
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise UserError(f"{path} is no plain file, expected one; put a copy there")


def _list_paths(directory: Path) -> list[Path]:
    """Returns all paths in a directory; follows no links."""
    return [
        Path(folder) / name
        for folder, folders, files in os.walk(directory)
        for name in sorted(folders) + sorted(files)
    ]


def _vet_assets(meta_graph: Any, saved_model: Path) -> None:
    """Refuses assets, such as a vocab, outside the model's `assets` folder.

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


# The only function that loads a SavedModel; it vets the model first.
#
# Nothing else in this project calls TensorFlow's or TF-Hub's loaders; a test checks that.

HUB_MODULE = "tfhub_module.pb"


def load_saved_model(directory: Path, tags: Sequence[str] | None = None) -> Any:
    """Vets and loads a model; returns what `hub.load` would return.

    Args:
        directory: the directory of the SavedModel.
        tags: all tags of the graph to load; None if the file has only one graph, or is a TF1 module
            of TF-Hub, whose graph for inference has no tags.

    Raises:
        UserError: see `vet`; or it cannot be loaded.
        EnvironmentProblem: see `messages.read_saved_model`.
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
        # The loader trusts its file: a damaged one can cause any exception.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"{directory} does not load as a SavedModel: {reason}") from error
