"""Reads the answers of a program of the user's; docs/your-own-runner.md describes them."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from parity_tests.runners.runs import PROBABILITIES
from support.errors import UserError
from support.printing import printable_line

MAX_LINE_BYTES = 256 << 20
"""Of an answer. A text of 512 positions and 1024 units takes some 12 MB as JSON."""
TEXT_FIELDS = ("ids", "tokens", "label", "labels", PROBABILITIES)
FILE_FIELD, SKIP_FIELD = "safetensors", "skip"
Array = NDArray[Any]


@dataclass(frozen=True)
class Answer:
    """What a program answered for one text; what it left out is None or missing.

    Attributes:
        ids: int32[tokens], special tokens included.
        tokens: the pieces of the vocab, special tokens included.
        labels: what it decided.
        tensors: outputs and `probabilities` by their names, float32 without padding.
        skipped: why the program does not take this text, or "".
    """

    ids: Array | None = None
    tokens: list[str] | None = None
    labels: list[str] | None = None
    tensors: dict[str, Array] = field(default_factory=dict)
    skipped: str = ""


@dataclass(frozen=True)
class AnswerNames:
    """Which names an answer may use.

    Attributes:
        outputs: the model's outputs: each name and each role, with the name.
        labels: of the classifier, in the order of the probabilities.
    """

    outputs: dict[str, str]
    labels: tuple[str, ...] = ()


def parse_answer(line: bytes, number: int, names: AnswerNames, program: str) -> Answer:
    """Reads one answer.

    Args:
        line: of the program's stdout.
        number: of the text that it answers.
        names: that the answer may use.
        program: its name, for messages.

    Raises:
        UserError: it is no answer to this text.
    """
    where = f"--runner {program}: the answer to text {number}"
    if len(line) > MAX_LINE_BYTES:
        raise UserError(f"{where} is longer than {MAX_LINE_BYTES >> 20} MiB; give a {FILE_FIELD}")
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UserError(
            f"{where}: got {quote_line(line)} on stdout, expected a line with a JSON object; "
            f"write everything else to stderr"
        )
    if isinstance(found.get("error"), str):
        raise UserError(f"{where} is an error: {printable_line(found['error'], longest=300)}")
    if found.pop("id", None) != number:
        raise UserError(
            f"{where}: got {quote_line(line)}, expected the id {number}: answers come in the order "
            "of the texts, each with its id"
        )
    if SKIP_FIELD in found:
        if list(found) != [SKIP_FIELD] or not isinstance(found[SKIP_FIELD], str):
            raise UserError(f"{where}: expected nothing but the id and {SKIP_FIELD}, the reason")
        return Answer(skipped=printable_line(found[SKIP_FIELD], longest=120) or "no reason given")
    if FILE_FIELD in found:
        found |= _read_tensors(found.pop(FILE_FIELD), where)
    known = [*TEXT_FIELDS, *names.outputs]
    for name in found:
        if name not in known:
            raise UserError(
                f"{where} has {name!r}; expected some of id, {', '.join(known)}, {FILE_FIELD}, "
                f"{SKIP_FIELD}"
            )
    tensors = {}
    for name, value in found.items():
        if name in names.outputs:
            tensors[names.outputs[name]] = _numbers(value, f"{where}: {name}")
        elif name == PROBABILITIES:
            tensors[name] = _probabilities(value, names.labels, where)
    return Answer(
        ids=_ids(found["ids"], where) if "ids" in found else None,
        tokens=_strings(found["tokens"], f"{where}: tokens") if "tokens" in found else None,
        labels=_labels(found, where),
        tensors=tensors,
    )


def _read_tensors(path: object, where: str) -> dict[str, Any]:
    """Reads the safetensors file that an answer names."""
    if not isinstance(path, str):
        raise UserError(f"{where}: {FILE_FIELD} is {path!r}, expected a path")
    try:
        return dict(load_file(Path(path)))
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"{where}: {path} cannot be read as safetensors: {error}") from None


def _ids(value: object, where: str) -> Array:
    """Returns ids as int32[tokens]."""
    found = np.asarray(value) if isinstance(value, list | np.ndarray) else np.zeros((1, 1))
    empty = found.ndim == 1 and found.size == 0
    if not empty and (found.ndim != 1 or found.dtype.kind not in "iu"):
        raise UserError(f"{where}: ids are no list of whole numbers")
    if not empty and (found.min() < -(2**31) or found.max() >= 2**31):
        raise UserError(f"{where}: ids are beyond int32")
    return found.astype(np.int32)


def _numbers(value: object, where: str) -> Array:
    """Returns nested lists of numbers as float32; NaN and infinity are for the comparison."""
    try:
        found = np.asarray(value)
    except ValueError:
        found = np.asarray(None)
    if found.dtype.kind not in "iuf" and found.size:
        # JavaScript's JSON writes null for NaN and infinity.
        raise UserError(f"{where}: got something else than nested lists of numbers, all as long")
    with np.errstate(over="ignore"):
        return found.astype(np.float32)


def _probabilities(value: object, labels: tuple[str, ...], where: str) -> Array:
    """Returns probabilities in the order of the labels."""
    if not isinstance(value, dict):
        return _numbers(value, f"{where}: {PROBABILITIES}")
    if set(value) != set(labels):
        got, expected = (", ".join(sorted(map(repr, names))) for names in (value, labels))
        raise UserError(
            f"{where}: {PROBABILITIES} are of {got}, expected of {expected or 'no label'}"
        )
    return _numbers([value[label] for label in labels], f"{where}: {PROBABILITIES}")


def _labels(found: dict[str, Any], where: str) -> list[str] | None:
    """Returns the label or the labels of an answer."""
    if "label" in found and "labels" in found:
        raise UserError(f"{where} has label and labels, expected one of them")
    if "label" in found:
        return _strings([found["label"]], f"{where}: label")
    return _strings(found["labels"], f"{where}: labels") if "labels" in found else None


def _strings(value: object, where: str) -> list[str]:
    """Returns a list of strings."""
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise UserError(f"{where}: got something else than text")
    return value


def quote_line(line: bytes) -> str:
    """Returns the start of a line for a message."""
    text = line.decode(errors="replace").strip()
    return repr(printable_line(text if len(text) <= 80 else f"{text[:79]}…"))
