"""Reads the JSON documents that cross between programs, each by its JSON Schema.

`schemas/` at the root has the schemas; Node reads with the same ones (node_bridge/support/json.js).
"""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any, Literal

from support.errors import UserError
from support.input_files import read_json
from support.printing import printable

SCHEMAS = Path(__file__).parents[1] / "schemas"
CONTRACT = "bundle.json"
DESCRIPTION = "classifier.json"
FORMATS = {CONTRACT: "bert-bridge", DESCRIPTION: "bert-bridge-classifier"}
UNSEALED = "0" * 64
"""Stands in the place of a classifier's seal while it is computed."""
MAX_PROBLEM_CHARACTERS = 300
"""Characters of a problem that are shown: it may quote the file."""

Schema = Literal["bundle", "classifier", "golden"]


def read_bundle(bundle: Path) -> dict[str, Any]:
    """The contract of a bundle; its hashes are Node's to check.

    Raises:
        UserError: it is not a bundle, or its contract is not what the schema says.
    """
    document = read_document(bundle, CONTRACT, "a bundle", "make one with `nox -s export`")
    path, advice = bundle / CONTRACT, "export the bundle again"
    validate_document("bundle", document, path, advice)
    problem = contradiction_in_bundle(document)
    if problem:
        raise UserError(f"{path}: {problem}; {advice}")
    return document


def read_classifier(directory: Path) -> dict[str, Any]:
    """The description of a classifier, whose seal holds.

    Raises:
        UserError: it is not a classifier, its description is not what the schema says, or it was
            edited since training.
    """
    how = "make one with `node node_bridge/train.js`"
    document = read_document(directory, DESCRIPTION, "a classifier", how)
    path, advice = directory / DESCRIPTION, "copy or train the classifier again"
    validate_document("classifier", document, path, advice)
    problem = contradiction_in_classifier(document)
    if problem:
        raise UserError(f"{path}: {problem}; {advice}")
    seal = document.get("sha256")
    if seal is not None and seal_of(path.read_bytes(), seal) != seal:
        raise UserError(f"{path} is not what its sha256 says: it was edited or damaged; {advice}")
    return document


def read_document(directory: Path, name: str, kind: str, how: str) -> dict[str, Any]:
    """A JSON object out of a directory.

    Args:
        directory: where it is.
        name: of the file, a key of FORMATS.
        kind: what the directory should be.
        how: to get one.

    Raises:
        UserError: there is none, it cannot be read, or it is of another format.
    """
    path = directory / name
    if not path.exists():
        raise UserError(f"{directory} is not {kind}: it has no {name}; {how}")
    document = read_json(path, kind, refuse_constant)
    if not isinstance(document, dict) or document.get("format") != FORMATS[name]:
        raise UserError(f"{path} is not of the format {FORMATS[name]}; {how}")
    return document


def refuse_constant(name: str) -> float:
    """JSON has no NaN and no infinity, though Python reads them."""
    raise ValueError(f"got {name}, expected a number")


def validate_document(schema: Schema, document: Any, path: Path, advice: str) -> None:
    """Checks a document.

    Args:
        schema: the name of the schema.
        document: as `json` reads it.
        path: where it is from.
        advice: how to mend it.

    Raises:
        UserError: it is not what the schema says; names one place.
    """
    from jsonschema.exceptions import best_match

    error = best_match(schema_validator(schema).iter_errors(document))
    if error is not None:
        pointer = "/" + "/".join(str(part) for part in error.absolute_path)
        pointer, message = (
            printable(text, MAX_PROBLEM_CHARACTERS) for text in (pointer, error.message)
        )
        raise UserError(f"{path}: at {pointer}: {message}; {advice}")


@cache
def schema_validator(schema: Schema) -> Any:
    """The validator of a schema, which is itself checked."""
    from jsonschema import Draft202012Validator

    definition = json.loads((SCHEMAS / f"{schema}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(definition)
    return Draft202012Validator(definition)


def contradiction_in_bundle(contract: dict[str, Any]) -> str:
    """What the schema cannot say, as in node_bridge/bundle/bundle.js; "" where nothing is wrong."""
    tokenizer = contract["tokenizer"]
    size = tokenizer["vocab_size"]
    for role, special in tokenizer["special_tokens"].items():
        if special["id"] >= size:
            return f"special token {role} has id {special['id']}, expected less than {size}"
    for side in ("inputs", "outputs"):
        for key in ("name", "role"):
            values = [spec[key] for spec in contract[side]]
            if len(set(values)) < len(values):
                return f"two {side} have the same {key}"
    roles = [spec["role"] for spec in contract["inputs"]]
    if contract["architecture"] is not None and "input_ids" not in roles:
        return "no input has the role input_ids"
    return ""


def contradiction_in_classifier(description: dict[str, Any]) -> str:
    """What the schema cannot say, as in classifier_files.js of Node; "" where nothing is wrong."""
    labels = description["labels"]
    known = set(labels)
    if len(known) < len(labels):
        return "got a label twice"
    weights = description.get("class_weights", labels)
    if len(weights) != len(labels):
        return f"got {len(weights)} class_weights for {len(labels)} labels"
    epochs, best = description["epochs"], description.get("best_epoch", 1)
    if best > epochs:
        return f"got best_epoch {best} of {epochs} epochs"
    for answer in description.get("golden", []):
        if answer["label"] not in known:
            return "got a golden answer whose label is none of its labels"
        if len(answer["probabilities"]) != len(labels):
            return f"got a golden answer without {len(labels)} probabilities"
        if ("text" in answer) == (description["task"] == "pair"):
            return f"got a golden text that is not of the task {description['task']}"
    return ""


def seal_description(description: dict[str, Any]) -> bytes:
    """A classifier's description with its own sha256 in it, as train.js writes it.

    It proves that nothing was lost or edited since, not who trained it: anyone can seal.
    """
    # Right after what says which file this is, as in train.js: no other zeros may come before it.
    head = {key: description[key] for key in ("format", "version") if key in description}
    document = head | {"sha256": UNSEALED} | {k: v for k, v in description.items() if k != "sha256"}
    text = (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode()
    return text.replace(UNSEALED.encode(), seal_of(text, UNSEALED).encode(), 1)


def seal_of(data: bytes, seal: str) -> str:
    """The sha256 of a description with 64 zeros where its seal stands."""
    return hashlib.sha256(data.replace(seal.encode(), UNSEALED.encode(), 1)).hexdigest()
