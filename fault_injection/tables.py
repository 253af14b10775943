"""Reads `tokenizer_tables.bin` (docs/tokenizer_tables.md) into a form that can be changed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

MAGIC = b"BBTT\x01"
UNICODE = 0x110000
LETTER, ALONE, SPACE, BLOCK = range(4)
VANISHES, BLOCKS, FOLDED = 3, 4, 5


@dataclass
class EditableTables:
    """What each code point becomes: `classes[c]`, and its symbols where that is FOLDED."""

    in_bytes: int
    limit: int
    classes: bytearray
    folds: dict[int, list[int]] = field(default_factory=dict)
    ranks: dict[int, int] = field(default_factory=dict)
    isolated: bytearray = field(default_factory=bytearray)

    def fold(self, c: int, symbols: list[int]) -> None:
        """Makes a code point become these symbols, none of them itself."""
        self.classes[c] = FOLDED
        self.folds[c] = symbols

    def set_class(self, c: int, kind: int) -> None:
        """Makes a code point become itself as LETTER, ALONE or SPACE, or nothing as VANISHES."""
        self.classes[c] = kind
        self.folds.pop(c, None)

    def kind_of(self, c: int) -> int:
        """Returns LETTER, ALONE or SPACE; LETTER where the code point becomes something else."""
        return self.classes[c] if self.classes[c] < VANISHES else LETTER


def read_tables(data: bytes) -> EditableTables:
    """Reads a file's bytes."""
    assert data.startswith(MAGIC)
    numbers = read_numbers(data[len(MAGIC) :])
    tables = EditableTables(next(numbers), next(numbers), _read_runs(numbers))
    last: list[int] = []
    for c in _folded_code_points(tables):
        count = next(numbers)
        base = last[:count] + [c * 4] * (count - len(last))
        last = [b + _decode_signed(next(numbers)) for b in base]
        tables.folds[c] = last
    c = 0
    for _ in range(next(numbers)):
        c += next(numbers)
        tables.ranks[c] = next(numbers)
    tables.isolated = _read_runs(numbers)
    assert next(numbers, None) is None
    return tables


def tables_to_bytes(tables: EditableTables) -> bytes:
    """Returns the tables as bytes; equal tables give equal bytes."""
    numbers = [tables.in_bytes, tables.limit, *_run_numbers(tables.classes)]
    last: list[int] = []
    for c in _folded_code_points(tables):
        symbols = tables.folds[c]
        base = last[: len(symbols)] + [c * 4] * (len(symbols) - len(last))
        steps = [symbol - b for symbol, b in zip(symbols, base, strict=True)]
        numbers += [len(symbols), *(2 * s if s >= 0 else -2 * s - 1 for s in steps)]
        last = symbols
    numbers.append(len(tables.ranks))
    before = 0
    for c, rank in sorted(tables.ranks.items()):
        numbers += [c - before, rank]
        before = c
    numbers += _run_numbers(tables.isolated)
    return MAGIC + b"".join(map(_pack_number, numbers))


def _folded_code_points(tables: EditableTables) -> Iterator[int]:
    """Yields the code points that become something else, in order."""
    c = tables.classes.find(FOLDED)
    while c != -1:
        yield c
        c = tables.classes.find(FOLDED, c + 1)


def read_numbers(data: bytes) -> Iterator[int]:
    """Yields numbers of 7 bits a byte, lowest first, with the top bit on all bytes but the last."""
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield value
            value = shift = 0


def _pack_number(number: int) -> bytes:
    """Packs one such number."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_runs(numbers: Iterator[int]) -> bytearray:
    """Reads the class of each code point."""
    classes = bytearray()
    for _ in range(next(numbers)):
        run = next(numbers)
        classes += bytes([run & 7]) * (run >> 3)
    assert len(classes) == UNICODE
    return classes


def _run_numbers(classes: bytearray) -> list[int]:
    """Returns classes as the number of runs, then length and class of each."""
    found = [len(list(run)) * 8 + value for value, run in groupby(classes)]
    return [len(found), *found]


def _decode_signed(number: int) -> int:
    """Returns the number that is stored as `2n`, or as `-2n - 1` below zero."""
    return -(number + 1) // 2 if number % 2 else number // 2
