"""Writes the character tables, `tokenizer_tables.bin`; docs/tokenizer_tables.md has the layout.

Node's reader is node_bridge/tokenizer/tables.js.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby

# A tokenizer converts each character to a sequence of symbols.
#
# A symbol is an int, `code point * 4 + kind`. LETTER continues a word, ALONE is a word by itself,
# SPACE ends a word. BLOCK leaves nothing, but combining marks cannot move past it in canonical
# ordering. A character without symbols is removed.

LETTER, ALONE, SPACE, BLOCK = range(4)
PLAIN_SPACE = 0x20 * 4 + SPACE
ONLY_BLOCK = (BLOCK,)

Symbols = tuple[int, ...]
SCALARS = [*range(0xD800), *range(0xE000, 0x110000)]


@dataclass
class CharacterTables:
    """A tokenizer's treatment of each character, read from the running reference.

    `folds` has the symbols of each character that is not removed. `ranks` orders the combining
    marks that are not removed (a mark may move past one of higher rank). `isolated` are the
    characters that are never part of a longer token (only for `tf-text-fast`, whose trie excludes
    tokens with them).
    """

    limit: int
    limit_in_bytes: bool
    folds: dict[int, Symbols] = field(default_factory=dict)
    ranks: dict[int, int] = field(default_factory=dict)
    isolated: list[int] = field(default_factory=list)


def own_symbol(code_point: int, kind: int) -> Symbols:
    """Returns the symbols of a character that is not changed."""
    return (code_point * 4 + kind,)


def symbols_from_words(words: list[str]) -> Symbols:
    """Returns the symbols of a character from the words that it made between the letters a and b.

    A single character that is a word by itself is ALONE; other words are separated by a SPACE.

    >>> symbols_from_words(["a", "（", "b"]) == own_symbol(ord("（"), ALONE)
    True
    >>> one, two = own_symbol(0x31, LETTER), own_symbol(0x32, LETTER)
    >>> symbols_from_words(["a1", "2b"]) == (*one, PLAIN_SPACE, *two)
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

# The class of a run of characters: unchanged as letter, alone or space; removed; blocking; folded.
SELF_CLASSES, VANISHES, BLOCKS, FOLDED = {LETTER: 0, ALONE: 1, SPACE: 2}, 3, 4, 5


def serialise(tables: CharacterTables) -> bytes:
    """Serialises the tables; equal tables give equal bytes."""
    out = bytearray(MAGIC)
    out.append(VERSION)
    _write_numbers(out, [int(tables.limit_in_bytes), tables.limit])
    classes = [_stored_class(tables, c) for c in range(UNICODE)]
    _write_runs(out, classes)
    _write_folds(out, tables, classes)
    _write_numbers(out, [len(tables.ranks)])
    last = 0
    for c, rank in sorted(tables.ranks.items()):
        _write_numbers(out, [c - last, rank])
        last = c
    isolated = set(tables.isolated)
    _write_runs(out, [int(c in isolated) for c in range(UNICODE)])
    return bytes(out)


def _stored_class(tables: CharacterTables, c: int) -> int:
    """Returns a character's class; surrogates, which never occur, count as removed."""
    symbols = tables.folds.get(c, ())
    if not symbols:
        return VANISHES
    if symbols == ONLY_BLOCK:
        return BLOCKS
    if len(symbols) == 1 and symbols[0] >> 2 == c:
        return SELF_CLASSES[symbols[0] & 3]
    return FOLDED


def _write_runs(out: bytearray, classes: list[int]) -> None:
    """Writes the number of runs, then `length * 8 + class` of each; they cover all of Unicode."""
    runs = [(value, len(list(run))) for value, run in groupby(classes)]
    _write_numbers(out, [len(runs)])
    _write_numbers(out, (length * 8 + value for value, length in runs))


def _write_folds(out: bytearray, tables: CharacterTables, classes: list[int]) -> None:
    """Writes the symbols of each folded character as differences to the previous one's symbols.

    A symbol without a counterpart there is a difference to the character itself.
    """
    last: tuple[int, ...] = ()
    for c, value in enumerate(classes):
        if value != FOLDED:
            continue
        symbols = tables.folds[c]
        base = last[: len(symbols)] + (c * 4,) * (len(symbols) - len(last))
        differences = [symbol - b for symbol, b in zip(symbols, base, strict=True)]
        _write_numbers(out, [len(symbols), *(d * 2 if d >= 0 else -d * 2 - 1 for d in differences)])
        last = symbols


def _write_numbers(out: bytearray, numbers: Iterable[int]) -> None:
    """Writes numbers, 7 bits per byte, lowest first; all bytes but the last have the top bit."""
    for number in numbers:
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
