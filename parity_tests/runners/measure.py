"""Runs a command and measures its time and its peak memory."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

# Linux counts in KiB, macOS in bytes.
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class MeasuredRun:
    """The exit code of a command, its seconds, its peak resident bytes, and its output."""

    code: int
    seconds: float
    peak_bytes: int
    stdout: str
    stderr: str

    @property
    def last_error_line(self) -> str:
        """The last line on stderr, where a failure says its reason."""
        return next((line for line in reversed(self.stderr.split("\n")) if line.strip()), "")


def run_measured(command: list[str], log: Path, stdin: Path = Path(os.devnull)) -> MeasuredRun:
    """Runs a command to its end.

    On Linux a child's peak begins with its parent's, so the caller must be a small process.

    Args:
        command: the program and its arguments.
        log: a path for its output, which is removed afterwards.
        stdin: the file that it reads.
    """
    out, err = log.with_suffix(".out"), log.with_suffix(".err")
    started = time.monotonic()
    with out.open("wb") as stdout, err.open("wb") as stderr, stdin.open("rb") as source:
        process = subprocess.Popen(command, stdin=source, stdout=stdout, stderr=stderr)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
    process.returncode = os.waitstatus_to_exitcode(status)
    result = MeasuredRun(
        process.returncode,
        time.monotonic() - started,
        usage.ru_maxrss * RSS_UNIT,
        out.read_text(encoding="utf-8", errors="replace"),
        err.read_text(encoding="utf-8", errors="replace"),
    )
    out.unlink()
    err.unlink()
    return result
