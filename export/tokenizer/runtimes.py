"""The character tables of each algorithm, from the library that is its reference."""

import numpy as np
from numpy.typing import NDArray

from export.quiet import tensorflow
from export.tokenizer.huggingface import bert_word_piece
from export.tokenizer.probe import read_by_words
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
RECORDS = 100  # texts that go through Hugging Face's normalizer as one string; more are slower


def read_tables(spec: TokenizerSpec, vocab: Vocab) -> CharacterTables:
    """Reads the tables; takes some seconds."""
    if spec.algorithm == "tf-text":
        return tf_text_tables(spec.lower_case)
    if spec.algorithm == "tf-text-fast":
        return tf_text_fast_tables(spec.lower_case)
    if spec.algorithm == "bert":
        return bert_tables(spec, vocab)
    return chars_tables()


def tf_text_tables(lower_case: bool) -> CharacterTables:
    """`tensorflow_text`'s basic tokenizer; a word may have 100 bytes."""
    tf, _ = tensorflow()
    from tensorflow_text.python.ops.bert_tokenizer import BasicTokenizer

    basic = BasicTokenizer(lower_case=lower_case)

    def split(texts: list[bytes]) -> NDArray[np.object_]:
        if not texts:
            return np.empty(0, object)
        words = basic.tokenize(tf.constant(texts))
        rows, count = words.value_rowids(), words.nrows()
        joined = tf.strings.unsorted_segment_join(words.values, rows, count, separator="\n")
        return np.asarray(joined.numpy(), object)

    return read_by_words(split, LIMIT, limit_in_bytes=True)


def bert_tables(spec: TokenizerSpec, vocab: Vocab) -> CharacterTables:
    """The normalizer and pre-tokenizer of `tokenizers`; a word may have 100 code points.

    Many texts go through as one, parted by a character that is a word by itself.
    """
    inner = bert_word_piece(spec, vocab)
    normalizer, splitter = inner.normalizer, inner.pre_tokenizer

    def split(texts: list[bytes]) -> NDArray[np.object_]:
        records: list[bytes] = []
        for i in range(0, len(texts), RECORDS):
            whole = b"|".join(texts[i : i + RECORDS]).decode()
            words = splitter.pre_tokenize_str(normalizer.normalize_str(whole))
            joined = "\n".join(word for word, _ in words).encode()
            parts = joined.removeprefix(b"a").removesuffix(b"b").split(b"b\n|\na")
            records += [b"a" + part + b"b" for part in parts]
        assert len(records) == len(texts)
        return np.array(records, object)

    return read_by_words(split, LIMIT, limit_in_bytes=False)


def tf_text_fast_tables(lower_case: bool) -> CharacterTables:
    """`FastBertNormalizer` folds each character by itself; the rest judges what it gave.

    With the tokens a and b alone, a space between them gives both, punctuation gives an unknown
    token between them, and any letter makes one unknown word.
    """
    tf, tf_text = tensorflow()
    normalizer = tf_text.FastBertNormalizer(lower_case_nfd_strip_accents=lower_case)
    pieces = tf_text.FastWordpieceTokenizer(["[UNK]", "a", "b"], token_out_type=tf.int32)
    encoded = tf.strings.unicode_encode(tf.constant(SCALARS, tf.int32)[:, None], "UTF-8")
    counts = pieces.tokenize(tf.strings.join(["a", encoded, "b"])).row_lengths().numpy()
    kinds = np.zeros(0x110000, np.int64)
    kinds[SCALARS] = np.array([LETTER, LETTER, SPACE, ALONE])[counts]
    normal = tf.strings.unicode_decode(normalizer.normalize(encoded), "UTF-8")
    values = normal.values.numpy().astype(np.int64)
    symbols = (values * 4 + kinds[values]).tolist()
    ends = normal.row_splits.numpy().tolist()
    tables = CharacterTables(LIMIT, limit_in_bytes=True)
    for c, start, end in zip(SCALARS, ends, ends[1:], strict=False):
        if end > start:
            tables.folds[c] = tuple(symbols[start:end])
    tables.isolated = np.flatnonzero(kinds == ALONE).tolist()
    return tables


def chars_tables() -> CharacterTables:
    """Each character alone, folded by the same string ops as in the reference."""
    tf, _ = tensorflow()
    from export.tokenizer.reference import CharsReference

    encoded = tf.strings.unicode_encode(tf.constant(SCALARS, tf.int32)[:, None], "UTF-8")
    folded = tf.strings.unicode_decode(CharsReference.fold(encoded), "UTF-8")
    values = folded.values.numpy().tolist()
    assert len(values) == len(SCALARS)
    tables = CharacterTables(LIMIT, limit_in_bytes=False)
    tables.folds = {c: itself(v, ALONE) for c, v in zip(SCALARS, values, strict=True)}
    return tables
