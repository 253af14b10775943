"""The masked language model's head: scores of every token at every position.

Source: `get_masked_lm_output` of google-research/bert and google-research/albert, where the
decoder is the table of word embeddings itself.
"""

import numpy as np
import tensorflow as tf
import tf_keras

from export.architectures.config import EncoderConfig
from export.architectures.layers import activation, dense, layer_norm


class MlmHead(tf_keras.layers.Layer):
    """float[batch, sequence, hidden] → logits float[batch, sequence, vocab]; built on creation."""

    def __init__(self, config: EncoderConfig, name: str = "mlm_head") -> None:
        super().__init__(name=name)
        self.config = config
        self.dense = dense(config, config.embedding_size, "dense")
        self.norm = layer_norm(config, "norm")
        self.dense.build([None, None, config.hidden_size])
        self.norm.build([None, None, config.embedding_size])
        self.output_bias = self.add_weight("output_bias", [config.vocab_size], initializer="zeros")

    def call(self, x: tf.Tensor, words: tf.Tensor) -> tf.Tensor:
        """`words`: float[vocab, embedding], the encoder's word embeddings."""
        x = self.norm(activation(self.config.activation, self.dense(x)))
        flat = tf.reshape(x, [-1, self.config.embedding_size])
        logits = tf.matmul(flat, words, transpose_b=True) + self.output_bias
        shape = tf.shape(x)
        return tf.reshape(logits, [shape[0], shape[1], self.config.vocab_size])


def seeded_head(config: EncoderConfig, seed: int) -> MlmHead:
    """A head with reproducible random weights, drawn as `encoder.seeded` does: untrained."""
    head = MlmHead(config)
    generator = np.random.default_rng(seed)
    for variable in head.variables:
        drawn = generator.normal(0.0, config.initializer_range, variable.shape.as_list())
        centre = 1.0 if variable is head.norm.gamma else 0.0
        variable.assign((centre + drawn).astype(np.float32))
    return head
