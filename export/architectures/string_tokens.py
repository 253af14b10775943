"""The older contract of the collection: takes a matrix of token strings, returns 3 or 4 tensors.

`''` means [PAD], an unknown token [UNK], and rows are cut to 512. The mask is all ones, so the
model attends to padding; the types are all 0.
"""

import tempfile
from pathlib import Path

import tensorflow as tf
import tf_keras

from export.architectures.encoder import Encoder, MlmHead, seeded_head
from export.source.signature_choice import DEFAULT_SIGNATURE
from export.tokenizer import TokenizerSpec
from export.tokenizer.reference import refuse_repeated
from export.tokenizer.vocab import Vocab, compare_sizes
from support.contracts import VOCAB_FILE
from support.sha256 import file_sha256

INPUT = "args_0"
MAX_POSITIONS = 512
HEAD_SEED = 1


class VocabFileInitializer(tf.lookup.TextFileInitializer):
    """Initialises a table from a vocab file; the table's name depends only on the file's content.

    TensorFlow's own name contains the file's path, so each save of a model would have other bytes.
    Two models in one process share a table if the names are equal, so the name must differ for
    different vocabs.
    """

    def __init__(self, file: Path) -> None:
        self._content = file_sha256(file)
        kinds = tf.lookup.TextFileIndex
        super().__init__(str(file), tf.string, kinds.WHOLE_LINE, tf.int64, kinds.LINE_NUMBER)

    @property
    def _shared_name(self) -> str:
        return f"hash_table_{self._content}"


class StringTokens(tf_keras.Model):
    """An encoder behind a lookup table.

    Input: `args_0`, string[batch, sequence]. Output: a dict of the encoder's outputs, of
    `embedding_output` float32[batch, sequence, embedding] and, if there is a head, `mlm_logits`
    float32[batch, sequence, vocab]. The output's sequence has at most 512 positions.
    """

    def __init__(self, encoder: Encoder, vocab: Vocab, file: Path, head: MlmHead | None) -> None:
        """Makes the model.

        Args:
            encoder: the encoder.
            vocab: its vocab.
            file: the vocab's file, which becomes an asset.
            head: the head of the masked language model, if any.
        """
        super().__init__(name=encoder.name)
        self.encoder = encoder
        self.head = head
        self.padding = vocab.special["pad"].id
        self.longest = min(MAX_POSITIONS, encoder.config.max_position_embeddings)
        self.table = tf.lookup.StaticHashTable(VocabFileInitializer(file), vocab.special["unk"].id)

    def call(self, tokens: tf.Tensor) -> dict[str, tf.Tensor]:
        """Looks the tokens up and runs the encoder; see the class for shapes."""
        tokens = tokens[:, : self.longest]
        ids = tf.cast(self.table.lookup(tokens), tf.int32)
        ids = tf.where(tf.equal(tokens, ""), self.padding, ids)
        types = tf.zeros_like(ids)
        inputs = {"input_ids": ids, "attention_mask": tf.ones_like(ids), "token_type_ids": types}
        outputs: dict[str, tf.Tensor] = self.encoder(inputs)
        # The encoder does not return its embeddings; the graph optimiser merges both computations.
        outputs["embedding_output"] = self.encoder.embeddings(ids, types)
        if self.head is not None:
            words = self.encoder.embeddings.word_embeddings
            outputs["mlm_logits"] = self.head(outputs["sequence_output"], words)
        return outputs

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.string, INPUT)])
    def serve(self, tokens: tf.Tensor) -> dict[str, tf.Tensor]:
        """Serves as the signature `serving_default`."""
        outputs: dict[str, tf.Tensor] = self(tokens)
        return outputs


def save_string_tokens(
    encoder: Encoder,
    vocab: Vocab,
    directory: Path,
    outputs: int = 4,
    head: MlmHead | None = None,
) -> None:
    """Saves a SavedModel of the older contract, with its vocab as an asset as in the originals.

    Args:
        encoder: the encoder.
        vocab: its vocab.
        directory: the directory of the SavedModel.
        outputs: 4, or 3 as in the deprecated models, which have no `mlm_logits`. An encoder without
            a pooler has one output less.
        head: the head for `mlm_logits`; None: a seeded, untrained one.

    Raises:
        UserError: the vocab has more tokens than the encoder has embeddings, or a token twice.
    """
    if outputs not in (3, 4):
        raise ValueError(f"expected 3 or 4 outputs, got {outputs}")
    _refuse_mismatch(vocab, encoder.config.vocab_size)
    if outputs == 3:
        head = None
    elif head is None:
        head = seeded_head(encoder.config, HEAD_SEED)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / VOCAB_FILE
        file.write_bytes("".join(f"{token}\n" for token in vocab.tokens).encode())
        model = StringTokens(encoder, vocab, file, head)
        model(tf_keras.Input([None], dtype=tf.string, name=INPUT))
        model.save(str(directory), save_format="tf", signatures={DEFAULT_SIGNATURE: model.serve})


def _refuse_mismatch(vocab: Vocab, rows: int) -> None:
    """Refuses a vocab that does not fit a table of `rows` embeddings.

    Raises:
        UserError: it has more lines, or a token on two lines, which no lookup table accepts.
    """
    compare_sizes("the vocab", len(vocab.tokens), rows)
    refuse_repeated(TokenizerSpec("tf-text"), vocab)
