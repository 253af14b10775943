r"""Reads a `vocab.txt`: one token a line, the id is the line's number counted from 0.

Node reads the same bytes again (node_bridge/tokenizer/vocab.js), so what a line is must be said
once: only `\n` ends a line, a final `\n` may be missing, and `\r\n` counts as `\n` only where
every line ends so. The usual Chinese vocab has U+2028 inside two lines; `splitlines` would shift
every id after it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from export.bundle import SpecialToken
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

    `name` stands for the file in messages. `repeated` has each token that is on several lines,
    with the lines' numbers from 1; a special token's id is its last line's.
    """

    raw: bytes = field(repr=False)
    tokens: list[str] = field(repr=False)
    special: dict[str, SpecialToken]
    name: str = "vocab.txt"
    repeated: dict[str, list[int]] = field(default_factory=dict, repr=False)

    def unused_name(self) -> str:
        """A name of the form [unusedN] that no line has."""
        known = set(self.tokens)
        return next(name for i in count(1) if (name := f"[unused{i}]") not in known)

    def notices(self) -> list[str]:
        """What is taken although it looks odd: CRLF line ends, tokens on several lines."""
        said = []
        if b"\r\n" in self.raw:
            said.append(f"{self.name}: lines end in CRLF throughout; CRLF is taken as the line end")
        for token, lines in list(self.repeated.items())[:MAX_SHOWN_TOKENS]:
            said.append(
                f"{self.name} line {lines[-1]}: {token!r} stands in line {lines[0]} already: bert "
                f"gives it the last line's id, {lines[-1] - 1}, chars the first's, {lines[0] - 1}"
            )
        if len(self.repeated) > MAX_SHOWN_TOKENS:
            said.append(f"{self.name}: {len(self.repeated)} tokens in all are on several lines")
        return said


def read_vocab(path: Path, notice: Callable[[str], None]) -> Vocab:
    r"""Reads and checks a vocab file.

    `notice` is told what was taken although it looks odd: line ends that are `\r\n` throughout,
    and tokens on several lines; which of these counts is the algorithm's rule.

    Raises:
        UserError: no such file; a byte order mark, invalid UTF-8, `\r` in some lines only, a blank
            line, a line that begins or ends in ASCII white space, NUL in a line, or a special
            token missing. The message names the file and the line.
    """
    vocab = parse_vocab(vocab_bytes(path), str(path))
    for line in vocab.notices():
        notice(line)
    return vocab


def vocab_bytes(path: Path) -> bytes:
    """The bytes of a vocab file.

    Raises:
        UserError: see `read_plain`.
    """
    return read_plain_file(path, MAX_VOCAB, "a vocab.txt, one token a line")


def compare_sizes(name: str, lines: int, rows: int) -> str | None:
    """A notice where a model's embedding has more rows than its vocab has lines, else None.

    Raises:
        UserError: it has fewer.
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
    """`read_vocab` on bytes; `name` stands before the line in messages."""
    tokens = [
        decode_line(line, f"{name} line {i}") for i, line in enumerate(split_lines(raw, name), 1)
    ]
    lines: dict[str, list[int]] = {}
    for i, token in enumerate(tokens, 1):
        check_token(token, f"{name} line {i}")
        lines.setdefault(token, []).append(i)
    special = {}
    for role, token in SPECIAL_TOKENS.items():
        if token not in lines:
            raise UserError(
                f"{name}: no line is {token} ({len(tokens)} lines read), expected "
                f"{' '.join(SPECIAL_TOKENS.values())} each on a line of its own"
            )
        special[role] = SpecialToken(token, lines[token][-1] - 1)
    repeated = {token: places for token, places in lines.items() if len(places) > 1}
    return Vocab(raw, tokens, special, name, repeated)


def split_lines(raw: bytes, name: str) -> list[bytes]:
    r"""The lines without their ends.

    >>> split(b"a\r\nb", "vocab.txt")
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


def decode_line(line: bytes, place: str) -> str:
    """The line as text."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{place}: invalid UTF-8 at byte {error.start} of the line; save the vocab as UTF-8"
        ) from None


def check_token(token: str, place: str) -> None:
    """Refuses lines that the references read in different ways.

    Hugging Face trims a line's end, TensorFlow does not; a blank line is a token to one reader and
    none to another. Other white space (U+2028 in the usual vocab) is taken as it stands.
    """
    if not token.strip(ASCII_SPACE):
        raise UserError(f"{place}: is blank; each line is a token, remove the line")
    if token != token.strip(ASCII_SPACE):
        raise UserError(
            f"{place}: {token!r} begins or ends in white space, which some readers trim; remove it"
        )
    if "\0" in token:
        raise UserError(f"{place}: has a NUL character; is this a text file?")
