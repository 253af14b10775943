"""BERT, ALBERT and ELECTRA as one tf_keras model, and its SavedModel in the newest contract."""

from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from export.architectures.config import EncoderConfig
from export.architectures.layers import MASKED, Embeddings, EncoderLayer, dense

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class Encoder(tf_keras.Model):
    """The encoder in the newest contract of the collection.

    Input: a dict of `input_ids`, `attention_mask`, `token_type_ids`, int32[batch, sequence].
    Output: a dict of `sequence_output` float32[batch, sequence, hidden] and, unless the checkpoint
    was saved without a pooler, `pooled_output` float32[batch, hidden].
    """

    def __init__(self, config: EncoderConfig, name: str) -> None:
        super().__init__(name=name)
        self.config = config
        self.embeddings = Embeddings(config)
        # ALBERT always projects; ELECTRA only where the widths differ; BERT's never differ.
        projects = config.shared_layers or config.embedding_size != config.hidden_size
        self.projection = dense(config, config.hidden_size, "projection") if projects else None
        self.blocks = [EncoderLayer(config, f"layer_{i}") for i in range(len(config.blocks))]
        self.pooler = dense(config, config.hidden_size, "pooler") if config.has_pooler else None

    def call(self, inputs: dict[str, tf.Tensor], training: bool = False) -> dict[str, tf.Tensor]:
        """Runs every layer; see the class for shapes."""
        mask = tf.cast(inputs["attention_mask"], tf.float32)
        bias = (1.0 - mask[:, tf.newaxis, tf.newaxis, :]) * MASKED
        x = self.embeddings(inputs["input_ids"], inputs["token_type_ids"], training=training)
        if self.projection is not None:
            x = self.projection(x)
        for i in self.config.schedule:
            x = self.blocks[i](x, bias, training=training)
        outputs = {"sequence_output": x}
        if self.pooler is not None:
            outputs["pooled_output"] = tf.tanh(self.pooler(x[:, 0]))
        elif self.config.architecture == "electra":
            outputs["pooled_output"] = x[:, 0]
        return outputs

    @tf.function(input_signature=[{n: tf.TensorSpec([None, None], tf.int32, n) for n in INPUTS}])
    def serve(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The signature `serving_default`."""
        outputs: dict[str, tf.Tensor] = self(inputs, training=False)
        return outputs


def seeded(config: EncoderConfig, name: str, seed: int) -> Encoder:
    """An encoder with reproducible random weights: untrained, for tests and as a placeholder.

    Biases and layer norms are drawn too: zeros and ones would hide a swapped or a lost one.
    """
    model = Encoder(config, name)
    # Symbolic inputs rather than a sample: they leave batch and sequence free in what is saved.
    model({key: tf_keras.Input([None], dtype=tf.int32, name=key) for key in INPUTS})
    generator = np.random.default_rng(seed)
    for variable in model.variables:
        drawn = generator.normal(0.0, config.initializer_range, variable.shape.as_list())
        centre = 1.0 if "/gamma:" in variable.name else 0.0
        variable.assign((centre + drawn).astype(np.float32))
    return model


def save(model: tf_keras.Model, directory: Path) -> None:
    """Saves a SavedModel that `hub.load`, `KerasLayer` and `load_model` take alike.

    `model` is an `Encoder` or a `SentenceEncoder`: its signature is its method `serve`.
    """
    model.save(str(directory), save_format="tf", signatures={"serving_default": model.serve})
