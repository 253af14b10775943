"""Saves a tokenizer as a hub SavedModel with tensorflow-text, in the newest contract.

`hub.load(directory)(["你好"])` gives `input_ids`, `attention_mask` and `token_type_ids`, each
int32[1, 2].
"""

import tempfile
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_text as tf_text

from export.source.signature_choice import DEFAULT_SIGNATURE
from export.tokenizer.vocab import Vocab
from support.contracts import VOCAB_FILE
from support.sha256 import file_sha256


class NamedAsset(tf.saved_model.Asset):
    """An asset whose representation is the hash of its content.

    TensorFlow uses the asset's representation in the lookup table's name. By default that has the
    address in memory, so no two saves would be equal.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.hash = file_sha256(Path(path))

    def __repr__(self) -> str:
        return f"vocab_{self.hash}"


class TokenizerModel(tf.Module):
    """Converts strings to padded ids, without special tokens.

    The vocab file becomes an asset, so the saved directory can be moved.
    """

    def __init__(self, vocab_file: Path, pad: int, lower_case: bool) -> None:
        super().__init__()
        initializer = tf.lookup.TextFileInitializer(
            NamedAsset(str(vocab_file)),
            key_dtype=tf.string,
            key_index=tf.lookup.TextFileIndex.WHOLE_LINE,
            value_dtype=tf.int64,
            value_index=tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        self.table = tf.lookup.StaticVocabularyTable(initializer, num_oov_buckets=1)
        self.tokenizer = tf_text.BertTokenizer(self.table, lower_case=lower_case)
        self.pad = pad

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def __call__(self, text: Any) -> dict[str, Any]:
        """Tokenizes `text`: string[batch] to a dict of int32[batch, sequence]."""
        ids = tf.cast(self.tokenizer.tokenize(text).merge_dims(1, 2), tf.int32)
        padded = ids.to_tensor(self.pad)
        return {
            "input_ids": padded,
            "attention_mask": tf.sequence_mask(ids.row_lengths(), tf.shape(padded)[1], tf.int32),
            "token_type_ids": tf.zeros_like(padded),
        }


def save_model(vocab: Vocab, out: Path, lower_case: bool) -> None:
    """Writes the SavedModel; see `export.tokenizer.save_tokenizer_model`."""
    with tempfile.TemporaryDirectory() as directory:
        vocab_file = Path(directory) / VOCAB_FILE
        vocab_file.write_bytes(vocab.raw)
        model = TokenizerModel(vocab_file, vocab.special["pad"].id, lower_case)
        tf.saved_model.save(model, str(out), signatures={DEFAULT_SIGNATURE: model.__call__})
