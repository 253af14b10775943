"""The contract of a bundle: what it promises, and the hashes by which it proves itself.

The layout and the contract (`bundle.json`) are described in docs/bundle.md.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from support import contracts
from support.errors import UserError

FORMAT = "bert-bridge"
CONTRACT_VERSION = 1
CONTRACT = contracts.CONTRACT
FILE_LIST = "bert-bridge.json"
"""In a SavedModel of ours: lists its files."""
UNHASHED_FILES = ("fingerprint.pb", FILE_LIST)


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
    was exported of the SavedModel. `saved_model` says what the copy of it inside the bundle was
    when it was vetted, see `saved_model_copy`; None where there is no copy.
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
    saved_model: dict[str, str] | None = None


def digest(path: Path) -> str:
    """The sha256 of a file, or of a directory's files and their names, in hexadecimal.

    Of a SavedModel, what is not the model is left out: `fingerprint.pb`, which differs between two
    identical saves, and our own list of its files.
    """
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    whole = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.name not in UNHASHED_FILES:
            whole.update(f"{file.relative_to(path).as_posix()}\0{digest(file)}\n".encode())
    return whole.hexdigest()


def seal(directory: Path, contract: Contract) -> None:
    """Writes `bundle.json`: the contract, and size and sha256 of every other file.

    Raises:
        UserError: it would not be what its schema says, by what the source is called or gives.
    """
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
    contracts.read_bundle(directory)


def refuse_other_source(out: Path, this: dict[str, Any], name: str, replace: bool) -> None:
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
        there = contracts.read_bundle(out)
        same = source_identity(there) == source_identity(this)
        tokenizer = there["tokenizer"]
        options = ", ".join(f"{key} {json.dumps(on)}" for key, on in tokenizer["options"].items())
        source = there["provenance"].get("source", {}).get("handle", "a vocab")
        holds = (
            f"the bundle {there['name']} (tokenizer {tokenizer['algorithm']}, {options}; "
            f"made from {source})"
        )
    except UserError:
        same, holds = False, f"a bundle whose {CONTRACT} cannot be read"
    if not same:
        raise UserError(
            f"--out {out} holds {holds}, not one of {name}; give another place, or --replace to "
            "put the new bundle in its place"
        )


def source_identity(contract: dict[str, Any]) -> tuple[object, ...]:
    """What two bundles have in common that are made from the same thing."""
    provenance, tokenizer = contract["provenance"], contract["tokenizer"]
    if "source" in provenance:
        return ("model", provenance["source"]["handle"])
    made_from = provenance.get("tokenizer_model", {}).get("handle") or provenance.get("vocab")
    return ("tokenizer", tokenizer["algorithm"], tokenizer["options"], made_from)


# Versions of everything that makes a bundle, found without importing any of it.

SOURCE_FOLDERS = ("export", "numerics", "support")
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
    return {"bert-bridge": exporter_sha256()[:12]} | {name: version(name) for name in PACKAGES}


def exporter_sha256() -> str:
    """The sha256 of the exporter's source files, so that a changed exporter exports anew.

    The budgets are part of it: a bundle carries them.
    """
    root = Path(__file__).parents[1]
    whole = hashlib.sha256()
    for room in SOURCE_FOLDERS:
        files = (
            file for kind in ("*.py", "*.toml", "*.json") for file in (root / room).rglob(kind)
        )
        for file in sorted(files):
            whole.update(f"{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes())
    return whole.hexdigest()
