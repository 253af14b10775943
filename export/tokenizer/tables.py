"""`tokenizer_tables.bin`: the character tables as bytes. The layout is in docs/tokenizer_tables.md.

Node's reader is node_bridge/tokenizer/tables.js.
"""

from collections.abc import Iterable
from itertools import groupby

from export.tokenizer.symbols import ALONE, LETTER, ONLY_BLOCK, SPACE, CharacterTables

MAGIC = b"BBTT"
VERSION = 1
UNICODE = 0x110000

# How a run of characters is stored: kept as a letter, alone or a space; vanishing; or folded.
KEPT, VANISHES, BLOCKS, FOLDED = {LETTER: 0, ALONE: 1, SPACE: 2}, 3, 4, 5


def serialise(tables: CharacterTables) -> bytes:
    """The tables as bytes; equal tables give equal bytes."""
    out = bytearray(MAGIC)
    out.append(VERSION)
    put(out, [int(tables.limit_in_bytes), tables.limit])
    classes = [stored_class(tables, c) for c in range(UNICODE)]
    put_runs(out, classes)
    put_folds(out, tables, classes)
    put(out, [len(tables.ranks)])
    last = 0
    for c, rank in sorted(tables.ranks.items()):
        put(out, [c - last, rank])
        last = c
    isolated = set(tables.isolated)
    put_runs(out, [int(c in isolated) for c in range(UNICODE)])
    return bytes(out)


def stored_class(tables: CharacterTables, c: int) -> int:
    """How a character is stored; a surrogate, which nobody asks for, as vanishing."""
    symbols = tables.folds.get(c, ())
    if not symbols:
        return VANISHES
    if symbols == ONLY_BLOCK:
        return BLOCKS
    if len(symbols) == 1 and symbols[0] >> 2 == c:
        return KEPT[symbols[0] & 3]
    return FOLDED


def put_runs(out: bytearray, classes: list[int]) -> None:
    """The number of runs, then `length * 8 + class` of each; together they cover all of Unicode."""
    runs = [(value, len(list(run))) for value, run in groupby(classes)]
    put(out, [len(runs)])
    put(out, (length * 8 + value for value, length in runs))


def put_folds(out: bytearray, tables: CharacterTables, classes: list[int]) -> None:
    """Each folded character's symbols, as differences to the last one's at the same places.

    A place that the last one does not have counts from the character itself.
    """
    last: tuple[int, ...] = ()
    for c, value in enumerate(classes):
        if value != FOLDED:
            continue
        symbols = tables.folds[c]
        base = last[: len(symbols)] + (c * 4,) * (len(symbols) - len(last))
        differences = [symbol - b for symbol, b in zip(symbols, base, strict=True)]
        put(out, [len(symbols), *(d * 2 if d >= 0 else -d * 2 - 1 for d in differences)])
        last = symbols


def put(out: bytearray, numbers: Iterable[int]) -> None:
    """Numbers of 7 bits a byte, the lowest first, the top bit set on all bytes but the last."""
    for number in numbers:
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
