"""The network of both experiments: a hub encoder, frozen or not, under the classifier's head.

texts → encoder → position 0 of `sequence_output` → scaling → dense 512 tanh → softmax; the one
difference between the experiments is `hub.KerasLayer(trainable=…)`, and the learning rate.
"""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras
from numpy.typing import NDArray

from parity_tests.runs import IDS

UNITS = 512
RATES = {False: 3e-4, True: 1e-4}
"""Of Adam, by whether the encoder is updated. Frozen: that of node_bridge/train.js. Updated: of
those with which Google fine-tuned BERTs of this size (3e-4 to 3e-5, arXiv:1908.08962)."""
LEAST = 0.1
"""The scaling's floor, as in node_bridge/scaling.js: a share of the usual deviation."""


class Network:
    """The network and its optimizer.

    `train` makes a step on a batch and gives `loss`, float32[]; `infer` gives `probabilities`,
    float32[batch, classes]. Both take the ids by role, int32[batch, sequence]; `train` also
    `labels`, int32[batch]. Both can be saved as signatures of a SavedModel, which Node runs.
    """

    def __init__(self, encoder: Any, trainable: bool, classes: int) -> None:
        inputs = {role: tf_keras.Input([None], dtype=tf.int32, name=role) for role in IDS}
        self.encoder = hub.KerasLayer(encoder, trainable=trainable, name="encoder")
        first = self.encoder(inputs)["sequence_output"][:, 0]
        # What BatchNormalization does when it is not trained; Normalization holds its numbers as
        # constants, which a session folds in another way than eager Python: the last bits differ.
        self.scaling = tf_keras.layers.BatchNormalization(
            center=False, scale=False, epsilon=0.0, trainable=False, name="scaling"
        )
        hidden = dense(UNITS, "tanh", 2)(self.scaling(first))
        self.first = tf_keras.Model(inputs, first)
        self.model = tf_keras.Model(inputs, dense(classes, "softmax", 3)(hidden))
        self.optimizer = tf_keras.optimizers.Adam(RATES[trainable])
        self.optimizer.build(self.model.trainable_variables)
        ids = {role: tf.TensorSpec([None, None], tf.int32, role) for role in IDS}
        labels = tf.TensorSpec([None], tf.int32, "labels")
        self.train = tf.function(self._train, [ids, labels], autograph=False)
        self.infer = tf.function(self._infer, [ids], autograph=False)

    def _train(self, ids: dict[str, Any], labels: Any) -> dict[str, Any]:
        with tf.GradientTape() as tape:
            chances = self.model(ids, training=True)
            losses = tf_keras.losses.sparse_categorical_crossentropy(labels, chances)
            loss = tf.reduce_mean(losses)
        variables = self.model.trainable_variables
        gradients = tape.gradient(loss, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return {"loss": loss}

    def _infer(self, ids: dict[str, Any]) -> dict[str, Any]:
        return {"probabilities": self.model(ids, training=False)}

    def scale(self, batches: list[dict[str, Any]]) -> None:
        """Fits the scaling to these texts' vectors, as the encoder now gives them.

        In both experiments: the vectors at position 0 lie close together, and a head on them as
        they are guesses; node_bridge/scaling.js has the figures.
        """
        vectors = np.concatenate([self.first(batch).numpy() for batch in batches])
        variance = vectors.var(axis=0)
        floor = LEAST**2 * variance.mean()
        self.scaling.set_weights([vectors.mean(axis=0), np.maximum(variance, floor)])

    def weights(self) -> dict[str, NDArray[Any]]:
        """The encoder's own, by name."""
        return {weight.name.split(":")[0]: weight.numpy() for weight in self.encoder.weights}

    def save(self, directory: Path) -> None:
        """Saves a SavedModel with the signatures `train` and `infer`, as the weights now are."""
        module = tf.Module()
        module.model, module.optimizer = self.model, self.optimizer
        signatures = {"train": self.train, "infer": self.infer}
        tf.saved_model.save(module, str(directory), signatures=signatures)


def dense(units: int, activation: str, seed: int) -> Any:
    """A dense layer with weights of this seed."""
    initializer = tf_keras.initializers.GlorotUniform(seed)
    return tf_keras.layers.Dense(units, activation, kernel_initializer=initializer)
