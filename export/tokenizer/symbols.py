"""What a tokenizer makes of one character: a sequence of symbols.

A symbol is an int, `code point * 4 + kind`. LETTER continues a word, ALONE is a word by itself,
SPACE ends a word, BLOCK leaves nothing but keeps combining marks from passing it when marks are
put in canonical order. A character with no symbols vanishes.
"""

from dataclasses import dataclass, field

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


def itself(code_point: int, kind: int) -> Symbols:
    """The symbols of a character that is kept as it is."""
    return (code_point * 4 + kind,)


def symbols_of(words: list[str]) -> Symbols:
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
