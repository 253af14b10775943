"""A copy of the source SavedModel inside the bundle: TensorFlow in Node runs it as Python does."""

import shutil
from collections.abc import Container
from pathlib import Path

FOLDER = "saved_model"
GRAPH = "saved_model.pb"
# Left behind: `fingerprint.pb`, which differs between two identical saves, and Keras's own notes,
# which no signature needs.
PARTS = ("variables", "assets")


def copy(saved_model: Path, bundle: Path) -> None:
    """Copies what its signatures need."""
    folder = bundle / FOLDER
    folder.mkdir()
    shutil.copyfile(saved_model / GRAPH, folder / GRAPH)
    for part in PARTS:
        for file in sorted((saved_model / part).rglob("*")):
            if file.is_file():
                place = folder / file.relative_to(saved_model)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, place)


def is_in(files: Container[str]) -> bool:
    """Whether a bundle with such files has one."""
    return f"{FOLDER}/{GRAPH}" in files
