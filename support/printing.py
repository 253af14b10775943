"""Cleans everything that a command prints to the terminal.

Names, labels, paths and messages come from untrusted files and people, and a log of GitHub Actions
executes every line that starts with `::`. `cleaned_streams` cleans all output of a command;
`printable` cleans one untrusted text so that it stays within its line. Characters are escaped as
in JSON, so that printed JSON keeps its meaning.
"""

import io
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO

from support.command_names import as_typed

INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""C0, DEL, C1, line ends, marks that change the reading direction, and surrogates."""
ALLOWED_CONTROLS = "\n\t"
"""Control characters that a stream does not escape."""
COMMAND = re.compile(r"##(?=\w*\[)")
"""A command of GitHub's or Azure's logs anywhere in a line, for example `##[error]`."""
COMMAND_AT_START = re.compile(r"^(\s*):(?=:)")
"""A command of GitHub's logs at the start of a line."""
MAX_LINE_CHARACTERS = 2000
"""The most characters of a line: of a message that quotes a whole file only both ends remain."""
SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def printable(text: str, longest: int | None = MAX_LINE_CHARACTERS) -> str:
    r"""Returns an untrusted text cleaned for use within a line; cuts the middle of a long text.

    >>> printable("a\x1b]0;x\x07\n::error::x")
    'a\\u001b]0;x\\u0007\\n::error::x'
    """
    if longest is not None and len(text) > longest:
        end, left = longest // 4, len(text) - longest
        text = f"{text[: longest - end]} … ({left} characters left out) … {text[-end:]}"
    return COMMAND.sub(r"#\\u0023", INVISIBLE.sub(_escape_character, text))


def printable_line(text: str, longest: int | None = MAX_LINE_CHARACTERS) -> str:
    """Returns a cleaned log line, whose start is no log command either."""
    return COMMAND_AT_START.sub(r"\1\\u003a", printable(text, longest))


def _escape_character(found: re.Match[str]) -> str:
    """Returns a character as JSON escapes it."""
    return SHORT_ESCAPES.get(found[0]) or f"\\u{ord(found[0]):04x}"


def escape_markdown(text: str) -> str:
    r"""Returns an untrusted text escaped for Markdown, so that it is shown as it is.

    >>> escape_markdown("a|b</details>")
    'a\\|b\\<\\/details\\>'
    """
    return PUNCTUATION.sub(r"\\\1", printable(text))


def fence_code(text: str) -> str:
    """Returns lines as a Markdown code block, with a fence longer than any in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


class CleanStream(io.TextIOBase):
    """Writes text to a stream without the characters that control a terminal or a log."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.at_start = True

    def write(self, text: str) -> int:
        """Writes text; keeps line ends, so untrusted texts must go through `printable` first."""
        for line in re.split(r"(?<=\n)", text):
            clean = COMMAND.sub(r"#\\u0023", INVISIBLE.sub(_escape_unless_allowed, line))
            if self.at_start:
                clean = COMMAND_AT_START.sub(r"\1\\u003a", clean)
            self.at_start = clean.endswith("\n") or (self.at_start and not clean.strip())
            self.stream.write(clean)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def flush(self) -> None:
        """Flushes the underlying stream."""
        self.stream.flush()

    def isatty(self) -> bool:
        """Whether the underlying stream is a terminal."""
        return self.stream.isatty()

    def fileno(self) -> int:
        """Returns the file descriptor of the underlying stream."""
        return self.stream.fileno()


def _escape_unless_allowed(found: re.Match[str]) -> str:
    """Escapes a character of INVISIBLE unless it is in ALLOWED_CONTROLS."""
    return found[0] if found[0] in ALLOWED_CONTROLS else f"\\u{ord(found[0]):04x}"


@contextmanager
def cleaned_streams() -> Iterator[None]:
    """Cleans everything that the block prints to stdout and stderr."""
    out, err = underlying_stream(sys.stdout), underlying_stream(sys.stderr)
    with redirect_stdout(CleanStream(out)), redirect_stderr(CleanStream(err)):
        yield


def underlying_stream(stream: Any) -> TextIO:
    """Returns the stream behind a CleanStream: for progress bars and our own log commands."""
    behind: TextIO = stream.stream if isinstance(stream, CleanStream) else stream
    return behind


Say = Callable[[str], None]
"""Prints a message of progress; `say`, or what stands for it in a test or another process."""


def say(line: str, stream: TextIO | None = None) -> None:
    """Prints a message of progress to stderr, or another stream; results go to stdout.

    Commands in it are named as the person types them (`as_typed`).
    It is no `logging` record: a person reads these lines, without times or levels, and records of
    TensorFlow or matplotlib must not mix with them.
    """
    print(printable_line(as_typed(line)), file=stream or sys.stderr, flush=True)
