"""Copies of sealed directories, which can be changed and sealed again.

Files are hard links until they are written, so the clean directory does not change. Sealing gives a
bundle the hashes and checksums that a wrong exporter would have given it: `verify.js` accepts it,
unless an output on the golden texts is another.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from export.golden import contract_checksum, with_metadata
from support.contracts import CONTRACT, DESCRIPTION, GOLDEN_FILE, MODEL_FILE, seal_description
from support.tfjs_weights import WEIGHT_PREFIX, Array, TfjsWeight, read_weights


class SealedCopy:
    """A copy of a bundle or a classifier; `seal_file` lists the other files with their hashes."""

    def __init__(self, clean: Path, directory: Path, seal_file: str) -> None:
        """Links every file of `clean` into `directory`, which must not exist."""
        self.path = directory
        self.seal_file = seal_file
        self.changed: dict[str, Any] = {}
        self.weight_checksums: dict[str, str] = {}
        """Those of written weights, by name; a bundle has them in its golden cases."""
        directory.mkdir(parents=True)
        for file in sorted(clean.iterdir()):
            os.link(file, directory / file.name)

    def read(self, name: str) -> bytes:
        """Reads a file of the copy."""
        return (self.path / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        """Writes a file; the clean one, a hard link to the same data, does not change."""
        self.remove(name)
        (self.path / name).write_bytes(data)

    def remove(self, name: str) -> None:
        """Removes a file."""
        (self.path / name).unlink(missing_ok=True)

    def document(self, name: str) -> Any:
        """Returns a JSON file; `seal` writes changes in it."""
        if name not in self.changed:
            self.changed[name] = json.loads(self.read(name))
        return self.changed[name]

    @property
    def about(self) -> Any:
        """The document with the hashes of the other files."""
        return self.document(self.seal_file)

    def seal(self) -> None:
        """Writes all documents, then sizes and hashes of all files, as the exporter does."""
        for name, value in self.changed.items():
            if name != self.seal_file:
                self.write(name, self.text_of(value).encode())
        if self.seal_file == CONTRACT:
            self._renew_checksums()
        others = sorted(file.name for file in self.path.iterdir() if file.name != self.seal_file)
        if self.seal_file == DESCRIPTION:
            # Files that are not of the model, such as golden predictions, are not listed.
            others = [name for name in self.about["files"] if name in others]
        self.about["files"] = {name: file_entry(self.read(name)) for name in others}
        if self.seal_file == DESCRIPTION:
            self.write(DESCRIPTION, seal_description(self.about))
            return
        text = json.dumps(self.about, ensure_ascii=False, indent=2) + "\n"
        self.write(self.seal_file, text.encode())

    def _renew_checksums(self) -> None:
        """Renews the checksums in the golden cases."""
        data = self.read(GOLDEN_FILE)
        metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        checksums = json.loads(metadata["checksums"])
        checksums["files"] = {
            name: hashlib.sha256(self.read(name)).hexdigest() for name in checksums["files"]
        }
        checksums["weights"] |= self.weight_checksums
        checksums["contract"] = contract_checksum(self.about)
        metadata["checksums"] = json.dumps(checksums, sort_keys=True)
        renewed = with_metadata(data, metadata)
        if renewed != data:
            self.write(GOLDEN_FILE, renewed)

    def text_of(self, model: Any) -> str:
        """Returns `model.json` as the exporter writes it, or as training in Node does."""
        if self.seal_file == CONTRACT:
            return json.dumps(model, sort_keys=True)
        return json.dumps(model, ensure_ascii=False, separators=(",", ":")) + "\n"


def file_entry(data: bytes) -> dict[str, Any]:
    """Returns the contract's entry of a file."""
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


# The weights of a TF.js model: manifest and shards together.

SHARD = 4 * 1024 * 1024


class Weights:
    """All weights of a copy as arrays of the stored numbers; call `write` after a change.

    Names begin with `weights/` in a bundle, except those of the graph's own constants.
    """

    def __init__(self, copy: SealedCopy) -> None:
        self.copy = copy
        model = copy.document(MODEL_FILE)
        (self.group,) = model["weightsManifest"]
        self.specs: list[dict[str, Any]] = self.group["weights"]
        self.arrays: dict[str, Array] = {
            weight.name: weight.numbers.copy()
            for weight in read_weights(copy.path, "remove artifacts/fault_injection", model)
        }

    def spec(self, name: str) -> dict[str, Any]:
        """Returns a weight's entry in the manifest."""
        return next(spec for spec in self.specs if spec["name"] == name)

    def names(self, part: str = "", dims: int | None = None) -> list[str]:
        """Returns the model's own weights with `part` in their names and `dims` dimensions."""
        return [
            name
            for name, value in self.arrays.items()
            if name.startswith(WEIGHT_PREFIX) and part in name and dims in (None, value.ndim)
        ]

    def add(self, name: str, value: Array) -> None:
        """Adds a constant."""
        assert name not in self.arrays, name
        self.specs.append({"name": name, "shape": list(value.shape), "dtype": value.dtype.name})
        self.arrays[name] = value

    def widened(self, name: str) -> Array:
        """Returns a weight as TF.js has it, float32."""
        spec = self.spec(name)
        scheme = spec.get("quantization", {})
        return TfjsWeight(name, spec["dtype"], scheme, self.arrays[name]).widened()

    def write(self) -> None:
        """Writes the shards."""
        stored = {spec["name"]: self.arrays[spec["name"]].tobytes() for spec in self.specs}
        self.copy.weight_checksums = {
            name: hashlib.sha256(data).hexdigest() for name, data in stored.items()
        }
        self.write_bytes(b"".join(stored.values()))

    def write_bytes(self, whole: bytes) -> None:
        """Writes these bytes as shards; all but the last have one size, as TF.js requires."""
        for path in self.group["paths"]:
            self.copy.remove(path)
        parts = [whole[at : at + SHARD] for at in range(0, len(whole), SHARD)]
        count = len(parts)
        if count != len(self.group["paths"]):
            self.group["paths"] = [f"group1-shard{i}of{count}.bin" for i in range(1, count + 1)]
        for path, part in zip(self.group["paths"], parts, strict=True):
            self.copy.write(path, part)


def short_name(name: str) -> str:
    """Returns a weight's name without the common prefix."""
    return name.removeprefix(WEIGHT_PREFIX)
