"""The character tables as they are read from a running reference, and how they are stored."""

from dataclasses import dataclass, field

from support.tokenizer_tables import (
    ALONE,
    BLOCK,
    BLOCKS,
    FOLDED,
    LETTER,
    SPACE,
    UNICODE,
    VANISHES,
    TokenizerTables,
    tables_to_bytes,
)

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


def serialise(tables: CharacterTables) -> bytes:
    """Serialises the tables; equal tables give equal bytes."""
    classes = bytearray(_stored_class(tables, c) for c in range(UNICODE))
    stored = TokenizerTables(tables.limit, tables.limit_in_bytes, classes, ranks=tables.ranks)
    stored.folds = {c: tables.folds[c] for c in stored.folded_code_points()}
    for c in tables.isolated:
        stored.isolated[c] = 1
    return tables_to_bytes(stored)


def _stored_class(tables: CharacterTables, c: int) -> int:
    """Returns a character's class; surrogates, which never occur, count as removed."""
    symbols = tables.folds.get(c, ())
    if not symbols:
        return VANISHES
    if symbols == ONLY_BLOCK:
        return BLOCKS
    if len(symbols) == 1 and symbols[0] >> 2 == c and symbols[0] & 3 != BLOCK:
        return symbols[0] & 3
    return FOLDED
