"""A copy of a sealed directory that can be changed and is sealed again.

Files are hard links until they are written, so the clean directory stays as it is.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from export import contracts

BUNDLE, HEAD = "bundle.json", "classifier.json"


class Copy:
    """A bundle or a classifier; `seal_file` lists the others with their hashes."""

    def __init__(self, clean: Path, place: Path, seal_file: str) -> None:
        """Links every file of `clean` into `place`, which must not exist."""
        self.path = place
        self.seal_file = seal_file
        self.changed: dict[str, Any] = {}
        place.mkdir(parents=True)
        for file in sorted(clean.iterdir()):
            os.link(file, place / file.name)

    def read(self, name: str) -> bytes:
        """A file as it is now."""
        return (self.path / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        """A file anew; the clean one, which shares its place on disk, is left alone."""
        self.remove(name)
        (self.path / name).write_bytes(data)

    def remove(self, name: str) -> None:
        """Takes a file away."""
        (self.path / name).unlink(missing_ok=True)

    def document(self, name: str) -> Any:
        """A JSON file; what is changed in it is written when the copy is sealed."""
        if name not in self.changed:
            self.changed[name] = json.loads(self.read(name))
        return self.changed[name]

    @property
    def about(self) -> Any:
        """The document that seals the rest."""
        return self.document(self.seal_file)

    def seal(self) -> None:
        """Writes all documents, then sizes and hashes of all files as the exporter does."""
        for name, value in self.changed.items():
            if name != self.seal_file:
                self.write(name, self.text_of(value).encode())
        others = sorted(file.name for file in self.path.iterdir() if file.name != self.seal_file)
        if self.seal_file == HEAD:
            # The golden predictions and whatever else is not of the model stays unlisted.
            others = [name for name in self.about["files"] if name in others]
        self.about["files"] = {name: sealed(self.read(name)) for name in others}
        if self.seal_file == HEAD:
            self.write(HEAD, contracts.sealed(self.about))
            return
        text = json.dumps(self.about, ensure_ascii=False, indent=2) + "\n"
        self.write(self.seal_file, text.encode())

    def text_of(self, model: Any) -> str:
        """`model.json` as the exporter writes it, or as training in Node does."""
        if self.seal_file == BUNDLE:
            return json.dumps(model, sort_keys=True)
        return json.dumps(model, ensure_ascii=False, separators=(",", ":")) + "\n"


def sealed(data: bytes) -> dict[str, Any]:
    """What the contract says of a file."""
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
