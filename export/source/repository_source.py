"""The handle of a model's repository on Hugging Face's hub, and what is recorded of its files.

`build` writes the record into the SavedModel's assets, and `model` takes it into the bundle's
provenance.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from support import contracts
from support.errors import UserError
from support.input_files import read_json

PREFIX = "hf:"
FORM = f"{PREFIX}OWNER/NAME or {PREFIX}OWNER/NAME@REVISION"
# A few models of the hub's first years have no owner.
HANDLE = re.compile(
    r"hf:(?P<name>(?:[A-Za-z0-9][\w.-]{0,95}/)?[A-Za-z0-9][\w.-]{0,95})(?:@(?P<revision>\w[\w./-]*))?",
    re.ASCII,
)
MAIN = "main"
SOURCE_FILE = "assets/bert-bridge-source.json"


@dataclass(frozen=True)
class RepositoryHandle:
    """A handle as typed, and its parts."""

    text: str
    name: str
    revision: str


@dataclass(frozen=True)
class RepositorySource:
    """Where a checkpoint's files come from; a bundle's provenance has it.

    Attributes:
        repository: OWNER/NAME.
        revision: as asked for: a branch, a tag or a commit.
        commit: what the revision was.
        endpoint: who said which commit and which hashes: `hub`, `mirror`, or `cache` where the
            network was closed.
        files: the sha256 of each file.
    """

    repository: str
    revision: str
    commit: str
    endpoint: str
    files: Mapping[str, str]

    def document(self) -> dict[str, Any]:
        """Returns the fields as JSON."""
        return asdict(self)


def parse_handle(handle: str) -> RepositoryHandle | None:
    """Returns the parts of a repository's handle; None for another kind of handle.

    Raises:
        UserError: it begins as one, but is none.
    """
    if not handle.startswith(PREFIX):
        return None
    found = HANDLE.fullmatch(handle)
    if found is None or ".." in handle or "--" in found["name"]:
        raise UserError(f"{handle}: is no repository, expected {FORM}")
    return RepositoryHandle(handle, found["name"], found["revision"] or MAIN)


def write_source(saved_model: Path, source: RepositorySource) -> None:
    """Writes where a checkpoint's files come from to the assets of its SavedModel."""
    file = saved_model / SOURCE_FILE
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(source.document(), indent=2) + "\n", encoding="utf-8")


def read_source(saved_model: Path) -> dict[str, Any] | None:
    """Reads where the files of a SavedModel's checkpoint come from; None if it does not say it.

    Raises:
        UserError: the file is damaged.
    """
    file = saved_model / SOURCE_FILE
    if not file.is_file():
        return None
    document = read_json(file, "the file that `build` wrote", contracts.refuse_constant)
    contracts.check_repository(document, str(file), "build the SavedModel again")
    found: dict[str, Any] = document
    return found
