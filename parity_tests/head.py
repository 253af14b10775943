"""The classifier that Node trained, computed in float64 from the same TF.js files."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parity_tests.errors import UserError
from parity_tests.runs import PROBABILITIES, SPECIALS, Run

Array = NDArray[Any]


@dataclass(frozen=True)
class Head:
    """Dense layers, a tanh after each but the last, whose softmax gives the probabilities.

    `layers` are kernels float32[inputs, units] and biases float32[units]; `labels` stand in the
    order of the last layer's units.
    """

    layers: tuple[tuple[Array, Array], ...]
    labels: tuple[str, ...]

    @classmethod
    def read(cls, directory: Path) -> "Head":
        """Reads `model.json` and its weights, which stand in the order the layers run.

        Raises:
            UserError: not a classifier of dense layers in float32.
        """
        try:
            document = json.loads((directory / "model.json").read_text(encoding="utf-8"))
            told = json.loads((directory / "classifier.json").read_text(encoding="utf-8"))
            labels = tuple(told["labels"])
            weights = [
                array
                for group in document["weightsManifest"]
                for array in group_of(group, directory)
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{directory} is no classifier this can read: {error}") from None
        layers = tuple(zip(weights[::2], weights[1::2], strict=False))
        fits = layers and all((k.ndim, b.shape) == (2, k.shape[1:]) for k, b in layers)
        if not fits or len(weights) % 2 or len(layers[-1][1]) != len(labels):
            raise UserError(
                f"{directory} is no classifier of dense layers, a unit a label; train it again"
            )
        return cls(layers, labels)

    def probabilities(self, features: Array) -> Array:
        """The probability of each label, float32[batch, labels], from float32[batch, inputs]."""
        x = features.astype(np.float64)
        for kernel, bias in self.layers[:-1]:
            x = np.tanh(x @ kernel + bias)
        kernel, bias = self.layers[-1]
        logits = x @ kernel + bias
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        answer: Array = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
        return answer

    def decided(self, probabilities: Array) -> list[str]:
        """The most probable label of each row, the first of equals."""
        return [self.labels[int(place)] for place in np.argmax(probabilities, axis=1)]

    def answering(self, run: Run) -> Run:
        """Python's run with what the head makes of position 0 of `sequence_output`.

        Raises:
            UserError: the model has no `sequence_output`.
        """
        batches = {place: dict(batch) for place, batch in run.batches.items()}
        labels = {}
        for place, batch in batches.items():
            if place[0] in SPECIALS:
                if "sequence_output" not in batch:
                    raise UserError("the model has no sequence_output, which --classifier needs")
                batch[PROBABILITIES] = self.probabilities(batch["sequence_output"][:, 0])
                labels[place] = self.decided(batch[PROBABILITIES])
        return replace(run, batches=batches, labels=labels)


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
