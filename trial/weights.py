"""The weights of a TF.js model, to be changed: manifest and shards as one piece."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trial.copies import Copy

Array = NDArray[Any]
SHARD = 4 * 1024 * 1024
PREFIX = "weights/"


class Weights:
    """All weights of a copy as arrays of what is stored; call `write` after a change.

    A bundle's names begin with `weights/`, but for the graph's own constants.
    """

    def __init__(self, copy: Copy) -> None:
        self.copy = copy
        (self.group,) = copy.document("model.json")["weightsManifest"]
        self.specs: list[dict[str, Any]] = self.group["weights"]
        whole = b"".join(copy.read(path) for path in self.group["paths"])
        self.arrays: dict[str, Array] = {}
        start = 0
        for spec in self.specs:
            kind = np.dtype(stored_dtype(spec)).newbyteorder("<")
            count = int(np.prod(spec["shape"], dtype=np.int64))
            raw = np.frombuffer(whole, kind, count, start).reshape(spec["shape"]).copy()
            self.arrays[spec["name"]] = raw
            start += raw.nbytes
        assert start == len(whole), f"{copy.path}: {len(whole)} bytes, expected {start}"

    def spec(self, name: str) -> dict[str, Any]:
        """A weight's entry in the manifest."""
        return next(spec for spec in self.specs if spec["name"] == name)

    def names(self, part: str = "", dims: int | None = None) -> list[str]:
        """The model's own weights with `part` in their names, of so many dimensions."""
        return [
            name
            for name, value in self.arrays.items()
            if name.startswith(PREFIX) and part in name and dims in (None, value.ndim)
        ]

    def add(self, name: str, value: Array) -> None:
        """A constant more."""
        assert name not in self.arrays, name
        self.specs.append({"name": name, "shape": list(value.shape), "dtype": value.dtype.name})
        self.arrays[name] = value

    def widened(self, name: str) -> Array:
        """A weight as TF.js has it, float32."""
        scheme = self.spec(name).get("quantization", {})
        value = self.arrays[name]
        if "scale" in scheme:
            value = value * scheme["scale"] + scheme["min"]
        widened: Array = value.astype(np.float32)
        return widened

    def write(self) -> None:
        """Writes the shards anew."""
        self.write_bytes(b"".join(self.arrays[spec["name"]].tobytes() for spec in self.specs))

    def write_bytes(self, whole: bytes) -> None:
        """Writes these bytes as shards, all of one size but for the last, as TF.js wants them."""
        for path in self.group["paths"]:
            self.copy.remove(path)
        parts = [whole[at : at + SHARD] for at in range(0, len(whole), SHARD)]
        count = len(parts)
        if count != len(self.group["paths"]):
            self.group["paths"] = [f"group1-shard{i}of{count}.bin" for i in range(1, count + 1)]
        for path, part in zip(self.group["paths"], parts, strict=True):
            self.copy.write(path, part)


def stored_dtype(spec: dict[str, Any]) -> str:
    """The dtype of the bytes."""
    return str(spec.get("quantization", {}).get("dtype", spec["dtype"]))


def short(name: str) -> str:
    """A weight's name without what all have."""
    return name.removeprefix(PREFIX)
