"""Limits and checks for all kinds of archives while they are unpacked.

`tarfile` and `zipfile` read the members here, but do not unpack them: `extractall`, even with
`filter="data"`, accepts most archives that must be refused: with it 54 of 78 tests of
test_archives.py fail. It strips the `/` of an absolute name, creates links, lets a later member
replace an earlier one, has no limits, and takes a damaged header for the end of the archive, so
that files are missing without an error. The filter does not know names that lead elsewhere on
another system. `zipfile` has no filter: it changes such names, and trusts a directory that omits
members.
"""

import re
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from support.errors import UserError

CHUNK = 1 << 20
MAX_MEMBERS = 10_000
MAX_BYTES = 20 << 30
# Weights hardly compress; an archive bomb compresses by a thousand. Small archives may have any
# ratio.
MAX_RATIO = 100
MIN_LIMIT_BYTES = 1 << 30
DRIVE_PREFIX = re.compile("[A-Za-z]:")


@dataclass(frozen=True)
class Member:
    """One entry of an archive; `is_plain` is false for links, devices and other special files."""

    name: str
    is_directory: bool
    is_plain: bool
    read: Callable[[int], bytes]


class UnpackLimit:
    """The limit of unpacked bytes, relative to the archive's size and absolute."""

    def __init__(self, archive: Path) -> None:
        size = archive.stat().st_size
        self.archive = archive
        self.limit = min(MAX_BYTES, max(MIN_LIMIT_BYTES, MAX_RATIO * size))
        self.spent = 0

    def spend(self, count: int) -> None:
        """Counts bytes.

        Raises:
            UserError: the limit is exceeded.
        """
        self.spent += count
        if self.spent > self.limit:
            raise UserError(
                f"{self.archive} unpacks to more than {self.limit / 1e9:.1f} GB, expected a model; "
                "unpack it yourself if you trust it, and give the directory"
            )

    def counting(self, read: Callable[[int], bytes]) -> Callable[[int], bytes]:
        """Returns a function that reads and counts every byte."""

        def reading(count: int) -> bytes:
            data = read(count)
            self.spend(len(data))
            return data

        return reading


class MemberPaths:
    """The paths of the members: each is inside the folder, and none occurs twice."""

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self.files: set[str] = set()
        self.directories: set[str] = set()
        self.count = 0

    def take(self, member: Member) -> PurePosixPath | None:
        """Returns the path of a member inside the folder, or None for the folder itself.

        Raises:
            UserError: the member is not a plain file or directory inside it, or there are too many.
        """
        self.count += 1
        if self.count > MAX_MEMBERS:
            raise UserError(
                f"{self.archive} holds more than {MAX_MEMBERS} files, expected a model; "
                "unpack it yourself if you trust it, and give the directory"
            )
        path = PurePosixPath(member.name)
        if not member.is_plain or _is_unsafe(member.name):
            raise self.refusal(member.name)
        if not path.parts:
            return None
        # Some file systems ignore case.
        name = str(path).casefold()
        parents = {str(parent).casefold() for parent in path.parents} - {"."}
        clashes = name in self.files or bool(parents & self.files)
        if clashes or (name in self.directories and not member.is_directory):
            raise self.refusal(member.name, " twice")
        self.directories |= parents
        (self.directories if member.is_directory else self.files).add(name)
        return path

    def refusal(self, name: str, how: str = "") -> UserError:
        """Returns the error for a member that may not be unpacked."""
        return UserError(
            f"{self.archive} holds {name!r}{how}, expected plain files inside one folder; "
            "nothing was unpacked: get the archive from somewhere else"
        )


def _is_unsafe(name: str) -> bool:
    """Whether a name leads out of its folder on some system, or is invalid."""
    path = PurePosixPath(name)
    return (
        not name
        or path.is_absolute()
        or ".." in path.parts
        or "\\" in name
        or DRIVE_PREFIX.match(name) is not None
        or any(ord(letter) < 32 for letter in name)
    )


# Tar archives, read forwards, with a count of the unpacked bytes.

# Longer than any header in a tar of plain files.
MAX_HEADER = 4 << 20


class CheckedHeader(tarfile.TarInfo):
    """A header whose damage is an error at any position.

    `tarfile` treats a header that is cut off, or whose checksum is wrong, as the end of the archive
    unless it is the first: the members after it would be missing without an error.
    """

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> "CheckedHeader":
        """Reads the next header.

        Raises:
            tarfile.EOFHeaderError: a block of zeros, the end.
            tarfile.ReadError: a damaged header.
        """
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error}, byte {tarfile_.offset}") from error


class ForwardReader:
    """A stream for `tarfile`: read in order, limited in size, and counted.

    A header may declare any length, and `tarfile` would read it into memory at once.
    """

    def __init__(self, stream: BinaryIO, archive: Path) -> None:
        self.stream = stream
        self.archive = archive
        # A separate count: skipped bytes have to be unpacked too, though they are not written.
        self.budget = UnpackLimit(archive)
        self.position = 0

    def read(self, count: int = -1) -> bytes:
        """Reads up to `count` bytes.

        Raises:
            UserError: there are too many at once or in total.
        """
        if not 0 <= count <= MAX_HEADER:
            raise UserError(f"{self.archive} holds a header of {count} bytes, expected a model")
        data = self.stream.read(count)
        self.position += len(data)
        self.budget.spend(len(data))
        return data

    def tell(self) -> int:
        """Returns the position in the stream."""
        return self.position

    def seek(self, position: int) -> None:
        """Skips forwards.

        Raises:
            UserError: the position is before the current one, which no valid archive needs.
        """
        if position < self.position:
            raise UserError(f"{self.archive} leads backwards, expected members one after another")
        while self.position < position:
            if not self.read(min(CHUNK, position - self.position)):
                raise EOFError("it ends too early")


def tar_members(stream: BinaryIO, archive: Path) -> Iterator[Member]:
    """Yields every member of a tar stream; its bytes must be read before the next member."""
    forwards = ForwardReader(stream, archive)
    with tarfile.TarFile(fileobj=forwards, tarinfo=CheckedHeader) as tar:  # type: ignore[arg-type]
        for member in tar:
            is_file = member.isreg() and not member.issparse()
            content = tar.extractfile(member) if is_file else None
            yield Member(
                name=member.name,
                is_directory=member.isdir(),
                is_plain=is_file or member.isdir(),
                read=content.read if content else lambda _: b"",
            )
            # Otherwise `tarfile` stores every header.
            tar.members = []  # type: ignore[attr-defined]
    _check_end(forwards)


def _check_end(forwards: ForwardReader) -> None:
    """Checks what follows the first block of zeros, which ended the members.

    A header that damage has overwritten with zeros looks like the end too, but members follow it.
    In a .gz this also reads gzip's checksum at the end.

    Raises:
        tarfile.ReadError: there is no second block of zeros, or other bytes follow.
    """
    ending = 0
    while piece := forwards.read(CHUNK):
        if piece.strip(b"\0"):
            raise tarfile.ReadError("something follows the end of its members")
        ending += len(piece)
    if ending < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("its end is missing")


# Zip archives.

ENCRYPTED = 0x1
HAS_DESCRIPTOR = 0x8
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
LOCAL_HEADER, END_RECORD = 30, 22
# Lengths of the data descriptor after a member: with or without a signature, 32 or 64 bits.
DESCRIPTOR_SIZES = (12, 16, 20, 24)


def zip_members(stream: BinaryIO, archive: Path) -> Iterator[Member]:
    """Yields every member of a zip file.

    Raises:
        UserError: members are encrypted or use an unusual compression, or there are too many.
        zipfile.BadZipFile: see `_refuse_strays`.
    """
    with zipfile.ZipFile(stream) as file:
        infos = file.infolist()
        if len(infos) > MAX_MEMBERS:
            raise UserError(f"{archive} holds {len(infos)} files, expected a model")
        for info in infos:
            if info.flag_bits & ENCRYPTED:
                raise UserError(f"{archive} is encrypted, expected one without a password")
            if info.compress_type not in METHODS:
                raise UserError(
                    f"{archive}: got compression method {info.compress_type}, expected deflate; "
                    "pack it again"
                )
        _refuse_strays(file, infos, stream)
        for info in infos:
            # The upper half has Unix's file type, or 0 if the archive was not made on Unix.
            kind = stat.S_IFMT(info.external_attr >> 16)
            expected = stat.S_IFDIR if info.is_dir() else stat.S_IFREG
            with file.open(info) as content:
                yield Member(
                    # The stored name: zipfile cuts names at a NUL and changes separators.
                    name=info.orig_filename,
                    is_directory=info.is_dir(),
                    is_plain=kind in (0, expected),
                    read=content.read,
                )


def _refuse_strays(file: zipfile.ZipFile, infos: list[zipfile.ZipInfo], stream: BinaryIO) -> None:
    """Refuses bytes that belong to no member of the zip's directory.

    `zipfile` trusts the directory at the end: if it is damaged, members are missing without an
    error.

    Raises:
        zipfile.BadZipFile: there are bytes before, between or after the members.
    """
    end = 0
    behind: tuple[int, ...] = (0,)
    for info in sorted(infos, key=lambda one: one.header_offset):
        if info.header_offset - end not in behind:
            raise zipfile.BadZipFile(f"bytes of no member before {info.orig_filename!r}")
        stream.seek(info.header_offset)
        header = stream.read(LOCAL_HEADER)
        if len(header) < LOCAL_HEADER:
            raise zipfile.BadZipFile("it ends too early")
        flags, method = struct.unpack("<HH", header[6:10])
        differ = (flags ^ info.flag_bits) & (ENCRYPTED | HAS_DESCRIPTOR)
        if differ or method != info.compress_type:
            raise zipfile.BadZipFile(f"two things are said of {info.orig_filename!r}")
        name, extra = struct.unpack("<HH", header[26:30])
        end = info.header_offset + LOCAL_HEADER + name + extra + info.compress_size
        behind = DESCRIPTOR_SIZES if info.flag_bits & HAS_DESCRIPTOR else (0,)
    if file.start_dir - end not in behind:
        raise zipfile.BadZipFile("bytes of no member before its directory")
    length = stream.seek(0, 2)
    stream.seek(max(0, length - END_RECORD - len(file.comment)))
    if stream.read(4) != b"PK\x05\x06":
        raise zipfile.BadZipFile("something follows its end")
