"""The peer in Python: a SavedModel's signature, as TensorFlow's users call it, on all cores."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from bench.serve import serve, time_passes
from export.source.signature_choice import DEFAULT_SIGNATURE
from export.source.vetting import load_saved_model


class SavedModelPeer:
    """One SavedModel and its batches."""

    loaded: Any
    batches: list[dict[str, Any]]

    def open(self, directory: str) -> None:
        """Loads the model."""
        self.loaded = load_saved_model(Path(directory))

    def read_batches(self, file: str) -> None:
        """Reads the batches."""
        batches = json.loads(Path(file).read_text(encoding="utf-8"))
        self.batches = [_make_feeds(rows) for rows in batches]

    def run_once(self) -> list[Any]:
        """Returns float32[hidden] of each text, at position 0."""
        signature = self.loaded.signatures[DEFAULT_SIGNATURE]
        return [
            row
            for batch in self.batches
            for row in signature(**batch)["sequence_output"][:, 0].numpy()
        ]

    def vectors(self, count: int) -> list[list[float]]:
        """Returns the vectors of the first texts, for the comparison."""
        return [row.tolist() for row in self.run_once()[:count]]


def _make_feeds(rows: list[list[int]]) -> dict[str, Any]:
    """Returns int32[batch, sequence] by name, padded to the longest."""
    shape = len(rows), max(map(len, rows))
    names = ("input_ids", "attention_mask", "token_type_ids")
    batch = {name: np.zeros(shape, np.int32) for name in names}
    for at, ids in enumerate(rows):
        batch["input_ids"][at, : len(ids)] = ids
        batch["attention_mask"][at, : len(ids)] = 1
    return {name: tf.constant(value) for name, value in batch.items()}


if __name__ == "__main__":
    model = SavedModelPeer()
    serve(
        {
            "open": model.open,
            "batches": model.read_batches,
            "vectors": model.vectors,
            "time": lambda at_least: time_passes(model.run_once, at_least),
        }
    )
