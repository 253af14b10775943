"""The members of a zip archive."""

import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from export.errors import UserError
from export.unpacking import MAX_MEMBERS, Member

ENCRYPTED = 0x1
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def zip_members(stream: BinaryIO, archive: Path) -> Iterator[Member]:
    """Every member of a zip file.

    Raises:
        UserError: encrypted members, compression other than zip's own, too many.
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
