"""Writes files and directories completely or not at all.

Each is made beside its final path, under a hidden name with the process id, and moved there when
it is complete. After an error or Ctrl-C nothing unfinished is left. A process that is killed leaves
a `.NAME.PID.partial`.
"""

import ctypes
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


def temporary_sibling(path: Path, end: str = "partial") -> Path:
    """Returns a hidden path beside `path` that only this process uses."""
    return path.with_name(f".{path.name}.{os.getpid()}.{end}")


def write_file(path: Path, content: str | bytes) -> None:
    """Writes a file, text as UTF-8; makes its directory where that is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = temporary_sibling(path)
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, document: Any) -> None:
    """Writes a JSON document, indented for people."""
    write_file(path, json.dumps(document, ensure_ascii=False, indent=1) + "\n")


@contextmanager
def temporary_directory_beside(path: Path) -> Iterator[Path]:
    """Yields a new directory beside `path`; the block may rename it, what is left is removed."""
    partial = temporary_sibling(path)
    # An earlier process with the same id may have been killed: ids repeat, in containers soon.
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """Yields a new directory, which replaces `path` if the block succeeds, else is removed."""
    with temporary_directory_beside(path) as partial:
        yield partial
        replace_directory(partial, path)


def replace_directory(new: Path, path: Path) -> None:
    """Moves `new` to `path` and removes the old `path`.

    On Linux old and new are exchanged in one step. Elsewhere this takes two steps: a kill between
    them leaves the old directory as `.NAME.PID.old`.

    Raises:
        OSError: a rename failed; `path` is unchanged.
    """
    if not path.exists():
        new.rename(path)
        return
    if exchange_directories(new, path):
        shutil.rmtree(new, ignore_errors=True)
        return
    old = temporary_sibling(path, "old")
    path.rename(old)
    try:
        new.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def exchange_directories(one: Path, other: Path) -> bool:
    """Exchanges two directories; returns False if the system or the disk cannot do it."""
    if sys.platform != "linux":
        return False
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    return (
        int(rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE)) == 0
    )
