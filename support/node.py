"""Finds Node, and runs its programs to their end."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from support import ROOT
from support.errors import EnvironmentProblem

CHECK_NATIVE = ROOT / "node_bridge" / "backends" / "check_native.js"


def find_node(consequence: str = "") -> str:
    """Returns the Node to run: `node` on the PATH, or the value of NODE.

    Args:
        consequence: what is not done without it, after "is not found".

    Raises:
        EnvironmentProblem: there is none.
    """
    wanted = os.environ.get("NODE", "node")
    found = shutil.which(wanted)
    if found is None:
        raise EnvironmentProblem(
            f"{wanted} is not found{consequence}; install Node.js 20.19, 22.12 or newer, or set "
            "NODE to its path"
        )
    return found


def node_packages_directory() -> Path:
    """Returns the directory that contains every package of Node that this project uses.

    In a clone it is the project's own; where npm or another manager installed this as a package, it
    is the outermost `node_modules` around it.
    """
    around = [folder for folder in ROOT.parents if folder.name == "node_modules"]
    return around[-1] if around else ROOT / "node_modules"


def has_node_packages() -> bool:
    """Whether Node finds TF.js from this project: in a `node_modules` of it or around it."""
    folders = [folder / "node_modules" for folder in (ROOT, *ROOT.parents)]
    return any((folder / "@tensorflow" / "tfjs-core").is_dir() for folder in folders)


def run_node(node: str, program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a Node program to its end and captures what it prints.

    Args:
        node: as `find_node` returns it.
        program: a JavaScript file.
        arguments: its options.
    """
    return subprocess.run(
        [node, str(program), *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


def last_line(stderr: str) -> str:
    r"""Returns the last line that a failed program printed, its reason; "" if it printed nothing.

    >>> last_line("warning: slow\nerror: there is no model\n")
    'error: there is no model'
    """
    return stderr.strip().split("\n")[-1]


def check_native() -> dict[str, Any]:
    """Asks Node about the native backend; returns `origin`, `package`, `tensorflow`, or `error`.

    Raises:
        EnvironmentProblem: Node is missing.
    """
    done = run_node(find_node(), CHECK_NATIVE)
    if done.returncode == 0:
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer
    reason = last_line(done.stderr).removeprefix("error: ")
    if done.returncode != EnvironmentProblem.exit_code:
        reason = f"Node ended with exit code {done.returncode}: {reason}"
    return {"error": reason}
