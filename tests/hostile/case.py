"""One attack: files from an attacker, a command that reads them, and the expected end."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

EXITS = {"survived": (0,), "failed": (1,), "refused": (2, 3)}
"""The exit codes of each expected end."""


@dataclass(frozen=True)
class HostileCase:
    """An attack.

    Attributes:
        name: what is wrong with the files; the part before the colon is the area.
        make: writes the files into an empty directory; returns the command, whose first word is
            `node` or `python`. Its other words name project files relative to the project.
        expect: a key of EXITS.
        says: a text that its output must have.
        stdin: what the command reads there.
        check: inspects the directory after the run; returns what is wrong, or "".
        seconds: after which the command counts as hanging.
    """

    name: str
    make: Callable[[Path], list[str]]
    expect: str = "refused"
    says: str = ""
    stdin: bytes = b""
    check: Callable[[Path], str] | None = None
    seconds: float = 120.0
