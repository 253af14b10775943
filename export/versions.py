"""Versions of everything that makes a bundle, found without importing any of it."""

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

ROOMS = ("export", "numerics")
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
    """The sha256 of the exporter's source files, so that a changed exporter exports anew.

    The budgets are part of it: a bundle carries them.
    """
    root = Path(__file__).parents[1]
    whole = hashlib.sha256()
    for room in ROOMS:
        files = (
            file for kind in ("*.py", "*.toml", "*.json") for file in (root / room).rglob(kind)
        )
        for file in sorted(files):
            whole.update(f"{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes())
    return whole.hexdigest()
