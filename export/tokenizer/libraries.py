"""The publishers' tokenizer libraries with one common interface.

`export.tokenizer` imports this module, and it is also a script: `--tokenizer-python` starts it in
the interpreter that the user runs in production (Python 3.8 or newer). So it needs only the
standard library and, once a tokenizer is loaded, that interpreter's `tensorflow_text` or
`tokenizers`. As a script it answers requests on stdin; `interpreter.py` sends them.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import re
import struct
import sys
from typing import Any

# The module and the distribution that each algorithm needs.
PACKAGES = {
    "bert": ("tokenizers", "tokenizers"),
    "tf-text": ("tensorflow_text", "tensorflow-text"),
    "tf-text-fast": ("tensorflow_text", "tensorflow-text"),
    "chars": ("tensorflow", "tensorflow"),
}
TEXTS_PER_STRING = (
    100  # texts that go through Hugging Face's normalizer as one string; more are slower
)


class LibraryMissing(Exception):
    """The library is not installed in this interpreter."""


class VocabRefused(Exception):
    """The library refuses the vocab; the message is the library's."""


def read_versions(algorithm: str) -> dict[str, str]:
    """Returns this interpreter's version, and that of the library that the algorithm needs.

    Raises:
        LibraryMissing: the library is not installed.
    """
    from importlib.metadata import PackageNotFoundError, version

    module, distribution = PACKAGES[algorithm]
    try:
        found = version(distribution)
    except PackageNotFoundError:  # a nightly or a build of another name
        found = str(getattr(_import_library(module), "__version__", "unknown"))
    return {"python": platform.python_version(), distribution: found}


def _import_library(module: str) -> Any:
    """Imports a module.

    Raises:
        LibraryMissing: it is not installed.
        ImportError: it is installed, but its import fails.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module:
            raise LibraryMissing(module) from None
        raise


def load_tokenizer(
    algorithm: str, options: dict[str, bool], tokens: list[str], special: dict[str, int]
) -> Any:
    """Loads a tokenizer with a vocab.

    Args:
        algorithm: `bert`, `tf-text`, `tf-text-fast` or `chars`.
        options: as in `bundle.json`.
        tokens: the vocab's lines, in the order of their ids.
        special: the ids of `cls`, `sep` and `unk`.

    Raises:
        LibraryMissing: the library is not installed.
        VocabRefused: the library refuses the vocab.
    """
    kinds: dict[str, Any] = {
        "bert": Bert,
        "tf-text": TfText,
        "tf-text-fast": TfTextFast,
        "chars": Chars,
    }
    return kinds[algorithm](options, tokens, special)


class Bert:
    """`tokenizers.BertWordPieceTokenizer`."""

    def __init__(
        self, options: dict[str, bool], tokens: list[str], special: dict[str, int]
    ) -> None:
        """Passes the vocab as a mapping: from a file, the library would trim its lines.

        Of equal lines the last one counts, as in the library's own reader.
        """
        maker = _import_library("tokenizers").BertWordPieceTokenizer
        self.tokenizer = maker(
            {token: i for i, token in enumerate(tokens)},
            lowercase=options["lower_case"],
            strip_accents=options["strip_accents"],
            handle_chinese_chars=options["split_chinese"],
            clean_text=True,
        )

    def flat(self, texts: list[str]) -> tuple[Any, Any]:
        """Returns the concatenated ids of all texts and their row splits; no special tokens."""
        rows = [e.ids for e in self._encodings(texts, None, False)]
        return [i for row in rows for i in row], row_splits(rows)

    def with_types(
        self, texts: list[str], pairs: list[str] | None, special_tokens: bool, limit: int | None
    ) -> tuple[Any, Any, Any]:
        """Returns ids, types and row splits of texts or pairs, cut by the library itself.

        Args:
            texts: the first texts.
            pairs: the second texts; None for single texts.
            special_tokens: whether to add [CLS] and [SEP].
            limit: the most ids; None: no limit.
        """
        if limit is not None:
            self.tokenizer.enable_truncation(limit)
        try:
            found = self._encodings(texts, pairs, special_tokens)
        finally:
            self.tokenizer.no_truncation()
        values = [i for encoding in found for i in encoding.ids]
        types = [i for encoding in found for i in encoding.type_ids]
        return values, types, row_splits([encoding.ids for encoding in found])

    def split(self, texts: list[str]) -> list[str]:
        r"""Returns the words of each text, joined by \n; texts begin with a and end with b.

        Many texts are joined, with a separator that is a word by itself, for speed. Most
        characters are unassigned and removed, so that most strings are equal once normalized; these
        are split once.
        """
        normalizer, splitter = self.tokenizer.normalizer, self.tokenizer.pre_tokenizer
        found: list[str] = []
        known: dict[str, list[str]] = {}
        for i in range(0, len(texts), TEXTS_PER_STRING):
            normal = normalizer.normalize_str("|".join(texts[i : i + TEXTS_PER_STRING]))
            if normal not in known:
                words = splitter.pre_tokenize_str(normal)
                parts = "\n".join(word for word, _ in words)[1:-1].split("b\n|\na")
                known[normal] = ["a" + part + "b" for part in parts]
            found += known[normal]
        if len(found) != len(texts):
            raise RuntimeError(f"{len(texts)} texts gave {len(found)} lists of words")
        return found

    def _encodings(self, texts: list[str], pairs: list[str] | None, special_tokens: bool) -> Any:
        for text in [*texts, *(pairs or [])]:
            text.encode()  # the library's own error for a lone surrogate is a TypeError
        batch = list(texts) if pairs is None else list(zip(texts, pairs))  # noqa: B905  Python 3.8
        return self.tokenizer.encode_batch(batch, add_special_tokens=special_tokens)


class OnTensorFlow:
    """The common part of the tokenizers that use TensorFlow."""

    special: dict[str, int]
    tokenizer: Any

    def ragged(self, texts: list[str]) -> Any:
        """Returns the ids of each text: int32[texts, (ids)]."""
        tf = _import_library("tensorflow")
        ids = self.tokenizer.tokenize(_string_tensor(texts))
        return tf.cast(ids.merge_dims(1, 2), tf.int32)

    def flat(self, texts: list[str]) -> tuple[Any, Any]:
        """Returns the concatenated ids of all texts and their row splits; no special tokens."""
        ids = self.ragged(texts)
        return ids.values.numpy(), ids.row_splits.numpy()

    def with_types(
        self, texts: list[str], pairs: list[str] | None, special_tokens: bool, limit: int | None
    ) -> tuple[Any, Any, Any]:
        """Returns ids, types and row splits of texts or pairs, cut by TF-Text's trimmer.

        Args:
            texts: the first texts.
            pairs: the second texts; None for single texts.
            special_tokens: whether to add [CLS] and [SEP].
            limit: the most ids; None: no limit.
        """
        tf, tf_text = _import_library("tensorflow"), _import_library("tensorflow_text")
        segments = [self.ragged(one) for one in (texts, pairs) if one is not None]
        if limit is not None:
            added = len(segments) + 1 if special_tokens else 0
            segments = tf_text.RoundRobinTrimmer(limit - added).trim(segments)
        if special_tokens:
            ids, types = tf_text.combine_segments(
                segments, self.special["cls"], self.special["sep"]
            )
        else:
            ids = tf.concat(segments, 1)
            types = tf.concat([tf.ones_like(one) * i for i, one in enumerate(segments)], 1)
        return ids.values.numpy(), types.values.numpy(), ids.row_splits.numpy()


class TfText(OnTensorFlow):
    """`tensorflow_text.BertTokenizer`."""

    def __init__(
        self, options: dict[str, bool], tokens: list[str], special: dict[str, int]
    ) -> None:
        """Makes a lookup table of the vocab; the table refuses equal lines."""
        tf_text, tf = _import_library("tensorflow_text"), _import_library("tensorflow")
        self.special = special
        self.lower_case = options["lower_case"]
        keys, ids = _string_tensor(tokens), tf.range(len(tokens), dtype=tf.int64)
        try:
            table = tf.lookup.StaticVocabularyTable(
                tf.lookup.KeyValueTensorInitializer(keys, ids), num_oov_buckets=1
            )
        except tf.errors.FailedPreconditionError as error:
            raise VocabRefused(first_line(error)) from None
        self.tokenizer = tf_text.BertTokenizer(table, lower_case=self.lower_case)

    def split(self, texts: list[str]) -> list[str]:
        r"""Returns the words of each text, joined by \n."""
        tf = _import_library("tensorflow")
        ops = importlib.import_module("tensorflow_text.python.ops.bert_tokenizer")
        words = ops.BasicTokenizer(lower_case=self.lower_case).tokenize(_string_tensor(texts))
        rows, count = words.value_rowids(), words.nrows()
        joined = tf.strings.unsorted_segment_join(words.values, rows, count, separator="\n")
        return [text.decode() for text in joined.numpy().tolist()]


class TfTextFast(OnTensorFlow):
    """`tensorflow_text.FastBertTokenizer`."""

    def __init__(
        self, options: dict[str, bool], tokens: list[str], special: dict[str, int]
    ) -> None:
        """Builds the tokenizer's trie."""
        tf_text, tf = _import_library("tensorflow_text"), _import_library("tensorflow")
        self.special = special
        self.lower_case = options["lower_case"]
        try:
            self.tokenizer = tf_text.FastBertTokenizer(
                [token.encode() for token in tokens],
                token_out_type=tf.int32,
                lower_case_nfd_strip_accents=self.lower_case,
            )
        except (RuntimeError, ValueError) as error:
            raise VocabRefused(first_line(error)) from None

    def ragged(self, texts: list[str]) -> Any:
        """Returns the ids of each text: int32[texts, (ids)]."""
        ids = self.tokenizer.tokenize(_string_tensor(texts))
        return ids.merge_dims(1, 2) if ids.ragged_rank == 2 else ids

    def normalize(self, texts: list[str]) -> list[str]:
        """Returns each text as `FastBertNormalizer` changes it."""
        tf_text = _import_library("tensorflow_text")
        fold = tf_text.FastBertNormalizer(lower_case_nfd_strip_accents=self.lower_case)
        return [text.decode() for text in fold.normalize(_string_tensor(texts)).numpy().tolist()]

    def count_words(self, texts: list[str]) -> list[int]:
        """Counts the tokens of each text with a vocab of [UNK], a and b."""
        tf_text, tf = _import_library("tensorflow_text"), _import_library("tensorflow")
        pieces = tf_text.FastWordpieceTokenizer(["[UNK]", "a", "b"], token_out_type=tf.int32)
        counts: list[int] = pieces.tokenize(_string_tensor(texts)).row_lengths().numpy().tolist()
        return counts


class Chars:
    """The collection's simple tokenizer, one token per character, in TensorFlow string ops.

    ASCII letters become lower case (in the vocab's lines too), each ASCII white-space character
    becomes `-`, and `[pad] [unk] [cls] [sep] [mask]` in any case are the special tokens.
    """

    # A special token has several characters. While the text is split into characters, it is written
    # as ESC and a letter; an ESC in the text is, too.
    MARK = "\x1b"
    ESCAPED = {"e": MARK, "p": "[pad]", "u": "[unk]", "c": "[cls]", "s": "[sep]", "m": "[mask]"}

    def __init__(
        self, options: dict[str, bool], tokens: list[str], special: dict[str, int]
    ) -> None:
        """Makes the lookup tables; of lines that are equal in lower case the first counts."""
        tf = _import_library("tensorflow")
        first: dict[bytes, int] = {}
        for i, token in enumerate(tf.strings.lower(_string_tensor(tokens)).numpy().tolist()):
            first.setdefault(token, i)
        self._table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(list(first)), tf.constant(list(first.values()), tf.int64)
            ),
            default_value=special["unk"],
        )
        written = tf.constant(list(self.ESCAPED.values()))
        self._escaped = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(list(self.ESCAPED), self._table[written]),
            default_value=special["unk"],
        )

    def fold(self, texts: list[str]) -> list[str]:
        """Lower-cases ASCII letters, and replaces ASCII white space by `-`."""
        return [text.decode() for text in self._folded(_string_tensor(texts)).numpy().tolist()]

    @staticmethod
    def _folded(text: Any) -> Any:
        tf = _import_library("tensorflow")
        return tf.strings.regex_replace(tf.strings.lower(text), "[[:space:]]", "-")

    def flat(self, texts: list[str]) -> tuple[Any, Any]:
        """Returns the concatenated ids of all texts and their row splits; no special tokens."""
        tf = _import_library("tensorflow")
        text = self._folded(_string_tensor(texts))
        for letter, token in self.ESCAPED.items():
            text = tf.strings.regex_replace(text, re.escape(token), self.MARK + letter)
        characters = tf.strings.unicode_split(text, "UTF-8")
        flat = characters.flat_values
        is_mark = flat == self.MARK
        escaped = tf.concat([[False], is_mark[:-1]], 0)
        ids = tf.where(escaped, self._escaped[flat], self._table[flat])
        visible = characters.with_flat_values(~is_mark)
        found = tf.ragged.boolean_mask(characters.with_flat_values(ids), visible)
        return found.values.numpy(), found.row_splits.numpy()


def _string_tensor(texts: list[str]) -> Any:
    """Returns a tensor string[texts]."""
    tf = _import_library("tensorflow")
    return tf.constant([text.encode() for text in texts], tf.string)


def row_splits(rows: list[list[int]]) -> list[int]:
    """Returns the start of each row in the concatenation of all rows, and the end."""
    splits = [0]
    for row in rows:
        splits.append(splits[-1] + len(row))
    return splits


def first_line(error: Exception) -> str:
    """Returns the first line of an error's message."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


METHODS = ("flat", "with_types", "split", "normalize", "count_words", "fold")


def serve(nonce: str) -> None:
    """Answers requests on stdin until it closes; nothing else is written to the real stdout.

    A request is its length (uint32, big-endian) and JSON: `{"op": …, "arguments": [...]}`, with a
    loaded tokenizer's number as `tokenizer`. The answer has `result`, or `error` and its `kind`.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints would break the frames
    # As support/quiet_tensorflow.py: this file runs alone, in an interpreter without the others.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # This text does not occur in this file: a program that is no Python may print the file.
    answers.write(f"\nready {nonce[::-1]}\n".encode())
    answers.flush()
    loaded: list[Any] = []
    while True:
        head = sys.stdin.buffer.read(4)
        if len(head) < 4:
            return
        request = json.loads(sys.stdin.buffer.read(struct.unpack(">I", head)[0]).decode())
        try:
            answer: dict[str, Any] = {"result": _answer_request(request, loaded)}
        except LibraryMissing as error:
            answer = {"kind": "missing", "error": str(error)}
        except VocabRefused as error:
            answer = {"kind": "refused", "error": str(error)}
        except Exception as error:  # whatever a library raises is the other end's to report
            answer = {"kind": "failed", "error": f"{type(error).__name__}: {first_line(error)}"}
        body = json.dumps(answer, ensure_ascii=False).encode()
        answers.write(struct.pack(">I", len(body)) + body)
        answers.flush()


def _answer_request(request: dict[str, Any], loaded: list[Any]) -> Any:
    """Returns the result of one request; `loaded` has the tokenizers by number."""
    op, arguments = request["op"], request["arguments"]
    if op == "versions":
        return read_versions(*arguments)
    if op == "load":
        loaded.append(load_tokenizer(*arguments))
        return len(loaded) - 1
    if op not in METHODS:
        raise ValueError(f"no such request: {op}")
    result = getattr(loaded[request["tokenizer"]], op)(*arguments)
    if isinstance(result, tuple):
        return [part.tolist() if hasattr(part, "tolist") else part for part in result]
    return result


if __name__ == "__main__":
    # Modules must not be imported from this file's directory.
    del sys.path[0]
    serve(sys.argv[1])
