"""Runs one hostile case and finds its faults."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from support import ROOT as ROOT
from tests.hostile.case import EXITS, HostileCase

TRACES = (
    re.compile(r"^Traceback \(most recent call last\)", re.M),
    re.compile(r"^\s+File \"[^\"]+\", line \d+", re.M),
    re.compile(r"^\s+at .+:\d+:\d+\)?$", re.M),
    re.compile(r"^\s+at (async )?[\w.<>]+ \(", re.M),
    re.compile(r"\bnode:internal/"),
    re.compile(r"Fatal (Python )?error|FATAL ERROR"),
)
"""Patterns of stack traces of Python and Node."""
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]|^::", re.M)
"""Characters that must be escaped: controls, C1, changes of direction; and CI commands."""
MOST_MEMORY = 6 << 30
"""Bytes that a command may use at most: three times the memory of a small model's export."""
SECRET = b"the secret of this machine\n"


@dataclass(frozen=True)
class EndedCommand:
    """The end of a command; `memory` is its peak in bytes, `seconds` its wall time."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    memory: int


@dataclass(frozen=True)
class CaseOutcome:
    """The outcome of a case; `fault` is "" where all is well."""

    name: str
    expect: str
    code: int
    line: str
    seconds: float
    fault: str


def attempt_case(case: HostileCase, workdir: Path) -> CaseOutcome:
    """Makes the files of a case, runs its command, and checks the result.

    Args:
        case: to run.
        workdir: a directory of its own, which is removed afterwards.

    Raises:
        OSError: the directory cannot be written.
    """
    files, guard, home = (workdir / name for name in ("files", "guard", "home"))
    for directory in (files, guard, home):
        directory.mkdir(parents=True)
    (guard / "secret.txt").write_bytes(SECRET)
    before = file_hashes(guard)
    try:
        command = case.make(files)
        ended = run_command(command, files, home, case)
        fault = find_fault(case, ended)
        if not fault and file_hashes(guard) != before:
            fault = "files outside of the case were changed"
        if not fault and case.check is not None:
            fault = case.check(files)
    finally:
        remove_directory(workdir)
    return CaseOutcome(
        case.name, case.expect, ended.code, last_line(ended.stderr), ended.seconds, fault
    )


def run_command(command: list[str], files: Path, home: Path, case: HostileCase) -> EndedCommand:
    """Runs a command in the project, with a home and caches of its own.

    Args:
        command: its first word is `node` or `python`.
        files: the directory of the case's files.
        home: for home, caches and output.
        case: for stdin and the time limit.
    """
    program = sys.executable if command[0] == "python" else os.environ.get("NODE", "node")
    environment = {
        **{k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "GITHUB_ACTIONS")},
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "TFHUB_CACHE_DIR": str(home / "hub"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "NO_COLOR": "1",
    }
    streams = [home / "stdout", home / "stderr"]
    started = time.monotonic()
    with streams[0].open("wb") as out, streams[1].open("wb") as err:
        process = subprocess.Popen(
            [program, *command[1:]],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        memory = feed_and_wait(process, case.stdin, case.seconds)
    stdout, stderr = (stream.read_bytes().decode("utf-8", "replace") for stream in streams)
    code = process.returncode
    return EndedCommand(code, stdout, stderr, time.monotonic() - started, memory)


def feed_and_wait(process: "subprocess.Popen[bytes]", stdin: bytes, seconds: float) -> int:
    """Writes a program's input and waits; returns its peak memory in bytes.

    A program that takes too long is killed with its children; its exit code is then -9.
    """
    assert process.stdin is not None
    os.set_blocking(process.stdin.fileno(), False)
    left, deadline = memoryview(stdin), time.monotonic() + seconds
    while True:
        if left and not process.stdin.closed:
            try:
                left = left[os.write(process.stdin.fileno(), left[: 1 << 16]) :]
            except BlockingIOError:
                time.sleep(0.002)
            except BrokenPipeError:
                left = left[:0]
        elif not process.stdin.closed:
            process.stdin.close()
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            break
        if time.monotonic() > deadline:
            os.killpg(process.pid, signal.SIGKILL)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = -signal.SIGKILL
            break
        if not left:
            time.sleep(0.01)
    if not process.stdin.closed:
        process.stdin.close()
    return usage.ru_maxrss * 1024


def find_fault(case: HostileCase, ended: EndedCommand) -> str:
    """Returns what is wrong with the end of a command, or ""."""
    if ended.code == -signal.SIGKILL and ended.seconds >= case.seconds:
        return f"it did not end within {case.seconds:g} s"
    if ended.code < 0:
        return f"it ended by signal {-ended.code}"
    both = f"{ended.stderr}\n{ended.stdout}"
    for pattern in TRACES:
        if found := pattern.search(both):
            return f"a stack trace: {found.group()!r}"
    for name, text in (("stdout", ended.stdout), ("stderr", ended.stderr)):
        # A result may have U+FFFD and line ends; a progress bar is not drawn into a file.
        if found := UNSAFE.search(text):
            return f"{name} has {found.group()!r} raw: {excerpt(text, found.start())!r}"
    if ended.memory > MOST_MEMORY:
        return f"it used {ended.memory / 2**30:.1f} GiB"
    if ended.code not in EXITS[case.expect]:
        line = last_line(ended.stderr)
        return f"exit code {ended.code}, expected {case.expect} {EXITS[case.expect]}: {line!r}"
    if case.expect == "refused":
        errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
        if len(errors) != 1 or last_line(ended.stderr) != errors[0]:
            return f"expected one line `error: …` at the end, got {ended.stderr[-300:]!r}"
    if case.says not in both:
        return f"expected {case.says!r} in {both[-300:]!r}"
    return ""


def file_hashes(directory: Path) -> dict[str, str]:
    """Returns the sha256 of each file in a directory, by its relative path."""
    return {
        str(file.relative_to(directory)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(directory.rglob("*"))
        if file.is_file() and not file.is_fifo()
    }


def remove_directory(workdir: Path) -> None:
    """Removes a directory, also where a case made it read-only."""
    for directory, _, _ in os.walk(workdir):
        Path(directory).chmod(0o700)
    shutil.rmtree(workdir)


def last_line(text: str) -> str:
    """Returns the last line that is not blank."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def excerpt(text: str, at: int) -> str:
    """Returns the characters around an index."""
    return text[max(0, at - 40) : at + 40]
