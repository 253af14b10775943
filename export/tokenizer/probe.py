"""Reads the character tables of each algorithm from its reference library."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from export.tokenizer.reference import load_library
from export.tokenizer.spec import TokenizerSpec
from export.tokenizer.tables import (
    ONLY_BLOCK,
    PLAIN_SPACE,
    SCALARS,
    CharacterTables,
    Symbols,
    own_symbol,
    symbols_from_words,
)
from export.tokenizer.vocab import Vocab
from support.tokenizer_tables import ALONE, LETTER, SPACE

# Each Unicode scalar value goes through the tokenizer between the letters a and b. Canonical
# ordering affects several characters, so combining marks are also tried in pairs.

# Splits texts into words; each text's words are joined by \n (no word contains one).
Splitter = Callable[[list[str]], list[str]]

# Two spacing marks of different combining classes, which no tokenizer strips.
HIGH, LOW = "\u302e", "\U0001d165"
BETWEEN_MARKS = f"a{HIGH}{{}}{LOW}b"
MARKS_MOVED = f"a{LOW}{HIGH}b"

# Neighbouring characters mostly have the same outcome, so this many are first tried as one text.
CHUNK_CHARACTERS = 64


def _read_by_words(split: Splitter, limit: int, limit_in_bytes: bool) -> CharacterTables:
    """Reads the tables of a tokenizer that splits texts into words, and words into pieces."""
    tables = CharacterTables(limit, limit_in_bytes)
    # The space comes first: a \n between two words is not a \n that the tokenizer left.
    outcomes: dict[str, Callable[[int], Symbols]] = {
        "a\nb": lambda c: (PLAIN_SPACE,),
        "a{}b": lambda c: own_symbol(c, LETTER),
        "a\n{}\nb": lambda c: own_symbol(c, ALONE),
        "ab": lambda c: (),
    }
    found: dict[str, list[int]] = {outcome: [] for outcome in outcomes}
    for c, outcome in _probe_characters(split, "a{}b", SCALARS, tuple(outcomes)):
        if outcome in outcomes:
            found[outcome].append(c)
            symbols = outcomes[outcome](c)
        else:
            symbols = symbols_from_words(outcome.split("\n"))
        if symbols:
            tables.folds[c] = symbols
    if HIGH + LOW not in split([f"a{HIGH}{LOW}b"])[0]:
        for c in _find_unmoved(split, found["ab"]):
            tables.folds[c] = ONLY_BLOCK
        starters = set(_find_unmoved(split, found["a{}b"]))
        tables.ranks = _probe_ranks(split, [chr(c) for c in found["a{}b"] if c not in starters])
    return tables


def _probe_characters(
    split: Splitter, context: str, characters: list[int], outcomes: tuple[str, ...]
) -> Iterator[tuple[int, str]]:
    """Yields each character with its outcome in a context.

    The outcome is one of `outcomes` (where `{}` is the character itself), else the words.

    Args:
        split: splits texts into words.
        context: a text that begins with a and ends with b, with `{}` for the character.
        characters: the code points.
        outcomes: the outcomes to recognise.
    """
    chunks = [
        characters[i : i + CHUNK_CHARACTERS] for i in range(0, len(characters), CHUNK_CHARACTERS)
    ]
    whole = [_repeat_context(context, chunk) for chunk in chunks]
    mixed: list[int] = []
    for chunk, answer in zip(chunks, split(whole), strict=True):
        for outcome in outcomes:
            if answer == _repeat_context(outcome, chunk):
                yield from ((c, outcome) for c in chunk)
                break
        else:
            mixed += chunk
    single = [context.format(chr(c)) for c in mixed]
    for c, words in zip(mixed, split(single), strict=True):
        simple = (outcome for outcome in outcomes if words == outcome.format(chr(c)))
        yield c, next(simple, words)


def _repeat_context(context: str, characters: list[int]) -> str:
    """Returns the concatenated contexts, each with one of the characters for its `{}`, if any.

    This runs for each Unicode character several times: `join` takes a fifth of `format`'s time.

    >>> _repeat_context("a{}b", [0x31, 0x32]), _repeat_context("ab", [0x31, 0x32])
    ('a1ba2b', 'abab')
    """
    before, slot, after = context.partition("{}")
    if not slot:
        return context * len(characters)
    return before + (after + before).join(map(chr, characters)) + after


def _find_unmoved(split: Splitter, characters: list[int]) -> list[int]:
    """Returns the characters that prevent the marks around them from being reordered.

    A starter does so, a mark does not, whatever its class; a mark may be moved or removed.
    """
    stayed = (BETWEEN_MARKS, BETWEEN_MARKS.format(""))
    found = _probe_characters(split, BETWEEN_MARKS, characters, (*stayed, MARKS_MOVED))
    return sorted(c for c, outcome in found if outcome in stayed)


def _probe_ranks(split: Splitter, marks: list[str]) -> dict[int, int]:
    """Returns, for each mark, 1 + the number of marks that move before it: equal for one class."""
    pairs = [(a, b) for a in marks for b in marks]
    texts = [f"a{a}{b}b" for a, b in pairs]
    passed = dict.fromkeys(marks, 1)
    for (a, _), text, answer in zip(pairs, texts, split(texts), strict=True):
        passed[a] += int(answer != text)
    return {ord(mark): rank for mark, rank in passed.items()}


WORD_LIMIT = 100


def read_tables(spec: TokenizerSpec, vocab: Vocab, python: Path | None = None) -> CharacterTables:
    """Reads the tables from this interpreter's library, or from that of `python`; takes seconds.

    Raises:
        UserError: see `make_reference`.
        EnvironmentProblem: see `make_reference`.
    """
    library = load_library(spec, vocab, python)
    if spec.algorithm == "tf-text":
        return _read_by_words(library.split, WORD_LIMIT, limit_in_bytes=True)
    if spec.algorithm == "bert":
        return _read_by_words(library.split, WORD_LIMIT, limit_in_bytes=False)
    return (
        _tf_text_fast_tables(library)
        if spec.algorithm == "tf-text-fast"
        else _chars_tables(library)
    )


def _tf_text_fast_tables(library: Any) -> CharacterTables:
    """Reads the tables of `tf-text-fast`: `FastBertNormalizer` folds each character by itself.

    With a vocab of a and b, a space between them gives both tokens, punctuation gives an unknown
    token between them, and a letter gives one unknown word.
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


def _chars_tables(library: Any) -> CharacterTables:
    """Reads the tables of `chars`: each character, folded by the reference's string ops."""
    tables = CharacterTables(WORD_LIMIT, limit_in_bytes=False)
    folded = library.fold([chr(c) for c in SCALARS])
    tables.folds = {c: own_symbol(ord(v), ALONE) for c, v in zip(SCALARS, folded, strict=True)}
    return tables
