"""The members of a zip archive."""

import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from export.errors import UserError
from export.unpacking import MAX_MEMBERS, Member

ENCRYPTED = 0x1
SIZES_BEHIND = 0x8
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
LOCAL_HEADER, END_RECORD = 30, 22
# The sizes that may stand behind a member's data: with a signature or without, of 32 or 64 bits.
DESCRIPTORS = (12, 16, 20, 24)


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
        differ = (flags ^ info.flag_bits) & (ENCRYPTED | SIZES_BEHIND)
        if differ or method != info.compress_type:
            raise zipfile.BadZipFile(f"two things are said of {info.orig_filename!r}")
        name, extra = struct.unpack("<HH", header[26:30])
        end = info.header_offset + LOCAL_HEADER + name + extra + info.compress_size
        behind = DESCRIPTORS if info.flag_bits & SIZES_BEHIND else (0,)
    if file.start_dir - end not in behind:
        raise zipfile.BadZipFile("bytes of no member before its directory")
    length = stream.seek(0, 2)
    stream.seek(max(0, length - END_RECORD - len(file.comment)))
    if stream.read(4) != b"PK\x05\x06":
        raise zipfile.BadZipFile("something follows its end")
