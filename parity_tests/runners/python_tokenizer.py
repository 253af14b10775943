"""Python's tokenizers: texts and pairs to ids and token type ids.

The special tokens come from the tokenizer's own vocab; how they are added and how pairs are cut
comes from the libraries. Nothing comes from a bundle.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
import tensorflow_text as tf_text

from export.tokenizer import Vocab, make_reference, read_vocab
from export.tokenizer.hub_tokenizer import HubTokenizer
from export.tokenizer.reference import (
    cut_longest_first,
    with_special_tokens,
    without_special_tokens,
)
from parity_tests.cases import TextCase
from parity_tests.runners.tokenizer_source import TokenizerSource
from support.errors import UserError

Encoded = tuple[list[int], list[int]]
"""The ids of a text or pair, and the token type of each."""


class PythonTokenizer(ABC):
    """A tokenizer in Python, with its vocab."""

    def __init__(self, vocab: Vocab) -> None:
        self.tokens = vocab.tokens
        self.special = {token.token: token.id for token in vocab.special.values()}

    def encode(self, cases: Sequence[TextCase], added: bool, positions: int) -> list[Encoded]:
        """Returns the ids and token types of each case, in order.

        Args:
            cases: texts and pairs.
            added: whether to add [CLS] and [SEP].
            positions: of the model; a case may be cut to fewer.
        """
        groups: dict[tuple[bool, int], list[int]] = {}
        for index, case in enumerate(cases):
            limit = min(case.max_length or positions, positions)
            groups.setdefault((case.pair is not None, limit), []).append(index)
        encoded: dict[int, Encoded] = {}
        for (paired, limit), indices in groups.items():
            texts = [cases[index].text for index in indices]
            pairs = [cases[index].pair or "" for index in indices] if paired else None
            encoded |= dict(zip(indices, self._encode(texts, pairs, added, limit), strict=True))
        return [encoded[index] for index in range(len(cases))]

    @abstractmethod
    def _encode(
        self, texts: list[str], pairs: list[str] | None, added: bool, limit: int
    ) -> list[Encoded]:
        """Encodes texts that are all paired, or none, with one limit.

        Args:
            texts: the first texts.
            pairs: the second texts; None for single texts.
            added: whether to add [CLS] and [SEP].
            limit: of positions.
        """


class ClassTokenizer(PythonTokenizer):
    """A named class on a vocab file, run here or by another interpreter."""

    def __init__(self, source: TokenizerSource, vocab: Vocab) -> None:
        super().__init__(vocab)
        assert source.spec is not None, "a source without a SavedModel has a class"
        self._reference = make_reference(source.spec, vocab, source.python)

    def _encode(
        self, texts: list[str], pairs: list[str] | None, added: bool, limit: int
    ) -> list[Encoded]:
        return self._reference.encode_with_types(texts, pairs, added, limit)


class ModelTokenizer(PythonTokenizer):
    """A tokenizer SavedModel; pairs are cut as its kind of tokenizer does it."""

    def __init__(self, source: TokenizerSource) -> None:
        assert source.model is not None
        model = HubTokenizer(source.model)
        own = model.vocab()
        vocab = _read_vocab_file(source.vocab) if source.vocab else own
        if vocab is None:
            raise UserError(f"{source.model} has no vocab that can be read; name it with --vocab")
        if own is not None and own.tokens != vocab.tokens:
            raise UserError(f"--vocab {source.vocab} is not the vocab in {source.model}")
        model.learn_frame(vocab)
        super().__init__(vocab)
        self._model = model
        self._by_hugging_face = source.spec is not None and source.spec.algorithm == "bert"

    def _encode(
        self, texts: list[str], pairs: list[str] | None, added: bool, limit: int
    ) -> list[Encoded]:
        parts = [self._model.flat(part).rows() for part in (texts, pairs) if part is not None]
        if self._by_hugging_face:
            return [self._longest_first(row, added, limit) for row in zip(*parts, strict=True)]
        return self._round_robin(parts, added, limit)

    def _longest_first(self, parts: tuple[list[int], ...], added: bool, limit: int) -> Encoded:
        """Cuts and adds special tokens as Hugging Face does."""
        first, second = parts[0], parts[1] if len(parts) > 1 else None
        framed = with_special_tokens(self.special["[CLS]"], self.special["[SEP]"])
        marked = with_special_tokens(0, 0, 1)
        ones = None if second is None else [1] * len(second)
        return (
            cut_longest_first(first, second, limit, framed if added else without_special_tokens),
            cut_longest_first(
                [0] * len(first), ones, limit, marked if added else without_special_tokens
            ),
        )

    def _round_robin(self, parts: list[list[list[int]]], added: bool, limit: int) -> list[Encoded]:
        """Cuts with TF-Text's own trimmer, and adds special tokens with its `combine_segments`."""
        remaining = limit - (len(parts) + 1) * added
        ragged = [tf.ragged.constant(rows, tf.int32, ragged_rank=1) for rows in parts]
        cut = tf_text.RoundRobinTrimmer(remaining).trim(ragged)
        if added:
            frame = (self.special["[CLS]"], self.special["[SEP]"])
            ids, types = tf_text.combine_segments(cut, *frame)
        else:
            ids = tf.concat(cut, 1)
            types = tf.concat([part * 0 + number for number, part in enumerate(cut)], 1)
        return list(zip(ids.to_list(), types.to_list(), strict=True))


def _read_vocab_file(path: Path) -> Vocab:
    """Reads a vocab file without its notices."""
    return read_vocab(path, notice=lambda line: None)


def make_tokenizer(source: TokenizerSource) -> PythonTokenizer:
    """Makes the tokenizer that a source describes.

    Raises:
        UserError: it is no tokenizer, or its library refuses the vocab.
        EnvironmentProblem: the named interpreter does not run it.
    """
    if source.model is not None:
        return ModelTokenizer(source)
    if source.vocab is None or source.spec is None:
        raise UserError("got no tokenizer; expected --tokenizer-model, or --vocab and --tokenizer")
    return ClassTokenizer(source, _read_vocab_file(source.vocab))
