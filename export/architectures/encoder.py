"""BERT, ALBERT and ELECTRA as one tf_keras model, and its SavedModel in the newest contract."""

import math
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from export.encoder_config import EncoderConfig
from export.source.signature_choice import DEFAULT_SIGNATURE

# The layers of a transformer encoder: self-attention and feed-forward, each followed by layer norm.
#
# The arithmetic is that of Devlin et al. 2018 (arXiv:1810.04805), with the layer-norm position and
# the additive mask of the TF1 reference implementation.

# Added to the attention score of a masked position, as in the TF1 reference.
MASK_BIAS = -10000.0


def _apply_activation(name: str, x: tf.Tensor) -> tf.Tensor:
    """Applies `gelu_tanh`, `gelu_erf` or `relu` to a float tensor of any shape."""
    if name == "relu":
        return tf.nn.relu(x)
    return tf.nn.gelu(x, approximate=name == "gelu_tanh")


def initializer(config: EncoderConfig) -> tf_keras.initializers.Initializer:
    """Returns a new truncated-normal initialiser: one object would repeat its values."""
    return tf_keras.initializers.TruncatedNormal(stddev=config.initializer_range)


def dense(config: EncoderConfig, units: int, name: str) -> tf_keras.layers.Dense:
    """Returns a dense layer with the initialiser of all families."""
    return tf_keras.layers.Dense(units, kernel_initializer=initializer(config), name=name)


def layer_norm(config: EncoderConfig, name: str) -> tf_keras.layers.LayerNormalization:
    """Returns a layer normalisation over the last axis with the config's epsilon."""
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
        """Computes the attention; `bias`, float[batch, 1, 1, sequence], is added to each score."""
        query, key, value = (self._split(layer(x)) for layer in (self.query, self.key, self.value))
        scores = tf.matmul(query, key, transpose_b=True) * (1.0 / math.sqrt(self.width)) + bias
        probabilities = self.dropout(tf.nn.softmax(scores), training=training)
        context = tf.transpose(tf.matmul(probabilities, value), [0, 2, 1, 3])
        return tf.reshape(context, tf.shape(x))

    def _split(self, x: tf.Tensor) -> tf.Tensor:
        """Splits float[batch, sequence, hidden] into float[batch, heads, sequence, width]."""
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
        """Runs the layer on float[batch, sequence, hidden]; returns the same shape."""
        attended = self.attention_output(self.attention(x, bias, training=training))
        x = self.attention_norm(x + self.dropout(attended, training=training))
        widened = _apply_activation(self.activation_name, self.intermediate(x))
        return self.output_norm(x + self.dropout(self.output_dense(widened), training=training))


class Embeddings(tf_keras.layers.Layer):
    """Sum of word, position and type embeddings, normalised: float[batch, sequence, embedding]."""

    def __init__(self, config: EncoderConfig, name: str = "embeddings") -> None:
        super().__init__(name=name)
        self.config = config
        self.norm = layer_norm(config, "norm")
        self.dropout = tf_keras.layers.Dropout(config.hidden_dropout_prob)

    def build(self, input_shape: object) -> None:
        """Makes the three tables: float[vocab | positions | types, embedding]."""
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
        """Looks up `ids` and `types`, int32[batch, sequence]."""
        words = tf.gather(self.word_embeddings, ids)
        positions = self.position_embeddings[: tf.shape(ids)[1]]
        kinds = tf.gather(self.token_type_embeddings, types)
        return self.dropout(self.norm(words + positions + kinds), training=training)


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
        # ALBERT always projects, ELECTRA only if the widths differ; BERT's widths never differ.
        projects = config.shared_layers or config.embedding_size != config.hidden_size
        self.projection = dense(config, config.hidden_size, "projection") if projects else None
        self.blocks = [EncoderLayer(config, f"layer_{i}") for i in range(len(config.blocks))]
        self.pooler = dense(config, config.hidden_size, "pooler") if config.has_pooler else None

    def call(self, inputs: dict[str, tf.Tensor], training: bool = False) -> dict[str, tf.Tensor]:
        """Runs every layer; see the class for shapes."""
        mask = tf.cast(inputs["attention_mask"], tf.float32)
        bias = (1.0 - mask[:, tf.newaxis, tf.newaxis, :]) * MASK_BIAS
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
        """Serves as the signature `serving_default`."""
        outputs: dict[str, tf.Tensor] = self(inputs, training=False)
        return outputs


def seeded_encoder(config: EncoderConfig, name: str, seed: int) -> Encoder:
    """Returns an untrained encoder with reproducible random weights.

    Biases and layer norms are random too: zeros and ones would hide a swapped or lost variable.
    """
    model = Encoder(config, name)
    # Symbolic inputs, unlike a sample, leave batch and sequence free in the SavedModel.
    model({key: tf_keras.Input([None], dtype=tf.int32, name=key) for key in INPUTS})
    generator = np.random.default_rng(seed)
    for variable in model.variables:
        drawn = generator.normal(0.0, config.initializer_range, variable.shape.as_list())
        centre = 1.0 if "/gamma:" in variable.name else 0.0
        variable.assign((centre + drawn).astype(np.float32))
    return model


def save_encoder(model: tf_keras.Model, directory: Path) -> None:
    """Saves a SavedModel that `hub.load`, `KerasLayer` and `load_model` can all load.

    `model` is an `Encoder`, alone or in a `SentenceEncoder` or an `EncoderWithHead`: its signature
    is its method `serve`.
    """
    model.save(str(directory), save_format="tf", signatures={DEFAULT_SIGNATURE: model.serve})


# The head of the masked language model: the score of each token at each position.
#
# Source: `get_masked_lm_output` of google-research/bert and google-research/albert, whose decoder
# is the table of word embeddings.


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
        """Computes logits; `words`, float[vocab, embedding], are the encoder's word embeddings."""
        x = self.norm(_apply_activation(self.config.activation, self.dense(x)))
        flat = tf.reshape(x, [-1, self.config.embedding_size])
        logits = tf.matmul(flat, words, transpose_b=True) + self.output_bias
        shape = tf.shape(x)
        return tf.reshape(logits, [shape[0], shape[1], self.config.vocab_size])


def seeded_head(config: EncoderConfig, seed: int) -> MlmHead:
    """Returns an untrained head with reproducible random weights, as in `seeded_encoder`."""
    head = MlmHead(config)
    generator = np.random.default_rng(seed)
    for variable in head.variables:
        drawn = generator.normal(0.0, config.initializer_range, variable.shape.as_list())
        centre = 1.0 if variable is head.norm.gamma else 0.0
        variable.assign((centre + drawn).astype(np.float32))
    return head
