"""The side that runs a SavedModel in Python, as TensorFlow's users do; encoder.js is the other."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from bench.serve import serve, time_passes
from export.source.signature_choice import DEFAULT_SIGNATURE
from export.source.vetting import load_saved_model


class PythonEncoder:
    """The signature of one SavedModel."""

    loaded: Any

    def open(self, directory: str) -> None:
        """Loads the model."""
        self.loaded = load_saved_model(Path(directory))

    def run(self, batch: int, sequence: int) -> dict[str, Any]:
        """Returns every output as an array."""
        indices = np.arange(batch * sequence, dtype=np.int32).reshape(batch, sequence)
        ids = 5 + (indices * 7919) % 4000
        feeds = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        tensors = {name: tf.constant(value) for name, value in feeds.items()}
        outputs = self.loaded.signatures[DEFAULT_SIGNATURE](**tensors)
        return {name: value.numpy() for name, value in outputs.items()}

    def values(self, batch: int, sequence: int) -> list[float]:
        """Returns `sequence_output`, flat."""
        flat: list[float] = self.run(batch, sequence)["sequence_output"].ravel().tolist()
        return flat

    def time(self, batch: int, sequence: int, at_least: float) -> float:
        """Returns the seconds of a batch."""
        return time_passes(lambda: self.run(batch, sequence), at_least)


if __name__ == "__main__":
    model = PythonEncoder()
    serve({"open": model.open, "values": model.values, "time": model.time})
