"""What the bundle says of itself, and whether it was made from the model at hand."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import contracts
from support.errors import UserError


@dataclass(frozen=True)
class Contract:
    """`bundle.json` (docs/bundle.md), and the sha256 that names the bundle."""

    path: Path
    sha256: str
    document: dict[str, Any]

    @classmethod
    def read(cls, bundle: Path) -> "Contract":
        """Reads a bundle's contract; its hashes are Node's to check.

        Raises:
            UserError: it is not a bundle, or its contract is not what the schema says.
        """
        document = contracts.read_bundle(bundle)
        data = (bundle / contracts.CONTRACT).read_bytes()
        return cls(bundle, hashlib.sha256(data).hexdigest(), document)

    @property
    def weight_dtype(self) -> str | None:
        """Of the weights in the bundle."""
        return self.document.get("weight_dtype")

    def output_of(self, role: str) -> str:
        """The name of the output that has a role; where none has, the role, which no output has."""
        outputs = self.document.get("outputs", [])
        return next((spec["name"] for spec in outputs if spec["role"] == role), role)

    def takes(self, role: str) -> bool:
        """Whether the model has an input of this role."""
        return any(spec["role"] == role for spec in self.document.get("inputs", []))

    def source_sha256(self) -> str | None:
        """The sha256 of the model that the bundle says it was made from."""
        source = self.document.get("provenance", {}).get("source")
        return source.get("sha256") if isinstance(source, dict) else None


def directory_sha256(path: Path) -> str:
    """The sha256 of a directory: of a line `<name>` NUL `<sha256>` for each file, by name.

    Of a SavedModel, what is not the model is left out: `fingerprint.pb`, which differs between two
    identical saves, and the exporter's own list of its files.
    """
    whole = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.name not in ("fingerprint.pb", "bert-bridge.json"):
            inner = file_sha256(file)
            whole.update(f"{file.relative_to(path).as_posix()}\0{inner}\n".encode())
    return whole.hexdigest()


def file_sha256(path: Path) -> str:
    """The sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def classifier_fits(directory: Path, bundle_sha256: str) -> bool:
    """Whether a classifier says that it was trained on this bundle."""
    try:
        return bool(contracts.read_classifier(directory)["bundle"]["hash"] == bundle_sha256)
    except UserError:
        return False
