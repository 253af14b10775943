"""An encoder followed by modules of the sentence-transformers library, in one graph.

Source of the formulas: `Pooling`, `Normalize` and `Dense` of sentence-transformers 6.2.
"""

from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from export.architectures.encoder import INPUTS, Encoder
from export.encoder_config import Dense, Normalize, Pooling
from support.errors import UserError

# The value of a masked position in a maximum: below every other value, and finite, unlike −∞.
MASKED_VALUE = -1e9
ACTIVATIONS = {"Identity": tf.identity, "Tanh": tf.tanh, "ReLU": tf.nn.relu}


class SentenceEncoder(tf_keras.Model):
    """The encoder's outputs, and `sentence_embedding`, float32[batch, width]."""

    def __init__(self, encoder: Encoder, modules: Sequence[Pooling | Normalize | Dense]) -> None:
        super().__init__(name=f"{encoder.name}_sentence")
        self.encoder = encoder
        width = encoder.config.hidden_size
        self.steps = []
        for number, module in enumerate(modules):
            if isinstance(module, Pooling):
                if module.width not in (None, width):
                    raise UserError(
                        f"{module.where}: got a width of {module.width}, expected {width}"
                    )
                width *= len(module.modes)
            if isinstance(module, Dense):
                taken, produced = module.kernel.shape
                if taken != width:
                    raise UserError(f"{module.where}: in_features: got {taken}, expected {width}")
                width = produced
            self.steps.append(SentenceStep(module, f"sentence_{number}"))
        # Symbolic inputs leave batch and sequence free in the SavedModel.
        self({name: tf_keras.Input([None], dtype=tf.int32, name=name) for name in INPUTS})

    def call(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Runs the encoder and the modules; see the class for the outputs."""
        outputs: dict[str, tf.Tensor] = dict(self.encoder(inputs))
        x = outputs["sequence_output"]
        mask = tf.cast(inputs["attention_mask"], tf.float32)[:, :, tf.newaxis]
        for step in self.steps:
            x = step(x, mask)
        outputs["sentence_embedding"] = x
        return outputs

    @tf.function(input_signature=[{n: tf.TensorSpec([None, None], tf.int32, n) for n in INPUTS}])
    def serve(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Serves as the signature `serving_default`."""
        outputs: dict[str, tf.Tensor] = self(inputs)
        return outputs


class SentenceStep(tf_keras.layers.Layer):
    """One module; pooling takes float32[batch, sequence, hidden], the others float32[batch, …]."""

    def __init__(self, module: Pooling | Normalize | Dense, name: str) -> None:
        super().__init__(name=name)
        self.modes = module.modes if isinstance(module, Pooling) else ()
        self.activation = None
        self.kernel = self.bias = None
        if isinstance(module, Dense):
            self.activation = ACTIVATIONS[module.activation]
            self.kernel = self.variable("kernel", module.kernel)
            if module.bias is not None:
                self.bias = self.variable("bias", module.bias)

    def variable(self, name: str, value: tf.Tensor) -> tf.Variable:
        """Adds a weight to this layer."""
        start = tf_keras.initializers.Constant(value)
        return self.add_weight(f"{self.name}/{name}", value.shape, initializer=start)

    def call(self, x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Applies the module; `mask` is float32[batch, sequence, 1], 1 or 0."""
        if self.modes:
            pooled = [pool(mode, x, mask) for mode in self.modes]
            return pooled[0] if len(pooled) == 1 else tf.concat(pooled, -1)
        if self.activation is not None:
            product = tf.matmul(x, self.kernel)
            return self.activation(product if self.bias is None else product + self.bias)
        length = tf.sqrt(tf.reduce_sum(x * x, -1, keepdims=True))
        return x / tf.maximum(length, 1e-12)


def pool(mode: str, x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Pools float32[batch, sequence, hidden] to [batch, hidden]; `mask` is [batch, sequence, 1]."""
    if mode == "cls":
        return x[:, 0]
    if mode == "max":
        return tf.reduce_max(x * mask + (1.0 - mask) * MASKED_VALUE, 1)
    count = tf.maximum(tf.reduce_sum(mask, 1), 1e-9)
    total = tf.reduce_sum(x * mask, 1)
    return total / (count if mode == "mean" else tf.sqrt(count))
