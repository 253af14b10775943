"""What every kind of archive is held to while it is unpacked."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from export.errors import UserError

CHUNK = 1 << 20
MAX_MEMBERS = 10_000
MAX_BYTES = 20 << 30
# Weights hardly compress; a bomb does by a thousand. Small archives may do as they please.
MAX_RATIO = 100
ALWAYS_ALLOWED = 1 << 30
DRIVE = re.compile("[A-Za-z]:")


@dataclass(frozen=True)
class Member:
    """One entry of an archive. `is_plain` is false for links, devices and all else that is odd."""

    name: str
    is_directory: bool
    is_plain: bool
    read: Callable[[int], bytes]


class Budget:
    """The bytes that may come out of an archive, by its size and by an absolute limit."""

    def __init__(self, archive: Path) -> None:
        size = archive.stat().st_size
        self.archive = archive
        self.limit = min(MAX_BYTES, max(ALWAYS_ALLOWED, MAX_RATIO * size))
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


class Places:
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
        or DRIVE.match(name) is not None
        or any(ord(letter) < 32 for letter in name)
    )
