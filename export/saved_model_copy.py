"""A copy of the source SavedModel inside the bundle: TensorFlow in Node runs it as Python does."""

import shutil
from collections.abc import Container
from pathlib import Path

from export.bundle import digest
from export.source.vetting import ALLOWED_FILE, vet

FOLDER = "saved_model"
GRAPH = "saved_model.pb"
# Left behind: `fingerprint.pb`, which differs between two identical saves, and Keras's own notes,
# which no signature needs.
COPIED_FOLDERS = ("variables", "assets")


def copy_saved_model(saved_model: Path, bundle: Path) -> dict[str, str]:
    """Copies what its signatures need, and vets the copy.

    Returns:
        what the contract says of it: `sha256` of the copy as it was vetted, as `digest` has it, and
        `allowed_ops`, the sha256 of the list of ops that it was vetted by. Who re-seals a bundle
        can write any digest: it tells that somebody vetted, not that nobody changed it since.

    Raises:
        UserError: see `vet`.
    """
    folder = bundle / FOLDER
    folder.mkdir()
    shutil.copyfile(saved_model / GRAPH, folder / GRAPH)
    for part in COPIED_FOLDERS:
        for file in sorted((saved_model / part).rglob("*")):
            if file.is_file():
                place = folder / file.relative_to(saved_model)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, place)
    vet(folder)
    return {"sha256": digest(folder), "allowed_ops": digest(ALLOWED_FILE)}


def has_saved_model(files: Container[str]) -> bool:
    """Whether a bundle with such files has one."""
    return f"{FOLDER}/{GRAPH}" in files
