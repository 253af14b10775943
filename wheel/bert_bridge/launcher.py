"""Installs the packed npm package into the user's cache directory, once, and runs its command.

The wheel carries the same file that `npm pack` writes, with the Python directories in it. So the
commands are the same as those of the npm package, and there is one place that makes the locked
Python environment. This module uses the standard library only: it runs in any environment.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKED = Path(__file__).with_name("bert-bridge.tgz")
COMMAND = Path("node_modules", "bert-bridge", "launcher", "bert-bridge.js")
NODE_VERSIONS = "20.19 or newer, or 22.12 or newer"
STAMP = "installed"
ENVIRONMENT, INTERRUPTED = 3, 130
"""Exit codes, as in the other commands."""


class Problem(Exception):
    """Something that this machine lacks; the message is one line for people."""


def main(arguments: list[str] | None = None) -> int:
    """Runs `bert-bridge ARGUMENTS` and returns its exit code."""
    try:
        node = _find_program("NODE", "node", f"install Node.js {NODE_VERSIONS}")
        home = _install(node)
    except Problem as problem:
        print(f"error: {problem}", file=sys.stderr)
        return ENVIRONMENT
    except KeyboardInterrupt:
        print("interrupted; the next run installs anew", file=sys.stderr)
        return INTERRUPTED
    variables = os.environ | {"NODE": node}
    variables.setdefault("BERT_BRIDGE_COMMAND", "bert-bridge")
    # Makes the environment with the locked packages: this Python has none of them.
    variables.setdefault("PYTHON", sys.executable)
    # Ctrl-C is for the command, which cleans up and ends.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        words = sys.argv[1:] if arguments is None else arguments
        code = subprocess.run([node, str(home / COMMAND), *words], env=variables, check=False)
    finally:
        signal.signal(signal.SIGINT, before)
    return code.returncode if code.returncode >= 0 else 128 - code.returncode


def _find_program(variable: str, name: str, remedy: str) -> str:
    """Returns the path of a program: the one that a variable names, or one on the path."""
    found = os.environ.get(variable) or shutil.which(name)
    if not found:
        raise Problem(f"{name} is missing; {remedy}")
    return found


def cache_directory() -> Path:
    """Returns the user's cache directory, as node_bridge/support/places.js finds it."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    if Path(named).is_absolute():
        return Path(named, "bert-bridge")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "bert-bridge"
    local = os.environ.get("LOCALAPPDATA", "")
    if sys.platform == "win32" and Path(local).is_absolute():
        return Path(local, "bert-bridge")
    return Path.home() / ".cache" / "bert-bridge"


def _install(node: str) -> Path:
    """Returns the directory with the installed npm package.

    It appears whole or not at all, under the hash of the packed file. Two processes at once each
    install it, and the second one's copy is dropped.
    """
    packed = PACKED.read_bytes()
    home = cache_directory() / f"npm-{hashlib.sha256(packed).hexdigest()[:12]}"
    if (home / STAMP).exists():
        return home
    npm = _find_program("NPM", "npm", "it comes with Node.js")
    print(f"installing Node's packages in {home}, once", file=sys.stderr)
    # npm starts Node by itself: it shall be the same one.
    path = os.pathsep.join([str(Path(node).parent), os.environ.get("PATH", "")])
    with _new_directory(home) as partial:
        (partial / "package.json").write_text('{"private": true}\n', encoding="utf-8")
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
        done = subprocess.run(
            [npm, "install", *options, str(PACKED)],
            cwd=partial,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            raise Problem(f"npm install failed: {_cause(done.stderr)}")
        (partial / STAMP).write_text("", encoding="utf-8")
    return home


@contextmanager
def _new_directory(home: Path) -> Iterator[Path]:
    """Yields a new directory beside `home`, which is renamed to it at the end."""
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f"{home.name}.", dir=home.parent))
    except OSError as error:
        raise Problem(
            f"cannot write {error.filename}: {error.strerror}; make it writable, or name another "
            "directory in the variable XDG_CACHE_HOME"
        ) from None
    try:
        yield partial
        try:
            partial.rename(home)
        except OSError:
            if not (home / STAMP).exists():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _cause(stderr: str) -> str:
    """Returns the line of npm's messages that says why, without control characters."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    causes = [line for line in lines if re.search(r"npm (error|ERR!) (?!code|errno|syscall)", line)]
    line = (causes or lines or ["it printed nothing"])[0]
    return re.sub(r"[^\x20-\x7e]", "?", line)[:300]
