"""Unpacks an untrusted archive: plain files inside one folder, within limits, or nothing at all."""

import gzip
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from export.source import unpacking
from export.source.unpacking import CHUNK, Member, MemberPaths, UnpackLimit, tar_members
from support.atomic import temporary_directory_beside
from support.errors import EnvironmentProblem, UserError
from support.sha256 import file_sha256

GZIP, ZIP, TAR = b"\x1f\x8b", b"PK\x03\x04", b"ustar"
HEAD_BYTES = 512
ARCHIVE_KINDS = "a .tar.gz, .tgz, .tar or .zip"
DAMAGE_ERRORS = (
    EOFError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    # An invalid number or name in a header.
    ValueError,
    OverflowError,
)


def detect_archive_kind(head: bytes) -> str | None:
    """Returns `gzip`, `zip`, `tar` or None from the first bytes of a file."""
    if head.startswith(GZIP):
        return "gzip"
    if head.startswith(ZIP):
        return "zip"
    return "tar" if head[257:].startswith(TAR) else None


def unpack(archive: Path, cache: Path, content: str) -> Path:
    """Unpacks an archive into the cache, once for each content; returns the directory.

    A directory from an earlier run is compared with the archive byte by byte, since others may have
    changed it.

    Args:
        archive: the file.
        cache: the parent of the new directory.
        content: the archive's sha256, which is the directory's name.

    Raises:
        UserError: it is no archive, is damaged, changes while it is read, or contains entries that
            no model needs.
        EnvironmentProblem: the cache is not writable.
    """
    target = cache / content
    try:
        if _is_unpacked(archive, target):
            return target
        _remove_path(target)
        # Not `new_directory`: it would replace the same directory of a process that was faster,
        # which may be reading it already.
        with temporary_directory_beside(target) as partial:
            _write_members(archive, partial)
            if file_sha256(archive) != content:
                raise UserError(f"{archive} changed while it was read; run the command again")
            _move_into_place(partial, target)
    except OSError as error:
        if error.errno is None:
            raise _damaged_archive_error(archive, error) from error
        raise EnvironmentProblem(f"cannot unpack {archive}: {error.strerror}") from error
    except DAMAGE_ERRORS as error:
        raise _damaged_archive_error(archive, error) from error
    return target


def _move_into_place(partial: Path, target: Path) -> None:
    """Renames a finished directory to its target, unless another process was faster."""
    try:
        partial.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def _remove_path(target: Path) -> None:
    """Removes whatever is at the path of an unpacked archive."""
    if target.is_symlink() or target.is_file():
        target.unlink()
    elif target.exists():
        shutil.rmtree(target)


def _is_unpacked(archive: Path, directory: Path) -> bool:
    """Whether a directory contains exactly the archive's files, byte by byte.

    Raises:
        UserError: see `_write_members`.
    """
    if directory.is_symlink() or not directory.is_dir():
        return False
    there = {path for path in directory.rglob("*") if path.is_symlink() or not path.is_dir()}
    for path, member in _checked_members(archive):
        file = directory.joinpath(*path.parts)
        if member.is_directory:
            continue
        if file not in there or file.is_symlink() or not file.is_file():
            return False
        with file.open("rb") as stream:
            while chunk := member.read(CHUNK):
                if stream.read(len(chunk)) != chunk:
                    return False
            if stream.read(1):
                return False
        there.remove(file)
    return not there


def _damaged_archive_error(archive: Path, error: Exception) -> UserError:
    """Returns the error for an archive that cannot be read to its end."""
    reason = str(error).splitlines()[0] if str(error) else "it ends too early"
    return UserError(f"{archive} is cut off or damaged ({reason}); download or copy it again")


def _write_members(archive: Path, directory: Path) -> None:
    """Writes every member.

    Raises:
        UserError: see `_checked_members`.
    """
    for path, member in _checked_members(archive):
        target = directory.joinpath(*path.parts)
        if member.is_directory:
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as out:
            while chunk := member.read(CHUNK):
                out.write(chunk)


def _checked_members(archive: Path) -> Iterator[tuple[PurePosixPath, Member]]:
    """Yields every member with its path; counts the bytes that are read, not the declared sizes.

    Raises:
        UserError: see `MemberPaths` and `UnpackLimit`.
    """
    paths = MemberPaths(archive)
    limit = UnpackLimit(archive)
    for member in _read_members(archive):
        path = paths.take(member)
        if path is not None:
            yield path, replace(member, read=limit.counting(member.read))


def _read_members(archive: Path) -> Iterator[Member]:
    """Yields the members of an archive of any kind, in order.

    Raises:
        UserError: it is no archive.
    """
    with archive.open("rb") as stream:
        kind = detect_archive_kind(stream.read(HEAD_BYTES))
        stream.seek(0)
        if kind is None:
            raise UserError(f"{archive}: got no archive, expected {ARCHIVE_KINDS}")
        if kind == "zip":
            yield from unpacking.zip_members(stream, archive)
        elif kind == "tar":
            yield from tar_members(stream, archive)
        else:
            with gzip.GzipFile(fileobj=stream) as unzipped:
                yield from tar_members(_as_binary(unzipped), archive)


def _as_binary(stream: gzip.GzipFile) -> BinaryIO:
    """Returns a gzip stream as a binary stream, for the type checker."""
    return stream  # type: ignore[return-value]
