"""One side of a comparison: a process of its own that answers JSON lines until it is closed.

Its server is serve.js or serve.py. A side without a request does nothing.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import IO, Any

from support import ROOT
from support.errors import EnvironmentProblem
from support.node import find_node, last_line

# One core for each side, unless a row says more; libraries would otherwise take all.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
ALL_THREADS = {"TOKENIZERS_PARALLELISM": "true"}


def node_program(*arguments: str) -> list[str]:
    """Returns a command that runs a Node program on one thread, with its garbage collection.

    Without the flag, V8 would collect garbage on a second core, which no peer in Python has.
    """
    return [find_node(), "--expose-gc", "--single-threaded-gc", *arguments]


def python_program(module: str) -> list[str]:
    """Returns a command that runs a Python module in this environment."""
    return [sys.executable, "-m", module]


class SideProcess:
    """A running side; `name` is for messages."""

    def __init__(
        self, name: str, command: list[str], environment: dict[str, str] = ONE_THREAD
    ) -> None:
        self.name = name
        # Libraries print much as they start; it is shown only where a side fails.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  closed with the side
        # A session of its own: this process handles Ctrl-C and then ends the sides.
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in: IO[bytes] = self._process.stdin
        self._out: IO[bytes] = self._process.stdout

    def __enter__(self) -> "SideProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._out.close()
        self._stderr.close()
        with suppress(BrokenPipeError):  # the rest of a request is lost
            self._in.close()

    def ask(self, op: str, **arguments: Any) -> Any:
        """Returns the side's answer to one request.

        Raises:
            EnvironmentProblem: the side ended, or reports an error.
        """
        with suppress(BrokenPipeError):  # the missing answer shows it
            self._in.write(json.dumps({"op": op, **arguments}).encode() + b"\n")
            self._in.flush()
        line = self._out.readline()
        if not line.endswith(b"\n"):
            code, reason = self._process.wait(), self._last_error_line()
            raise EnvironmentProblem(
                f"{self.name} ended with exit code {code} when asked to {op}: {reason}"
            )
        answer = json.loads(line)
        if "error" in answer:
            raise EnvironmentProblem(f"{self.name} could not {op}: {answer['error']}")
        return answer["answer"]

    def _last_error_line(self) -> str:
        """Returns the line on stderr that looks like a cause."""
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().split("\n")
        causes = [line for line in lines if "Error" in line]
        return (causes or lines)[-1]


def run_to_end(
    what: str,
    command: list[str],
    environment: Mapping[str, str] = MappingProxyType({}),
    directory: Path | None = None,
) -> str:
    """Runs a program that is no server; returns its stdout.

    Args:
        what: is done, for the message.
        command: the program and its arguments.
        environment: further variables.
        directory: to run in; None: this process's.

    Raises:
        EnvironmentProblem: it failed; the message has its last line.
    """
    done = subprocess.run(
        command,
        cwd=directory,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise EnvironmentProblem(f"{what} failed: {last_line(done.stderr)}")
    return done.stdout


# Sides are measured in turns, so that other work of the machine affects both alike.

Measure = Callable[[], float]


def time_in_turns(
    ours: Measure, peer: Measure, rounds: int, say: Callable[[str], None]
) -> tuple[list[float], list[float]]:
    """Measures ours and the peer in turns; the first round of each is a warm-up.

    Args:
        ours: returns the seconds of one measurement.
        peer: the same of the peer.
        rounds: how many.
        say: prints progress.

    >>> values = iter(range(6))
    >>> time_in_turns(lambda: next(values), lambda: next(values), 2, say=lambda line: None)
    ([2, 4], [3, 5])
    """
    one, other = [], []
    for number in range(rounds + 1):
        times = (ours(), peer())
        if number == 0:
            continue
        one.append(times[0])
        other.append(times[1])
        shown = [format_seconds(seconds) for seconds in times]
        say(f"round {number}/{rounds}: {shown[0]} against {shown[1]}")
    return one, other


def format_seconds(seconds: float) -> str:
    """Formats a time for people.

    >>> format_seconds(2.345), format_seconds(0.01234), format_seconds(0.0000123)
    ('2.35 s', '12.3 ms', '12.3 µs')
    """
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs"
