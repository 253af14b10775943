"""`tokenizer_tables.bin`: the character tables as bytes. The layout is in docs/tokenizer_tables.md.

Node's reader is node_bridge/tokenizer/tables.js.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby

# What a tokenizer makes of one character: a sequence of symbols.
#
# A symbol is an int, `code point * 4 + kind`. LETTER continues a word, ALONE is a word by itself,
# SPACE ends a word, BLOCK leaves nothing but keeps combining marks from passing it when marks are
# put in canonical order. A character with no symbols vanishes.

LETTER, ALONE, SPACE, BLOCK = range(4)
PLAIN_SPACE = 0x20 * 4 + SPACE
ONLY_BLOCK = (BLOCK,)

Symbols = tuple[int, ...]
SCALARS = [*range(0xD800), *range(0xE000, 0x110000)]


@dataclass
class CharacterTables:
    """Everything about characters that a tokenizer does, read off the running reference.

    `letters`, `alone` and `spaces` are characters that stand for themselves; `folds` has all
    others but those that vanish. `ranks` orders the combining marks that survive (a mark may pass
    one of higher rank), `isolated` are the characters that are never part of a longer token as
    they stand (read for `tf-text-fast` alone, whose trie leaves tokens with them out).
    """

    limit: int
    limit_in_bytes: bool
    folds: dict[int, Symbols] = field(default_factory=dict)
    ranks: dict[int, int] = field(default_factory=dict)
    isolated: list[int] = field(default_factory=list)


def own_symbol(code_point: int, kind: int) -> Symbols:
    """The symbols of a character that is kept as it is."""
    return (code_point * 4 + kind,)


def symbols_from_words(words: list[str]) -> Symbols:
    """The symbols of a character from the words that it made between the letters a and b.

    A single character that is a word by itself is ALONE; where that does not tell two words
    apart, a SPACE does.

    >>> symbols_of(["a", "（", "b"]) == itself(ord("（"), ALONE)
    True
    >>> symbols_of(["a1", "2b"]) == (*itself(0x31, LETTER), PLAIN_SPACE, *itself(0x32, LETTER))
    True
    """
    inner = list(words)
    inner[0] = inner[0].removeprefix("a")
    inner[-1] = inner[-1].removesuffix("b")
    symbols: list[int] = []
    last = len(inner) - 1
    broken = False
    for i, word in enumerate(inner):
        lone = 0 < i < last and len(word) == 1
        if i > 0 and not broken and not lone:
            symbols.append(PLAIN_SPACE)
        symbols += [ord(c) * 4 + (ALONE if lone else LETTER) for c in word]
        broken = lone
    return tuple(symbols)


MAGIC = b"BBTT"
VERSION = 1
UNICODE = 0x110000

# How a run of characters is stored: kept as a letter, alone or a space; vanishing; or folded.
SELF_CLASSES, VANISHES, BLOCKS, FOLDED = {LETTER: 0, ALONE: 1, SPACE: 2}, 3, 4, 5


def serialise(tables: CharacterTables) -> bytes:
    """The tables as bytes; equal tables give equal bytes."""
    out = bytearray(MAGIC)
    out.append(VERSION)
    write_numbers(out, [int(tables.limit_in_bytes), tables.limit])
    classes = [stored_class(tables, c) for c in range(UNICODE)]
    write_runs(out, classes)
    write_folds(out, tables, classes)
    write_numbers(out, [len(tables.ranks)])
    last = 0
    for c, rank in sorted(tables.ranks.items()):
        write_numbers(out, [c - last, rank])
        last = c
    isolated = set(tables.isolated)
    write_runs(out, [int(c in isolated) for c in range(UNICODE)])
    return bytes(out)


def stored_class(tables: CharacterTables, c: int) -> int:
    """How a character is stored; a surrogate, which nobody asks for, as vanishing."""
    symbols = tables.folds.get(c, ())
    if not symbols:
        return VANISHES
    if symbols == ONLY_BLOCK:
        return BLOCKS
    if len(symbols) == 1 and symbols[0] >> 2 == c:
        return SELF_CLASSES[symbols[0] & 3]
    return FOLDED


def write_runs(out: bytearray, classes: list[int]) -> None:
    """The number of runs, then `length * 8 + class` of each; together they cover all of Unicode."""
    runs = [(value, len(list(run))) for value, run in groupby(classes)]
    write_numbers(out, [len(runs)])
    write_numbers(out, (length * 8 + value for value, length in runs))


def write_folds(out: bytearray, tables: CharacterTables, classes: list[int]) -> None:
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
        write_numbers(out, [len(symbols), *(d * 2 if d >= 0 else -d * 2 - 1 for d in differences)])
        last = symbols


def write_numbers(out: bytearray, numbers: Iterable[int]) -> None:
    """Numbers of 7 bits a byte, the lowest first, the top bit set on all bytes but the last."""
    for number in numbers:
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
