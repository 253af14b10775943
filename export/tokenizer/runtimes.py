"""The character tables of each algorithm, from the library that is its reference."""

from pathlib import Path
from typing import Any

from export.tokenizer.probe import read_by_words
from export.tokenizer.reference import loaded
from export.tokenizer.spec import TokenizerSpec
from export.tokenizer.symbols import (
    ALONE,
    LETTER,
    SCALARS,
    SPACE,
    CharacterTables,
    itself,
)
from export.tokenizer.vocab import Vocab

LIMIT = 100


def read_tables(spec: TokenizerSpec, vocab: Vocab, python: Path | None = None) -> CharacterTables:
    """Reads the tables off this interpreter's library, or off that of `python`; takes seconds.

    Raises:
        UserError: see `reference`.
        EnvironmentProblem: see `reference`.
    """
    library = loaded(spec, vocab, python)
    if spec.algorithm == "tf-text":
        return read_by_words(library.split, LIMIT, limit_in_bytes=True)
    if spec.algorithm == "bert":
        return read_by_words(library.split, LIMIT, limit_in_bytes=False)
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
    tables = CharacterTables(LIMIT, limit_in_bytes=True)
    for c, folded in zip(SCALARS, library.normalize(characters), strict=True):
        if folded:
            tables.folds[c] = tuple(ord(one) * 4 + kinds[ord(one)] for one in folded)
    tables.isolated = [c for c, kind in kinds.items() if kind == ALONE]
    return tables


def chars_tables(library: Any) -> CharacterTables:
    """Each character alone, folded by the same string ops as in the reference."""
    tables = CharacterTables(LIMIT, limit_in_bytes=False)
    folded = library.fold([chr(c) for c in SCALARS])
    tables.folds = {c: itself(ord(v), ALONE) for c, v in zip(SCALARS, folded, strict=True)}
    return tables
