"""Reads the JSON documents that programs exchange; checks each against its JSON Schema.

The schemas are in `schemas/`; Node uses the same ones (node_bridge/support/json.js).
"""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any, Literal

from support import ROOT
from support.errors import UserError
from support.input_files import read_json
from support.printing import printable

SCHEMAS = ROOT / "schemas"
CONTRACT = "bundle.json"
DESCRIPTION = "classifier.json"
MODEL_FILE = "model.json"
VOCAB_FILE = "vocab.txt"
TABLES_FILE = "tokenizer_tables.bin"
GOLDEN_FILE = "golden.safetensors"
FILE_LIST = "bert-bridge.json"
"""The list of the files of a SavedModel that the exporter wrote."""
FORMATS = {CONTRACT: "bert-bridge", DESCRIPTION: "bert-bridge-classifier"}
WEIGHT_DTYPES = ("float32", "float16", "uint16", "uint8")
"""The dtypes in which a bundle stores weights, the widest first."""
UNSEALED = "0" * 64
"""Replaces a classifier's seal while the seal is computed."""
MAX_PROBLEM_CHARACTERS = 300
"""The most characters shown of a problem, which may quote the file."""

Schema = Literal["bundle", "classifier", "golden"]


def read_bundle(bundle: Path) -> dict[str, Any]:
    """Reads the contract of a bundle; does not check the hashes, Node does.

    Raises:
        UserError: it is not a bundle, or its contract does not fit the schema.
    """
    return read_contract(bundle / CONTRACT)


def read_contract(path: Path) -> dict[str, Any]:
    """Reads a bundle's contract, wherever it is.

    Raises:
        UserError: see `read_bundle`.
    """
    document = _read_document(path, CONTRACT, "a bundle", "make one with `nox -s export`")
    advice = "export the bundle again"
    _validate_document("bundle", document, path, advice)
    problem = _contradiction_in_bundle(document)
    if problem:
        raise UserError(f"{path}: {problem}; {advice}")
    if document["contract_version"] == 1:
        # It says it by a null architecture.
        document["contents"] = "tokenizer" if document["architecture"] is None else "model"
    return document


def read_classifier(directory: Path) -> dict[str, Any]:
    """Reads the description of a classifier and checks its seal.

    Raises:
        UserError: it is not a classifier, its description does not fit the schema, or the
            description was edited after training.
    """
    how = "make one with `node node_bridge/train.js`"
    path, advice = directory / DESCRIPTION, "copy or train the classifier again"
    document = _read_document(path, DESCRIPTION, "a classifier", how)
    _validate_document("classifier", document, path, advice)
    problem = _contradiction_in_classifier(document)
    if problem:
        raise UserError(f"{path}: {problem}; {advice}")
    seal = document.get("sha256")
    if seal is not None and _seal_of(path.read_bytes(), seal) != seal:
        raise UserError(f"{path} is not what its sha256 says: it was edited or damaged; {advice}")
    return document


def _read_document(path: Path, name: str, kind: str, how: str) -> dict[str, Any]:
    """Reads a JSON object and checks its `format`.

    Args:
        path: the file.
        name: the file's usual name, a key of FORMATS.
        kind: what the file's directory should be, for messages.
        how: advice on how to get one, for messages.

    Raises:
        UserError: the file is missing, cannot be read, or has another format.
    """
    if not path.exists():
        raise UserError(f"{path.parent} is not {kind}: it has no {name}; {how}")
    document = read_json(path, kind, refuse_constant)
    if not isinstance(document, dict) or document.get("format") != FORMATS[name]:
        raise UserError(f"{path} is not of the format {FORMATS[name]}; {how}")
    return document


def refuse_constant(name: str) -> float:
    """Refuses NaN and infinity: JSON has neither, but Python reads them."""
    raise ValueError(f"got {name}, expected a number")


def check_classifier(entry: Any, where: str, advice: str) -> None:
    """Checks an entry `classifier` of a bundle's contract, wherever it is.

    Args:
        entry: the entry as `json` reads it.
        where: the file or the option that it is from, for messages.
        advice: how to fix it, for messages.

    Raises:
        UserError: it does not fit; see `_validate_document`.
    """
    _validate_document("bundle", entry, where, advice, part="classifier")
    problem = _problem_of_labels(entry["labels"])
    if problem:
        raise UserError(f"{where}: at /labels: {problem}; {advice}")


def check_repository(entry: Any, where: str, advice: str) -> None:
    """Checks an entry `provenance.source.repository` of a bundle's contract, wherever it is.

    Args:
        entry: the entry as `json` reads it.
        where: the file that it is from, for messages.
        advice: how to fix it, for messages.

    Raises:
        UserError: it does not fit; see `_validate_document`.
    """
    _validate_document("bundle", entry, where, advice, part="repository")


def _validate_document(
    schema: Schema, document: Any, path: Path | str, advice: str, part: str = ""
) -> None:
    """Checks a document against its schema.

    Args:
        schema: the name of the schema.
        document: the document as `json` reads it.
        path: its file, for messages.
        advice: how to fix it, for messages.
        part: the definition in the schema that the document has to fit; "": the whole schema.

    Raises:
        UserError: it does not fit; the message has the JSON pointer of one problem.
    """
    from jsonschema.exceptions import best_match

    error = best_match(schema_validator(schema, part).iter_errors(document))
    if error is not None:
        pointer = "/" + "/".join(str(part) for part in error.absolute_path)
        pointer, message = (
            printable(text, MAX_PROBLEM_CHARACTERS) for text in (pointer, error.message)
        )
        raise UserError(f"{path}: at {pointer}: {message}; {advice}")


@cache
def schema_validator(schema: Schema, part: str = "") -> Any:
    """Returns the validator of a schema, or of a part of its definitions; checks the schema too."""
    from jsonschema import Draft202012Validator

    definition = json.loads((SCHEMAS / f"{schema}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(definition)
    if part:
        definition = {"$ref": f"#/$defs/{part}", "$defs": definition["$defs"]}
    return Draft202012Validator(definition)


def _contradiction_in_bundle(contract: dict[str, Any]) -> str:
    """Returns a problem that the schema cannot express, or ""; as bundle.js in Node does."""
    if contract["contract_version"] == 1 and "contents" in contract:
        return "got contents, which contract version 1 does not have"
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
    classifier = contract.get("classifier")
    if classifier is not None:
        problem = _contradiction_in_scores(classifier, contract["outputs"])
        if problem:
            return problem
    roles = [spec["role"] for spec in contract["inputs"]]
    if contract["inputs"] and "input_ids" not in roles:
        return "no input has the role input_ids"
    return ""


def _contradiction_in_scores(classifier: dict[str, Any], outputs: list[dict[str, Any]]) -> str:
    """Returns what the output with the scores lacks, or ""; as bundle.js in Node does."""
    problem = _problem_of_labels(classifier["labels"])
    if problem:
        return f"the classifier {problem}"
    name, count = classifier["output"], len(classifier["labels"])
    shape = next((spec["shape"] for spec in outputs if spec["name"] == name), None)
    if shape is None:
        shown = printable(name, MAX_PROBLEM_CHARACTERS)
        return f"the classifier's output {shown} is none of the outputs"
    rank = 3 if classifier["task"] == "token_labels" else 2
    if len(shape) != rank or shape[-1] != count:
        expected = f"rank {rank} and {count} scores"
        return f"the classifier's output has the shape {shape}, expected {expected}"
    return ""


def _problem_of_labels(labels: list[str]) -> str:
    """Returns that a label is there twice, or ""; the schema does not ask for it, see bundle.js."""
    seen: set[str] = set()
    for label in labels:
        if label in seen:
            return f"has the label {printable(repr(label), MAX_PROBLEM_CHARACTERS)} twice"
        seen.add(label)
    return ""


def _contradiction_in_classifier(description: dict[str, Any]) -> str:
    """Returns a problem that the schema cannot express, or ""; as classifier_files.js in Node."""
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
    length, long = description["max_length"], description.get("long", {})
    if "stride" in long:
        if description["pooling"] == "sequence_output":
            return "got windows, which give one vector a text, for the pooling sequence_output"
        if long["stride"] > length - 2:
            return f"got the stride {long['stride']} of windows of {length} positions"
    for answer in description.get("golden", []):
        if answer["label"] not in known:
            return "got a golden answer whose label is none of its labels"
        if len(answer["probabilities"]) != len(labels):
            return f"got a golden answer without {len(labels)} probabilities"
        if ("text" in answer) == (description["task"] == "pair"):
            return f"got a golden text that is not of the task {description['task']}"
    return ""


def seal_description(description: dict[str, Any]) -> bytes:
    """Returns a classifier's description as bytes, with its own sha256 in it, as train.js does.

    The seal shows that nothing was lost or edited later. It does not show who trained the
    classifier: anyone can seal.
    """
    # After `format` and `version`, as in train.js: no other 64 zeros may come before the seal.
    head = {key: description[key] for key in ("format", "version") if key in description}
    document = head | {"sha256": UNSEALED} | {k: v for k, v in description.items() if k != "sha256"}
    text = (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode()
    return text.replace(UNSEALED.encode(), _seal_of(text, UNSEALED).encode(), 1)


def _seal_of(data: bytes, seal: str) -> str:
    """Returns the sha256 of a description in which 64 zeros replace the seal."""
    return hashlib.sha256(data.replace(seal.encode(), UNSEALED.encode(), 1)).hexdigest()
