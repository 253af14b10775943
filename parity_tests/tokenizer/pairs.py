"""Proves how pairs are cut: ids and types of both texts, for many lengths and limits."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from parity_tests.tokenizer.explain import Difference, tokenizer_name
from parity_tests.tokenizer.sides import TokenizerPair

GROUP = "pairs, cut"
LIMITS = range(1, 25)
LONGEST = 14  # characters of a text; of two, more than the largest limit
RULE = "how a pair is cut"
Encoded = tuple[list[int], list[int]]


@dataclass(frozen=True)
class PairBatch:
    """Pairs that are cut to one limit, which may be smaller than their special tokens."""

    texts: list[str]
    pairs: list[str]
    special_tokens: bool
    limit: int


def make_pair_batches(reviews: Sequence[str], count: int, seed: int) -> Iterator[PairBatch]:
    """Makes about `count` pairs of pieces of reviews, 0 to 14 characters long, for each limit."""
    chance = random.Random(seed)

    def piece() -> str:
        review = chance.choice(reviews)
        start = chance.randrange(len(review))
        return review[start : start + chance.randrange(LONGEST + 1)]

    each = -(-count // (2 * len(LIMITS)))
    for limit in LIMITS:
        for special_tokens in (True, False):
            texts = [piece() for _ in range(each)]
            yield PairBatch(texts, [piece() for _ in range(each)], special_tokens, limit)


def find_differing_pairs(
    pair: TokenizerPair, batch: PairBatch
) -> list[tuple[int, Encoded, Encoded]]:
    """Returns the indices where the sides differ, with the answers of Python and Node."""
    arguments = (batch.texts, batch.pairs, batch.special_tokens, batch.limit)
    expected, got = pair.python.encode_with_types(*arguments), pair.node.with_types(*arguments)
    both = enumerate(zip(expected, got, strict=True))
    return [(i, python, node) for i, (python, node) in both if python != node]


def explain_pair(
    pair: TokenizerPair, batch: PairBatch, difference: tuple[int, Encoded, Encoded]
) -> Difference:
    """Describes a difference for the report; where the ids are equal, it shows the types."""
    at, (python, python_types), (node, node_types) = difference
    text = f"{batch.texts[at]} | {batch.pairs[at]}"
    tokens = pair.vocab.tokens
    as_types = python == node
    return Difference(
        tokenizer=tokenizer_name(pair.spec.algorithm, pair.spec.options),
        group=GROUP,
        text=text,
        shrunk=text,
        code_points=[f"limit {batch.limit}"],
        python=[str(t) for t in python_types] if as_types else [tokens[i] for i in python],
        node=[str(t) for t in node_types] if as_types else [tokens[i] for i in node],
        character="",
        rule=RULE + (", by its types" if as_types else ""),
    )
