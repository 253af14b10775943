"""The transformer encoder's layers: post-layer-norm self-attention and feed-forward.

Source of the arithmetic: Devlin et al. 2018 (arXiv:1810.04805), with the layer-norm placement
and the additive mask of the TF1 reference implementation.
"""

import math

import tensorflow as tf
import tf_keras

from export.architectures.config import EncoderConfig

# What a masked position gets added to its attention score, as in the TF1 reference.
MASKED = -10000.0


def activation(name: str, x: tf.Tensor) -> tf.Tensor:
    """Applies `gelu_tanh`, `gelu_erf` or `relu` to a float tensor of any shape."""
    if name == "relu":
        return tf.nn.relu(x)
    return tf.nn.gelu(x, approximate=name == "gelu_tanh")


def initializer(config: EncoderConfig) -> tf_keras.initializers.Initializer:
    """The families' truncated normal; a new one each time, since one object repeats its values."""
    return tf_keras.initializers.TruncatedNormal(stddev=config.initializer_range)


def dense(config: EncoderConfig, units: int, name: str) -> tf_keras.layers.Dense:
    """A dense layer initialised as all families do."""
    return tf_keras.layers.Dense(units, kernel_initializer=initializer(config), name=name)


def layer_norm(config: EncoderConfig, name: str) -> tf_keras.layers.LayerNormalization:
    """Layer normalisation over the last axis with the family's epsilon."""
    return tf_keras.layers.LayerNormalization(epsilon=config.layer_norm_eps, name=name)


class SelfAttention(tf_keras.layers.Layer):
    """Multi-head self-attention: float[batch, sequence, hidden] → the same shape."""

    def __init__(self, config: EncoderConfig, name: str = "self") -> None:
        super().__init__(name=name)
        self.heads = config.num_attention_heads
        self.width = config.hidden_size // config.num_attention_heads
        self.query = dense(config, config.hidden_size, "query")
        self.key = dense(config, config.hidden_size, "key")
        self.value = dense(config, config.hidden_size, "value")
        self.dropout = tf_keras.layers.Dropout(config.attention_probs_dropout_prob)

    def call(self, x: tf.Tensor, bias: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`bias`: float[batch, 1, 1, sequence], added to every score."""
        query, key, value = (self._split(layer(x)) for layer in (self.query, self.key, self.value))
        scores = tf.matmul(query, key, transpose_b=True) * (1.0 / math.sqrt(self.width)) + bias
        probabilities = self.dropout(tf.nn.softmax(scores), training=training)
        context = tf.transpose(tf.matmul(probabilities, value), [0, 2, 1, 3])
        return tf.reshape(context, tf.shape(x))

    def _split(self, x: tf.Tensor) -> tf.Tensor:
        """float[batch, sequence, hidden] → float[batch, heads, sequence, width]."""
        shape = tf.shape(x)
        heads = tf.reshape(x, [shape[0], shape[1], self.heads, self.width])
        return tf.transpose(heads, [0, 2, 1, 3])


class EncoderLayer(tf_keras.layers.Layer):
    """One layer: attention, add and norm, feed-forward, add and norm."""

    def __init__(self, config: EncoderConfig, name: str) -> None:
        super().__init__(name=name)
        self.activation_name = config.activation
        self.attention = SelfAttention(config)
        self.attention_output = dense(config, config.hidden_size, "attention_output")
        self.attention_norm = layer_norm(config, "attention_norm")
        self.intermediate = dense(config, config.intermediate_size, "intermediate")
        self.output_dense = dense(config, config.hidden_size, "output")
        self.output_norm = layer_norm(config, "output_norm")
        self.dropout = tf_keras.layers.Dropout(config.hidden_dropout_prob)

    def call(self, x: tf.Tensor, bias: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float[batch, sequence, hidden] → the same shape."""
        attended = self.attention_output(self.attention(x, bias, training=training))
        x = self.attention_norm(x + self.dropout(attended, training=training))
        widened = activation(self.activation_name, self.intermediate(x))
        return self.output_norm(x + self.dropout(self.output_dense(widened), training=training))


class Embeddings(tf_keras.layers.Layer):
    """Sum of word, position and type embeddings, normalised: float[batch, sequence, embedding]."""

    def __init__(self, config: EncoderConfig, name: str = "embeddings") -> None:
        super().__init__(name=name)
        self.config = config
        self.norm = layer_norm(config, "norm")
        self.dropout = tf_keras.layers.Dropout(config.hidden_dropout_prob)

    def build(self, input_shape: object) -> None:
        """Makes the three tables: float[vocab | 512 | types, embedding]."""
        config = self.config
        for table, rows in (
            ("word_embeddings", config.vocab_size),
            ("position_embeddings", config.max_position_embeddings),
            ("token_type_embeddings", config.type_vocab_size),
        ):
            shape = (rows, config.embedding_size)
            setattr(self, table, self.add_weight(table, shape, initializer=initializer(config)))
        super().build(input_shape)

    def call(self, ids: tf.Tensor, types: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`ids` and `types`: int32[batch, sequence]."""
        words = tf.gather(self.word_embeddings, ids)
        positions = self.position_embeddings[: tf.shape(ids)[1]]
        kinds = tf.gather(self.token_type_embeddings, types)
        return self.dropout(self.norm(words + positions + kinds), training=training)
