"""The character tables of each algorithm, from the library that is its reference."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from export.tokenizer.reference import load_library
from export.tokenizer.spec import TokenizerSpec
from export.tokenizer.tables import (
    ALONE,
    LETTER,
    ONLY_BLOCK,
    PLAIN_SPACE,
    SCALARS,
    SPACE,
    CharacterTables,
    Symbols,
    own_symbol,
    symbols_from_words,
)
from export.tokenizer.vocab import Vocab

# Reads off a running tokenizer what it does to each character and to combining marks.
#
# Every Unicode scalar value goes through the tokenizer between the letters a and b. Canonical
# ordering reaches beyond single characters, so marks are also tried in pairs.

# Texts to their words, each text's words joined by \n (no word has one).
Splitter = Callable[[list[str]], list[str]]

# Two marks that no tokenizer strips (they are spacing marks) of different combining classes.
HIGH, LOW = "\u302e", "\U0001d165"
BETWEEN_MARKS = f"a{HIGH}{{}}{LOW}b"

# Neighbours mostly fare alike, so this many go through as one text first.
CHUNK_CHARACTERS = 64


def read_by_words(split: Splitter, limit: int, limit_in_bytes: bool) -> CharacterTables:
    """The tables of a tokenizer that first splits its text into words, then these into pieces."""
    tables = CharacterTables(limit, limit_in_bytes)
    # The space comes first: a \n that parts two words is not a \n that stayed.
    outcomes: dict[str, Callable[[int], Symbols]] = {
        "a\nb": lambda c: (PLAIN_SPACE,),
        "a{}b": lambda c: own_symbol(c, LETTER),
        "a\n{}\nb": lambda c: own_symbol(c, ALONE),
        "ab": lambda c: (),
    }
    found: dict[str, list[int]] = {outcome: [] for outcome in outcomes}
    for c, outcome in probe_characters(split, "a{}b", SCALARS, tuple(outcomes)):
        if outcome in outcomes:
            found[outcome].append(c)
            symbols = outcomes[outcome](c)
        else:
            symbols = symbols_from_words(outcome.split("\n"))
        if symbols:
            tables.folds[c] = symbols
    if HIGH + LOW not in split([f"a{HIGH}{LOW}b"])[0]:
        for c in find_unmoved(split, found["ab"]):
            tables.folds[c] = ONLY_BLOCK
        starters = set(find_unmoved(split, found["a{}b"]))
        tables.ranks = probe_ranks(split, [chr(c) for c in found["a{}b"] if c not in starters])
    return tables


def probe_characters(
    split: Splitter, context: str, characters: list[int], outcomes: tuple[str, ...]
) -> Iterator[tuple[int, str]]:
    """Each character with what became of it in a context that begins with a and ends with b.

    That is one of `outcomes` (where `{}` is the character itself), else the words as they came.
    """
    chunks = [
        characters[i : i + CHUNK_CHARACTERS] for i in range(0, len(characters), CHUNK_CHARACTERS)
    ]
    whole = ["".join(context.format(chr(c)) for c in chunk) for chunk in chunks]
    mixed: list[int] = []
    for chunk, answer in zip(chunks, split(whole), strict=True):
        for outcome in outcomes:
            if answer == "".join(outcome.format(chr(c)) for c in chunk):
                yield from ((c, outcome) for c in chunk)
                break
        else:
            mixed += chunk
    single = [context.format(chr(c)) for c in mixed]
    for c, words in zip(mixed, split(single), strict=True):
        simple = (outcome for outcome in outcomes if words == outcome.format(chr(c)))
        yield c, next(simple, words)


def find_unmoved(split: Splitter, characters: list[int]) -> list[int]:
    """Those characters that keep two marks around them from changing places.

    A starter does, a mark does not, whatever its class; it may itself be moved or vanish.
    """
    stayed = (BETWEEN_MARKS, BETWEEN_MARKS.format(""))
    found = probe_characters(split, BETWEEN_MARKS, characters, stayed)
    return sorted(c for c, outcome in found if outcome in stayed)


def probe_ranks(split: Splitter, marks: list[str]) -> dict[int, int]:
    """For each mark, 1 + the number of marks that pass it leftwards: equal where classes are."""
    pairs = [(a, b) for a in marks for b in marks]
    texts = [f"a{a}{b}b" for a, b in pairs]
    passed = dict.fromkeys(marks, 1)
    for (a, _), text, answer in zip(pairs, texts, split(texts), strict=True):
        passed[a] += int(answer != text)
    return {ord(mark): rank for mark, rank in passed.items()}


WORD_LIMIT = 100


def read_tables(spec: TokenizerSpec, vocab: Vocab, python: Path | None = None) -> CharacterTables:
    """Reads the tables off this interpreter's library, or off that of `python`; takes seconds.

    Raises:
        UserError: see `reference`.
        EnvironmentProblem: see `reference`.
    """
    library = load_library(spec, vocab, python)
    if spec.algorithm == "tf-text":
        return read_by_words(library.split, WORD_LIMIT, limit_in_bytes=True)
    if spec.algorithm == "bert":
        return read_by_words(library.split, WORD_LIMIT, limit_in_bytes=False)
    return (
        tf_text_fast_tables(library) if spec.algorithm == "tf-text-fast" else chars_tables(library)
    )


def tf_text_fast_tables(library: Any) -> CharacterTables:
    """`FastBertNormalizer` folds each character by itself; the rest judges what it gave.

    With the tokens a and b alone, a space between them gives both, punctuation gives an unknown
    token between them, and any letter makes one unknown word.
    """
    characters = [chr(c) for c in SCALARS]
    counts = library.count_words([f"a{c}b" for c in characters])
    kinds = {
        c: {1: LETTER, 2: SPACE, 3: ALONE}[count] for c, count in zip(SCALARS, counts, strict=True)
    }
    tables = CharacterTables(WORD_LIMIT, limit_in_bytes=True)
    for c, folded in zip(SCALARS, library.normalize(characters), strict=True):
        if folded:
            tables.folds[c] = tuple(ord(one) * 4 + kinds[ord(one)] for one in folded)
    tables.isolated = [c for c, kind in kinds.items() if kind == ALONE]
    return tables


def chars_tables(library: Any) -> CharacterTables:
    """Each character alone, folded by the same string ops as in the reference."""
    tables = CharacterTables(WORD_LIMIT, limit_in_bytes=False)
    folded = library.fold([chr(c) for c in SCALARS])
    tables.folds = {c: own_symbol(ord(v), ALONE) for c, v in zip(SCALARS, folded, strict=True)}
    return tables
