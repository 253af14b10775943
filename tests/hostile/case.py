"""One attack: files as somebody else might hand them over, a command that reads them, its end."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

EXITS = {"survived": (0,), "failed": (1,), "refused": (2, 3)}
"""The exit codes that each expected end allows."""


@dataclass(frozen=True)
class HostileCase:
    """An attack.

    Attributes:
        name: what is wrong with the files; the part before the colon is the area.
        make: writes the files into an empty directory; returns the command, whose first word is
            `node` or `python`. Its other words name project files relative to the project.
        expect: a key of EXITS.
        says: a part of what it must say.
        stdin: what the command reads there.
        check: looks at the directory after the run; returns what is wrong, or "".
        seconds: after which the command is taken to hang.
    """

    name: str
    make: Callable[[Path], list[str]]
    expect: str = "refused"
    says: str = ""
    stdin: bytes = b""
    check: Callable[[Path], str] | None = None
    seconds: float = 120.0
