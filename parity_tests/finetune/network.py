"""The network of both experiments: a hub encoder, frozen or updated, with the classifier's head.

texts → encoder → position 0 of `sequence_output` → dense 512 tanh → softmax. The experiments differ
in `hub.KerasLayer(trainable=…)`, in the learning rate, and in the scaling: the vectors of a frozen
encoder are scaled (node_bridge/classifier/training/feature_sets.js says why), while an updated
encoder finds a scale by itself. With scaling its first steps explode: a loss of 16, and 51 % after
two epochs on 2,000 reviews, against 72 % without.
"""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras
from numpy.typing import NDArray

from parity_tests.runners.runs import IDS

UNITS = 512
LEARNING_RATES = {False: 3e-4, True: 1e-4}
"""Adam's learning rate, by whether the encoder is updated. Frozen: that of node_bridge/train.js.
Updated: one of those with which Google fine-tuned BERTs of this size (3e-4 to 3e-5,
arXiv:1908.08962)."""


class Network:
    """The network and its optimizer.

    `train` makes a step on a batch and returns `loss`, float32[]; `infer` returns `probabilities`,
    float32[batch, classes]. Both take the ids by role, int32[batch, sequence]; `train` also
    `labels`, int32[batch]. Both can be saved as signatures of a SavedModel, which Node runs.
    """

    def __init__(self, encoder: Any, trainable: bool, classes: int, seed: int = 0) -> None:
        """Makes the network.

        Args:
            encoder: a hub encoder.
            trainable: whether it is updated.
            classes: the number of labels.
            seed: of the head's first weights.
        """
        inputs = {role: tf_keras.Input([None], dtype=tf.int32, name=role) for role in IDS}
        self.encoder = hub.KerasLayer(encoder, trainable=trainable, name="encoder")
        first = self.encoder(inputs)["sequence_output"][:, 0]
        self.scaling: Any = None if trainable else tf_keras.layers.Normalization(name="scaling")
        vector = first if self.scaling is None else self.scaling(first)
        hidden = _dense_layer(UNITS, "tanh", 2 * seed + 2)(vector)
        self.first = tf_keras.Model(inputs, first)
        self.model = tf_keras.Model(inputs, _dense_layer(classes, "softmax", 2 * seed + 3)(hidden))
        self.optimizer = tf_keras.optimizers.Adam(LEARNING_RATES[trainable])
        self.optimizer.build(self.model.trainable_variables)
        ids = {role: tf.TensorSpec([None, None], tf.int32, role) for role in IDS}
        labels = tf.TensorSpec([None], tf.int32, "labels")
        self.train = tf.function(self._train, [ids, labels], autograph=False)
        self.infer = tf.function(self._infer, [ids], autograph=False)

    def _train(self, ids: dict[str, Any], labels: Any) -> dict[str, Any]:
        with tf.GradientTape() as tape:
            probabilities = self.model(ids, training=True)
            losses = tf_keras.losses.sparse_categorical_crossentropy(labels, probabilities)
            loss = tf.reduce_mean(losses)
        variables = self.model.trainable_variables
        gradients = tape.gradient(loss, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return {"loss": loss}

    def _infer(self, ids: dict[str, Any]) -> dict[str, Any]:
        return {"probabilities": self.model(ids, training=False)}

    def scale(self, batches: list[dict[str, Any]]) -> None:
        """Fits the scaling of a frozen encoder to the vectors of these texts; else does nothing."""
        if self.scaling is not None:
            vectors = [self.first(batch).numpy() for batch in batches]
            self.scaling.adapt(np.concatenate(vectors))

    def weights(self) -> dict[str, NDArray[Any]]:
        """Returns the encoder's weights by name."""
        return {weight.name.split(":")[0]: weight.numpy() for weight in self.encoder.weights}

    def save(self, directory: Path) -> None:
        """Saves a SavedModel with the signatures `train` and `infer` and the current weights.

        It is for Node, with an updated encoder. With a frozen one it would not equal Python to the
        last bit: a session folds the scaling's constants in another way.
        """
        module = tf.Module()
        module.model, module.optimizer = self.model, self.optimizer
        signatures = {"train": self.train, "infer": self.infer}
        tf.saved_model.save(module, str(directory), signatures=signatures)


def _dense_layer(units: int, activation: str, seed: int) -> Any:
    """Makes a dense layer with weights of this seed."""
    initializer = tf_keras.initializers.GlorotUniform(seed)
    return tf_keras.layers.Dense(units, activation, kernel_initializer=initializer)
