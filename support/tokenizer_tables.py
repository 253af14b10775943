"""Reads and writes `tokenizer_tables.bin`; docs/tokenizer_tables.md has the layout.

Node's reader is node_bridge/tokenizer/tables.js.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

# A tokenizer converts each character to a sequence of symbols.
#
# A symbol is an int, `code point * 4 + kind`. LETTER continues a word, ALONE is a word by itself,
# SPACE ends a word. BLOCK leaves nothing, but combining marks cannot move past it in canonical
# ordering. A character without symbols is removed.

LETTER, ALONE, SPACE, BLOCK = range(4)

# A character's class: LETTER, ALONE or SPACE if its one symbol is itself; removed; blocking; or
# folded, with symbols of its own.
VANISHES, BLOCKS, FOLDED = 3, 4, 5

MAGIC = b"BBTT\x01"
"""The start of a file: the format and its version."""
UNICODE = 0x110000
"""Code points, each of which has a class."""


@dataclass
class TokenizerTables:
    """What each code point becomes: `classes[c]`, and its symbols `folds[c]` where that is FOLDED.

    `ranks` orders the combining marks that are not removed. `isolated[c]` is 1 for characters that
    are never part of a longer token.
    """

    limit: int
    limit_in_bytes: bool
    classes: bytearray
    folds: dict[int, tuple[int, ...]] = field(default_factory=dict)
    ranks: dict[int, int] = field(default_factory=dict)
    isolated: bytearray = field(default_factory=lambda: bytearray(UNICODE))

    def folded_code_points(self) -> Iterator[int]:
        """Yields the code points that become something else, in order."""
        c = self.classes.find(FOLDED)
        while c != -1:
            yield c
            c = self.classes.find(FOLDED, c + 1)


def tables_from_bytes(data: bytes) -> TokenizerTables:
    """Reads a file's bytes.

    Raises:
        ValueError: they are no tables, or end too early or too late.
    """
    if not data.startswith(MAGIC):
        raise ValueError("it does not begin as tables do")
    numbers = _unpack_numbers(data[len(MAGIC) :])
    in_bytes, limit = _next_number(numbers), _next_number(numbers)
    tables = TokenizerTables(limit, bool(in_bytes), _read_runs(numbers))
    last: tuple[int, ...] = ()
    for c in tables.folded_code_points():
        count = _next_number(numbers)
        base = _fold_base(last, c, count)
        last = tuple(b + _decode_signed(_next_number(numbers)) for b in base)
        tables.folds[c] = last
    c = 0
    for _ in range(_next_number(numbers)):
        c += _next_number(numbers)
        tables.ranks[c] = _next_number(numbers)
    tables.isolated = _read_runs(numbers)
    if next(numbers, None) is not None:
        raise ValueError("it goes on after its end")
    return tables


def tables_to_bytes(tables: TokenizerTables) -> bytes:
    """Returns a file's bytes; equal tables give equal bytes."""
    out = bytearray(MAGIC)
    _pack_numbers(out, [int(tables.limit_in_bytes), tables.limit])
    _write_runs(out, tables.classes)
    last: tuple[int, ...] = ()
    for c in tables.folded_code_points():
        symbols = tables.folds[c]
        base = _fold_base(last, c, len(symbols))
        steps = [symbol - b for symbol, b in zip(symbols, base, strict=True)]
        _pack_numbers(out, [len(symbols), *map(_encode_signed, steps)])
        last = symbols
    _pack_numbers(out, [len(tables.ranks)])
    before = 0
    for c, rank in sorted(tables.ranks.items()):
        _pack_numbers(out, [c - before, rank])
        before = c
    _write_runs(out, tables.isolated)
    return bytes(out)


def _fold_base(last: tuple[int, ...], c: int, count: int) -> tuple[int, ...]:
    """Returns what the symbols of a folded character are stored as differences to.

    That is the previous folded character's symbol at the same position, else the character itself.

    Args:
        last: the symbols of the previous folded character.
        c: the character.
        count: how many symbols it has.
    """
    return last[:count] + (c * 4,) * (count - len(last))


def _read_runs(numbers: Iterator[int]) -> bytearray:
    """Reads the class of each code point."""
    classes = bytearray()
    for _ in range(_next_number(numbers)):
        length, value = divmod(_next_number(numbers), 8)
        if value > FOLDED:
            raise ValueError(f"it has the class {value}, expected at most {FOLDED}")
        # A damaged length may be larger than the memory.
        if (total := len(classes) + length) > UNICODE:
            raise ValueError(f"it describes {total} characters, expected {UNICODE}")
        classes += bytes([value]) * length
    if len(classes) != UNICODE:
        raise ValueError(f"it describes {len(classes)} characters, expected {UNICODE}")
    return classes


def _write_runs(out: bytearray, classes: bytearray) -> None:
    """Writes the number of runs, then `length * 8 + class` of each; they cover all of Unicode."""
    runs = [len(list(run)) * 8 + value for value, run in groupby(classes)]
    _pack_numbers(out, [len(runs), *runs])


def _unpack_numbers(data: bytes) -> Iterator[int]:
    """Yields numbers of 7 bits a byte, lowest first, with the top bit on all bytes but the last."""
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield value
            value = shift = 0


def _next_number(numbers: Iterator[int]) -> int:
    """Returns the next number.

    Raises:
        ValueError: there is none.
    """
    for number in numbers:
        return number
    raise ValueError("it ends too early")


def _pack_numbers(out: bytearray, numbers: Iterable[int]) -> None:
    """Appends such numbers."""
    for number in numbers:
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)


def _decode_signed(number: int) -> int:
    """Returns the number that is stored as `2n`, or as `-2n - 1` below zero.

    >>> [_decode_signed(_encode_signed(n)) for n in (-2, -1, 0, 1)]
    [-2, -1, 0, 1]
    """
    return -(number + 1) // 2 if number % 2 else number // 2


def _encode_signed(number: int) -> int:
    """Returns the stored form of a number."""
    return number * 2 if number >= 0 else -number * 2 - 1
