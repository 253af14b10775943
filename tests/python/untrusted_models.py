"""Untrusted SavedModels: harmless ones of different tools, and malicious ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_text as tf_text
import tf_keras
from tensorflow.core.protobuf import saved_model_pb2

from export.architectures import encoder
from export.encoder_config import EncoderConfig
from export.tokenizer import save_tokenizer_model
from export.tokenizer.vocab import parse_vocab

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "你", "好", "##a"]
TEXT = [tf.TensorSpec([None], tf.string, "text")]
TOKEN_MATRIX = [tf.TensorSpec([None, None], tf.string, "args_0")]


def own_encoder(out: Path, dropout: float = 0.1) -> Path:
    """Saves a small encoder as the exporter does."""
    config = EncoderConfig(
        "bert", len(TOKENS), 1, 4, 2, 8, 4, max_position_embeddings=8, hidden_dropout_prob=dropout
    )
    encoder.save_encoder(encoder.seeded_encoder(config, "small", 1), out)
    return out


def own_tokenizer(out: Path) -> Path:
    """Saves a tokenizer as the exporter does."""
    raw = "".join(f"{token}\n" for token in TOKENS).encode()
    save_tokenizer_model(parse_vocab(raw, "vocab.txt"), out, lower_case=True)
    return out


def module_with_signature(function: Callable[[Any], Any], signature: list[Any] = TEXT) -> Any:
    """Makes a module with a function as its signature, and a weight."""
    module = tf.Module()
    module.weight = tf.Variable([1.0, 2.0])
    module.serve = tf.function(function, input_signature=signature)
    return module


def save_function(function: Callable[[Any], Any], out: Path, signature: list[Any] = TEXT) -> Path:
    """Saves a function as the signature of a SavedModel."""
    module = module_with_signature(function, signature)
    tf.saved_model.save(module, str(out), signatures={"serving_default": module.serve})
    return out


def edit_graph(saved_model: Path, change: Callable[[Any], None]) -> Path:
    """Changes the meta graph in the file, without TensorFlow."""
    file = saved_model / "saved_model.pb"
    document = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    change(document.meta_graphs[0])
    file.write_bytes(document.SerializeToString())
    return saved_model


def string_lengths(text: Any) -> dict[str, Any]:
    """A harmless signature."""
    return {"length": tf.strings.length(text)}


def string_tokens(out: Path) -> Path:
    """Saves a model of the older contract with its table in a constant, as in the collection."""
    ids = list(range(len(TOKENS)))
    keys = tf.lookup.KeyValueTensorInitializer([*TOKENS, ""], [*ids, -1], tf.string, tf.int32)
    table = tf.lookup.StaticHashTable(keys, 1)
    embedding = tf.Variable(tf.random.normal([len(TOKENS), 4]))

    def serve(args_0: Any) -> dict[str, Any]:
        ids = table.lookup(args_0[:, :512])
        mask = tf.cast(ids >= 0, tf.float32)[:, :, None]
        sequence = tf.gather(embedding, tf.abs(ids)) * mask
        return {"sequence_output": sequence, "pooled_output": sequence[:, 0], "third": ids}

    module = module_with_signature(serve, TOKEN_MATRIX)
    module.table, module.embedding = table, embedding
    tf.saved_model.save(module, str(out), signatures={"serving_default": module.serve})
    return out


def vocab_table(out: Path) -> Path:
    """Saves a tokenizer with its vocab as an asset."""
    file = out.with_name(f"{out.name}.vocab.txt")
    file.write_text("".join(f"{token}\n" for token in TOKENS), encoding="utf-8")
    lines = tf.lookup.TextFileInitializer(
        str(file),
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
    )
    table = tf.lookup.StaticVocabularyTable(lines, 1)
    tokenizer = tf_text.BertTokenizer(table, lower_case=True)
    module = module_with_signature(
        lambda text: {"ids": tokenizer.tokenize(text).merge_dims(1, 2).to_tensor()}
    )
    module.tokenizer = tokenizer
    tf.saved_model.save(module, str(out), signatures={"serving_default": module.serve})
    return out


def fast_tokenizer(out: Path) -> Path:
    """Saves tensorflow-text's fast tokenizer, whose vocab is compiled into a constant."""
    tokenizer = tf_text.FastBertTokenizer(TOKENS, lower_case_nfd_strip_accents=True)
    return save_function(lambda text: {"ids": tokenizer.tokenize(text).to_tensor()}, out)


def trained_keras(out: Path) -> Path:
    """Saves a Keras model with dropout and its optimizer, after one step of training."""
    layers = tf_keras.layers
    inputs = layers.Input([None], dtype=tf.int32, name="input_ids")
    x = layers.Dropout(0.1)(layers.LayerNormalization()(layers.Embedding(9, 4)(inputs)))
    model = tf_keras.Model(inputs, layers.Dense(2, activation="softmax")(x[:, 0]))
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(tf.ones([4, 5], tf.int32), tf.ones([4]), verbose=0)
    model.save(str(out))
    return out


class WritesWhenLoaded(tf.saved_model.experimental.TrackableResource):  # type: ignore[misc]
    """A resource that writes a file as soon as a model that has it is loaded."""

    def __init__(self, marker: Path) -> None:
        super().__init__()
        self.marker = str(marker)

    def _create_resource(self) -> Any:
        return tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)

    def _initialize(self) -> None:
        tf.io.write_file(self.marker, "was here")


def writes_when_loaded(out: Path, marker: Path) -> Path:
    """Saves a harmless signature with a harmful resource."""
    module = module_with_signature(string_lengths)
    module.resource = WritesWhenLoaded(marker)
    tf.saved_model.save(module, str(out), signatures={"serving_default": module.serve})
    return out
