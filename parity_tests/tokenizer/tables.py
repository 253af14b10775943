"""Reads `tokenizer_tables.bin` (docs/tokenizer_tables.md) and finds where two of them differ."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

UNICODE = 0x110000
MAGIC = b"BBTT\x01"
CLASSES = ("letter", "a word by itself", "space", "vanishes", "block")
FOLDED = 5
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
    """
    if not data.startswith(MAGIC):
        raise ValueError("it does not begin as tables do")
    numbers = read_numbers(data[len(MAGIC) :])
    in_bytes, limit = _next_number(numbers), _next_number(numbers)
    classes = _read_classes(numbers)
    characters = [CLASSES[c] if c != FOLDED else "" for c in classes]
    last: list[int] = []
    for point in (point for point, value in enumerate(classes) if value == FOLDED):
        last = _read_fold(numbers, last, point)
        characters[point] = "becomes " + ", ".join(map(_describe_symbol, last))
    point = 0
    for _ in range(_next_number(numbers)):
        point += _next_number(numbers)
        characters[point] += f", rank {_next_number(numbers)}"
    for point in (point for point, value in enumerate(_read_classes(numbers)) if value):
        characters[point] += ", only as a piece by itself"
    if next(numbers, None) is not None:
        raise ValueError("it goes on after its end")
    return DescribedTables(f"{limit} {'bytes' if in_bytes else 'characters'}", characters)


def read_numbers(data: bytes) -> Iterator[int]:
    """Yields numbers of 7 bits a byte, lowest first, with the top bit on all bytes but the last."""
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield value
            value = shift = 0


def _read_classes(numbers: Iterator[int]) -> list[int]:
    """Reads the class of each code point."""
    classes: list[int] = []
    for _ in range(_next_number(numbers)):
        length, value = divmod(_next_number(numbers), 8)
        classes += [value] * length
    if len(classes) != UNICODE or max(classes) > FOLDED:
        raise ValueError(f"it describes {len(classes)} characters, expected {UNICODE}")
    return classes


def _next_number(numbers: Iterator[int]) -> int:
    """Returns the next number.

    Raises:
        ValueError: there is none.
    """
    for number in numbers:
        return number
    raise ValueError("it ends too early")


def _read_fold(numbers: Iterator[int], last: list[int], point: int) -> list[int]:
    """Reads the symbols of a folded character, stored as differences to those of the last one."""
    count = _next_number(numbers)
    base = last[:count] + [point * 4] * (count - len(last))
    steps = [_next_number(numbers) for _ in range(count)]
    return [b + (-(s + 1) // 2 if s % 2 else s // 2) for b, s in zip(base, steps, strict=True)]


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
        return [(f"tables that cannot be read ({error})", "tables", "tokenizer_tables.bin")]
    other = describe_tables(expected)
    pairs = enumerate(zip_longest(one.characters, other.characters))
    found = [(a, b, f"U+{point:04X}") for point, (a, b) in pairs if a != b]
    if one.limit != other.limit:
        found.insert(0, (one.limit, other.limit, "word limit"))
    return found or [("other bytes of the same meaning", "equal bytes", "tokenizer_tables.bin")]
