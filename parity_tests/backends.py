"""Which backends Node has here, and how many texts each gets."""

import subprocess
from pathlib import Path

from command_line import hint
from parity_tests.errors import UserError
from parity_tests.runners import ROOM, node

ALWAYS = "wasm:64,cpu:8"
NATIVE = "native:64"
NAMES = ("wasm", "cpu", "native")
CHECK = ROOM.parent / "node_bridge" / "backends" / "check_native.js"


def here(check: Path = CHECK) -> tuple[str, str]:
    """Every backend of this machine, as `--backends` takes them; and why native is not one."""
    done = subprocess.run([node(), str(check)], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return f"{ALWAYS},{NATIVE}", ""
    reason = done.stderr.strip().split("\n")[-1].removeprefix("error: ")
    return ALWAYS, f"native: NOT COMPARED: {reason}"


def counts(text: str) -> dict[str, int]:
    """How many texts each backend gets.

    >>> counts("wasm:64,cpu:8")
    {'wasm': 64, 'cpu': 8}

    Raises:
        UserError: it does not read so.
    """
    backends = {}
    for part in text.split(","):
        name, _, number = part.strip().partition(":")
        if not name.isalnum() or not number.isdecimal() or int(number) < 1:
            raise UserError(f"--backends: got {part!r}, expected NAME:TEXTS, such as wasm:64")
        if name not in NAMES or name in backends:
            why = "it is there twice" if name in backends else hint(name, NAMES)
            raise UserError(
                f"--backends: got {name}, expected each of {', '.join(NAMES)} once; {why}"
            )
        backends[name] = int(number)
    return backends
