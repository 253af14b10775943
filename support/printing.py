"""What reaches the terminal: clean, whoever prints it.

Names, labels, paths and messages come from files and people that may mean harm, and a log of
GitHub Actions obeys every line that starts with `::`. `cleaned_streams` is the last door, through
which all of a command goes; `printable` keeps a text of others within its line. What is escaped is
escaped as JSON does it, so that JSON stays the same JSON.
"""

import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO

INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""C0, DEL, C1, ends of lines, marks that turn the direction of reading, halves of characters."""
ALLOWED_CONTROLS = "\n\t"
"""What a stream passes on as it is."""
COMMAND = re.compile(r"##(?=\w*\[)")
"""A command of GitHub's or Azure's logs anywhere in a line, such as `##[error]`."""
COMMAND_AT_START = re.compile(r"^(\s*):(?=:)")
"""A command of GitHub's logs at the start of a line."""
MAX_LINE_CHARACTERS = 2000
"""Characters of a line; one that quotes a whole file says no more than its two ends."""
SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def printable(text: str, longest: int | None = MAX_LINE_CHARACTERS) -> str:
    r"""A text of others as part of a line; a long one loses its middle.

    >>> printable("a\x1b]0;x\x07\n::error::x")
    'a\\u001b]0;x\\u0007\\n::error::x'
    """
    if longest is not None and len(text) > longest:
        end, left = longest // 4, len(text) - longest
        text = f"{text[: longest - end]} … ({left} characters left out) … {text[-end:]}"
    return COMMAND.sub(r"#\\u0023", INVISIBLE.sub(escape_character, text))


def printable_line(text: str, longest: int | None = MAX_LINE_CHARACTERS) -> str:
    """A whole line of a log, which is no command of it either."""
    return COMMAND_AT_START.sub(r"\1\\u003a", printable(text, longest))


def escape_character(found: re.Match[str]) -> str:
    """A character as JSON escapes it."""
    return SHORT_ESCAPES.get(found[0]) or f"\\u{ord(found[0]):04x}"


def escape_markdown(text: str) -> str:
    r"""A text of others in Markdown, which means nothing there.

    >>> markdown("a|b</details>")
    'a\\|b\\<\\/details\\>'
    """
    return PUNCTUATION.sub(r"\\\1", printable(text))


def fence_code(text: str) -> str:
    """Lines as a block of code in Markdown, which no line of it can end."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


class CleanStream(io.TextIOBase):
    """Passes text on to a stream, without what a terminal or a log would obey."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.at_start = True

    def write(self, text: str) -> int:
        """Writes; line ends stay, so one that belongs to a text of others is `printable`'s."""
        for line in re.split(r"(?<=\n)", text):
            clean = COMMAND.sub(r"#\\u0023", INVISIBLE.sub(escape_unless_allowed, line))
            if self.at_start:
                clean = COMMAND_AT_START.sub(r"\1\\u003a", clean)
            self.at_start = clean.endswith("\n") or (self.at_start and not clean.strip())
            self.stream.write(clean)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def flush(self) -> None:
        """Flushes the stream behind it."""
        self.stream.flush()

    def isatty(self) -> bool:
        """Whether the stream behind it is a terminal."""
        return self.stream.isatty()

    def fileno(self) -> int:
        """The descriptor of the stream behind it."""
        return self.stream.fileno()


def escape_unless_allowed(found: re.Match[str]) -> str:
    """A character of UNSEEN, as a stream passes it on."""
    return found[0] if found[0] in ALLOWED_CONTROLS else f"\\u{ord(found[0]):04x}"


@contextmanager
def cleaned_streams() -> Iterator[None]:
    """Stdout and stderr of whatever is printed in the block are clean."""
    out, err = underlying_stream(sys.stdout), underlying_stream(sys.stderr)
    with redirect_stdout(CleanStream(out)), redirect_stderr(CleanStream(err)):
        yield


def underlying_stream(stream: Any) -> TextIO:
    """The stream behind a clean one: for progress bars, and for our own commands to a log."""
    behind: TextIO = stream.stream if isinstance(stream, CleanStream) else stream
    return behind


def say(line: str) -> None:
    """Talk goes to stderr, results to stdout."""
    print(printable_line(line), file=sys.stderr, flush=True)
