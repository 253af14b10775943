"""The Python references: the tokenizers whose ids Node must reproduce.

`bert` uses the package `tokenizers`, `tf-text` and `tf-text-fast` use `tensorflow_text`, and
`chars` consists of TensorFlow string ops. All are in `libraries.py`, and run in this interpreter or
in that of `--tokenizer-python`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.tokenizer import libraries
from export.tokenizer.interpreter import RemoteTokenizer, shared_interpreter
from export.tokenizer.spec import TokenizerSpec
from export.tokenizer.vocab import Vocab
from support.errors import EnvironmentProblem, UserError
from support.quiet_tensorflow import tensorflow

# Adding special tokens, and cutting pairs where no library has a rule.
#
# The libraries of `bert`, `tf-text` and `tf-text-fast` cut pairs themselves (see `libraries.py`).
# `chars`, the collection's simple tokenizer, has no rule for pairs. It uses the rule of Hugging
# Face, whose scripts prepared the pairs in the collection's examples.

Ids = list[int]
Frame = Callable[[Ids, Ids | None], Ids]
Cut = Callable[[Ids, Ids | None, int | None, Frame], Ids]


def with_special_tokens(cls: int, sep: int, last: int | None = None) -> Frame:
    """Returns a function that makes `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]`.

    `last` replaces the second [SEP] of a pair.
    """

    def frame(first: Ids, second: Ids | None) -> Ids:
        end = sep if last is None else last
        return [cls, *first, sep] + ([] if second is None else [*second, end])

    return frame


def without_special_tokens(first: Ids, second: Ids | None) -> Ids:
    """Concatenates both texts, without special tokens."""
    return first + (second or [])


def cut_longest_first(first: Ids, second: Ids | None, limit: int | None, frame: Frame) -> Ids:
    """Cuts the longer text to the length of the shorter, then both equally, as Hugging Face does.

    An odd position goes to the longer text, or to the second if they are equal. Special tokens are
    never cut, even if the limit is smaller than their number.

    Args:
        first: the ids of the first text.
        second: the ids of the second text, if any.
        limit: the most ids in total; None: no limit.
        frame: adds the special tokens.

    >>> cut_longest_first([1, 2, 3], [4, 5, 6, 7, 8], 5, without_special_tokens)
    [1, 2, 4, 5, 6]
    """
    if limit is None:
        return frame(first, second)
    available = max(0, limit - len(frame([], None if second is None else [])))
    if second is None:
        return frame(first[:available], None)
    short, long = sorted((len(first), len(second)))
    long = short if short > available else max(short, available - short)
    if short + long > available:
        short = available // 2
        long = available - short
    a, b = (short, long) if len(first) <= len(second) else (long, short)
    return frame(first[:a], second[:b])


def _join_and_cut(first: Ids, second: Ids | None, limit: int | None, frame: Frame) -> Ids:
    """Concatenates all tokens and cuts the end; a pair's last [SEP] may be cut too.

    Args:
        first: the ids of the first text.
        second: the ids of the second text, if any.
        limit: the most ids in total; None: no limit.
        frame: adds the special tokens.
    """
    return frame(first, second)[:limit]


TRUNCATIONS = ("longest-first", "joined")


@dataclass(frozen=True)
class FlatIds:
    """Rows of different lengths, as in a ragged tensor: row i is `values[splits[i]:splits[i + 1]]`.

    `values` is int32[total], `splits` is int64[rows + 1].
    """

    values: NDArray[np.int32]
    splits: NDArray[np.int64]

    @classmethod
    def of_arrays(cls, values: Any, splits: Any) -> "FlatIds":
        """Makes it from arrays, or from lists that came from another interpreter."""
        return cls(np.asarray(values, np.int32), np.asarray(splits, np.int64))

    @classmethod
    def of_ragged(cls, ragged: Any) -> "FlatIds":
        """Makes it from a `tf.RaggedTensor` [rows, (ids)] or [rows, (words), (ids)]."""
        if ragged.ragged_rank == 2:
            ragged = ragged.merge_dims(1, 2)
        return cls(ragged.values.numpy().astype(np.int32), ragged.row_splits.numpy())

    @classmethod
    def of_rows(cls, rows: list[list[int]]) -> "FlatIds":
        """Makes it from lists."""
        splits = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=splits[1:])
        values = np.fromiter((i for row in rows for i in row), np.int32, count=int(splits[-1]))
        return cls(values, splits)

    def rows(self) -> list[list[int]]:
        """Returns the rows as lists."""
        flat, ends = self.values.tolist(), self.splits.tolist()
        return [flat[a:b] for a, b in zip(ends, ends[1:], strict=False)]


class Reference:
    """A Python tokenizer with its vocab.

    `library` is the tokenizer itself, with the methods of `libraries.py`.
    """

    def __init__(self, spec: TokenizerSpec, vocab: Vocab, library: Any) -> None:
        self.spec = spec
        self.vocab = vocab
        self.library = library

    def flat(self, texts: Sequence[str]) -> FlatIds:
        """Returns the ids of each text, without special tokens.

        Raises:
            UnicodeEncodeError: a lone surrogate.
        """
        return FlatIds.of_arrays(*self.library.flat(list(texts)))

    def encode(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        special_tokens: bool = False,
        max_length: int | None = None,
        truncation: str = "longest-first",
    ) -> list[list[int]]:
        """Returns the ids of each text, or of each pair of texts.

        Args:
            texts: the first texts.
            pairs: the second texts, as many as `texts`; None for single texts.
            special_tokens: whether to add [CLS] and [SEP].
            max_length: the most ids, including special tokens; None: no limit.
            truncation: `longest-first`: as the tokenizer's library cuts a pair; `joined`: all
                tokens concatenated and cut at the end, as the older scripts did.
        """
        if truncation not in TRUNCATIONS:
            raise ValueError(f"got truncation {truncation!r}, expected one of {TRUNCATIONS}")
        if truncation == "longest-first" and self.spec.algorithm != "chars":
            return self._by_library(texts, pairs, special_tokens, max_length)[0]
        cut = cut_longest_first if truncation == "longest-first" else _join_and_cut
        return self._by_arithmetic(texts, pairs, special_tokens, max_length, cut)[0]

    def encode_with_types(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        special_tokens: bool = True,
        max_length: int | None = None,
    ) -> list[tuple[list[int], list[int]]]:
        """Returns ids and token type ids of each text or pair, cut as the tokenizer's library does.

        The type is 1 for the second text and its [SEP], else 0.

        Args:
            texts: the first texts.
            pairs: the second texts, as many as `texts`; None for single texts.
            special_tokens: whether to add [CLS] and [SEP].
            max_length: the most ids, including special tokens; None: no limit.
        """
        if self.spec.algorithm == "chars":
            found = self._by_arithmetic(texts, pairs, special_tokens, max_length, cut_longest_first)
        else:
            found = self._by_library(texts, pairs, special_tokens, max_length)
        return list(zip(*found, strict=True))

    def _by_library(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        special_tokens: bool,
        max_length: int | None,
    ) -> tuple[list[list[int]], list[list[int]]]:
        """Returns ids and types of all texts from the library.

        Args:
            texts: the first texts.
            pairs: the second texts; None for single texts.
            special_tokens: whether to add [CLS] and [SEP].
            max_length: the most ids; None: no limit.
        """
        if not texts:
            return [], []
        second = None if pairs is None else list(pairs)
        if second is not None and len(second) != len(texts):
            raise ValueError(f"got {len(texts)} texts and {len(second)} second texts")
        found = self.library.with_types(list(texts), second, special_tokens, max_length)
        values, types, splits = found
        return FlatIds.of_arrays(values, splits).rows(), FlatIds.of_arrays(types, splits).rows()

    def _by_arithmetic(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        special_tokens: bool,
        max_length: int | None,
        cut: Cut,
    ) -> tuple[list[list[int]], list[list[int]]]:
        """Returns ids and types where no library has a rule for pairs.

        Args:
            texts: the first texts.
            pairs: the second texts; None for single texts.
            special_tokens: whether to add [CLS] and [SEP].
            max_length: the most ids; None: no limit.
            cut: joins and cuts the ids of a pair.
        """
        first = self.flat(texts).rows()
        second = [None] * len(first) if pairs is None else self.flat(pairs).rows()
        special = {role: token.id for role, token in self.vocab.special.items()}
        frame = (
            with_special_tokens(special["cls"], special["sep"])
            if special_tokens
            else without_special_tokens
        )
        types = with_special_tokens(0, 0, 1) if special_tokens else without_special_tokens
        ids, kinds = [], []
        for a, b in zip(first, second, strict=True):
            ids.append(cut(a, b, max_length, frame))
            ones = None if b is None else [1] * len(b)
            kinds.append(cut([0] * len(a), ones, max_length, types))
        return ids, kinds


def make_reference(spec: TokenizerSpec, vocab: Vocab, python: Path | None = None) -> Reference:
    """Makes the reference tokenizer of `spec` with a vocab.

    With `python` it runs in that interpreter, with the versions that are installed there.

    Raises:
        UserError: the library refuses the vocab; with `python`, see `interpreter.Interpreter`.
        EnvironmentProblem: a library is missing here or, with `python`, fails there.
    """
    return Reference(spec, vocab, load_library(spec, vocab, python))


def load_library(spec: TokenizerSpec, vocab: Vocab, python: Path | None) -> Any:
    """Loads the tokenizer with the methods of `libraries.py`; see `make_reference`."""
    refuse_repeated(spec, vocab)
    special = {role: token.id for role, token in vocab.special.items()}
    arguments = (spec.algorithm, spec.options, vocab.tokens, special)
    try:
        if python is not None:
            where = shared_interpreter(python)
            return RemoteTokenizer(where, where.ask("load", *arguments))
        if spec.algorithm != "bert":
            tensorflow()
        return libraries.load_tokenizer(*arguments)
    except libraries.VocabRefused as error:
        raise UserError(
            f"{libraries.PACKAGES[spec.algorithm][0]} refuses this vocab: {error}"
        ) from None
    except libraries.LibraryMissing as error:
        raise EnvironmentProblem(
            f"the package {error} is missing; run this as `nox -s export`"
        ) from None


def library_versions(algorithm: str, python: Path | None) -> dict[str, str]:
    """Returns the versions of the interpreter and of the library that the algorithm needs.

    Raises:
        UserError: with `python`, see `interpreter.Interpreter`.
    """
    if python is None:
        return libraries.read_versions(algorithm)
    found: dict[str, str] = shared_interpreter(python).ask("versions", algorithm)
    return found


def refuse_repeated(spec: TokenizerSpec, vocab: Vocab) -> None:
    """Refuses a vocab with a token on two lines if the algorithm's library does.

    Measured: TF-Text 2.21.1's lookup table raises "HashTable has different value for same key", its
    FastBertTokenizer "Tokens in the vocabulary must be unique". Hugging Face's `tokenizers` uses
    the last line, as Google's `load_vocab` does. `chars` uses the first of lines that are equal in
    lower case; there each special token must be on one line only.

    Raises:
        UserError: the library would refuse the vocab; the advice changes no id.
    """
    lines = vocab.repeated
    if spec.algorithm == "chars":
        lowered = [_ascii_lower(token) for token in vocab.tokens]
        names = {_ascii_lower(token.token) for token in vocab.special.values()}
        lines = {
            token: [i for i, one in enumerate(lowered, 1) if one == token]
            for token in names
            if lowered.count(token) > 1
        }
    if not lines or spec.algorithm == "bert":
        return
    token, line_numbers = next(iter(lines.items()))
    raise UserError(
        f"{vocab.name} line {line_numbers[-1]}: {token!r} stands in line {line_numbers[0]} "
        f"already, and {spec.algorithm} takes no vocab with a token twice; rename one of the two "
        f"to a name that no text has, such as {vocab.unused_name()}, here and wherever else the "
        "model is used "
        "(Google's and Hugging Face's code give the last line's id). Never remove a line: every id "
        "after it would be another"
    )


def _ascii_lower(token: str) -> str:
    """Returns a token with A to Z in lower case, and all else unchanged."""
    return "".join(c.lower() if c.isascii() else c for c in token)
