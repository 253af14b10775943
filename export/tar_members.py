"""The members of a tar archive, read forwards and with the count of what comes out of it."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from export.errors import UserError
from export.unpacking import CHUNK, Budget, Member

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
    refuse_other_end(forwards)


def refuse_other_end(forwards: Forwards) -> None:
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
