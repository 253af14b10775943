"""Writes `--out` atomically, and replaces only directories that this program wrote.

A directory is replaced only if it lists its files (a bundle in its contract, a SavedModel of
`build` in FILE_LIST) and contains no others. `support.atomic` makes the new directory and moves it
into place; what a killed process leaves beside it is recovered here by the next run.
"""

import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from export.bundle import FORMAT
from export.signing import SIGNATURE
from support.atomic import new_directory
from support.command_line import MACHINE_ERRORS
from support.contracts import CONTRACT, FILE_LIST
from support.errors import EnvironmentProblem, UserError
from support.input_files import read_object

SAVED_MODEL = "saved_model.pb"
ABANDONED_S = 24 * 3600
"""After this time an unfinished directory is abandoned, whichever machine began it."""


@contextmanager
def atomic_directory(out: Path, mark: str = FILE_LIST) -> Iterator[Path]:
    """Yields a new directory, which replaces `out` if the block succeeds, else is removed.

    Args:
        out: the final path; a link to a directory stays a link.
        mark: the file that lists the directory's files: `CONTRACT` in a bundle, which the block
            writes, or `FILE_LIST` in a SavedModel, which is written here.

    Raises:
        UserError: `out` exists and is neither empty nor written by this program, or it is not
            writable.
        EnvironmentProblem: the disk is full or fails.
    """
    target = out.resolve()
    recover_interrupted(target)
    refuse_foreign(out, mark)
    try:
        with new_directory(target) as partial:
            yield partial
            if mark == FILE_LIST:
                write_file_list(partial)
            # Somebody may have written to it meanwhile.
            refuse_foreign(out, mark)
    except OSError as error:
        if error.filename is None and error.strerror is None:
            raise
        kind = EnvironmentProblem if error.errno in MACHINE_ERRORS else UserError
        raise kind(
            f"cannot write {out}: {error.strerror}; give another place or make room"
        ) from error


def write_file_list(saved_model: Path) -> None:
    """Writes the list of files that marks a SavedModel as written by this program."""
    names = sorted(set(walk_names(saved_model)) - {FILE_LIST})
    folders = [name for name in names if (saved_model / name).is_dir()]
    files = [name for name in names if name not in folders]
    # TensorFlow makes folders that stay empty.
    document = {"format": FORMAT, "files": files, "folders": folders}
    (saved_model / FILE_LIST).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def refuse_foreign(out: Path, mark: str = FILE_LIST) -> None:
    """Refuses to overwrite a directory that contains anything but an earlier export.

    Raises:
        UserError: it does; the message names one such file.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise UserError(f"--out {out} is a file, expected a directory or a new name")
    if not any(out.iterdir()):
        return
    if not (out / mark).is_file():
        kinds = {CONTRACT: "a bundle", FILE_LIST: "a SavedModel", SAVED_MODEL: "a SavedModel"}
        holds = next((kind for file, kind in kinds.items() if (out / file).exists()), "other files")
        if mark == FILE_LIST and (out / SAVED_MODEL).exists():
            holds += f" that is not known to be of this program (it has no {FILE_LIST})"
        raise UserError(f"--out {out} holds {holds}; give an empty directory or a new name")
    names = _listed_files(out, mark)
    if names is None:
        raise UserError(
            f"--out {out} has a {mark} that cannot be read, so nothing says what there is of this "
            "program; move it away, or give another place"
        )
    other = next((name for name in walk_names(out) if name not in names), None)
    if other is not None:
        raise UserError(
            f"--out {out} holds {other}, which its {mark} does not list, so that it may be yours; "
            "move it away, or give another place"
        )


def _listed_files(out: Path, mark: str) -> set[str] | None:
    """Returns the files in a directory's list, and their folders; None if it has no valid list."""
    try:
        document = read_object(out / mark)
        if document["format"] != FORMAT:
            return None
        names = {str(name) for name in [*document["files"], *document.get("folders", [])]}
    except (UserError, ValueError, KeyError, TypeError, AttributeError):
        return None
    folders = {parent.as_posix() for name in names for parent in Path(name).parents}
    return names | folders | {mark, SIGNATURE}


def walk_names(directory: Path) -> Iterator[str]:
    """Yields the names of all files, links and folders below a directory; follows no links."""
    for parent, folders, files in os.walk(directory):
        for name in sorted(folders) + sorted(files):
            yield (Path(parent) / name).relative_to(directory).as_posix()


def refuse_overlap(out: Path, sources: Iterable[Path], may_be_inside: bool = False) -> None:
    """Refuses an `out` that would replace or change a source.

    Args:
        out: the path of the result.
        sources: the files and directories that it is made from.
        may_be_inside: whether `out` may be a new directory inside a source.

    Raises:
        UserError: a source is `out`, is inside it, or contains it.
    """
    target = out.resolve()
    for source in sources:
        path = source.resolve()
        if path == target or _is_same_directory(path, target):
            relation = "is"
        elif target in path.parents:
            relation = "holds"
        elif path in target.parents and not may_be_inside:
            relation = "lies inside"
        else:
            continue
        raise UserError(
            f"--out {out} {relation} {source}, which it would be made from; give another place"
        )


def _is_same_directory(one: Path, other: Path) -> bool:
    """Whether two paths are one directory, by a mount or on a case-insensitive disk."""
    return one.exists() and other.exists() and one.samefile(other)


def recover_interrupted(out: Path) -> None:
    """Cleans up what a killed process left beside `out`, whose path is resolved.

    It restores the old directory if there is no new one, and removes abandoned unfinished ones.
    """
    if not out.parent.is_dir():
        return
    pattern = re.compile(rf"\.{re.escape(out.name)}\.(\d+)\.(old|partial)")
    for left in sorted(out.parent.iterdir()):
        found = pattern.fullmatch(left.name)
        if found is None or _is_running(int(found[1])) or not left.is_dir():
            continue
        if found[2] == "old" and not out.exists():
            left.rename(out)
        elif found[2] == "old" or time.time() - left.stat().st_mtime > ABANDONED_S:
            shutil.rmtree(left, ignore_errors=True)


def _is_running(process: int) -> bool:
    """Whether a process with this id runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
