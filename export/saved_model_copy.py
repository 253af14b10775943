"""Copies the source SavedModel into the bundle, for native TensorFlow in Node."""

import shutil
from collections.abc import Container
from pathlib import Path

from export.source.vetting import ALLOWED_FILE, vet
from support.sha256 import path_sha256

FOLDER = "saved_model"
GRAPH = "saved_model.pb"
# Not copied: `fingerprint.pb`, which differs between two identical saves, and Keras's metadata,
# which no signature needs.
COPIED_FOLDERS = ("variables", "assets")


def copy_saved_model(saved_model: Path, bundle: Path) -> dict[str, str]:
    """Copies what the signatures need, and vets the copy.

    Returns:
        The contract's entry: `sha256`, the digest of the vetted copy, and `allowed_ops`, the sha256
        of the list of allowed ops. Anyone who re-seals a bundle can write any digest: it shows that
        somebody vetted the model, not that nobody changed it later.

    Raises:
        UserError: see `vet`.
    """
    folder = bundle / FOLDER
    folder.mkdir()
    shutil.copyfile(saved_model / GRAPH, folder / GRAPH)
    for part in COPIED_FOLDERS:
        for file in sorted((saved_model / part).rglob("*")):
            if file.is_file():
                target = folder / file.relative_to(saved_model)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
    vet(folder)
    return {"sha256": path_sha256(folder), "allowed_ops": path_sha256(ALLOWED_FILE)}


def has_saved_model(files: Container[str]) -> bool:
    """Whether a bundle with these files contains a SavedModel."""
    return f"{FOLDER}/{GRAPH}" in files
