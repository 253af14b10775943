"""The Python references: the tokenizers whose ids Node must give, each made of its own library.

`bert` is the package `tokenizers`; `tf-text` and `tf-text-fast` are `tensorflow_text`; `chars` is
written here in TensorFlow string ops.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from export.errors import UserError
from export.quiet import tensorflow
from export.tokenizer.flat import FlatIds
from export.tokenizer.pairs import joined, longest_first, with_special_tokens
from export.tokenizer.spec import TokenizerSpec
from export.tokenizer.vocab import Vocab


class Reference(ABC):
    """A Python tokenizer behind one face."""

    def __init__(self, vocab: Vocab) -> None:
        """Keeps the vocab for its special tokens."""
        self.vocab = vocab

    @abstractmethod
    def flat(self, texts: Sequence[str]) -> FlatIds:
        """The ids of each text, no special tokens added.

        Raises:
            UnicodeEncodeError: a lone surrogate.
        """

    def encode(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        special_tokens: bool = False,
        max_length: int | None = None,
        truncation: str = "longest-first",
    ) -> list[list[int]]:
        """The ids of each text, or of each text and its pair.

        `max_length` counts the special tokens. `truncation` is `longest-first`, as Hugging Face
        cuts, or `joined`: all tokens in a row, cut at the end, as the older scripts did.
        """
        first = self.flat(texts).rows()
        second = None if pairs is None else self.flat(pairs).rows()
        cut = {"longest-first": longest_first, "joined": joined}[truncation]
        rows = []
        for i, ids in enumerate(first):
            other = None if second is None else second[i]
            add = with_special_tokens(self.vocab.special) if special_tokens else None
            rows.append(cut(ids, other, max_length, add))
        return rows


class TfTextReference(Reference):
    """`tensorflow_text.BertTokenizer`."""

    def __init__(self, spec: TokenizerSpec, vocab: Vocab) -> None:
        """Puts the vocab into a lookup table."""
        super().__init__(vocab)
        tf, tf_text = tensorflow()
        keys = tf.constant([token.encode() for token in vocab.tokens])
        ids = tf.range(len(vocab.tokens), dtype=tf.int64)
        table = tf.lookup.StaticVocabularyTable(
            tf.lookup.KeyValueTensorInitializer(keys, ids), num_oov_buckets=1
        )
        self.tokenizer = tf_text.BertTokenizer(table, lower_case=spec.lower_case)
        self._ops = tf

    def flat(self, texts: Sequence[str]) -> FlatIds:
        """See `Reference.flat`."""
        column = self._ops.constant([text.encode() for text in texts], self._ops.string)
        return FlatIds.of_ragged(self.tokenizer.tokenize(column))


class TfTextFastReference(Reference):
    """`tensorflow_text.FastBertTokenizer`."""

    def __init__(self, spec: TokenizerSpec, vocab: Vocab) -> None:
        """Builds the tokenizer's trie.

        Raises:
            UserError: the library refuses the vocab.
        """
        super().__init__(vocab)
        tf, tf_text = tensorflow()
        try:
            self.tokenizer = tf_text.FastBertTokenizer(
                [token.encode() for token in vocab.tokens],
                token_out_type=tf.int32,
                lower_case_nfd_strip_accents=spec.lower_case,
            )
        except (RuntimeError, ValueError) as error:
            raise UserError(f"TF-Text's FastBertTokenizer refuses this vocab: {error}") from None
        self._ops = tf

    def flat(self, texts: Sequence[str]) -> FlatIds:
        """See `Reference.flat`."""
        column = self._ops.constant([text.encode() for text in texts], self._ops.string)
        return FlatIds.of_ragged(self.tokenizer.tokenize(column))


class BertReference(Reference):
    """`tokenizers.BertWordPieceTokenizer`."""

    def __init__(self, spec: TokenizerSpec, vocab: Vocab) -> None:
        """The vocab goes in as a mapping: read from a file, its lines would be trimmed."""
        super().__init__(vocab)
        from export.tokenizer.huggingface import bert_word_piece

        self.tokenizer = bert_word_piece(spec, vocab)

    def flat(self, texts: Sequence[str]) -> FlatIds:
        """See `Reference.flat`."""
        for text in texts:
            text.encode()  # the library's own error for a lone surrogate is a TypeError
        encodings = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return FlatIds.of_rows([encoding.ids for encoding in encodings])


class CharsReference(Reference):
    """One token a character, in TensorFlow string ops.

    ASCII letters become lower case (in the vocab's lines too), each ASCII white-space character
    becomes `-`, `[pad] [unk] [cls] [sep] [mask]` stand for their tokens in any case.
    """

    # A special token is one token of several characters. It is written as ESC and a letter while
    # the text is split into characters, and so is an ESC that stands in the text.
    MARK = "\x1b"
    ESCAPED = {"e": MARK, "p": "[pad]", "u": "[unk]", "c": "[cls]", "s": "[sep]", "m": "[mask]"}

    def __init__(self, spec: TokenizerSpec, vocab: Vocab) -> None:
        """Where two lines are one after lower-casing, the first keeps the token."""
        super().__init__(vocab)
        tf, _ = tensorflow()
        lowered = tf.strings.lower([token.encode() for token in vocab.tokens]).numpy()
        keys, first = np.unique(lowered, return_index=True)
        self._table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(keys.tolist()), tf.constant(first, tf.int64)
            ),
            default_value=vocab.special["unk"].id,
        )
        tokens = tf.constant(list(self.ESCAPED.values()))
        self._escaped = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(list(self.ESCAPED), self._table[tokens]),
            default_value=vocab.special["unk"].id,
        )
        self._ops = tf

    @staticmethod
    def fold(text: Any) -> Any:
        """ASCII letters in lower case, ASCII white space as `-`; string[…] to string[…]."""
        tf, _ = tensorflow()
        return tf.strings.regex_replace(tf.strings.lower(text), "[[:space:]]", "-")

    def flat(self, texts: Sequence[str]) -> FlatIds:
        """See `Reference.flat`."""
        tf = self._ops
        text = self.fold(tf.constant([text.encode() for text in texts], tf.string))
        for letter, token in self.ESCAPED.items():
            pattern = re.escape(token)
            text = tf.strings.regex_replace(text, pattern, self.MARK + letter)
        characters = tf.strings.unicode_split(text, "UTF-8")
        flat = characters.flat_values
        is_mark = flat == self.MARK
        escaped = tf.concat([[False], is_mark[:-1]], 0)
        ids = tf.where(escaped, self._escaped[flat], self._table[flat])
        kept = characters.with_flat_values(~is_mark)
        return FlatIds.of_ragged(tf.ragged.boolean_mask(characters.with_flat_values(ids), kept))


def reference(spec: TokenizerSpec, vocab: Vocab) -> Reference:
    """The Python tokenizer that `spec` names, with this vocab."""
    kinds: dict[str, type] = {
        "bert": BertReference,
        "tf-text": TfTextReference,
        "tf-text-fast": TfTextFastReference,
        "chars": CharsReference,
    }
    twin: Reference = kinds[spec.algorithm](spec, vocab)
    return twin
