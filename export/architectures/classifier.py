"""An encoder with the head of a fine-tuned classifier, in one graph.

Sources: see `export.checkpoints.heads`. The head is one dense layer, and ELECTRA's on texts two
with GELU between them: always the erf form, whatever the encoder's activation is
(`get_activation("gelu")` in `ElectraClassificationHead`).
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from export.architectures.encoder import INPUTS, Encoder
from export.classifier_task import LOGITS

Layer = tuple[NDArray[np.float32], NDArray[np.float32]]
"""The kernel float32[in, out] and the bias float32[out]."""


class EncoderWithHead(tf_keras.Model):
    """The encoder's outputs, and `logits`.

    `logits` is float32[batch, labels], or float32[batch, sequence, labels] of a head on tokens.
    """

    def __init__(self, encoder: Encoder, on: str, layers: Sequence[Layer]) -> None:
        """Makes the model.

        Args:
            encoder: the encoder with its weights.
            on: the encoder's output that the head takes.
            layers: the weights of the head's layers.
        """
        super().__init__(name=f"{encoder.name}_classifier")
        self.encoder = encoder
        self.on = on
        self.dense = [
            tf_keras.layers.Dense(bias.size, name=f"classifier_{number}")
            for number, (_, bias) in enumerate(layers)
        ]
        # Symbolic inputs leave batch and sequence free in the SavedModel.
        self({name: tf_keras.Input([None], dtype=tf.int32, name=name) for name in INPUTS})
        for layer, weights in zip(self.dense, layers, strict=True):
            layer.set_weights(weights)

    def call(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Runs the encoder and the head; see the class for the outputs."""
        outputs: dict[str, tf.Tensor] = dict(self.encoder(inputs))
        x = outputs[self.on]
        for number, layer in enumerate(self.dense):
            x = layer(tf.nn.gelu(x, approximate=False) if number else x)
        outputs[LOGITS] = x
        return outputs

    @tf.function(input_signature=[{n: tf.TensorSpec([None, None], tf.int32, n) for n in INPUTS}])
    def serve(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Serves as the signature `serving_default`."""
        outputs: dict[str, tf.Tensor] = self(inputs)
        return outputs
