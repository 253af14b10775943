"""The sha256 of files, of directories and of code, in hexadecimal."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from support.contracts import FILE_LIST

UNHASHED_FILES = ("fingerprint.pb", FILE_LIST)
"""Files of a SavedModel that do not count: `fingerprint.pb` differs between two identical saves."""


def file_sha256(path: Path) -> str:
    """Returns the sha256 of a file, which may be larger than the memory."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def directory_sha256(path: Path) -> str:
    """Returns the sha256 of a line `<name>` NUL `<sha256>` for each file of a directory, by name.

    Contracts have it, and Node computes it too (node_bridge/bundle/saved_model/vetting.js).
    """
    whole = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.name not in UNHASHED_FILES:
            whole.update(f"{file.relative_to(path).as_posix()}\0{file_sha256(file)}\n".encode())
    return whole.hexdigest()


def path_sha256(path: Path) -> str:
    """Returns the sha256 of a file or of a directory."""
    return file_sha256(path) if path.is_file() else directory_sha256(path)


def code_sha256(root: Path, files: Iterable[Path]) -> str:
    """Returns the sha256 of the names, below `root`, and the bytes of some files, in this order.

    It names a version of code, for caches and reports.
    """
    whole = hashlib.sha256()
    for file in files:
        whole.update(f"{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes())
    return whole.hexdigest()
