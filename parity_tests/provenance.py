"""Reads a bundle's contract."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import contracts
from support.errors import UserError
from support.sha256 import file_sha256


@dataclass(frozen=True)
class Contract:
    """`bundle.json` (docs/bundle.md), and its sha256, which names the bundle."""

    path: Path
    sha256: str
    document: dict[str, Any]

    @classmethod
    def read(cls, bundle: Path) -> "Contract":
        """Reads a bundle's contract; Node checks its hashes.

        Raises:
            UserError: it is not a bundle, or its contract is not what the schema says.
        """
        document = contracts.read_bundle(bundle)
        return cls(bundle, file_sha256(bundle / contracts.CONTRACT), document)

    @property
    def weight_dtype(self) -> str | None:
        """The dtype of the weights in the bundle."""
        return self.document.get("weight_dtype")

    def output_name(self, role: str) -> str:
        """Returns the name of the output with this role; the role itself where no output has it."""
        outputs = self.document.get("outputs", [])
        return next((spec["name"] for spec in outputs if spec["role"] == role), role)

    def has_input(self, role: str) -> bool:
        """Returns whether the model has an input of this role."""
        return any(spec["role"] == role for spec in self.document.get("inputs", []))

    def source_sha256(self) -> str | None:
        """Returns the sha256 of the model that the bundle claims to be made from."""
        source = self.document.get("provenance", {}).get("source")
        return source.get("sha256") if isinstance(source, dict) else None


def classifier_fits(directory: Path, bundle_sha256: str) -> bool:
    """Returns whether a classifier claims to be trained on this bundle."""
    try:
        return bool(contracts.read_classifier(directory)["bundle"]["hash"] == bundle_sha256)
    except UserError:
        return False
