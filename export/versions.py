"""Versions of everything that makes a bundle, found without importing any of it."""

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

PACKAGES = (
    "numpy",
    "tensorflow",
    "tensorflow-text",
    "tensorflowjs",
    "tf-keras",
    "tokenizers",
)


@cache
def versions() -> dict[str, str]:
    """Package versions, and this exporter's own: the start of the sha256 of its source."""
    return {"bert-bridge": source_digest()[:12]} | {name: version(name) for name in PACKAGES}


def source_digest() -> str:
    """The sha256 of the exporter's source files, so that a changed exporter exports anew."""
    room = Path(__file__).parent
    whole = hashlib.sha256()
    for file in sorted([*room.rglob("*.py"), *room.rglob("*.toml"), *room.rglob("*.json")]):
        whole.update(f"{file.relative_to(room).as_posix()}\0".encode() + file.read_bytes())
    return whole.hexdigest()
