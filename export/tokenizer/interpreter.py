"""Runs the reference tokenizer in another Python interpreter: `--tokenizer-python`.

`libraries.py` runs there as a script, with the versions of that interpreter, and answers over a
pipe.
"""

import json
import os
import secrets
import shutil
import struct
import subprocess
import tempfile
import threading
import weakref
from functools import cache
from pathlib import Path
from typing import IO, Any

from export.tokenizer import libraries
from support.errors import EnvironmentProblem, UserError

SCRIPT = Path(libraries.__file__)
START_SECONDS = 60
MAX_NOISE_BYTES = 1 << 20  # bytes that an interpreter may print before the script in it answers
# Variables that would make the other interpreter use this one's packages.
REMOVED_VARIABLES = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "__PYVENV_LAUNCHER__")


@cache
def shared_interpreter(python: Path) -> "Interpreter":
    """Returns the running interpreter of that path; all callers share one process.

    Raises:
        UserError: see `Interpreter`.
    """
    return Interpreter(python)


class Interpreter:
    """A process of the user's Python that runs `libraries.py`."""

    def __init__(self, python: Path) -> None:
        """Starts the process.

        Raises:
            UserError: there is no such file, it does not start, or it is not Python 3.8 or newer.
        """
        self.python = python
        # The path is not resolved: a venv's python is a link, whose path decides the venv.
        program = str(python) if python.parent != Path() else shutil.which(str(python))
        if program is None or Path(program).is_dir() or not Path(program).exists():
            kind = "a directory" if program and Path(program).is_dir() else "no such program"
            raise UserError(
                f"--tokenizer-python {python}: got {kind}, expected a Python interpreter, "
                "for example /path/to/venv/bin/python"
            )
        nonce = secrets.token_hex(16)
        environment = {
            name: value for name, value in os.environ.items() if name not in REMOVED_VARIABLES
        }
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the process
        try:
            self._process = subprocess.Popen(
                [program, str(SCRIPT), nonce],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                env=environment,
            )
        except OSError as error:
            raise UserError(
                f"--tokenizer-python {python}: does not start: {error.strerror}; "
                "give a Python interpreter, for example /path/to/venv/bin/python"
            ) from None
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in: IO[bytes] = self._process.stdin
        self._out: IO[bytes] = self._process.stdout
        self._lock = threading.Lock()
        weakref.finalize(self, _stop_process, self._process)
        self._expect_ready(f"\nready {nonce[::-1]}\n".encode())

    def ask(self, op: str, *arguments: Any, tokenizer: int | None = None) -> Any:
        """Sends one request to `libraries.serve` and returns the result.

        Raises:
            UserError: the library is missing there, or refuses the vocab.
            EnvironmentProblem: the library failed, or the interpreter ended.
        """
        request = {"op": op, "arguments": arguments, "tokenizer": tokenizer}
        body = json.dumps(request, ensure_ascii=False).encode()
        with self._lock:
            try:
                self._in.write(struct.pack(">I", len(body)) + body)
                self._in.flush()
            except OSError:
                raise self._ended() from None
            (length,) = struct.unpack(">I", self._read(4))
            answer = json.loads(self._read(length))
        if "result" in answer:
            return answer["result"]
        if answer["kind"] == "missing":
            raise UserError(
                f"--tokenizer-python {self.python}: it has no package {answer['error']}; install "
                "it there, or give the interpreter that your Python side runs in"
            )
        if answer["kind"] == "refused":
            raise libraries.VocabRefused(answer["error"])
        raise EnvironmentProblem(
            f"--tokenizer-python {self.python}: its tokenizer library failed: {answer['error']}; "
            "try the same import in that interpreter"
        )

    def _expect_ready(self, ready: bytes) -> None:
        """Waits for the script's first message; ignores other output before it."""
        timer = threading.Timer(START_SECONDS, self._process.kill)
        timer.start()
        heard = bytearray()
        try:
            # Nothing follows this message before the first request.
            while not heard.endswith(ready):
                piece = os.read(self._out.fileno(), 1 << 16)
                heard += piece
                if not piece or len(heard) > MAX_NOISE_BYTES:
                    _stop_process(self._process)
                    raise UserError(
                        f"--tokenizer-python {self.python}: does not answer as Python 3.8 or newer "
                        f"would{self._last_words()}; give the interpreter that your Python side "
                        "runs in"
                    )
        finally:
            timer.cancel()

    def _read(self, count: int) -> bytes:
        data = self._out.read(count)
        if len(data) < count:
            raise self._ended()
        return data

    def _ended(self) -> EnvironmentProblem:
        code = self._process.wait()
        return EnvironmentProblem(
            f"--tokenizer-python {self.python}: the interpreter ended (exit code {code})"
            f"{self._last_words()}; try `import tensorflow_text` or `import tokenizers` in it"
        )

    def _last_words(self) -> str:
        self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, self._said.tell() - 2000))
        lines = self._said.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f" ({last[:200]})" if last else ""


def _stop_process(process: "subprocess.Popen[bytes]") -> None:
    """Kills a process and waits for its end."""
    process.kill()
    process.wait()


class RemoteTokenizer:
    """A tokenizer of `libraries` in another interpreter, with the same methods."""

    def __init__(self, where: Interpreter, number: int) -> None:
        self._where = where
        self._number = number

    def flat(self, texts: list[str]) -> Any:
        """Calls `libraries.Bert.flat`."""
        return self._where.ask("flat", texts, tokenizer=self._number)

    def with_types(
        self, texts: list[str], pairs: list[str] | None, special_tokens: bool, limit: int | None
    ) -> Any:
        """Calls `libraries.Bert.with_types`.

        Args:
            texts: see there.
            pairs: see there.
            special_tokens: see there.
            limit: see there.
        """
        arguments = (texts, pairs, special_tokens, limit)
        return self._where.ask("with_types", *arguments, tokenizer=self._number)

    def split(self, texts: list[str]) -> Any:
        """Calls `libraries.Bert.split`."""
        return self._where.ask("split", texts, tokenizer=self._number)

    def normalize(self, texts: list[str]) -> Any:
        """Calls `libraries.TfTextFast.normalize`."""
        return self._where.ask("normalize", texts, tokenizer=self._number)

    def count_words(self, texts: list[str]) -> Any:
        """Calls `libraries.TfTextFast.count_words`."""
        return self._where.ask("count_words", texts, tokenizer=self._number)

    def fold(self, texts: list[str]) -> Any:
        """Calls `libraries.Chars.fold`."""
        return self._where.ask("fold", texts, tokenizer=self._number)
