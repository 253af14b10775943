"""Runs keras-hub's backbones on Keras 3 and TensorFlow, saved by `model.export`.

Ids are tensorflow_text.BertTokenizer's, packed by keras-hub. keras-hub's own BertTokenizer is
another tokenizer, which this project does not have: it folds by NFKC, keeps accents, and makes
[UNK] of U+3000.
"""

import os
import sys
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import keras_hub
import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text

from parity_tests.conformance.publishers.reference import (
    HEADS,
    HIDDEN,
    INNER,
    LAYERS,
    LONGEST,
    NARROW,
    SEED,
    add_noise,
    pad_rows,
    read_cases,
    read_tokens,
    write_reference,
)

SIZES = {
    "num_layers": LAYERS,
    "num_heads": HEADS,
    "hidden_dim": HIDDEN,
    "intermediate_dim": INNER,
    "max_sequence_length": LONGEST,
}


def build_model(name: str, tokens: int, dtype: str) -> Any:
    """Makes the backbone of that name in a precision, with seeded weights."""
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "bert": (keras_hub.models.BertBackbone, {"vocabulary_size": tokens}),
        "albert": (
            keras_hub.models.AlbertBackbone,
            {"vocabulary_size": tokens, "embedding_dim": NARROW},
        ),
        "electra": (
            keras_hub.models.ElectraBackbone,
            {"vocab_size": tokens, "embedding_dim": NARROW},
        ),
    }
    kind, options = kinds[name]
    keras.utils.set_random_seed(SEED)
    return kind(**SIZES, **options, dtype=dtype)


def encode_cases(work: Path, longest: int = LONGEST) -> dict[str, np.ndarray]:
    """Encodes with TF-Text's BertTokenizer, packed and cut by their MultiSegmentPacker."""
    tokens = read_tokens(work)
    values = tf.range(len(tokens), dtype=tf.int64)
    table = tf.lookup.StaticVocabularyTable(
        tf.lookup.KeyValueTensorInitializer(tokens, values), num_oov_buckets=1
    )
    tokenizer = tf_text.BertTokenizer(table, lower_case=True, token_out_type=tf.int64)
    start, end = tokens.index("[CLS]"), tokens.index("[SEP]")
    packer = keras_hub.layers.MultiSegmentPacker(longest, start, end, pad_value=0)
    rows = []
    for case in read_cases(work):
        texts = [case.text] if case.pair is None else [case.text, case.pair]
        segments = tuple(
            tokenizer.tokenize([text]).merge_dims(1, 2)[0].numpy().astype(np.int32).tolist()
            for text in texts
        )
        ids, types = (np.asarray(value) for value in packer(segments))
        length = int(np.sum(ids != tokens.index("[PAD]")))
        rows.append((ids[:length].tolist(), types[:length].tolist()))
    return pad_rows(rows)


def run_model(model: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Runs their forward pass."""
    feeds = {
        "token_ids": inputs["input_ids"],
        "segment_ids": inputs["token_type_ids"],
        "padding_mask": inputs["attention_mask"],
    }
    answer = model(feeds, training=False)
    outputs = answer if isinstance(answer, dict) else {"sequence_output": answer}
    return {name: np.asarray(value) for name, value in outputs.items()}


def main(name: str, work: Path) -> None:
    """Builds, saves and runs one model."""
    tokens = len(read_tokens(work))
    model, exact = (build_model(name, tokens, dtype) for dtype in ("float32", "float64"))
    weights = add_noise(model.get_weights())
    model.set_weights(weights)
    exact.set_weights([weight.astype(np.float64) for weight in weights])
    model.export(str(work / "model"))
    inputs = encode_cases(work)
    packages = ["keras-hub", "keras", "tensorflow"]
    write_reference(work, inputs, run_model(model, inputs), run_model(exact, inputs), packages)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
