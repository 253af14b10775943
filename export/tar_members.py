"""The members of a tar archive, read forwards and with the count of what comes out of it."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from export.errors import UserError
from export.unpacking import CHUNK, Budget, Member

# The longest header that a tar of plain files needs, with room to spare.
MAX_HEADER = 4 << 20


class Forwards:
    """A stream as `tarfile` reads it: in order, nothing huge at once, and all of it counted.

    A header may claim any length, and `tarfile` reads it in one piece into memory.
    """

    def __init__(self, stream: BinaryIO, archive: Path) -> None:
        self.stream = stream
        self.archive = archive
        # Its own count: what is skipped has to be unpacked too, though it is never written.
        self.budget = Budget(archive)
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
    forwards = Forwards(stream, archive)
    with tarfile.TarFile(fileobj=forwards) as tar:  # type: ignore[arg-type]
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
    # gzip's checksum stands at its very end, behind what a tar needs.
    while forwards.read(CHUNK):
        pass
