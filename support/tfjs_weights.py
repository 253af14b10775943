"""Reads the weights of a TF.js model: the manifest in `model.json`, and the shards."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from support.contracts import MODEL_FILE
from support.errors import UserError

Array = NDArray[Any]
WEIGHT_PREFIX = "weights/"
"""The start of the names of a bundle's weights, except those of the graph's own constants."""


@dataclass(frozen=True)
class TfjsWeight:
    """A weight as the shards store it.

    `dtype` is the one that it has in TF.js. `quantization` is the manifest's: the stored `dtype`,
    and for integers `scale` and `min`; empty where the numbers are stored as they are. `numbers`
    are the stored numbers in the weight's shape, read-only.
    """

    name: str
    dtype: str
    quantization: dict[str, Any]
    numbers: Array

    def widened(self) -> Array:
        """Returns the values as TF.js computes them when it loads the weight, float32."""
        if "scale" not in self.quantization:
            return self.numbers.astype(np.float32)
        wide = self.numbers.astype(np.float64)
        scaled: Array = wide * self.quantization["scale"] + self.quantization["min"]
        return scaled.astype(np.float32)


def read_weights(directory: Path, remedy: str, model: Any = None) -> Iterator[TfjsWeight]:
    """Yields the weights of a model in the order of its manifest.

    Args:
        directory: has `model.json` and the shards.
        remedy: how to fix shards that do not fit, for messages.
        model: the content of `model.json`; None: it is read.

    Raises:
        UserError: the shards are shorter or longer than the manifest says.
    """
    document = read_model(directory) if model is None else model
    for group in document["weightsManifest"]:
        whole = b"".join((directory / path).read_bytes() for path in group["paths"])
        start = 0
        for spec in group["weights"]:
            kind = np.dtype(stored_dtype(spec)).newbyteorder("<")
            count = int(np.prod(spec["shape"], dtype=np.int64))
            if start + count * kind.itemsize > len(whole):
                raise UserError(f"{directory}: the weights end within {spec['name']}; {remedy}")
            numbers = np.frombuffer(whole, kind, count, start).reshape(spec["shape"])
            start += numbers.nbytes
            yield TfjsWeight(spec["name"], spec["dtype"], spec.get("quantization", {}), numbers)
        if start != len(whole):
            raise UserError(
                f"{directory}: {len(whole) - start} bytes of weights too many; {remedy}"
            )


def shard_paths(directory: Path) -> list[Path]:
    """Returns the files with the weights of a model."""
    groups = read_model(directory)["weightsManifest"]
    return [directory / path for group in groups for path in group["paths"]]


def read_model(directory: Path) -> Any:
    """Reads a model's `model.json`."""
    return json.loads((directory / MODEL_FILE).read_text(encoding="utf-8"))


def stored_dtype(spec: dict[str, Any]) -> str:
    """Returns the dtype of the stored numbers of a manifest's entry."""
    return str(spec.get("quantization", {}).get("dtype", spec["dtype"]))
