"""Puts a finished directory in the place of `--out`: whole or not at all, and only over our own.

Only a directory that lists what it holds, a bundle in its contract and a SavedModel of `build` in a
file of its own, is ever replaced, and only if it holds nothing else. On Linux old and new change
places in one step. Elsewhere there are two, and a kill between them leaves no `--out`, but the old
one beside it under a name that the next run knows.
"""

import ctypes
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from export.bundle import CONTRACT, FILE_LIST, FORMAT
from export.signing import SIGNATURE
from support.command_line import MACHINE_ERRORS
from support.errors import EnvironmentProblem, UserError
from support.input_files import read_object

SAVED_MODEL = "saved_model.pb"
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux
ABANDONED_S = 24 * 3600
"""After so long a directory that was not finished is nobody's, on whatever machine it was begun."""


@contextmanager
def atomic_directory(out: Path, mark: str = FILE_LIST) -> Iterator[Path]:
    """A directory to fill that takes the place of `out` when the block ends well, else vanishes.

    Args:
        out: where it goes; a link to a directory stays a link.
        mark: the file that lists what there is: `CONTRACT` in a bundle, which the block writes, or
            `MADE` in a SavedModel, which is written here.

    Raises:
        UserError: `out` exists and is neither empty nor of that kind alone, or may not be written
            to.
        EnvironmentProblem: its disk is full, or has another fault.
    """
    place = out.resolve()
    recover_interrupted(place)
    refuse_foreign(out, mark)
    growing = temporary_sibling(place, "partial")
    try:
        growing.mkdir(parents=True)
        yield growing
        if mark == FILE_LIST:
            write_file_list(growing)
        # What has come there meanwhile.
        refuse_foreign(out, mark)
        replace_directory(growing, place)
    except OSError as error:
        if error.filename is None and error.strerror is None:
            raise
        kind = EnvironmentProblem if error.errno in MACHINE_ERRORS else UserError
        raise kind(
            f"cannot write {out}: {error.strerror}; give another place or make room"
        ) from error
    finally:
        shutil.rmtree(growing, ignore_errors=True)


def temporary_sibling(out: Path, end: str) -> Path:
    """A hidden name beside `out` that only this process uses."""
    return out.with_name(f".{out.name}.{os.getpid()}.{end}")


def write_file_list(saved_model: Path) -> None:
    """Writes the list of files that tells a SavedModel of ours."""
    names = sorted(set(walk_names(saved_model)) - {FILE_LIST})
    folders = [name for name in names if (saved_model / name).is_dir()]
    files = [name for name in names if name not in folders]
    # TensorFlow makes folders that stay empty.
    document = {"format": FORMAT, "files": files, "folders": folders}
    (saved_model / FILE_LIST).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def refuse_foreign(out: Path, mark: str = FILE_LIST) -> None:
    """Stops before overwriting a directory that holds anything but an earlier export.

    Raises:
        UserError: it does; names one thing.
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
    names = listed_files(out, mark)
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


def listed_files(out: Path, mark: str) -> set[str] | None:
    """The files that a directory of ours lists, and their folders; None where it lists none."""
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
    """The names of all files, links and folders below a directory, links unfollowed."""
    for place, folders, files in os.walk(directory):
        for name in sorted(folders) + sorted(files):
            yield (Path(place) / name).relative_to(directory).as_posix()


def refuse_overlap(out: Path, sources: Iterable[Path], may_be_inside: bool = False) -> None:
    """Stops where writing `out` would replace what it is made from, or would change it.

    Args:
        out: where the result goes.
        sources: files and directories that it is made from.
        may_be_inside: whether `out` may be a new directory inside a source.

    Raises:
        UserError: a source is `out`, lies in it, or has it inside.
    """
    target = out.resolve()
    for source in sources:
        place = source.resolve()
        if place == target or is_same_directory(place, target):
            relation = "is"
        elif target in place.parents:
            relation = "holds"
        elif place in target.parents and not may_be_inside:
            relation = "lies inside"
        else:
            continue
        raise UserError(
            f"--out {out} {relation} {source}, which it would be made from; give another place"
        )


def is_same_directory(one: Path, other: Path) -> bool:
    """Whether two paths are one directory, by a mount or a disk that does not tell case."""
    return one.exists() and other.exists() and one.samefile(other)


def replace_directory(new: Path, out: Path) -> None:
    """Puts `new` where `out` is; what was there is removed.

    Raises:
        OSError: a rename fails; then `out` is what it was.
    """
    if not out.exists():
        new.rename(out)
        return
    if exchange_directories(new, out):
        shutil.rmtree(new, ignore_errors=True)
        return
    old = temporary_sibling(out, "old")
    out.rename(old)
    try:
        new.rename(out)
    except OSError:
        old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def exchange_directories(one: Path, other: Path) -> bool:
    """Whether two directories have changed places; not every system or disk can."""
    if sys.platform != "linux":
        return False
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    return (
        int(rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE)) == 0
    )


def recover_interrupted(out: Path) -> None:
    """Puts right what a killed process left beside `out`, whose path is resolved.

    An old directory comes back where there is no new one; what was not finished is removed.
    """
    if not out.parent.is_dir():
        return
    pattern = re.compile(rf"\.{re.escape(out.name)}\.(\d+)\.(old|partial)")
    for left in sorted(out.parent.iterdir()):
        found = pattern.fullmatch(left.name)
        if found is None or is_running(int(found[1])) or not left.is_dir():
            continue
        if found[2] == "old" and not out.exists():
            left.rename(out)
        elif found[2] == "old" or time.time() - left.stat().st_mtime > ABANDONED_S:
            shutil.rmtree(left, ignore_errors=True)


def is_running(process: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
