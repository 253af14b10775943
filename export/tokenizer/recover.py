"""Finds out which tokenizer a hub SavedModel is: its vocab, its algorithm and its options.

Nothing is taken from names. Each algorithm with each of its options is a suspect; those that
differ from the model on any text of a small set drop out, and those that stay must then give the
model's ids on every Unicode character in every context.
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
    """What the model turned out to be."""

    vocab: Vocab
    spec: TokenizerSpec
    adds_special_tokens: bool


def recover_tokenizer(
    directory: Path, given: Vocab | None, say: Callable[[str], None]
) -> Recovered:
    """Recovers a tokenizer SavedModel and proves what was found.

    `given` is a vocab to use where the model has none that can be read; where it has, the two
    must be equal.

    Raises:
        UserError: no tokenizer, no vocab, another vocab than the given one, texts that the model
            cuts, or no algorithm that explains what the model does; the message has texts.
    """
    model = HubTokenizer(directory)
    vocab = agree_on_vocab(model.vocab(), given, directory)
    model.learn_frame(vocab)
    refuse_cutting(model)
    say(f"trying {len(CANDIDATES)} tokenizers on what {directory.name} does")
    suspects = filter_candidates(model, vocab)
    say(f"proving {' or '.join(s.algorithm for s in suspects)} on every Unicode character")
    texts = prove_candidates(model, suspects, vocab)
    say(f"{texts:,} texts through the model and the reference: equal ids")
    return Recovered(vocab, next(iter(suspects)), model.adds_special_tokens)


def agree_on_vocab(own: Vocab | None, given: Vocab | None, directory: Path) -> Vocab:
    """The one vocab of the two."""
    if own is None and given is None:
        raise UserError(
            f"{directory}: no lookup table holds its vocab (FastBertTokenizer keeps none that can "
            "be read); give the file with --vocab, it is then proven against the model"
        )
    if own is not None and given is not None and own.tokens != given.tokens:
        pairs = zip(own.tokens, given.tokens, strict=False)
        at = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        said = (
            f"{len(given.tokens)} lines, the model has {len(own.tokens)} tokens"
            if at is None
            else f"{given.tokens[at]!r} in line {at + 1}, the model has {own.tokens[at]!r}"
        )
        raise UserError(f"--vocab is not the vocab of {directory}: got {said}; leave it out")
    vocab = own or given
    assert vocab is not None
    return vocab


def refuse_cutting(model: HubTokenizer) -> None:
    """A model that cuts long texts gives ids that a bundle, which doesn't, would not give."""
    short, long = (
        len(row) for row in model.flat(["你 " * 10, "你 " * LONG_TEXT_CHARACTERS]).rows()
    )
    if long * 10 < short * LONG_TEXT_CHARACTERS:
        raise UserError(
            f"{model.directory}: cuts texts at {long} tokens, which cannot be carried over; "
            "name the tokenizer with --vocab and --tokenizer, and cut with --max-length in Node"
        )


def filter_candidates(model: HubTokenizer, vocab: Vocab) -> dict[TokenizerSpec, Reference]:
    """The suspects that give the model's ids on all the small texts.

    Raises:
        UserError: none does; says the first texts that none explains.
    """
    texts = list(small_texts(vocab))
    expected = model.flat(texts).rows()
    failures: dict[TokenizerSpec, set[int]] = {}
    suspects: dict[TokenizerSpec, Reference] = {}
    for spec in CANDIDATES:
        try:
            suspect = make_reference(spec, vocab)
        except UserError:
            continue  # its library refuses this vocab, so it was not the model's
        got = suspect.flat(texts).rows()
        failures[spec] = {i for i, (a, b) in enumerate(zip(expected, got, strict=True)) if a != b}
        if not failures[spec]:
            suspects[spec] = suspect
    if suspects:
        return suspects
    nearest = min(failures, key=lambda spec: len(failures[spec]))
    unexplained = set.intersection(*failures.values()) or failures[nearest]
    shown = [(texts[i], expected[i]) for i in sorted(unexplained)[:MAX_SHOWN_TEXTS]]
    raise UserError(no_match_message(model, vocab, shown, describe_options(nearest)))


def prove_candidates(
    model: HubTokenizer, suspects: dict[TokenizerSpec, Reference], vocab: Vocab
) -> int:
    """Compares on the full probe; removes suspects that fail. Returns the number of texts."""
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
                raise UserError(no_match_message(model, vocab, shown, describe_options(spec)))
    return count


def first_difference(one: FlatIds, other: FlatIds) -> int | None:
    """The first row that differs."""
    rows = zip(one.rows(), other.rows(), strict=True)
    return next((i for i, (a, b) in enumerate(rows) if a != b), None)


def no_match_message(
    model: HubTokenizer, vocab: Vocab, shown: Sequence[tuple[str, list[int]]], nearest: str
) -> str:
    """The message that no tokenizer fits."""
    texts = "; ".join(
        f"{text!r} → {' '.join(vocab.tokens[i] if i < len(vocab.tokens) else str(i) for i in ids)}"
        for text, ids in shown
    )
    return (
        f"{model.directory}: no known tokenizer gives what it gives, the nearest is {nearest}. "
        f"First texts that are not explained: {texts}. Give --vocab and --tokenizer to export "
        "another tokenizer than this one"
    )


def describe_options(spec: TokenizerSpec) -> str:
    """An algorithm with its options."""
    return " ".join([spec.algorithm, *(f"{k}={v}" for k, v in spec.options.items())])


def small_texts(vocab: Vocab) -> Iterator[str]:
    """Some thousand texts, the short ones first, in which the suspects differ from each other."""
    known = random.Random(0).sample(vocab.tokens, min(300, len(vocab.tokens)))
    yield from ALL_EDGES
    yield from (form.format(c) for c in ALL_EDGES for form in ("a{}b", "中{}文"))
    yield from chain(known, WRITTEN_TOKENS, (f"中{token}a" for token in [*known, *WRITTEN_TOKENS]))
    yield from hard_texts(vocab, 3000)


def hard_texts(vocab: Vocab, count: int) -> Iterator[str]:
    """Mixtures of the vocab's characters and odd ones, and words around the limit of 100."""
    characters = sorted({c for token in vocab.tokens for c in token})
    some = random.Random(1).sample(characters, min(60, len(characters)))
    yield from texts_from_alphabet(some, count, seed=1)
    sizes: Iterable[int] = (24, 25, 26, 33, 34, 50, 51, 99, 100, 101, 200)
    yield from (unit * size for unit in [*LONG_UNITS, *some[:9]] for size in sizes)


def full_probe(vocab: Vocab) -> Iterator[str]:
    """Every Unicode character in every context, marks in all orders, and many hard texts."""
    for context in CONTEXTS:
        yield from texts_in_context(context, unknown_stride=1)
    yield from mark_pairs()
    yield from mark_triples()
    yield from hard_texts(vocab, 50_000)
