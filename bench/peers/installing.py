"""Installs locked packages into .nox/bench, once: npm's packages and the ONNX converter."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from support import ROOT
from support.atomic import new_directory
from support.errors import EnvironmentProblem
from support.printing import Say
from support.sha256 import file_sha256

HOME = ROOT / ".nox" / "bench"
PACKAGES = Path(__file__).parent / "packages"
CONVERTER_LOCK = ROOT / "locks" / "onnx.txt"
# onnxruntime-node would otherwise download CUDA's libraries.
PLAIN = {"ONNXRUNTIME_NODE_INSTALL": "skip", "ONNXRUNTIME_NODE_INSTALL_CUDA": "skip"}


def install_node_peers(say: Say) -> Path:
    """Returns the directory with onnxruntime-node, onnxruntime-web and transformers.js.

    Raises:
        EnvironmentProblem: npm is missing, or could not get the packages.
    """

    def install(directory: Path) -> None:
        shutil.copytree(PACKAGES, directory, dirs_exist_ok=True)
        npm = _find_program("npm", "install Node.js 20.19, 22.12 or newer")
        quiet = ["--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", "--no-progress"]
        _run_installer([npm, "ci", *quiet], directory, "npm error")

    what = "ONNX Runtime and transformers.js, about 200 MB"
    return install_once("node", PACKAGES / "package-lock.json", install, say, what)


def install_onnx_converter(say: Say) -> Path:
    """Returns the directory with tf2onnx and onnx, for PYTHONPATH.

    Raises:
        EnvironmentProblem: uv is missing, or could not get the packages.
    """

    def install(directory: Path) -> None:
        uv = _find_program(os.environ.get("UV", "uv"), "run `nox -s bench`, or set UV to its path")
        where = ["--python", sys.executable, "--target", str(directory)]
        locked = ["--no-deps", "--require-hashes", "-r", str(CONVERTER_LOCK)]
        _run_installer([uv, "pip", "install", "--quiet", *where, *locked], ROOT, "error")

    return install_once("onnx", CONVERTER_LOCK, install, say, "the converter to ONNX, 18 MB")


def install_once(
    name: str, lock: Path, install: Callable[[Path], None], say: Say, what: str
) -> Path:
    """Returns a directory of `HOME`; installs it, completely or not at all, for a new lock file.

    Args:
        name: of the directory.
        lock: the lock file.
        install: fills a directory.
        say: prints progress.
        what: is installed, for the message.
    """
    home = HOME / name
    stamp = home / "locked.sha256"
    wanted = file_sha256(lock)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return home
    say(f"installing {what}, to download once")
    with new_directory(home) as directory:
        install(directory)
        (directory / stamp.name).write_text(wanted, encoding="utf-8")
    return home


def _find_program(wanted: str, remedy: str) -> str:
    """Returns the path of a program.

    Raises:
        EnvironmentProblem: it is not on the PATH.
    """
    found = shutil.which(wanted)
    if found is None:
        raise EnvironmentProblem(f"{wanted} is not found; {remedy}")
    return found


def _run_installer(command: list[str], directory: Path, mark: str) -> None:
    """Runs an installer.

    Raises:
        EnvironmentProblem: it failed; the message has the first line with the mark.
    """
    done = subprocess.run(
        command, cwd=directory, env=os.environ | PLAIN, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.split("\n") if line.strip()] or ["no reason"]
        reason = next((line for line in lines if mark in line), lines[-1])
        raise EnvironmentProblem(f"{Path(command[0]).name} could not install the peers: {reason}")
