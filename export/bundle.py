"""The contract of a bundle: its properties, and the hashes of its files.

The layout and the contract (`bundle.json`) are described in docs/bundle.md.
"""

import json
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from support import ROOT, contracts
from support.contracts import CONTRACT
from support.errors import UserError
from support.sha256 import code_sha256, file_sha256

FORMAT = contracts.FORMATS[CONTRACT]
CONTRACT_VERSION = 2
DEFAULT_MAX_LENGTH = 512
"""Positions of a text where nothing says how many the model takes."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output: its name in the signature, its meaning, its dtype and its shape.

    `role` is `input_ids`, `attention_mask`, `token_type_ids`, `sequence_output`, `pooled_output`,
    `logits` or `probabilities`, else the name itself. `shape` has `"batch"` and `"sequence"` for
    free axes, and numbers for axes that the model fixes.
    """

    name: str
    role: str
    dtype: str
    shape: list[str | int]


@dataclass(frozen=True)
class SpecialToken:
    """A special token as the vocab spells it, and its id."""

    token: str
    id: int


@dataclass(frozen=True)
class TokenizerContract:
    """How the bundle turns text into ids; `special_tokens` has pad, unk, cls, sep and mask.

    `vocab_size` is the number of lines of `vocab.txt`. `embedding_rows` is the number of rows of
    the model's word embeddings: it may be larger; None if it is unknown.
    """

    algorithm: str
    options: dict[str, bool]
    vocab_size: int
    special_tokens: dict[str, SpecialToken]
    source_adds_special_tokens: bool
    embedding_rows: int | None = None


@dataclass(frozen=True)
class ClassifierContract:
    """What a model with a head decides.

    Attributes:
        task: `single_label`, `multi_label`, `regression` or `token_labels`.
        output: the name of the output with the scores, float32[batch, labels] or
            float32[batch, sequence, labels].
        activation: makes probabilities of the scores: `softmax`, `sigmoid`, or `none` where they
            are probabilities already, or a regression's numbers.
        labels: in the order of the scores.
        threshold: of `multi_label`, else None.
        scheme: of `token_labels`: `BIO`, `BIOES` or `none`; else None.
    """

    task: str
    output: str
    activation: str
    labels: list[str]
    threshold: float | None = None
    scheme: str | None = None

    def document(self) -> dict[str, Any]:
        """Returns the entry of `bundle.json`, without what the task does not have."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Contract:
    """The content of `bundle.json`, without the hashes, which `seal` adds.

    `contents` says whether the bundle has a model or a tokenizer alone.
    `accuracy` has the measured and the allowed difference between the bundle's and the source's
    outputs on the golden cases; a bundle with only a tokenizer has none. `taps` are nodes inside
    the model that parity compares: each with its name, its node in `model.json`, and the tensor of
    the source's inlined graph that it must equal. `signature` has the `name` and the `tags` of the
    exported signature. `saved_model` describes the vetted copy of the SavedModel in the bundle,
    see `saved_model_copy`; None if there is no copy. `classifier` is None where the model decides
    nothing.
    """

    name: str
    contents: Literal["model", "tokenizer"]
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
    classifier: ClassifierContract | None = None


def seal(directory: Path, contract: Contract) -> None:
    """Writes `bundle.json`: the contract, and the size and sha256 of every other file.

    Raises:
        UserError: the contract does not fit its schema, because of the source's names or outputs.
    """
    others = [f for f in sorted(directory.rglob("*")) if f.is_file() and f.name != CONTRACT]
    files = {
        file.relative_to(directory).as_posix(): {
            "sha256": file_sha256(file),
            "size": file.stat().st_size,
        }
        for file in others
    }
    document = {"format": FORMAT, "contract_version": CONTRACT_VERSION}
    document |= asdict(contract) | {"files": files}
    document["classifier"] = contract.classifier and contract.classifier.document()
    text = json.dumps(document, ensure_ascii=False, indent=2)
    (directory / CONTRACT).write_text(text + "\n", encoding="utf-8")
    contracts.read_bundle(directory)


def refuse_other_source(out: Path, this: dict[str, Any], name: str, replace: bool) -> None:
    """Refuses to replace a bundle that was made from another source.

    Two sources are the same if they are models with the same handle, or tokenizers with the same
    algorithm, options, and vocab or tokenizer model. A newer version of a source may replace it.

    Args:
        out: the directory of the new bundle.
        this: `tokenizer` and `provenance` of the new contract.
        name: the new source, for the message.
        replace: whether the user allows any replacement.

    Raises:
        UserError: `out` contains a bundle of another source.
    """
    file = out / CONTRACT
    if replace or not file.exists():
        return
    try:
        existing = contracts.read_bundle(out)
        same = _source_identity(existing) == _source_identity(this)
        tokenizer = existing["tokenizer"]
        options = ", ".join(f"{key} {json.dumps(on)}" for key, on in tokenizer["options"].items())
        source = existing["provenance"].get("source", {}).get("handle", "a vocab")
        holds = (
            f"the bundle {existing['name']} (tokenizer {tokenizer['algorithm']}, {options}; "
            f"made from {source})"
        )
    except UserError:
        same, holds = False, f"a bundle whose {CONTRACT} cannot be read"
    if not same:
        raise UserError(
            f"--out {out} holds {holds}, not one of {name}; give another place, or --replace to "
            "put the new bundle in its place"
        )


def _source_identity(contract: dict[str, Any]) -> tuple[object, ...]:
    """Returns a value that is equal for two bundles made from the same source."""
    provenance, tokenizer = contract["provenance"], contract["tokenizer"]
    if "source" in provenance:
        return ("model", provenance["source"]["handle"])
    made_from = provenance.get("tokenizer_model", {}).get("handle") or provenance.get("vocab")
    return ("tokenizer", tokenizer["algorithm"], tokenizer["options"], made_from)


# The versions of all code that makes a bundle, found without importing it.

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
    """Returns package versions, and the exporter's own: the start of its sha256."""
    return {"bert-bridge": exporter_sha256()[:12]} | {name: version(name) for name in PACKAGES}


def exporter_sha256() -> str:
    """Returns the sha256 of the exporter's source files, so that a changed exporter exports again.

    The budgets are part of it, since a bundle contains them.
    """
    files: list[Path] = []
    for folder in SOURCE_FOLDERS:
        kinds = ((ROOT / folder).rglob(kind) for kind in ("*.py", "*.toml", "*.json"))
        files += sorted(file for found in kinds for file in found)
    return code_sha256(ROOT, files)
