"""How the person who reads a message types a command.

In a clone commands are `python -m export`, `nox -s export` or `node node_bridge/train.js`, and so
messages are written. The command `bert-bridge` sets BERT_BRIDGE_COMMAND to what was typed for it;
then messages name the same commands by that. command_names.js does this in Node.
"""

import os
import re
import shlex
import sys

from support import ROOT

LAUNCHER_VARIABLE = "BERT_BRIDGE_COMMAND"
PROGRAMS = "encode|evaluate|predict|tokenize|train|verify"
SESSIONS = "export|native|parity"
SUBCOMMANDS = "build|catalog|inspect|vocab"
"""Subcommands of `export` that are commands of their own."""
REPLACEMENTS = (
    (rf"\bnode node_bridge/({PROGRAMS})\.js\b", r"\1"),
    (rf"(?<![\w./\\-])({PROGRAMS})\.js\b", r"\1"),
    (rf"\b(?:nox -s export --|python -m export) ({SUBCOMMANDS})\b", r"\1"),
    (rf"\bnox -s ({SESSIONS})\b(?: --(?= ))?", r"\1"),
    (r"\bpython -m (export|native)\b(?![.\w])", r"\1"),
    (r"\bpython -m parity_tests\b(?![.\w])", "parity"),
)
"""Patterns of commands in a clone, and what follows the launcher's name."""


def as_typed(text: str) -> str:
    """Returns a message of this program with all commands as the person types them."""
    launcher = os.environ.get(LAUNCHER_VARIABLE)
    if not launcher:
        return text
    start = launcher.replace("\\", r"\\")
    for pattern, end in REPLACEMENTS:
        text = re.sub(pattern, f"{start} {end}", text)
    return text


def python_command() -> str:
    """Returns what starts this project's Python in a shell, for a command that a person copies."""
    if not os.environ.get(LAUNCHER_VARIABLE):
        return "python"
    return f"PYTHONSAFEPATH=1 PYTHONPATH={shlex.quote(str(ROOT))} {shlex.quote(sys.executable)}"
