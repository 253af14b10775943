"""What is there of a download that is not finished, kept as long as it can be gone on with."""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from export.errors import UserError
from export.input_files import read_object, typed

# A file that nobody has written to for so long was left by a process that is gone.
ABANDONED_S = 120


class Partial:
    """The growing file of one URL.

    `version` is what the server calls this version of the file (an ETag or a date), without which
    nothing can be taken up. It is part of the file's name, so that two versions never mix, and so
    is the process, so that two processes never write to one file.
    """

    def __init__(self, cache: Path, key: str) -> None:
        self.cache = cache
        self.key = key
        self.version: str | None = None

    @property
    def stem(self) -> str:
        """The name up to the version."""
        return f"{self.key}-{hashlib.sha256((self.version or '').encode()).hexdigest()[:16]}"

    @property
    def path(self) -> Path:
        """The growing file."""
        return self.cache / f"{self.stem}.{os.getpid()}.growing"

    def __enter__(self) -> "Partial":
        """Takes up what an earlier process left."""
        for note in self.cache.glob(f"{self.key}-*.json"):
            with suppress(FileNotFoundError, UserError):
                self.version = typed(read_object(note).get("version"), str, str(note))
                for left in self.left_behind():
                    left.replace(self.path)
                    return self
        self.version = None
        return self

    def left_behind(self) -> Iterator[Path]:
        """Files of this version that no process writes to."""
        kept = self.cache / f"{self.stem}.partial"
        if kept.exists():
            yield kept
        for growing in self.cache.glob(f"{self.stem}.*.growing"):
            if time.time() - growing.stat().st_mtime > ABANDONED_S:
                yield growing

    def __exit__(self, *_: object) -> None:
        """Leaves what can be gone on with; after success there is nothing to leave."""
        if self.version and self.size():
            self.path.replace(self.cache / f"{self.stem}.partial")
        else:
            self.forget()

    def size(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    def start(self, version: str | None) -> None:
        """Begins anew, with this version of the file."""
        self.forget()
        self.version = version
        if version:
            note = json.dumps({"version": version})
            (self.cache / f"{self.stem}.json").write_text(note, encoding="utf-8")

    def finish(self, target: Path) -> None:
        """Puts the whole file in its place."""
        self.path.replace(target)

    def forget(self) -> None:
        """Removes what is there."""
        self.path.unlink(missing_ok=True)
        (self.cache / f"{self.stem}.json").unlink(missing_ok=True)
        self.version = None
