"""Loads an untrusted model in a restricted process: the second line of defence.

The first is the list of allowed ops (`vetting.py`). A separate process then loads and runs the
model. It can read the model, this program and the system's libraries, can write to its own
directory, and has limits of time and memory. Linux's Landlock enforces this without root (5.13 or
newer). On other systems only the list of ops protects, and a notice says so.

The output of that process is not trusted either: it is lines of JSON, which name no code.
"""

import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from export.confined import landlock
from export.confined.worker import encode_job
from support import ROOT, python_path
from support.errors import CheckFailed, EnvironmentProblem, UserError
from support.node import node_packages_directory

PROGRAM_PATHS = (
    "export",
    "native",
    "node_bridge",
    "numerics",
    "package.json",
    "parity_tests",
    "schemas",
    "support",
)
SYSTEM_PATHS = (
    "/usr", "/lib", "/lib32", "/lib64", "/bin", "/nix/store", "/etc/ld.so.cache", "/etc/localtime",
    "/etc/ssl/openssl.cnf", "/proc/cpuinfo", "/proc/meminfo", "/proc/self", "/proc/stat",
    "/proc/sys", "/sys/devices/system", "/sys/fs/cgroup", "/sys/kernel/mm", "/dev/random",
    "/dev/urandom", "/dev/zero",
)  # fmt: skip
NO_LANDLOCK = "NOTICE: this system has no Landlock (Linux 5.13 or newer has it): only "
NO_LANDLOCK_NOTICE = (
    f"{NO_LANDLOCK}the list of ops, export/source/allowed_ops.txt, stands between the model and "
    "this machine"
)
NO_LANDLOCK_NOTICE_OF_H5 = (
    f"{NO_LANDLOCK}the checks of HDF5's own library stand between tf_model.h5 and this machine"
)
FATAL_LINE = re.compile(r"F\d{4} |terminate called|\w*Error: |error: ")
CONFINED_VARIABLE = "BERT_BRIDGE_CONFINED"
"""An environment variable that only confined processes have."""
NO_MEMORY = "bad_alloc"
LONGEST_LINE = 1 << 20
STEP_SECONDS = 600
MIN_MEMORY_BYTES = 4 << 30
ERROR_CLASSES = {error.__name__: error for error in (UserError, EnvironmentProblem, CheckFailed)}


@dataclass(frozen=True)
class Limits:
    """`step_seconds` between two progress messages; `memory` in bytes, None: the machine's."""

    step_seconds: int = STEP_SECONDS
    memory: int | None = None

    @property
    def memory_bytes(self) -> int:
        """The memory limit in bytes; 0 if the machine's memory is unknown."""
        if self.memory is not None:
            return self.memory
        try:
            # Less is not enough: the stacks of threads count in full, used or not.
            return max(MIN_MEMORY_BYTES, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        except (ValueError, OSError, AttributeError):
            return 0


@dataclass(frozen=True)
class AllowedPaths:
    """What a process may read and change, besides what every program needs.

    `scratch` is a directory for its temporary files.
    """

    scratch: Path
    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()


def confined_command(
    arguments: list[str], reach: AllowedPaths, memory: int = 0, seconds: int = 0
) -> list[str]:
    """Returns a command that starts this Python confined.

    Args:
        arguments: the arguments of Python, for example `-m` and a module.
        reach: what it may read and change.
        memory: the memory limit in bytes; 0: none.
        seconds: the time limit; 0: none.
    """
    own = [*(ROOT / name for name in PROGRAM_PATHS), node_packages_directory()]
    read = [*_interpreter_paths(), *own, *reach.read]
    limits = {
        "read": [*SYSTEM_PATHS, *(str(path.resolve()) for path in read)],
        "list": [str(ROOT)],
        "write": [*(str(path.resolve()) for path in (*reach.write, reach.scratch)), "/dev/null"],
        "environment": _confined_environment(reach.scratch.resolve()),
        "memory": memory,
        "seconds": seconds,
    }
    starter = [sys.executable, "-I", "-S", landlock.__file__, json.dumps(limits)]
    return [*starter, sys.executable, "-P", *arguments]


def _interpreter_paths() -> list[Path]:
    """Returns the folders of this Python and its packages, and of the Node that checks a bundle."""
    folders = [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix]
    packages = [Path(folder) for folder in sys.path if folder]
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    found = [
        *map(Path, folders),
        *(folder for folder in packages if not _contains_user_files(folder)),
    ]
    return [*found, *(Path(folder) for folder in libraries if folder), *_node_files()]


def _contains_user_files(folder: Path) -> bool:
    """Whether a folder of `sys.path` contains the current directory, the home or this project."""
    here = folder.resolve()
    home = Path(os.environ.get("HOME", "/")).resolve()
    return any(own.is_relative_to(here) for own in (Path.cwd(), home, ROOT))


@cache
def warn_without_landlock(say: Callable[[str], None], notice: str = NO_LANDLOCK_NOTICE) -> None:
    """Prints a notice, once, if there is no Landlock."""
    if not landlock.landlock_version():
        say(notice)


def _node_files() -> list[Path]:
    """Returns Node's program and its modules; the program may be hidden behind a script."""
    program = node_executable(os.environ.get("NODE", "node"))
    return [] if program is None else [program, program.parent.parent / "lib" / "node_modules"]


@cache
def node_executable(wanted: str) -> Path | None:
    """Returns the program that a `node` of this name runs; None if there is none."""
    found = shutil.which(wanted)
    if found is None:
        return None
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        asked = [found, "-p", "process.execPath"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)
        return Path(done.stdout.strip())
    return Path(found)


def _confined_environment(scratch: Path) -> dict[str, str]:
    """Returns the environment variables that a confined process gets in addition."""
    added = {
        CONFINED_VARIABLE: "1",
        "PYTHONPATH": python_path(),
        "TMPDIR": str(scratch),
        # Otherwise Keras reads and writes a file in the home directory.
        "KERAS_HOME": str(scratch),
    }
    node = node_executable(os.environ.get("NODE", "node"))
    return added | ({} if node is None else {"NODE": str(node)})


def rerun_confined(module: str, read: Iterable[Path], say: Callable[[str], None]) -> None:
    """Runs this program again, confined, and exits with its exit code; returns if it is confined.

    Args:
        module: the module that `python -m` runs.
        read: what it needs to read; it writes nothing.
        say: prints a notice if there is no Landlock.
    """
    if CONFINED_VARIABLE in os.environ:
        return
    warn_without_landlock(say)
    with tempfile.TemporaryDirectory(prefix="confined-") as folder:
        reach = AllowedPaths(Path(folder), tuple(read))
        again = confined_command(["-m", module, *sys.argv[1:]], reach, Limits().memory_bytes)
        code = subprocess.run(again, check=False).returncode
    sys.exit(code)


def run_confined(
    kind: str,
    job: Any,
    read: tuple[Path, ...],
    write: Path,
    limits: Limits,
    say: Callable[[str], None],
    what: str,
) -> None:
    """Runs a job with `export.confined.worker` in a confined process.

    Args:
        kind: the kind of job, see `export.confined.worker`.
        job: a dataclass.
        read: what it needs to read.
        write: the directory that it writes to.
        limits: its limits of time and memory.
        say: prints its progress messages.
        what: the model, for messages.

    Raises:
        UserError: the job raised it, or a step took too long.
        CheckFailed: the job raised it.
        EnvironmentProblem: the job raised it, or the process was ended.
    """
    warn_without_landlock(say, NO_LANDLOCK_NOTICE_OF_H5 if kind == "h5" else NO_LANDLOCK_NOTICE)
    with tempfile.TemporaryDirectory(prefix="confined-") as folder:
        scratch = Path(folder)
        reach = AllowedPaths(scratch, read, (write,))
        own_end, worker_end = os.pipe()
        started = confined_command(
            ["-m", "export.confined.worker", str(worker_end)], reach, limits.memory_bytes
        )
        with (scratch / "stderr").open("wb") as output:
            process = subprocess.Popen(
                started,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=output,
                pass_fds=[worker_end],
                start_new_session=True,
            )
        os.close(worker_end)
        try:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
                stdin.write(json.dumps({"kind": kind} | encode_job(job)).encode())
            error = relay_messages(own_end, limits.step_seconds, say, what)
            code = process.wait() if error is None else 0
        finally:
            os.close(own_end)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if error is not None:
            raise error
        if code != 0:
            raise unexpected_exit_error(code, scratch / "stderr", what)


def relay_messages(
    pipe: int, seconds: int, say: Callable[[str], None], what: str
) -> UserError | EnvironmentProblem | CheckFailed | None:
    """Relays a job's messages until it ends; returns its error, or None.

    Args:
        pipe: the file descriptor of the pipe.
        seconds: the most seconds between two messages.
        say: prints a progress message.
        what: the model, for messages.

    Raises:
        UserError: no message came in time.
    """
    last = "its start"
    for line in read_lines(pipe, seconds):
        if line is None:
            raise UserError(
                f"{what}: nothing came for {seconds} s after '{last}', expected an end; the model "
                "may have a loop that does not end; --time-limit SECONDS gives a step more"
            )
        try:
            message = json.loads(line)
            if "say" in message:
                last = str(message["say"])
                say(last)
            else:
                return ERROR_CLASSES[message["error"]](str(message["message"]))
        except (ValueError, KeyError, TypeError):
            return EnvironmentProblem(f"{what}: its process said what is no message; run it again")
    return None


def read_lines(pipe: int, seconds: int) -> Iterator[bytes | None]:
    """Yields the lines from a pipe; ends with None after a timeout, b"" after too long a line."""
    buffer = b""
    while True:
        ready, _, _ = select.select([pipe], [], [], seconds)
        if not ready:
            yield None
            return
        piece = os.read(pipe, 1 << 16)
        if not piece:
            return
        *whole, buffer = (buffer + piece).split(b"\n")
        yield from whole
        if len(buffer) > LONGEST_LINE:
            yield b""
            return


def unexpected_exit_error(code: int, stderr: Path, what: str) -> UserError | EnvironmentProblem:
    """Returns the error for a process that ended without a message."""
    output = stderr.read_bytes()[-8000:].decode(errors="replace").split("\n")
    # A failed check in TensorFlow prints one line, and then a stack.
    causes = [line for line in output if FATAL_LINE.match(line)] or [
        line for line in output if line.strip()
    ]
    last = causes[-1].strip() if causes else "it said nothing"
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    ended = f"{what}: the process that runs the model ended with {how} ({last[:200]})"
    if code in (-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGFPE) and NO_MEMORY not in last:
        # TensorFlow aborts the process when a damaged file fails its checks.
        return UserError(f"{ended}; the model is damaged, or TensorFlow cannot run it")
    return EnvironmentProblem(
        f"{ended}; is there enough memory? --memory-limit GIB sets how much it may use"
    )


@cache
def python_paths(python: Path) -> tuple[Path, ...]:
    """Returns the paths that another interpreter reads; only its program if it does not answer."""
    asked = "import sys; print(sys.prefix, sys.base_prefix, sys.executable, *sys.path, sep='\\n')"
    program = shutil.which(str(python)) or str(python)
    try:
        done = subprocess.run(
            [program, "-c", asked], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return (Path(program),)
    folders = [Path(line) for line in done.stdout.splitlines() if line]
    return (Path(program), *(folder for folder in folders if not _contains_user_files(folder)))
