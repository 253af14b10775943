"""Runs TensorFlow Model Garden's encoders (tf-models-official), exported as those on TF-Hub.

MODEL is `bert` or `albert`.
"""

import os
import sys
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
import tf_keras
from official.nlp.configs import encoders
from official.nlp.modeling import layers
from official.nlp.modeling.layers import transformer_encoder_block
from official.nlp.modeling.networks import albert_encoder, bert_encoder
from official.nlp.tools import export_tfhub_lib

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


class Float64TensorFlow:
    """TensorFlow for their modules, with float64 where they say float32."""

    float32 = tf.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(tf, name)


def _make_configuration(name: str, tokens: int) -> Any:
    """Makes their configuration of the model of that name."""
    sizes = {
        "vocab_size": tokens,
        "hidden_size": HIDDEN,
        "num_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "max_position_embeddings": LONGEST,
    }
    if name == "albert":
        return encoders.EncoderConfig(type="albert", albert=sizes | {"embedding_width": NARROW})
    return encoders.EncoderConfig(type="bert", bert=sizes)


def encode_cases(work: Path) -> dict[str, np.ndarray]:
    """Encodes with their BertTokenizer and BertPackInputs, as their preprocessing models do."""
    tokenizer = layers.BertTokenizer(vocab_file=str(work / "vocab.txt"), lower_case=True)
    special = tokenizer.get_special_tokens_dict()
    pack = layers.BertPackInputs(seq_length=LONGEST, special_tokens_dict=special)
    rows = []
    for case in read_cases(work):
        texts = [case.text] if case.pair is None else [case.text, case.pair]
        packed = pack([tokenizer(tf.constant([text])).merge_dims(1, 2) for text in texts])
        length = int(tf.reduce_sum(packed["input_mask"]))
        row = (packed[key].numpy()[0, :length] for key in ("input_word_ids", "input_type_ids"))
        rows.append(tuple(row))
    return pad_rows(rows)


def run_model(model: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Runs their forward pass."""
    feeds = {
        "input_word_ids": inputs["input_ids"],
        "input_mask": inputs["attention_mask"],
        "input_type_ids": inputs["token_type_ids"],
    }
    answer = model({name: tf.constant(value) for name, value in feeds.items()}, training=False)
    return {name: answer[name].numpy() for name in ("sequence_output", "pooled_output")}


def _build_in_float64(config: Any) -> Any:
    """Builds the same encoder with float64 weights and arithmetic."""
    tf_keras.backend.set_floatx("float64")
    for module in (albert_encoder, bert_encoder, transformer_encoder_block):
        module.tf = Float64TensorFlow()
    return encoders.build_encoder(config)


def main(name: str, work: Path) -> None:
    """Builds, saves and runs one model."""
    tf_keras.utils.set_random_seed(SEED)
    inputs = encode_cases(work)
    config = _make_configuration(name, len(read_tokens(work)))
    model = encoders.build_encoder(config)
    weights = add_noise(model.get_weights())
    model.set_weights(weights)
    checkpoint = tf.train.Checkpoint(encoder=model).save(str(work / "checkpoint" / "encoder"))
    outputs = run_model(model, inputs)
    # Outputs are named after the layer: `bert_encoder`, as in a process that only exports.
    tf_keras.backend.clear_session()
    export_tfhub_lib.export_model(
        str(work / "model"),
        encoder_config=config,
        model_checkpoint_path=checkpoint,
        with_mlm=False,
        vocab_file=str(work / "vocab.txt"),
        do_lower_case=True,
    )
    exact = _build_in_float64(config)
    exact.set_weights([weight.astype(np.float64) for weight in weights])
    packages = ["tf-models-official", "tf-keras", "tensorflow"]
    write_reference(work, inputs, outputs, run_model(exact, inputs), packages)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
