"""A hub tokenizer SavedModel with the interface of the references: texts in, ids out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401 (its ops must be known before a model that has them is loaded)

from export.source.roles import INPUT_NAMES, find_role
from export.source.vetting import load_saved_model
from export.tokenizer.reference import FlatIds
from export.tokenizer.vocab import Vocab, parse_vocab
from support.errors import UserError

BATCH = 2048


class HubTokenizer:
    """The ids of a tokenizer SavedModel, without padding and the special tokens that it adds."""

    def __init__(self, directory: Path) -> None:
        """Loads the model.

        Raises:
            UserError: see `load_saved_model`; or it does not convert strings to ids.
        """
        self.directory = directory
        self.lead: list[int] = []
        self.tail: list[int] = []
        self.pad = 0
        self._loaded = load_saved_model(directory)
        try:
            self._call = _find_entry_point(self._loaded)
            self._ids(self._call(tf.constant(["你好"])))
        except (OSError, ValueError, TypeError, KeyError, tf.errors.OpError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise UserError(
                f"{directory} is no tokenizer: called with a list of strings, expected "
                f"token ids, got: {reason}"
            ) from error

    def vocab(self) -> Vocab | None:
        """Reads the vocab in the model's lookup table, with the bytes of its asset if it has one.

        Returns:
            None if the model has no readable table (`FastBertTokenizer` stores a trie).

        Raises:
            UserError: tables contradict each other, ids have gaps, or `parse_vocab` refuses lines.
        """
        found = {
            tuple(tokens)
            for tokens in map(_read_table_tokens, self._tables())
            if tokens is not None
        }
        if not found:
            return None
        if len(found) > 1:
            raise UserError(
                f"{self.directory}: got {len(found)} lookup tables with different tokens, "
                "expected one; give the tokenizer's own with --vocab and --tokenizer"
            )
        tokens = list(found.pop())
        for asset in sorted(self.directory.glob("assets/*")):
            raw = asset.read_bytes()
            if raw.removesuffix(b"\n").split(b"\n") == tokens:
                return parse_vocab(raw, f"{self.directory.name}/assets/{asset.name}")
        return parse_vocab(b"\n".join(tokens) + b"\n", f"{self.directory.name}, its lookup table")

    def learn_frame(self, vocab: Vocab) -> None:
        """Finds out, with the empty text, what the model adds before and after every text."""
        self.pad = vocab.special["pad"].id
        frame = [vocab.special["cls"].id, vocab.special["sep"].id]
        if self.flat([""]).rows()[0] == frame:
            self.lead, self.tail = frame[:1], frame[1:]

    @property
    def adds_special_tokens(self) -> bool:
        """Whether the model adds [CLS] and [SEP]; known after `learn_frame`."""
        return bool(self.lead)

    def flat(self, texts: Sequence[str]) -> FlatIds:
        """Returns the ids of each text, without the special tokens that `learn_frame` found."""
        rows: list[list[int]] = []
        for i in range(0, len(texts), BATCH):
            batch = tf.constant([text.encode() for text in texts[i : i + BATCH]], tf.string)
            rows += self._ids(self._call(batch))
        return FlatIds.of_rows([self._bare(row) for row in rows])

    def _bare(self, row: list[int]) -> list[int]:
        # A row without these special tokens is not changed; then no candidate matches.
        if self.lead and row[:1] == self.lead and row[-1:] == self.tail and len(row) > 1:
            return row[1:-1]
        return row

    def _ids(self, output: Any) -> list[list[int]]:
        named = (
            {find_role(name, INPUT_NAMES): value for name, value in output.items()}
            if isinstance(output, dict)
            else {"input_ids": output}
        )
        ids, mask = named["input_ids"], named.get("attention_mask")
        if isinstance(ids, tf.RaggedTensor):
            return FlatIds.of_ragged(ids).rows()
        dense = np.asarray(ids.numpy())
        if dense.ndim != 2 or dense.dtype.kind not in "iu":
            raise ValueError(f"{dense.dtype.name}{list(dense.shape)}")
        real = dense != self.pad if mask is None else np.asarray(mask.numpy()) != 0
        # Padding is at the end; the padding's id inside the text is not removed.
        lengths = np.where(real, np.arange(1, dense.shape[1] + 1), 0).max(axis=1, initial=0)
        return [row[:length].tolist() for row, length in zip(dense, lengths, strict=True)]

    def _tables(self) -> list[Any]:
        """Returns the handles of all resources that the model's functions use."""
        functions = [*self._loaded.signatures.values()]
        for name in ("__call__", "tokenize"):
            functions += getattr(getattr(self._loaded, name, None), "concrete_functions", [])
        captured = [t for function in functions for t in function.captured_inputs]
        return [tensor for tensor in captured if tensor.dtype == tf.resource]


def _find_entry_point(loaded: Any) -> Callable[[Any], Any]:
    """Returns the function to call: the model itself, `tokenize`, or its only signature."""
    entry: Any = loaded if callable(loaded) else getattr(loaded, "tokenize", None)
    if entry is not None:
        return lambda texts: entry(texts)
    (signature,) = loaded.signatures.values()
    (name,) = signature.structured_input_signature[1]
    return lambda texts: signature(**{name: texts})


def _read_table_tokens(table: Any) -> list[bytes] | None:
    """Returns the tokens of a lookup table in the order of their ids; None if it is no such table.

    Raises:
        UserError: see `tokens_by_id`.
    """
    entries = read_table(table)
    return None if entries is None else tokens_by_id(entries)


def read_table(table: Any) -> dict[bytes, int] | None:
    """Reads the ids in a lookup table of strings; None if it is no such table.

    A lookup finds the table's dtype first: if the export asks for another dtype, TensorFlow 2.21
    aborts the process ("Check failed: dtype() == expected_dtype").
    """
    for dtype in (tf.int64, tf.int32):
        try:
            tf.raw_ops.LookupTableFindV2(
                table_handle=table, keys=[""], default_value=tf.constant(0, dtype)
            )
            keys, ids = tf.raw_ops.LookupTableExportV2(
                table_handle=table, Tkeys=tf.string, Tvalues=dtype
            )
        except tf.errors.OpError:
            continue
        return dict(zip(map(bytes, keys.numpy()), ids.numpy().tolist(), strict=True))
    return None


def tokens_by_id(entries: dict[bytes, int]) -> list[bytes]:
    """Returns the tokens in the order of their ids.

    Raises:
        UserError: the ids do not count from 0 without gaps.
    """
    tokens = sorted(entries, key=lambda token: entries[token])
    if [entries[token] for token in tokens] != list(range(len(tokens))):
        raise UserError(
            f"the model's lookup table of {len(tokens)} tokens has ids with gaps or twice, "
            "expected 0, 1, 2, …; a vocab.txt cannot say this"
        )
    return tokens
