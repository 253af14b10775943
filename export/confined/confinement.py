"""The second wall: a process that has nothing to lose loads a stranger's model.

The first is the list of ops (`vetting.py`). Behind it a process of its own loads and runs the
model: it reads the model, this program and the system's libraries, writes to its own directory, and
has a limit of time and of memory. Linux's Landlock sees to that without root (5.13 or newer);
elsewhere the list of ops stands alone, and that is said.

What comes from that process is not trusted either: lines of JSON, which name no code.
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
from support.errors import CheckFailed, EnvironmentProblem, UserError

ROOT = Path(__file__).parents[2]
PROGRAM_PATHS = (
    "export",
    "native",
    "node_bridge",
    "node_modules",
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
NO_LANDLOCK_NOTICE = (
    "NOTICE: this system has no Landlock (Linux 5.13 or newer has it): only the list of ops, "
    "export/source/allowed_ops.txt, stands between the model and this machine"
)
FATAL_LINE = re.compile(r"F\d{4} |terminate called|\w*Error: |error: ")
CONFINED_VARIABLE = "BERT_BRIDGE_CONFINED"
"""A variable that only confined processes have."""
NO_MEMORY = "bad_alloc"
LONGEST_LINE = 1 << 20
STEP_SECONDS = 600
MIN_MEMORY_BYTES = 4 << 30
ERROR_CLASSES = {error.__name__: error for error in (UserError, EnvironmentProblem, CheckFailed)}


@dataclass(frozen=True)
class Limits:
    """`step_seconds` between two lines about progress; `memory` in bytes, None: what there is."""

    step_seconds: int = STEP_SECONDS
    memory: int | None = None

    @property
    def memory_bytes(self) -> int:
        """How much memory there may be in use; 0 where the machine does not say what it has."""
        if self.memory is not None:
            return self.memory
        try:
            # Less would not do: stacks of threads count whole, used or not.
            return max(MIN_MEMORY_BYTES, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        except (ValueError, OSError, AttributeError):
            return 0


@dataclass(frozen=True)
class AllowedPaths:
    """What a process may read, and what it may change, besides what every program needs.

    `scratch` is a directory for its files of the moment.
    """

    scratch: Path
    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()


def confined_command(
    arguments: list[str], reach: AllowedPaths, memory: int = 0, seconds: int = 0
) -> list[str]:
    """A command that starts this Python confined.

    Args:
        arguments: of Python, such as `-m` and a module.
        reach: what it may read and change.
        memory: bytes that it may use; 0: any.
        seconds: after which it is ended; 0: never.
    """
    read = [*interpreter_paths(), *(ROOT / name for name in PROGRAM_PATHS), *reach.read]
    limits = {
        "read": [*SYSTEM_PATHS, *(str(path.resolve()) for path in read)],
        "list": [str(ROOT)],
        "write": [*(str(path.resolve()) for path in (*reach.write, reach.scratch)), "/dev/null"],
        "environment": confined_environment(reach.scratch.resolve()),
        "memory": memory,
        "seconds": seconds,
    }
    starter = [sys.executable, "-I", "-S", landlock.__file__, json.dumps(limits)]
    return [*starter, sys.executable, "-P", *arguments]


def interpreter_paths() -> list[Path]:
    """Where this Python and its packages lie, and the Node that is run to check a bundle."""
    places = [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix]
    packages = [Path(place) for place in sys.path if place]
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    found = [*map(Path, places), *(place for place in packages if not contains_user_files(place))]
    return [*found, *(Path(place) for place in libraries if place), *node_files()]


def contains_user_files(place: Path) -> bool:
    """Whether more than packages lies there: the current directory, the home, this project."""
    here = place.resolve()
    home = Path(os.environ.get("HOME", "/")).resolve()
    return any(own.is_relative_to(here) for own in (Path.cwd(), home, ROOT))


@cache
def warn_without_landlock(say: Callable[[str], None]) -> None:
    """Says, once, where the list of ops stands alone."""
    if not landlock.landlock_version():
        say(NO_LANDLOCK_NOTICE)


def node_files() -> list[Path]:
    """Node's program, which a script of that name may hide."""
    program = node_executable(os.environ.get("NODE", "node"))
    return [] if program is None else [program, program.parent.parent / "lib" / "node_modules"]


@cache
def node_executable(wanted: str) -> Path | None:
    """The program that a `node` of this name runs; None where there is none."""
    found = shutil.which(wanted)
    if found is None:
        return None
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        asked = [found, "-p", "process.execPath"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)
        return Path(done.stdout.strip())
    return Path(found)


def confined_environment(scratch: Path) -> dict[str, str]:
    """The variables that a confined process gets besides those of this one."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    added = {
        CONFINED_VARIABLE: "1",
        "PYTHONPATH": os.pathsep.join(paths),
        "TMPDIR": str(scratch),
        # Else Keras reads, and makes, a file in the home directory.
        "KERAS_HOME": str(scratch),
    }
    node = node_executable(os.environ.get("NODE", "node"))
    return added | ({} if node is None else {"NODE": str(node)})


def rerun_confined(module: str, read: Iterable[Path], say: Callable[[str], None]) -> None:
    """Runs this program again, confined, and ends with its exit code; returns if it is confined.

    Args:
        module: that is run by `python -m`.
        read: what it needs to read; it writes nothing.
        say: is told where there is no second wall.
    """
    if CONFINED_VARIABLE in os.environ:
        return
    warn_without_landlock(say)
    with tempfile.TemporaryDirectory(prefix="confined-") as place:
        reach = AllowedPaths(Path(place), tuple(read))
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
    """Has a job done by `export.confined.worker` in a confined process.

    Args:
        kind: of job, see `export.confined.worker`.
        job: a dataclass.
        read: what it needs to read.
        write: the directory that it writes to.
        limits: of its time and memory.
        say: gets its lines.
        what: it works on, for messages.

    Raises:
        UserError: the job says so, or a step of it took too long.
        CheckFailed: the job says so.
        EnvironmentProblem: the job says so, or it did not end by itself.
    """
    warn_without_landlock(say)
    with tempfile.TemporaryDirectory(prefix="confined-") as place:
        scratch = Path(place)
        reach = AllowedPaths(scratch, read, (write,))
        ours, theirs = os.pipe()
        started = confined_command(
            ["-m", "export.confined.worker", str(theirs)], reach, limits.memory_bytes
        )
        with (scratch / "stderr").open("wb") as said:
            process = subprocess.Popen(
                started,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=said,
                pass_fds=[theirs],
                start_new_session=True,
            )
        os.close(theirs)
        try:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
                stdin.write(json.dumps({"kind": kind} | encode_job(job)).encode())
            error = relay_messages(ours, limits.step_seconds, say, what)
            code = process.wait() if error is None else 0
        finally:
            os.close(ours)
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
    """Passes a job's lines on until it ends; returns the error that it ended with.

    Raises:
        UserError: nothing came for too long.
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
    """The lines that come from a pipe; None where none came in time, or one that does not end."""
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
    """What is said of a process that ended without a word."""
    said = stderr.read_bytes()[-8000:].decode(errors="replace").split("\n")
    # A failed check of TensorFlow's is one line, and then a stack.
    causes = [line for line in said if FATAL_LINE.match(line)] or [
        line for line in said if line.strip()
    ]
    last = causes[-1].strip() if causes else "it said nothing"
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    ended = f"{what}: the process that runs the model ended with {how} ({last[:200]})"
    if code in (-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGFPE) and NO_MEMORY not in last:
        # TensorFlow ends its process over what a damaged file says.
        return UserError(f"{ended}; the model is damaged, or TensorFlow cannot run it")
    return EnvironmentProblem(
        f"{ended}; is there enough memory? --memory-limit GIB sets how much it may use"
    )


@cache
def python_paths(python: Path) -> tuple[Path, ...]:
    """What another interpreter reads: its own directories; itself where it does not say more."""
    asked = "import sys; print(sys.prefix, sys.base_prefix, sys.executable, *sys.path, sep='\\n')"
    program = shutil.which(str(python)) or str(python)
    try:
        done = subprocess.run(
            [program, "-c", asked], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return (Path(program),)
    places = [Path(line) for line in done.stdout.splitlines() if line]
    return (Path(program), *(place for place in places if not contains_user_files(place)))
