"""Runs a program of the user's on the cases; docs/your-own-runner.md describes the protocol.

The program gets a JSON object a line on stdin, one for each text, and writes a JSON object a line
on stdout, in the same order, with whatever it has of each text: ids, tokens, outputs,
probabilities, labels. What it does not answer is not compared.
"""

import json
import os
import queue
import re
import shlex
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any

from parity_tests.cases import TextCase
from parity_tests.runners.own_answers import (
    MAX_LINE_BYTES,
    Answer,
    AnswerNames,
    parse_answer,
    quote_line,
)
from parity_tests.runners.runners import NAMES
from support.errors import UserError
from support.printing import printable_line

PROTOCOL = "docs/your-own-runner.md describes the protocol"
TIME_LIMIT = 300
"""Seconds without an answer, by default: the first one waits until the model is loaded."""
CAUSE = re.compile(r"(Uncaught )?([\w.]*(Error|Exception)\b|error:)", re.IGNORECASE)
"""The line of a stack trace that says what happened, in Python, Node, Java and others."""
NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,39}")


@dataclass(frozen=True)
class OwnProgram:
    """A program that answers the cases, and its name in the report.

    `time_limit`: the seconds that it may take for an answer.
    """

    name: str
    command: tuple[str, ...]
    time_limit: float = TIME_LIMIT


def parse_program(text: str, time_limit: float = TIME_LIMIT) -> OwnProgram:
    """Parses the value of `--runner`, NAME=COMMAND. The command is split as a shell would.

    >>> parse_program("mine=node my.js --model 'a b'").command
    ('node', 'my.js', '--model', 'a b')

    Raises:
        UserError: it has another form.
    """
    name, equals, command = text.partition("=")
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise UserError(f"--runner {name}: the command cannot be split: {error}") from None
    if not NAME.fullmatch(name) or not equals or not words:
        raise UserError(
            f"--runner: got {text!r}, expected NAME=COMMAND, such as mine='node my_program.js'"
        )
    if name in NAMES:
        raise UserError(f"--runner: {name} is the name of a backend; choose another one")
    return OwnProgram(name, words, time_limit)


def run_own_program(
    program: OwnProgram, picked: list[TextCase], max_length: int, names: AnswerNames
) -> list[Answer]:
    """Runs the program on all cases.

    Args:
        program: to run, in the working directory.
        picked: the cases, in order.
        max_length: positions that a text is cut to, where the case says nothing else.
        names: that the answers may use.

    Raises:
        UserError: the program cannot be started, hangs, dies, or does not keep to the protocol.
    """
    answers: list[Answer] = []
    with _started(program) as process:
        requests = "".join(_request(case, max_length) for case in picked)
        threading.Thread(target=_write, args=(process.stdin, requests), daemon=True).start()
        read_line = _line_reader(process.stdout)
        last_words = _last_lines(process.stderr)
        for case in picked:
            try:
                line = read_line(program.time_limit)
            except queue.Empty:
                raise UserError(
                    f"--runner {program.name}: no answer to text {case.case} in "
                    f"{program.time_limit:g} s; --runner-time-limit allows more"
                ) from None
            if line is None:
                raise UserError(_death(program, process, last_words, len(answers), len(picked)))
            answers.append(parse_answer(line, case.case, names, program.name))
        _expect_end(program, process, read_line, last_words)
    return answers


def _request(case: TextCase, max_length: int) -> str:
    """Returns the line of one text."""
    request: dict[str, Any] = {"id": case.case, "text": case.text}
    if case.pair is not None:
        request["pair"] = case.pair
    request["max_length"] = min(case.max_length or max_length, max_length)
    # Escaped, so that no character within a text can be taken for the end of a line.
    return json.dumps(request, ensure_ascii=True) + "\n"


@contextmanager
def _started(program: OwnProgram) -> Iterator[subprocess.Popen[bytes]]:
    """Starts the program in a process group of its own, and ends the whole group at the end."""
    try:
        process = subprocess.Popen(
            program.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"--runner {program.name}: {program.command[0]} cannot be started: {error}"
        ) from None
    try:
        yield process
    finally:
        # Also where the program itself has ended: it may have left children that hold the pipes.
        with suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:  # Windows
                process.kill()
        process.wait()


def _write(stdin: IO[bytes] | None, requests: str) -> None:
    """Writes all requests; a program that ended early is reported by the reader."""
    assert stdin is not None
    with suppress(OSError), stdin:
        stdin.write(requests.encode())


def _line_reader(stdout: IO[bytes] | None) -> Callable[[float], bytes | None]:
    """Returns a function that waits so many seconds for a line; None at the end of the output."""
    assert stdout is not None
    lines: queue.Queue[bytes | None] = queue.Queue(maxsize=16)

    def read() -> None:
        with suppress(OSError, ValueError):
            while line := stdout.readline(MAX_LINE_BYTES + 1):
                if line.strip():
                    lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lambda seconds: lines.get(timeout=seconds)


def _last_lines(stderr: IO[bytes] | None) -> deque[str]:
    """Collects the last lines of stderr while the program runs."""
    assert stderr is not None
    lines: deque[str] = deque(maxlen=20)

    def read() -> None:
        with suppress(OSError, ValueError):
            while line := stderr.readline(1 << 16):
                lines.append(line.decode(errors="replace").rstrip())

    threading.Thread(target=read, daemon=True).start()
    return lines


def _death(
    program: OwnProgram,
    process: subprocess.Popen[bytes],
    last_words: deque[str],
    answered: int,
    expected: int,
) -> str:
    """Returns the message for a program that ended too early.

    Args:
        program: that ended.
        process: its process.
        last_words: the last lines of its stderr.
        answered: how many texts it answered.
        expected: how many texts it got.
    """
    how = _end_of(process)
    return (
        f"--runner {program.name}: the program {how} after {answered} of {expected} answers"
        f"{_quote_cause(last_words)}"
    )


def _end_of(process: subprocess.Popen[bytes]) -> str:
    """Says how a program ended that has closed its stdout."""
    try:
        code = process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        return "closed its stdout"
    return f"was killed (signal {-code})" if code < 0 else f"ended with exit code {code}"


def _quote_cause(last_words: deque[str]) -> str:
    """Returns the line of stderr that looks like a cause, as the end of a message; or ""."""
    spoken = [line.strip() for line in last_words if line.strip()]
    causes = [line for line in spoken if CAUSE.match(line)] or spoken[-1:]
    return f": {printable_line(causes[-1], longest=300)}" if causes else ""


def _expect_end(
    program: OwnProgram,
    process: subprocess.Popen[bytes],
    read_line: Callable[[float], bytes | None],
    last_words: deque[str],
) -> None:
    """Refuses further lines and a failure after the last answer.

    Args:
        program: that answered all texts.
        process: its process.
        read_line: waits for a line.
        last_words: the last lines of its stderr.

    Raises:
        UserError: there is a line, the program failed, or it does not end with its stdin.
    """
    try:
        line = read_line(program.time_limit)
        code = process.wait(program.time_limit)
    except (queue.Empty, subprocess.TimeoutExpired):
        raise UserError(
            f"--runner {program.name}: the program does not end, although its stdin has; {PROTOCOL}"
        ) from None
    if line is not None:
        raise UserError(
            f"--runner {program.name}: got {quote_line(line)} after the last answer, expected "
            f"nothing; {PROTOCOL}"
        )
    if code != 0:
        raise UserError(
            f"--runner {program.name}: all texts are answered, but the program {_end_of(process)}"
            f"{_quote_cause(last_words)}"
        )
