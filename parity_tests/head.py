"""The classifier that Node trained, computed by TensorFlow from the same TF.js files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from parity_tests.errors import UserError

Array = NDArray[Any]


@dataclass(frozen=True)
class Head:
    """Two dense layers, tanh then softmax; float32[inputs, hidden] and float32[hidden, labels]."""

    hidden_kernel: Array
    hidden_bias: Array
    label_kernel: Array
    label_bias: Array

    @classmethod
    def read(cls, directory: Path) -> "Head":
        """Reads `model.json` and its weights, which stand in the order the layers run.

        Raises:
            UserError: not a classifier of two dense layers in float32.
        """
        try:
            document = json.loads((directory / "model.json").read_text(encoding="utf-8"))
            weights = [
                array
                for group in document["weightsManifest"]
                for array in group_of(group, directory)
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{directory} is no classifier this can read: {error}") from None
        if [array.ndim for array in weights] != [2, 1, 2, 1]:
            raise UserError(f"{directory} is no classifier of two dense layers; train it again")
        return cls(*weights)

    def probabilities(self, features: Array) -> Array:
        """The probability of each label, float32[batch, labels], from float32[batch, inputs]."""
        hidden = tf.math.tanh(tf.matmul(features, self.hidden_kernel) + self.hidden_bias)
        logits = tf.matmul(hidden, self.label_kernel) + self.label_bias
        answer: Array = tf.nn.softmax(logits).numpy()
        return answer


def group_of(group: dict[str, Any], directory: Path) -> list[Array]:
    """The arrays of one group of a TF.js weights manifest, in its order."""
    data = b"".join((directory / path).read_bytes() for path in group["paths"])
    arrays, start = [], 0
    for spec in group["weights"]:
        if spec["dtype"] != "float32" or "quantization" in spec:
            raise UserError(f"{directory}: {spec['name']} is not plain float32")
        count = int(np.prod(spec["shape"], dtype=np.int64))
        array = np.frombuffer(data, "<f4", count, start).reshape(spec["shape"])
        start += array.nbytes
        arrays.append(array)
    return arrays
