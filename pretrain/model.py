"""The encoder with the heads that teach it, and one training step.

Three losses, added:

- masked: the token at each chosen position, by a head whose output layer is the table of word
  embeddings (`MlmHead`).
- bag: the different words of the text, from the vector of [CLS] alone. Masked tokens alone teach
  that vector nothing, but it is what a classifier on a frozen encoder reads. Measured on 1,000
  reviews after 40 minutes on 2 cores: 79.7 % with it, 74.3 % before any training.
- pooled: the same words from `pooled_output`. It changes the pooler only, not the encoder below.
"""

import numpy as np
import tensorflow as tf
import tf_keras

from export.architectures.encoder import Encoder, MlmHead, seeded_encoder, seeded_head
from export.demo import MODEL_NAME
from export.encoder_config import EncoderConfig, albert_tiny
from pretrain.batches import Batch
from pretrain.corpus import Corpus
from pretrain.recipe import FOUND, LOSSES, Recipe

WITHOUT_DECAY = ("bias", "gamma", "beta")
BATCH_SIGNATURE = [
    tf.TensorSpec([None, None], tf.int32, "ids"),
    tf.TensorSpec([None, None], tf.int32, "mask"),
    tf.TensorSpec([None], tf.int32, "positions"),
    tf.TensorSpec([None], tf.int32, "targets"),
    tf.TensorSpec([None, 2], tf.int32, "bag"),
    tf.TensorSpec([None], tf.float32, "bag_weights"),
]


class PretrainingModel:
    """The encoder, its heads and the optimizer: everything that a checkpoint must have."""

    def __init__(self, config: EncoderConfig, bag_words: int, recipe: Recipe) -> None:
        self.recipe = recipe
        self.encoder: Encoder = seeded_encoder(config, MODEL_NAME, recipe.seed)
        assert self.encoder.pooler is not None, "albert_tiny has a pooler"
        self.pooler = self.encoder.pooler
        self.mlm: MlmHead = seeded_head(config, recipe.seed)
        self.bag, self.pooled = (
            _bag_head(config, bag_words, name, recipe.seed) for name in ("bag", "pooled")
        )
        self.trained = [
            *self.encoder.trainable_variables,
            *self.mlm.trainable_variables,
            *self.bag.trainable_variables,
            *self.pooled.trainable_variables,
        ]
        self.optimizer = tf_keras.optimizers.AdamW(
            recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.optimizer.exclude_from_weight_decay(var_names=list(WITHOUT_DECAY))
        self.optimizer.build(self.trained)
        self._step = tf.function(self._make_step, BATCH_SIGNATURE, autograph=False)

    @classmethod
    def of(cls, corpus: Corpus, recipe: Recipe) -> "PretrainingModel":
        """Makes albert_tiny for a corpus."""
        return cls(albert_tiny(len(corpus.vocab.tokens)), len(corpus.bag_words), recipe)

    def variables(self) -> list[tf.Variable]:
        """Returns all variables, those of the optimizer too, in an order that never changes."""
        return [*self.trained, *self.optimizer.variables]

    def step(self, number: int, batch: Batch) -> dict[str, float]:
        """Makes step `number`, which count from 0; returns the losses and the share found."""
        self.optimizer.learning_rate.assign(learning_rate(self.recipe, number))
        return {name: float(value) for name, value in self._step(*batch.tensors()).items()}

    def _make_step(
        self,
        ids: tf.Tensor,
        mask: tf.Tensor,
        positions: tf.Tensor,
        targets: tf.Tensor,
        bag: tf.Tensor,
        bag_weights: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Computes the losses and updates all weights; see `Batch` for the arguments."""
        with tf.GradientTape() as tape:
            inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids * 0}
            outputs = self.encoder(inputs, training=True)
            sequence = outputs["sequence_output"]
            first = sequence[:, 0]
            logits = self._masked_logits(sequence, positions)
            masked = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
            pooled = tf.tanh(self.pooler(tf.stop_gradient(first)))
            losses = {
                "masked": _mean(masked),
                "bag": _bag_loss(self.bag(first), bag, bag_weights),
                "pooled": _bag_loss(self.pooled(pooled), bag, bag_weights),
            }
            total = tf.add_n([losses[name] for name in LOSSES])
        gradients = tape.gradient(total, self.trained, unconnected_gradients="zero")
        gradients, _ = tf.clip_by_global_norm(gradients, self.recipe.clip_norm)
        self.optimizer.apply_gradients(zip(gradients, self.trained, strict=True))
        right = tf.equal(tf.argmax(logits, 1, tf.int32), targets)
        return losses | {FOUND: _mean(tf.cast(right, tf.float32))}

    def _masked_logits(self, sequence: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """Returns the scores of all tokens at the chosen positions, float32[masked, vocab].

        On all positions the product with the vocab would be a fifth of a step.
        """
        flat = tf.reshape(sequence, [-1, self.encoder.config.hidden_size])
        vectors = tf.gather(flat, positions)[tf.newaxis]
        return self.mlm(vectors, self.encoder.embeddings.word_embeddings)[0]


def _mean(values: tf.Tensor) -> tf.Tensor:
    """Returns the mean; 0 of no values, as in a batch of texts of unknown words alone."""
    return tf.math.divide_no_nan(tf.reduce_sum(values), tf.cast(tf.size(values), tf.float32))


def learning_rate(recipe: Recipe, step: int) -> float:
    """Returns the learning rate of a step: it rises to its peak, then falls to 0 in a line.

    >>> recipe = Recipe(steps=10, warmup_steps=2, learning_rate=1.0)
    >>> [learning_rate(recipe, step) for step in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    return recipe.learning_rate * (recipe.steps - step) / (recipe.steps - recipe.warmup_steps)


def _bag_head(config: EncoderConfig, words: int, name: str, seed: int) -> tf_keras.layers.Dense:
    """Makes a dense layer from a vector to a score for each word, with seeded weights."""
    layer = tf_keras.layers.Dense(words, name=f"{name}_head")
    layer.build([None, config.hidden_size])
    drawn = np.random.default_rng(seed).normal(0.0, config.initializer_range, layer.kernel.shape)
    layer.kernel.assign(drawn.astype(np.float32))
    return layer


def _bag_loss(logits: tf.Tensor, bag: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Returns the mean cross-entropy of texts with the even distribution over their words.

    `logits` is float32[batch, words]; see `Batch` for the others. A text without any of the words
    counts 0.
    """
    probabilities = tf.gather_nd(tf.nn.log_softmax(logits), bag)
    texts = tf.cast(tf.shape(logits)[0], tf.float32)
    return -tf.reduce_sum(probabilities * weights) / texts
