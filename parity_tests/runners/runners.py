"""Starts the two runners as processes of their own: a crash in one does not end the judge."""

import os
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from export.confined import confinement
from export.confined.confinement import AllowedPaths, Limits
from parity_tests.runners import runs
from parity_tests.runners.long_texts import LongRule
from parity_tests.runners.runs import RunOutput
from parity_tests.runners.tokenizer_source import TokenizerSource
from support import printing, python_path
from support.command_line import suggest_name
from support.errors import EnvironmentProblem, UserError
from support.node import check_native, find_node

RUNNERS_DIRECTORY = Path(__file__).parent
PYTHON_TIME_LIMIT = 7200
"""That a run of Python may take at most."""


def run_python(
    model: Path,
    tokenizer: TokenizerSource,
    cases: Path,
    out: Path,
    contract: Path,
    tapped: Iterable[int] = (0,),
    stored: Path | None = None,
    costs: bool = True,
    long: LongRule | None = None,
) -> RunOutput:
    """Runs Python on a whole case file; writes the model's variables beside `out`.

    The process that loads the model is confined, see export/confined/confinement.py.

    Args:
        model: the SavedModel.
        tokenizer: its tokenizer.
        cases: the case file.
        out: the file for the answers.
        contract: `bundle.json`, which names the taps.
        tapped: the batches whose taps are read.
        stored: safetensors, whose values the model's variables get.
        costs: whether to measure what float32 costs the model, see costs.py.
        long: how to read long texts, each in a batch of its own; then no more is computed.

    Raises:
        UserError, EnvironmentProblem: see `run_runner`.
    """
    command = ["-m", "parity_tests.runners.run_python", "--model", str(model)]
    command += [*tokenizer.arguments(), "--cases", str(cases)]
    command += ["--weights", str(weights_beside(out)), "--contract", str(contract)]
    command += ["--taps", join_numbers(tapped)]
    command += ["--costs"] if costs else []
    command += ["--long", long.to_json()] if long is not None else []
    if stored is not None:
        command += ["--stored", str(stored)]
    confinement.warn_without_landlock(printing.say)
    readable = [model, cases, contract, *tokenizer.files(), *([stored] if stored else [])]
    with tempfile.TemporaryDirectory(prefix="confined-") as scratch:
        reach = AllowedPaths(Path(scratch), tuple(readable), (out.parent,))
        started = confinement.confined_command(
            command, reach, Limits().memory_bytes, PYTHON_TIME_LIMIT
        )
        return run_and_read("Python", started, out)


def join_numbers(batches: Iterable[int]) -> str:
    """Returns numbers as the runners' options take them."""
    return ",".join(str(number) for number in sorted(batches))


def weights_beside(out: Path) -> Path:
    """Returns the path for the variables of the model whose answers are in `out`."""
    return out.with_suffix(".weights.safetensors")


@dataclass(frozen=True)
class NodeSide:
    """What Node runs: a bundle, perhaps its classifier, and the runner program."""

    bundle: Path
    classifier: Path | None = None
    runner: Path = RUNNERS_DIRECTORY / "run_node.js"

    def run(
        self,
        backend: str,
        batches: int,
        cases: Path,
        out: Path,
        tapped: Iterable[int] = (0,),
    ) -> RunOutput:
        """Runs the first batches of a case file on one backend.

        Args:
            backend: of TF.js.
            batches: how many.
            cases: the case file.
            out: the file for the answers.
            tapped: the batches whose taps are read.
        """
        arguments = ["--batches", str(batches), "--taps", join_numbers(tapped)]
        return self._start(backend, cases, out, arguments)

    def answers(
        self, backend: str, cases: Path, out: Path, max_length: int, batches: int = 1
    ) -> RunOutput:
        """Runs the classifier on the first batches, as it reads texts by itself.

        Args:
            backend: of TF.js.
            cases: the case file.
            out: the file for the answers.
            max_length: positions that texts may take.
            batches: how many.
        """
        arguments = ["--batches", str(batches), "--answers-alone", "--max-length", str(max_length)]
        return self._start(backend, cases, out, arguments)

    def _start(self, backend: str, cases: Path, out: Path, arguments: list[str]) -> RunOutput:
        """Runs the runner on a case file.

        Args:
            backend: of TF.js.
            cases: the case file.
            out: the file for the answers.
            arguments: further options.
        """
        command = [
            find_node(),
            str(self.runner),
            "--bundle",
            str(self.bundle),
            "--backend",
            backend,
        ]
        command += ["--cases", str(cases), *arguments]
        if self.classifier is not None:
            command += ["--classifier", str(self.classifier)]
        return run_and_read(f"Node ({backend})", command, out)


def run_and_read(name: str, command: list[str], out: Path) -> RunOutput:
    """Runs one runner and reads its file; raises as `run_runner`."""
    run_runner(name, command, out)
    return runs.read_run(out)


def run_runner(name: str, command: list[str], out: Path) -> None:
    """Runs one runner to its end and passes on its progress messages.

    Raises:
        UserError: it refuses its input.
        EnvironmentProblem: it did not end by itself, or not well, or wrote nothing.
    """
    out.unlink(missing_ok=True)
    command += ["--out", str(out)]
    environment = os.environ | {"PYTHONPATH": python_path()}
    code, last = run_with_progress(command, environment)
    if code == 0:
        return
    if code == -signal.SIGALRM:
        raise UserError(
            f"the {name} runner was not done after {PYTHON_TIME_LIMIT} s; the model may have a "
            "loop that does not end"
        )
    if code < 0:
        raise EnvironmentProblem(
            f"the {name} runner was killed (signal {-code}) before it was done; "
            "is there enough memory? run it again"
        )
    reason = last.removeprefix("error: ")
    if code == UserError.exit_code:
        raise UserError(reason)
    raise EnvironmentProblem(f"the {name} runner ended with exit code {code}: {reason}")


def run_with_progress(command: list[str], environment: dict[str, str] | None) -> tuple[int, str]:
    """Runs a command and passes on the progress messages of its stderr.

    Returns:
        the exit code, and the last `error: ` line, else the line that looks like a cause.
    """
    lines: deque[str] = deque(maxlen=40)
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line.rstrip())
            if _is_progress(line):
                printing.say(line.rstrip("\n"))
    causes = [line for line in lines if line.startswith("error: ")]
    causes += [line for line in lines if "Error" in line] or list(lines)[-1:]
    return process.returncode, (causes or ["it printed nothing"])[0]


def _is_progress(line: str) -> bool:
    """Returns whether a line is a runner's progress message, and not from a library or a trace."""
    return ": special tokens " in line or ": trained " in line


# The backends that Node has here, and how many texts each gets.

ALWAYS = "wasm:64,cpu:8"
NATIVE = "native:64"
NAMES = ("wasm", "cpu", "native")


def available_backends() -> tuple[str, str]:
    """Returns this machine's backends, as `--backends` takes them, and a note without native."""
    native = check_native()
    if "error" not in native:
        return f"{ALWAYS},{NATIVE}", ""
    return ALWAYS, f"native: NOT COMPARED: {native['error']}"


def parse_backend_counts(text: str) -> dict[str, int]:
    """Parses how many texts each backend gets.

    >>> parse_backend_counts("wasm:64,cpu:8")
    {'wasm': 64, 'cpu': 8}

    Raises:
        UserError: it has another form, or an unknown backend.
    """
    backends = {}
    for part in text.split(","):
        name, _, number = part.strip().partition(":")
        if not name.isalnum() or not number.isdecimal() or int(number) < 1:
            raise UserError(f"--backends: got {part!r}, expected NAME:TEXTS, such as wasm:64")
        if name not in NAMES or name in backends:
            why = "it is there twice" if name in backends else suggest_name(name, NAMES)
            raise UserError(
                f"--backends: got {name}, expected each of {', '.join(NAMES)} once; {why}"
            )
        backends[name] = int(number)
    return backends
