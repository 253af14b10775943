"""Writes a bundle: one directory, all of it or nothing, that proves itself by its hashes.

The layout and the contract (`bundle.json`) are described in docs/bundle.md.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from export.errors import UserError

FORMAT = "bert-bridge"
CONTRACT_VERSION = 1
CONTRACT = "bundle.json"
SAVED_MODEL = "saved_model.pb"


@dataclass(frozen=True)
class TensorSpec:
    """One input or output: its name in the signature, what it means, its dtype and its shape.

    `role` is `input_ids`, `attention_mask`, `token_type_ids`, `sequence_output` or
    `pooled_output`, else the name itself. `shape` has `"batch"` and `"sequence"` where it is free,
    and numbers where the model fixes it.
    """

    name: str
    role: str
    dtype: str
    shape: list[str | int]


@dataclass(frozen=True)
class SpecialToken:
    """A special token as it stands in the vocab, and its id."""

    token: str
    id: int


@dataclass(frozen=True)
class TokenizerContract:
    """How the bundle turns text into ids; `special_tokens` has pad, unk, cls, sep and mask.

    `vocab_size` counts the lines of `vocab.txt`. `embedding_rows` may be more: rows of the
    model's word embeddings that belong to no token; None where they are not known.
    """

    algorithm: str
    options: dict[str, bool]
    vocab_size: int
    special_tokens: dict[str, SpecialToken]
    source_adds_special_tokens: bool
    embedding_rows: int | None = None


@dataclass(frozen=True)
class Contract:
    """What `bundle.json` promises, less the hashes, which sealing adds.

    `accuracy` says how far the bundle's outputs are from the source's on the golden cases, and
    how far they may be; a bundle of a tokenizer alone has none. `taps` are nodes inside the model
    that a judge may fetch: each with its name, its node in `model.json`, and the tensor of the
    source's inlined graph that it has to equal. `signature` has the `name` and the `tags` of what
    was exported of the SavedModel.
    """

    name: str
    architecture: str | None
    trained: bool | None
    weight_dtype: str | None
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    padding: str
    max_length: int
    tokenizer: TokenizerContract
    provenance: dict[str, Any]
    accuracy: dict[str, Any] | None = None
    taps: list[dict[str, str]] = field(default_factory=list)
    signature: dict[str, Any] | None = None


def digest(path: Path) -> str:
    """The sha256 of a file, or of a directory's files and their names, in hexadecimal.

    A SavedModel's `fingerprint.pb` is left out: it differs between two identical saves.
    """
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    whole = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.name != "fingerprint.pb":
            whole.update(f"{file.relative_to(path).as_posix()}\0{digest(file)}\n".encode())
    return whole.hexdigest()


def seal(directory: Path, contract: Contract) -> None:
    """Writes `bundle.json`: the contract, and size and sha256 of every other file."""
    others = [f for f in sorted(directory.rglob("*")) if f.is_file() and f.name != CONTRACT]
    files = {
        file.relative_to(directory).as_posix(): {
            "sha256": digest(file),
            "size": file.stat().st_size,
        }
        for file in others
    }
    document = {"format": FORMAT, "contract_version": CONTRACT_VERSION}
    document |= asdict(contract) | {"files": files}
    text = json.dumps(document, ensure_ascii=False, indent=2)
    (directory / CONTRACT).write_text(text + "\n", encoding="utf-8")


@contextmanager
def appearing(out: Path, mark: str = SAVED_MODEL) -> Iterator[Path]:
    """A directory to fill that takes the place of `out` when the block ends well, else vanishes.

    `mark` is the file that tells an earlier export of the same kind: a bundle has its contract, a
    SavedModel its graph.

    Raises:
        UserError: `out` exists and is neither empty nor of that kind, or its disk is full or may
            not be written to.
    """
    refuse_foreign(out, mark)
    growing = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        growing.mkdir(parents=True)
        yield growing
        replace(growing, out)
    except OSError as error:
        if error.filename is None and error.strerror is None:
            raise
        raise UserError(
            f"cannot write {out}: {error.strerror}; give another place or make room"
        ) from error
    finally:
        shutil.rmtree(growing, ignore_errors=True)


def refuse_foreign(out: Path, mark: str = SAVED_MODEL) -> None:
    """Stops before overwriting a directory that holds something else than an earlier export."""
    if not out.exists():
        return
    if not out.is_dir():
        raise UserError(f"--out {out} is a file, expected a directory or a new name")
    if any(out.iterdir()) and not (out / mark).exists():
        kinds = {CONTRACT: "a bundle", SAVED_MODEL: "a SavedModel"}
        holds = next((kind for file, kind in kinds.items() if (out / file).exists()), "other files")
        raise UserError(f"--out {out} holds {holds}; give an empty directory or a new name")


def refuse_overlap(out: Path, sources: Iterable[Path]) -> None:
    """Stops where writing `out` would replace what it is made from, or would change it.

    Raises:
        UserError: a source is `out`, lies in it, or has it inside.
    """
    target = out.resolve()
    for source in sources:
        place = source.resolve()
        relation = (
            "is"
            if place == target
            else "lies inside"
            if place in target.parents
            else "holds"
            if target in place.parents
            else None
        )
        if relation:
            raise UserError(
                f"--out {out} {relation} {source}, which the bundle is made from; "
                "give another place"
            )


def refuse_another(out: Path, this: dict[str, Any], name: str, replace: bool) -> None:
    """Stops before a bundle replaces one that was made from something else.

    The same is: a model of the same handle; or a tokenizer alone of the same algorithm and
    options, and of the same vocab or tokenizer model. A newer state of it may replace it.

    Args:
        out: where the bundle goes.
        this: `architecture`, `tokenizer` and `provenance` of the new contract.
        name: what the new one is, for the message.
        replace: whether the person allows it.

    Raises:
        UserError: a bundle of something else is there.
    """
    file = out / CONTRACT
    if replace or not file.exists():
        return
    try:
        there = json.loads(file.read_text(encoding="utf-8"))
        same = identity(there) == identity(this)
        tokenizer = there["tokenizer"]
        options = ", ".join(f"{key} {json.dumps(on)}" for key, on in tokenizer["options"].items())
        source = there["provenance"].get("source", {}).get("handle", "a vocab")
        holds = (
            f"the bundle {there['name']} (tokenizer {tokenizer['algorithm']}, {options}; "
            f"made from {source})"
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        same, holds = False, f"a bundle whose {CONTRACT} cannot be read"
    if not same:
        raise UserError(
            f"--out {out} holds {holds}, not one of {name}; give another place, or --replace to "
            "put the new bundle in its place"
        )


def identity(contract: dict[str, Any]) -> tuple[object, ...]:
    """What two bundles have in common that are made from the same thing."""
    provenance, tokenizer = contract["provenance"], contract["tokenizer"]
    if "source" in provenance:
        return ("model", provenance["source"]["handle"])
    made_from = provenance.get("tokenizer_model", {}).get("handle") or provenance.get("vocab")
    return ("tokenizer", tokenizer["algorithm"], tokenizer["options"], made_from)


def replace(new: Path, out: Path) -> None:
    """Puts `new` where `out` is; between the two renames a reader sees nothing, never a half."""
    if not out.exists():
        new.rename(out)
        return
    old = out.with_name(f".{out.name}.{os.getpid()}.old")
    out.rename(old)
    new.rename(out)
    shutil.rmtree(old)
