"""What every kind of archive is held to while it is unpacked."""

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
# Weights hardly compress; a bomb does by a thousand. Small archives may do as they please.
MAX_RATIO = 100
MIN_LIMIT_BYTES = 1 << 30
DRIVE_PREFIX = re.compile("[A-Za-z]:")


@dataclass(frozen=True)
class Member:
    """One entry of an archive. `is_plain` is false for links, devices and all else that is odd."""

    name: str
    is_directory: bool
    is_plain: bool
    read: Callable[[int], bytes]


class UnpackLimit:
    """The bytes that may come out of an archive, by its size and by an absolute limit."""

    def __init__(self, archive: Path) -> None:
        size = archive.stat().st_size
        self.archive = archive
        self.limit = min(MAX_BYTES, max(MIN_LIMIT_BYTES, MAX_RATIO * size))
        self.spent = 0

    def spend(self, count: int) -> None:
        """Counts bytes.

        Raises:
            UserError: there were too many.
        """
        self.spent += count
        if self.spent > self.limit:
            raise UserError(
                f"{self.archive} unpacks to more than {self.limit / 1e9:.1f} GB, expected a model; "
                "unpack it yourself if you trust it, and give the directory"
            )

    def counted(self, read: Callable[[int], bytes]) -> Callable[[int], bytes]:
        """The same reading, with every byte counted."""

        def reading(count: int) -> bytes:
            data = read(count)
            self.spend(len(data))
            return data

        return reading


class MemberPaths:
    """Where the members go; none leaves the folder, none comes twice."""

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self.files: set[str] = set()
        self.directories: set[str] = set()
        self.count = 0

    def take(self, member: Member) -> PurePosixPath | None:
        """The path of a member inside the folder, or None where it is the folder itself.

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
        if not member.is_plain or is_unsafe(member.name):
            raise self.refusal(member.name)
        if not path.parts:
            return None
        # Some file systems take A and a for one.
        name = str(path).casefold()
        parents = {str(parent).casefold() for parent in path.parents} - {"."}
        clashes = name in self.files or bool(parents & self.files)
        if clashes or (name in self.directories and not member.is_directory):
            raise self.refusal(member.name, " twice")
        self.directories |= parents
        (self.directories if member.is_directory else self.files).add(name)
        return path

    def refusal(self, name: str, how: str = "") -> UserError:
        """What is said of a member that may not be unpacked."""
        return UserError(
            f"{self.archive} holds {name!r}{how}, expected plain files inside one folder; "
            "nothing was unpacked: get the archive from somewhere else"
        )


def is_unsafe(name: str) -> bool:
    """Whether a name leads out of its folder on some system, or is none."""
    path = PurePosixPath(name)
    return (
        not name
        or path.is_absolute()
        or ".." in path.parts
        or "\\" in name
        or DRIVE_PREFIX.match(name) is not None
        or any(ord(letter) < 32 for letter in name)
    )


# The members of a tar archive, read forwards and with the count of what comes out of it.

# The longest header that a tar of plain files needs, with room to spare.
MAX_HEADER = 4 << 20


class CheckedHeader(tarfile.TarInfo):
    """A header whose damage is an error, wherever it stands.

    `tarfile` takes a header that is cut off, or whose checksum is wrong, for the end of the archive
    unless it is the first: the members behind it would be missing in silence.
    """

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> "CheckedHeader":
        """The next header.

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
    """A stream as `tarfile` reads it: in order, nothing huge at once, and all of it counted.

    A header may claim any length, and `tarfile` reads it in one piece into memory.
    """

    def __init__(self, stream: BinaryIO, archive: Path) -> None:
        self.stream = stream
        self.archive = archive
        # Its own count: what is skipped has to be unpacked too, though it is never written.
        self.budget = UnpackLimit(archive)
        self.position = 0

    def read(self, count: int = -1) -> bytes:
        """Reads up to `count` bytes.

        Raises:
            UserError: too many at once or in all.
        """
        if not 0 <= count <= MAX_HEADER:
            raise UserError(f"{self.archive} holds a header of {count} bytes, expected a model")
        data = self.stream.read(count)
        self.position += len(data)
        self.budget.spend(len(data))
        return data

    def tell(self) -> int:
        """Where the stream is."""
        return self.position

    def seek(self, position: int) -> None:
        """Skips forwards.

        Raises:
            UserError: backwards, which no archive asks for.
        """
        if position < self.position:
            raise UserError(f"{self.archive} leads backwards, expected members one after another")
        while self.position < position:
            if not self.read(min(CHUNK, position - self.position)):
                raise EOFError("it ends too early")


def tar_members(stream: BinaryIO, archive: Path) -> Iterator[Member]:
    """Every member of a tar stream; the bytes of one are there until the next is asked for."""
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
            # Else `tarfile` keeps every header that it has seen.
            tar.members = []  # type: ignore[attr-defined]
    check_end(forwards)


def check_end(forwards: ForwardReader) -> None:
    """Reads on behind the first block of zeros that ended the members.

    A header that damage has turned into zeros looks like the end too, but members follow it. In a
    .gz this also reads up to gzip's own checksum, at the very end.

    Raises:
        tarfile.ReadError: there is no second block of zeros, or something else than zeros.
    """
    ending = 0
    while piece := forwards.read(CHUNK):
        if piece.strip(b"\0"):
            raise tarfile.ReadError("something follows the end of its members")
        ending += len(piece)
    if ending < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("its end is missing")


# The members of a zip archive.

ENCRYPTED = 0x1
HAS_DESCRIPTOR = 0x8
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
LOCAL_HEADER, END_RECORD = 30, 22
# The sizes that may stand behind a member's data: with a signature or without, of 32 or 64 bits.
DESCRIPTOR_SIZES = (12, 16, 20, 24)


def zip_members(stream: BinaryIO, archive: Path) -> Iterator[Member]:
    """Every member of a zip file.

    Raises:
        UserError: encrypted members, compression other than zip's own, too many.
        zipfile.BadZipFile: see `refuse_strays`.
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
        refuse_strays(file, infos, stream)
        for info in infos:
            # The upper half holds Unix's file type, or nothing where it was not made on Unix.
            kind = stat.S_IFMT(info.external_attr >> 16)
            expected = stat.S_IFDIR if info.is_dir() else stat.S_IFREG
            with file.open(info) as content:
                yield Member(
                    # As stored: zipfile cuts a name at a NUL and turns this system's separators.
                    name=info.orig_filename,
                    is_directory=info.is_dir(),
                    is_plain=kind in (0, expected),
                    read=content.read,
                )


def refuse_strays(file: zipfile.ZipFile, infos: list[zipfile.ZipInfo], stream: BinaryIO) -> None:
    """Stops where bytes of the file belong to no member of its directory.

    `zipfile` believes the directory at the end: with a damaged one members are missing in silence.

    Raises:
        zipfile.BadZipFile: something stands before, between or behind the members.
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
