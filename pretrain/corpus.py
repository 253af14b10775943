"""The corpus: texts of all sources without near duplicates of dev texts, as ids, words and bags.

`make_corpus` makes it in two minutes; DIR/corpus.safetensors and DIR/vocab.txt keep it.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from export.demo import DemoSizes
from export.learned_vocab import learn_vocab
from export.tokenizer import TokenizerSpec, Vocab, make_reference
from export.tokenizer.vocab import parse_vocab
from pretrain.near_duplicates import without_near_duplicates
from pretrain.recipe import Recipe
from pretrain.segmentation import Words, words_of_tokens
from pretrain.sources import SOURCES, dev_texts
from support.atomic import write_file
from support.contracts import VOCAB_FILE
from support.printing import Say
from support.progress import timed_step, track

Array = NDArray[Any]
FILE = "corpus.safetensors"
PACKAGES = ("numpy", "rjieba", "snownlp", "tensorflow", "tensorflow-text", "tokenizers")
ARRAYS = ("ids", "words", "splits", "bag", "bag_splits")
FEWEST_TOKENS = 3
"""A shorter text says nothing of its words."""
BAG_COUNT = 5
"""Texts that a word must be in to be one that [CLS] learns to name."""
SENTENCE_ENDS = frozenset("。！？；!?;…")
IDEOGRAPH_PIECE = re.compile("##[\u3400-\u4dbf\u4e00-\u9fff]$")
"""A piece that no text has: each ideograph is a word of its own."""


@dataclass(frozen=True)
class Corpus:
    """The pieces of text to train on, without [CLS] and [SEP].

    Piece i has the ids `ids[splits[i]:splits[i + 1]]`, and each id the number of its word within
    the piece in `words`. `bag[bag_splits[i]:bag_splits[i + 1]]` are its different words, as
    positions in `bag_words`. All are int32 but the splits, which are int64.
    """

    vocab: Vocab
    ids: Array
    words: Array
    splits: Array
    bag: Array
    bag_splits: Array
    bag_words: list[str]
    sources: list[dict[str, Any]]

    @property
    def lengths(self) -> Array:
        """The number of ids of each piece."""
        return np.diff(self.splits)

    @property
    def sha256(self) -> str:
        """The sha256 of everything that a training step reads."""
        whole = hashlib.sha256(self.vocab.raw)
        for array in (self.ids, self.words, self.splits, self.bag, self.bag_splits):
            whole.update(array.tobytes())
        return whole.hexdigest()


def open_corpus(directory: Path, recipe: Recipe, sizes: DemoSizes, say: Say) -> Corpus:
    """Returns the corpus of a directory; makes it if it is missing or of other data or versions.

    Args:
        directory: of the training.
        recipe: its numbers.
        sizes: of the embedded default's splits.
        say: prints a line.
    """
    made_with = json.dumps(
        {
            "data": [recipe.texts, recipe.vocab_size, recipe.characters],
            "pieces": [recipe.max_positions, recipe.bag_words],
            "sizes": asdict(sizes),
            "versions": {name: version(name) for name in PACKAGES},
        }
    )
    found = _read_corpus(directory, made_with)
    if found is None:
        found = make_corpus(recipe, sizes, say)
        _write_corpus(directory, found, made_with)
    return found


def make_corpus(recipe: Recipe, sizes: DemoSizes, say: Say) -> Corpus:
    """Reads the sources, removes near duplicates, learns the vocab, and cuts texts into pieces."""
    dev = dev_texts(sizes)
    texts: list[str] = []
    sources = []
    for source in SOURCES:
        found = source.read(sizes)
        kept = without_near_duplicates(found, dev)
        removed = len(found) - len(kept)
        say(f"{source.name}: {len(kept):,} texts; {removed:,} were too near to a dev text")
        kept = kept[:: max(1, len(kept) // recipe.texts)][: recipe.texts] if recipe.texts else kept
        texts += kept
        about: dict[str, Any] = {"name": source.name, "package": source.package}
        about |= {"files": list(source.files)}
        about |= {"version": source.package_version, "licence": source.licence}
        about |= {"origin": source.origin, "texts": len(kept), "characters": sum(map(len, kept))}
        sources.append(about | {"near_duplicates": removed})
    with timed_step("vocab from the texts", say):
        vocab = make_vocab(texts, recipe)
    reference = make_reference(TokenizerSpec("tf-text"), vocab)
    pieces = list(_pieces(reference.flat(texts).rows(), vocab, recipe.max_positions - 2, say))
    bag_words = _frequent_words([piece.texts for _, piece in pieces], recipe.bag_words)
    number = {word: i for i, word in enumerate(bag_words)}
    bags = [sorted({number[w] for w in words.texts if w in number}) for _, words in pieces]
    ids, splits = _flatten([ids for ids, _ in pieces])
    words, _ = _flatten([words.of_token for _, words in pieces])
    bag, bag_splits = _flatten(bags)
    return Corpus(vocab, ids, words, splits, bag, bag_splits, bag_words, sources)


def make_vocab(texts: list[str], recipe: Recipe) -> Vocab:
    """Learns the vocab, without the pieces that no text can have."""
    tokens = learn_vocab(texts, recipe.vocab_size, recipe.characters)
    lines = [f"{token}\n" for token in tokens if not IDEOGRAPH_PIECE.match(token)]
    return parse_vocab("".join(lines).encode(), VOCAB_FILE)


def _pieces(
    rows: list[list[int]], vocab: Vocab, most: int, say: Say
) -> Iterator[tuple[list[int], Words]]:
    """Yields the ids and words of each piece of each text.

    Args:
        rows: the ids of the texts.
        vocab: has their tokens.
        most: ids of a piece.
        say: prints a line.
    """
    unknown = vocab.special["unk"].token
    for ids in track("words", rows, "texts", say):
        tokens = [vocab.tokens[i] for i in ids]
        of_token = words_of_tokens(tokens, unknown).of_token
        for start, end in cut_at_sentences(tokens, of_token, most):
            if end - start >= FEWEST_TOKENS:
                yield ids[start:end], words_of_tokens(tokens[start:end], unknown)


def cut_at_sentences(
    tokens: Sequence[str], of_token: Sequence[int], most: int
) -> list[tuple[int, int]]:
    """Returns start and end of each piece of a text.

    A piece ends at the last end of a sentence within `most` tokens; where there is none, at the
    last end of a word; where there is none either, after `most` tokens.

    >>> cut_at_sentences(list("好。很好。不错不错"), [0, 1, 2, 2, 3, 4, 4, 5, 5], 5)
    [(0, 5), (5, 9)]

    Args:
        tokens: of the text.
        of_token: the number of each token's word.
        most: tokens of a piece.
    """
    pieces, start = [], 0
    while len(tokens) - start > most:
        ends = range(start + most, start, -1)
        sentences = (end for end in ends if tokens[end - 1] in SENTENCE_ENDS)
        words = (end for end in ends if of_token[end - 1] != of_token[end])
        end = next(sentences, next(words, start + most))
        pieces.append((start, end))
        start = end
    return [*pieces, (start, len(tokens))]


def _frequent_words(pieces: list[list[str]], most: int) -> list[str]:
    """Returns the words that most pieces have, at least BAG_COUNT; punctuation is no word."""
    counts = Counter(word for words in pieces for word in set(words) if word.isalnum())
    common = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [word for word, count in common[:most] if count >= BAG_COUNT]


def _flatten(rows: list[list[int]]) -> tuple[Array, Array]:
    """Returns rows of different lengths as int32[total], and int64[rows + 1]."""
    splits = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=splits[1:])
    return np.array([value for row in rows for value in row], np.int32), splits


def _write_corpus(directory: Path, corpus: Corpus, made_with: str) -> None:
    """Writes the corpus; its vocab first, because the other file says that all is there."""
    write_file(directory / VOCAB_FILE, corpus.vocab.raw)
    arrays = {name: getattr(corpus, name) for name in ARRAYS}
    about = {"sources": corpus.sources, "bag_words": corpus.bag_words}
    metadata = {"made_with": made_with, "about": json.dumps(about, ensure_ascii=False)}
    write_file(directory / FILE, save(arrays, metadata))


def _read_corpus(directory: Path, made_with: str) -> Corpus | None:
    """Reads the corpus of a directory; None if there is none that was made with the same."""
    if not (directory / FILE).is_file():
        return None
    with safe_open(directory / FILE, "numpy") as stored:
        metadata = stored.metadata()
        if metadata["made_with"] != made_with:
            return None
        arrays = {name: stored.get_tensor(name) for name in ARRAYS}
    about = json.loads(metadata["about"])
    vocab = parse_vocab((directory / VOCAB_FILE).read_bytes(), VOCAB_FILE)
    return Corpus(vocab=vocab, **arrays, **about)
