"""Recovers the tokenizer of a hub SavedModel: its vocab, its algorithm and its options.

Names are not used. Each algorithm with each combination of options is a candidate. Candidates that
differ from the model on any text of a small set are dropped. The remaining ones must compute the
model's ids for every Unicode character in every context.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, product
from pathlib import Path

from export.tokenizer.hub_tokenizer import HubTokenizer
from export.tokenizer.reference import FlatIds, Reference, make_reference
from export.tokenizer.spec import TokenizerSpec
from export.tokenizer.texts import (
    ALL_EDGES,
    CONTEXTS,
    LONG_UNITS,
    WRITTEN_TOKENS,
    mark_pairs,
    mark_triples,
    texts_from_alphabet,
    texts_in_context,
)
from export.tokenizer.vocab import Vocab
from support.errors import UserError

BATCH = 8192
MAX_SHOWN_TEXTS = 3
LONG_TEXT_CHARACTERS = 2000  # characters; a model that cuts does so well before
BOOLEANS = (True, False)
CANDIDATES = [
    *(TokenizerSpec("tf-text", lower) for lower in BOOLEANS),
    *(TokenizerSpec("tf-text-fast", lower) for lower in BOOLEANS),
    *(TokenizerSpec("bert", *options) for options in product(BOOLEANS, BOOLEANS, BOOLEANS)),
    TokenizerSpec("chars"),
]


@dataclass(frozen=True)
class Recovered:
    """The recovered tokenizer."""

    vocab: Vocab
    spec: TokenizerSpec
    adds_special_tokens: bool


def recover_tokenizer(
    directory: Path, supplied: Vocab | None, say: Callable[[str], None]
) -> Recovered:
    """Recovers the tokenizer of a SavedModel and proves the result.

    `supplied` is the vocab if the model has none that can be read; otherwise the two must be equal.

    Raises:
        UserError: the model is no tokenizer, has no vocab or another one, cuts texts, or matches no
            algorithm; the message has examples.
    """
    model = HubTokenizer(directory)
    vocab = agree_on_vocab(model.vocab(), supplied, directory)
    model.learn_frame(vocab)
    _refuse_cutting(model)
    say(f"trying {len(CANDIDATES)} tokenizers on what {directory.name} does")
    suspects = _filter_candidates(model, vocab)
    say(f"proving {' or '.join(s.algorithm for s in suspects)} on every Unicode character")
    texts = _prove_candidates(model, suspects, vocab)
    say(f"{texts:,} texts through the model and the reference: equal ids")
    return Recovered(vocab, next(iter(suspects)), model.adds_special_tokens)


def agree_on_vocab(own: Vocab | None, supplied: Vocab | None, directory: Path) -> Vocab:
    """Returns the vocab; refuses two different ones."""
    if own is None and supplied is None:
        raise UserError(
            f"{directory}: no lookup table holds its vocab (FastBertTokenizer keeps none that can "
            "be read); give the file with --vocab, it is then proven against the model"
        )
    if own is not None and supplied is not None and own.tokens != supplied.tokens:
        pairs = zip(own.tokens, supplied.tokens, strict=False)
        at = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        problem = (
            f"{len(supplied.tokens)} lines, the model has {len(own.tokens)} tokens"
            if at is None
            else f"{supplied.tokens[at]!r} in line {at + 1}, the model has {own.tokens[at]!r}"
        )
        raise UserError(f"--vocab is not the vocab of {directory}: got {problem}; leave it out")
    vocab = own or supplied
    assert vocab is not None
    return vocab


def _refuse_cutting(model: HubTokenizer) -> None:
    """Refuses a model that cuts long texts, since a bundle does not."""
    short, long = (
        len(row) for row in model.flat(["你 " * 10, "你 " * LONG_TEXT_CHARACTERS]).rows()
    )
    if long * 10 < short * LONG_TEXT_CHARACTERS:
        raise UserError(
            f"{model.directory}: cuts texts at {long} tokens, which cannot be carried over; "
            "name the tokenizer with --vocab and --tokenizer, and cut with --max-length in Node"
        )


def _filter_candidates(model: HubTokenizer, vocab: Vocab) -> dict[TokenizerSpec, Reference]:
    """Returns the candidates that compute the model's ids for all small texts.

    Raises:
        UserError: there is none; the message has the first texts that differ.
    """
    texts = list(_small_texts(vocab))
    expected = model.flat(texts).rows()
    failures: dict[TokenizerSpec, set[int]] = {}
    suspects: dict[TokenizerSpec, Reference] = {}
    for spec in CANDIDATES:
        try:
            suspect = make_reference(spec, vocab)
        except UserError:
            continue  # its library refuses this vocab, so the model does not use it
        got = suspect.flat(texts).rows()
        failures[spec] = {i for i, (a, b) in enumerate(zip(expected, got, strict=True)) if a != b}
        if not failures[spec]:
            suspects[spec] = suspect
    if suspects:
        return suspects
    nearest = min(failures, key=lambda spec: len(failures[spec]))
    unexplained = set.intersection(*failures.values()) or failures[nearest]
    shown = [(texts[i], expected[i]) for i in sorted(unexplained)[:MAX_SHOWN_TEXTS]]
    raise UserError(_no_match_message(model, vocab, shown, _describe_options(nearest)))


def _prove_candidates(
    model: HubTokenizer, suspects: dict[TokenizerSpec, Reference], vocab: Vocab
) -> int:
    """Compares on the full probe, removes candidates that differ, and returns the text count."""
    source = full_probe(vocab)
    count = 0
    while batch := list(islice(source, BATCH)):
        count += len(batch)
        expected = model.flat(batch)
        for spec, suspect in list(suspects.items()):
            at = first_difference(expected, suspect.flat(batch))
            if at is None:
                continue
            del suspects[spec]
            if not suspects:
                shown = [(batch[at], expected.rows()[at])]
                raise UserError(_no_match_message(model, vocab, shown, _describe_options(spec)))
    return count


def first_difference(one: FlatIds, other: FlatIds) -> int | None:
    """Returns the index of the first row that differs, or None."""
    rows = zip(one.rows(), other.rows(), strict=True)
    return next((i for i, (a, b) in enumerate(rows) if a != b), None)


def _no_match_message(
    model: HubTokenizer, vocab: Vocab, shown: Sequence[tuple[str, list[int]]], nearest: str
) -> str:
    """Returns the message that no tokenizer matches.

    Args:
        model: the model.
        vocab: its vocab.
        shown: texts that differ, with the model's ids.
        nearest: the candidate with the fewest differences.
    """
    texts = "; ".join(
        f"{text!r} → {' '.join(vocab.tokens[i] if i < len(vocab.tokens) else str(i) for i in ids)}"
        for text, ids in shown
    )
    return (
        f"{model.directory}: no known tokenizer gives what it gives, the nearest is {nearest}. "
        f"First texts that are not explained: {texts}. Give --vocab and --tokenizer to export "
        "another tokenizer than this one"
    )


def _describe_options(spec: TokenizerSpec) -> str:
    """Returns an algorithm with its options for messages."""
    return " ".join([spec.algorithm, *(f"{k}={v}" for k, v in spec.options.items())])


def _small_texts(vocab: Vocab) -> Iterator[str]:
    """Yields a few thousand texts, short ones first, for which the candidates differ."""
    known = random.Random(0).sample(vocab.tokens, min(300, len(vocab.tokens)))
    yield from ALL_EDGES
    yield from (form.format(c) for c in ALL_EDGES for form in ("a{}b", "中{}文"))
    yield from chain(known, WRITTEN_TOKENS, (f"中{token}a" for token in [*known, *WRITTEN_TOKENS]))
    yield from _hard_texts(vocab, 3000)


def _hard_texts(vocab: Vocab, count: int) -> Iterator[str]:
    """Yields mixtures of the vocab's and unusual characters, and words near the limit of 100."""
    characters = sorted({c for token in vocab.tokens for c in token})
    some = random.Random(1).sample(characters, min(60, len(characters)))
    yield from texts_from_alphabet(some, count, seed=1)
    sizes: Iterable[int] = (24, 25, 26, 33, 34, 50, 51, 99, 100, 101, 200)
    yield from (unit * size for unit in [*LONG_UNITS, *some[:9]] for size in sizes)


def full_probe(vocab: Vocab) -> Iterator[str]:
    """Yields every Unicode character in every context, marks in all orders, and hard texts."""
    for context in CONTEXTS:
        yield from texts_in_context(context, unknown_stride=1)
    yield from mark_pairs()
    yield from mark_triples()
    yield from _hard_texts(vocab, 50_000)
