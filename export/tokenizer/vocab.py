r"""Reads a `vocab.txt`: one token per line, the id is the line's number counted from 0.

Node reads the same bytes (node_bridge/tokenizer/vocab.js) with the same rules: only `\n` ends a
line, the last `\n` may be missing, and `\r\n` counts as `\n` only if every line ends with it. The
usual Chinese vocab has U+2028 in two lines; `splitlines` would shift every id after it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from export.bundle import SpecialToken
from support.contracts import VOCAB_FILE
from support.errors import UserError
from support.input_files import read_plain_file

SPECIAL_TOKENS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
MAX_SHOWN_TOKENS = 3
BOM = b"\xef\xbb\xbf"
ASCII_SPACE = " \t\n\v\f\r"
# The largest published vocab of this kind, that of LaBSE, has 501,153 lines and 5 MB.
MAX_VOCAB, MAX_LINES, MAX_TOKEN = 64 << 20, 2_000_000, 4096


@dataclass(frozen=True)
class Vocab:
    """The tokens in the order of their ids, the file's own bytes, and the five special tokens.

    `name` is the file's name in messages. `repeated` has each token on several lines, with the
    lines' numbers from 1; a special token's id is that of its last line.
    """

    raw: bytes = field(repr=False)
    tokens: list[str] = field(repr=False)
    special: dict[str, SpecialToken]
    name: str = VOCAB_FILE
    repeated: dict[str, list[int]] = field(default_factory=dict, repr=False)

    def unused_name(self) -> str:
        """Returns a name of the form [unusedN] that no line has."""
        known = set(self.tokens)
        return next(name for i in count(1) if (name := f"[unused{i}]") not in known)

    def notices(self) -> list[str]:
        """Describes unusual but accepted content: CRLF line ends, tokens on several lines."""
        notices = []
        if b"\r\n" in self.raw:
            notices.append(
                f"{self.name}: lines end in CRLF throughout; CRLF is taken as the line end"
            )
        for token, lines in list(self.repeated.items())[:MAX_SHOWN_TOKENS]:
            notices.append(
                f"{self.name} line {lines[-1]}: {token!r} stands in line {lines[0]} already: bert "
                f"gives it the last line's id, {lines[-1] - 1}, chars the first's, {lines[0] - 1}"
            )
        if len(self.repeated) > MAX_SHOWN_TOKENS:
            notices.append(f"{self.name}: {len(self.repeated)} tokens in all are on several lines")
        return notices


def read_vocab(path: Path, notice: Callable[[str], None]) -> Vocab:
    r"""Reads and checks a vocab file.

    `notice` prints unusual but accepted content: `\r\n` as the end of every line, and tokens on
    several lines; the algorithm decides which line counts.

    Raises:
        UserError: the file is missing, or has a byte order mark, invalid UTF-8, `\r` in some lines
            only, a blank line, a line that begins or ends with ASCII white space, a NUL, or no line
            for a special token. The message names the file and the line.
    """
    vocab = parse_vocab(vocab_bytes(path), str(path))
    for line in vocab.notices():
        notice(line)
    return vocab


def vocab_bytes(path: Path) -> bytes:
    """Reads the bytes of a vocab file.

    Raises:
        UserError: see `read_plain_file`.
    """
    return read_plain_file(path, MAX_VOCAB, "a vocab.txt, one token a line")


def compare_sizes(name: str, lines: int, rows: int) -> str | None:
    """Returns a notice if a model's embedding has more rows than its vocab has lines, else None.

    Raises:
        UserError: the embedding has fewer rows.
    """
    if rows < lines:
        raise UserError(
            f"{name} has {lines} lines, but the model's embedding has {rows} rows: it is not the "
            "vocab that the model was trained with; give that one, unchanged"
        )
    if rows == lines:
        return None
    many = f"the last {rows - lines} rows belong" if rows - lines > 1 else "the last row belongs"
    return f"the model's embedding has {rows} rows, the vocab {lines} lines: {many} to no token"


def parse_vocab(raw: bytes, name: str) -> Vocab:
    """Parses the bytes of a vocab; see `read_vocab`. `name` is the file's name in messages."""
    tokens = [
        _decode_line(line, f"{name} line {i}") for i, line in enumerate(_split_lines(raw, name), 1)
    ]
    lines: dict[str, list[int]] = {}
    for i, token in enumerate(tokens, 1):
        _check_token(token, f"{name} line {i}")
        lines.setdefault(token, []).append(i)
    special = {}
    for role, token in SPECIAL_TOKENS.items():
        if token not in lines:
            raise UserError(
                f"{name}: no line is {token} ({len(tokens)} lines read), expected "
                f"{' '.join(SPECIAL_TOKENS.values())} each on a line of its own"
            )
        special[role] = SpecialToken(token, lines[token][-1] - 1)
    repeated = {
        token: line_numbers for token, line_numbers in lines.items() if len(line_numbers) > 1
    }
    return Vocab(raw, tokens, special, name, repeated)


def _split_lines(raw: bytes, name: str) -> list[bytes]:
    r"""Returns the lines without their ends.

    >>> _split_lines(b"a\r\nb", "vocab.txt")
    [b'a', b'b']
    """
    if raw.startswith(BOM):
        raise UserError(f"{name} line 1: begins with a byte order mark; save it as UTF-8 without")
    if raw.count(b"\n") > MAX_LINES:
        raise UserError(
            f"{name}: has more than {MAX_LINES} lines, expected one for each token of a model; "
            "give its vocab.txt"
        )
    lines = raw.removesuffix(b"\n").split(b"\n")
    longest = max(range(len(lines)), key=lambda i: len(lines[i]))
    if len(lines[longest]) > MAX_TOKEN:
        raise UserError(
            f"{name} line {longest + 1}: has {len(lines[longest])} bytes, expected a token of at "
            f"most {MAX_TOKEN}; give the model's vocab.txt"
        )
    crlf = raw.count(b"\r\n")
    if crlf and crlf == raw.count(b"\n") == raw.count(b"\r"):
        return [line.removesuffix(b"\r") for line in lines]
    for i, line in enumerate(lines, 1):
        if b"\r" in line:
            raise UserError(
                f"{name} line {i}: has a carriage return, and not every line ends in CRLF; "
                "use one kind of line end throughout"
            )
    return lines


def _decode_line(line: bytes, location: str) -> str:
    """Decodes a line."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{location}: invalid UTF-8 at byte {error.start} of the line; save the vocab as UTF-8"
        ) from None


def _check_token(token: str, location: str) -> None:
    """Refuses lines that the references read differently.

    Hugging Face trims a line's end, TensorFlow does not; a blank line is a token for one and not
    for the other. Other white space (U+2028 in the usual vocab) is accepted unchanged.
    """
    if not token.strip(ASCII_SPACE):
        raise UserError(f"{location}: is blank; each line is a token, remove the line")
    if token != token.strip(ASCII_SPACE):
        raise UserError(
            f"{location}: {token!r} begins or ends in white space, which some readers trim; "
            "remove it"
        )
    if "\0" in token:
        raise UserError(f"{location}: has a NUL character; is this a text file?")
