"""Compares the cutting of pairs in Node with the libraries' trimmers."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from tokenizers import BertWordPieceTokenizer

from export.tokenizer import TokenizerSpec, make_reference, read_vocab
from parity_tests.tokenizer import pairs
from parity_tests.tokenizer.sides import TokenizerPair, TokenizerProcess
from support.quiet_tensorflow import tensorflow
from tests.python.conftest import Embedded

MOST = 12
BOTH = list(product(range(MOST + 1), repeat=2))
TEXTS = ["好" * a for a, _ in BOTH]
PAIRS = ["书" * b for _, b in BOTH]
Encoded = list[tuple[list[int], list[int]]]


@pytest.fixture(scope="module")
def node() -> Iterator[TokenizerProcess]:
    with TokenizerProcess() as side:
        yield side


def loaded(node: TokenizerProcess, embedded: Embedded, algorithm: str) -> TokenizerPair:
    """Loads both sides; the characters here are the same for every algorithm."""
    vocab = read_vocab(embedded.vocab, print)
    tables = Path(embedded.bundle) / "tokenizer_tables.bin"
    return TokenizerPair(node, TokenizerSpec(algorithm), vocab, tables)


def counts(encoded: Encoded, special_tokens: bool) -> list[tuple[int, int]]:
    """Counts the tokens of both texts after cutting, by their types."""
    added = (2, 1) if special_tokens else (0, 0)
    return [(types.count(0) - added[0], types.count(1) - added[1]) for _, types in encoded]


@pytest.mark.parametrize("algorithm", ["tf-text", "tf-text-fast"])
def test_every_pair_is_cut_as_the_round_robin_trimmer_cuts(
    node: TokenizerProcess, embedded: Embedded, algorithm: str
) -> None:
    tf, tf_text = tensorflow()
    pair = loaded(node, embedded, algorithm)
    segments = [
        tf.RaggedTensor.from_row_lengths(tf.zeros(sum(lengths), tf.int32), lengths)
        for lengths in zip(*BOTH, strict=True)
    ]
    for room in range(-3, MOST + 1):
        trimmed = tf_text.RoundRobinTrimmer(room).trim(segments)
        expected = list(zip(*(one.row_lengths().numpy().tolist() for one in trimmed), strict=True))
        if room + 3 > 0:
            got = pair.node.with_types(TEXTS, PAIRS, special_tokens=True, limit=room + 3)
            assert counts(got, special_tokens=True) == expected
        if room > 0:
            got = pair.node.with_types(TEXTS, PAIRS, special_tokens=False, limit=room)
            assert counts(got, special_tokens=False) == expected
            assert got == pair.python.encode_with_types(TEXTS, PAIRS, False, room)


@pytest.mark.parametrize("algorithm", ["bert", "chars"])
def test_every_pair_is_cut_as_hugging_face_cuts(
    node: TokenizerProcess, embedded: Embedded, algorithm: str
) -> None:
    """Includes `chars`, except limits below the special tokens: Hugging Face cuts nothing there."""
    pair = loaded(node, embedded, algorithm)
    library = BertWordPieceTokenizer({t: i for i, t in enumerate(pair.vocab.tokens)})
    for limit, special_tokens in product(range(1, MOST + 4), (True, False)):
        if algorithm == "chars" and special_tokens and limit < 3:
            continue
        library.enable_truncation(limit)
        both = list(zip(TEXTS, PAIRS, strict=True))
        theirs = library.encode_batch(both, add_special_tokens=special_tokens)
        expected = [(one.ids, one.type_ids) for one in theirs]
        assert pair.node.with_types(TEXTS, PAIRS, special_tokens, limit) == expected
        assert pair.python.encode_with_types(TEXTS, PAIRS, special_tokens, limit) == expected


def test_wrong_assignment_of_an_odd_position_is_found(
    node: TokenizerProcess, embedded: Embedded
) -> None:
    """The proof can fail: here Node cuts as TF-Text, the reference as Hugging Face."""
    pair = loaded(node, embedded, "tf-text")
    pair.python = make_reference(TokenizerSpec("bert"), pair.vocab)
    batch = pairs.PairBatch(["好好好", "好"], ["书书书", "书"], special_tokens=True, limit=6)
    (found,) = pairs.find_differing_pairs(pair, batch)
    difference = pairs.explain_pair(pair, batch, found)
    assert difference.text == "好好好 | 书书书"
    assert difference.python == ["[CLS]", "好", "[SEP]", "书", "书", "[SEP]"]
    assert difference.node == ["[CLS]", "好", "好", "[SEP]", "书", "[SEP]"]


def test_batches_contain_every_limit_and_blank_texts() -> None:
    batches = list(pairs.make_pair_batches(["这本书很好看"], 3000, seed=2))
    assert {(b.limit, b.special_tokens) for b in batches} == set(
        product(range(1, 25), (True, False))
    )
    assert sum(len(b.texts) for b in batches) >= 3000
    texts = np.array(
        [(t == "", p == "") for b in batches for t, p in zip(b.texts, b.pairs, strict=True)]
    )
    assert texts.any(0).all() and texts.all(1).any()
