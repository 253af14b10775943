"""Finds where two `tokenizer_tables.bin` differ, character by character."""

from dataclasses import dataclass
from itertools import zip_longest

from support.contracts import TABLES_FILE
from support.tokenizer_tables import FOLDED, tables_from_bytes

CLASSES = ("letter", "a word by itself", "space", "vanishes", "block")
KINDS = ("", " alone", " space", " block")


@dataclass(frozen=True)
class DescribedTables:
    """A description of what each character becomes, by code point, and of the word limit."""

    limit: str
    characters: list[str]


def describe_tables(data: bytes) -> DescribedTables:
    """Reads a file's bytes into descriptions.

    Raises:
        ValueError: they are no tables, or end too early or too late.
        IndexError: they have a rank for no character.
    """
    tables = tables_from_bytes(data)
    characters = [CLASSES[c] if c != FOLDED else "" for c in tables.classes]
    for point, symbols in tables.folds.items():
        characters[point] = "becomes " + ", ".join(map(_describe_symbol, symbols))
    for point, rank in tables.ranks.items():
        characters[point] += f", rank {rank}"
    for point, isolated in enumerate(tables.isolated):
        if isolated:
            characters[point] += ", only as a piece by itself"
    unit = "bytes" if tables.limit_in_bytes else "characters"
    return DescribedTables(f"{tables.limit} {unit}", characters)


def _describe_symbol(value: int) -> str:
    """Describes one symbol.

    >>> _describe_symbol(ord(",") * 4 + 1)
    'U+002C alone'
    """
    return f"U+{value >> 2:04X}{KINDS[value & 3]}"


def find_differences(got: bytes, expected: bytes) -> list[tuple[str, str, str]]:
    """Finds where two files of tables differ: the got and the expected entry, and the character."""
    if got == expected:
        return []
    try:
        one = describe_tables(got)
    except (ValueError, IndexError) as error:
        return [(f"tables that cannot be read ({error})", "tables", TABLES_FILE)]
    other = describe_tables(expected)
    pairs = enumerate(zip_longest(one.characters, other.characters))
    found = [(a, b, f"U+{point:04X}") for point, (a, b) in pairs if a != b]
    if one.limit != other.limit:
        found.insert(0, (one.limit, other.limit, "word limit"))
    return found or [("other bytes of the same meaning", "equal bytes", TABLES_FILE)]
