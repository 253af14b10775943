"""Makes the Python environments of `locks/`, each once.

    python -m launcher.environments python --home DIR --uv UV

`bootstrap.js`, `noxfile.py` and the command `bert-bridge` use it. It runs before any package is
installed, so it imports the standard library only. An environment has its stamp, the sha256 of its
lock file, when it is complete: the stamp is removed first and written last. Two processes that want
the same environment at once wait for each other.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from support import ROOT
from support.command_line import OptionParser, command
from support.errors import EnvironmentProblem
from support.printing import Say, say

if sys.platform != "win32":
    import fcntl

EXAMPLE = """examples:
  python -m launcher.environments tools --home .venv
  python -m launcher.environments python --home .nox/python --uv .venv/bin/uv
"""
DOWNLOAD_SIZES = {
    "tools": "about 25 MB to download, once",
    "python": "about 600 MB to download, once",
    "judge": "about 3 GB to download, once",
    "publishers": "about 50 MB to download, once",
    "regression": "about 50 MB to download, once",
}
"""Of the packages, by the name of their lock file."""
SUPPORTED_PYTHONS = "3.11, 3.12 or 3.13"
STAMP = "locked.sha256"
REMOVED_VARIABLES = ("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV")
"""Variables that lead pip and uv to other packages, or forbid bytecode."""
WAIT_NOTICE = "waiting for another process, which makes the same Python environment"
OFFLINE = re.compile(
    "dns error|client error \\(Connect\\)|tcp connect|NewConnectionError|NameResolutionError|"
    "Failed to establish|Network is unreachable|timed out|Could not connect|network was disabled",
    re.IGNORECASE,
)
"""In what uv and pip print where no registry answers."""


@command("interrupted; the next run makes the environment anew")
def main(arguments: list[str] | None = None) -> int:
    """Makes one environment if needed, and returns the exit code."""
    parser = OptionParser(
        prog="python -m launcher.environments", description=__doc__, epilog=EXAMPLE
    )
    parser.add_argument("name", choices=DOWNLOAD_SIZES, help="of the lock file in locks/")
    parser.add_argument("--home", type=Path, required=True, help="directory of the environment")
    parser.add_argument("--uv", type=Path, help="the program uv; `tools` needs none, it has uv")
    options = parser.parse_args(arguments)
    make_environment(options.name, options.home, options.uv, say)
    return 0


def program_of(home: Path) -> Path:
    """Returns the path of an environment's Python."""
    return home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def is_complete(name: str, home: Path) -> bool:
    """Whether an environment has what its lock file says, and its Python is still there."""
    try:
        stamp = (home / STAMP).read_text(encoding="utf-8")
    except OSError:
        return False
    return stamp == _lock_sha256(name) and program_of(home).exists()


def make_environment(
    name: str, home: Path, uv: Path | None, say: Say, shared: Path | None = None
) -> None:
    """Makes an environment, or updates it to a new lock file; does nothing where it is complete.

    Args:
        name: the environment's, of DOWNLOAD_SIZES.
        home: its directory.
        uv: the program that installs packages; None: pip, which every new environment has.
        say: prints a message of progress.
        shared: the Python of another environment, whose packages this one has too.

    Raises:
        EnvironmentProblem: this Python is too old or too new, the directory cannot be written, or
            the packages did not come.
    """
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        got = sys.version.split()[0]
        raise EnvironmentProblem(f"got Python {got}, TensorFlow 2.21 needs {SUPPORTED_PYTHONS}")
    if is_complete(name, home):
        return
    with _only_process(home, say):
        if is_complete(name, home):
            return
        say(f"installing the Python packages of {name}.txt in {home} ({DOWNLOAD_SIZES[name]})")
        stamp = home / STAMP
        # What has a stamp is whole, and only its lock file has changed. Unlike uv, pip does not
        # remove what a new lock file no longer has.
        if uv is None or not (stamp.exists() and program_of(home).exists()):
            shutil.rmtree(home, ignore_errors=True)
            _make_empty(home, uv)
        stamp.unlink(missing_ok=True)
        if shared is not None:
            link = f"{_packages_of(shared)}\n"
            (_packages_of(program_of(home)) / "shared.pth").write_text(link, encoding="utf-8")
        _install(name, home, uv, say)
        stamp.write_text(_lock_sha256(name), encoding="utf-8")


def _lock_file(name: str) -> Path:
    """Returns the path of a lock file."""
    return ROOT / "locks" / f"{name}.txt"


def _lock_sha256(name: str) -> str:
    """Returns the sha256 of a lock file."""
    return hashlib.sha256(_lock_file(name).read_bytes()).hexdigest()


@contextmanager
def _only_process(home: Path, say: Say) -> Iterator[None]:
    """Waits until no other process works at this environment.

    The system gives the lock back when a process ends, however it ends.

    Raises:
        EnvironmentProblem: the directory cannot be written.
    """
    file = home.with_name(f"{home.name}.lock")
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        stream = file.open("ab")
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write {error.filename}: {error.strerror}; the Python packages go there: make "
            "it writable, or name another directory in the variable XDG_CACHE_HOME, or an "
            "environment that is there in BERT_BRIDGE_PYTHON"
        ) from None
    with stream:
        if sys.platform != "win32":
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(WAIT_NOTICE)
                fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _make_empty(home: Path, uv: Path | None) -> None:
    """Makes an environment without packages, of the Python that runs this."""
    if uv is None:
        _run([sys.executable, "-m", "venv", str(home)])
    else:
        _run([str(uv), "venv", "-q", "-p", sys.executable, str(home)])


def _install(name: str, home: Path, uv: Path | None, say: Say) -> None:
    """Installs what the lock file has, and with uv removes what it does not have."""
    python, lock = str(program_of(home)), str(_lock_file(name))
    if uv is None:
        pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-input"]
        _run([python, *pip, "--require-hashes", "-r", lock])
        return
    # Compile bytecode now: containers often forbid it later. Without bytecode each import of
    # TensorFlow takes 16 s of one core, with it 7 s.
    sync = ["pip", "sync", "--compile-bytecode", "-p", python, "--require-hashes", lock]
    _run([str(uv), *sync], _progress_of_uv(say))


def _progress_of_uv(say: Say) -> Callable[[str], None]:
    """Returns what passes on uv's messages of progress, but not its list of all packages."""

    def pass_on(line: str) -> None:
        if re.match(r"\s*(Downloading|Resolved|Prepared|Installed|Bytecode compiled) ", line):
            say(f"  {line.strip()}")

    return pass_on


def _run(arguments: list[str], pass_on: Callable[[str], None] = lambda _: None) -> None:
    """Runs a program to its end.

    Args:
        arguments: the program and its arguments.
        pass_on: gets each line that it prints.

    Raises:
        EnvironmentProblem: it cannot be started, or it fails; the message has its own reason.
    """
    environment = {k: v for k, v in os.environ.items() if k not in REMOVED_VARIABLES}
    lines = []
    try:
        with subprocess.Popen(
            arguments,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line.strip())
                pass_on(line)
    except OSError as error:
        raise EnvironmentProblem(f"{arguments[0]} does not start: {error.strerror}") from None
    if process.returncode != 0:
        raise EnvironmentProblem(_reason_of(lines, process.returncode))


def _reason_of(lines: list[str], code: int) -> str:
    """Returns why packages could not be installed, in one line.

    >>> _reason_of(["error: Failed to fetch: `x`", "Caused by: dns error: no such host"], 2)
    'the Python packages could not be downloaded (dns error: no such host); connect to the network \
once, or name an environment that is there in BERT_BRIDGE_PYTHON'
    """
    text = "\n".join(lines)
    marks = r"^(?:error|ERROR|×|Caused by|╰─▶)[: ]+(.*)"
    found = [match[1] for line in lines if (match := re.match(marks, line))]
    reason = (found or [line for line in lines if line] or [f"exit code {code}"])[-1]
    if OFFLINE.search(text):
        return (
            f"the Python packages could not be downloaded ({reason}); connect to the network "
            "once, or name an environment that is there in BERT_BRIDGE_PYTHON"
        )
    return f"the Python packages could not be installed: {reason}"


def _packages_of(python: Path) -> Path:
    """Returns the folder of a Python's packages."""
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run([str(python), "-c", ask], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


if __name__ == "__main__":
    sys.exit(main())
