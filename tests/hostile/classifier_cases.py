"""Edited classifiers, and directories that `--out` would replace."""

import copy
import json
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from support import ROOT
from support.contracts import seal_description
from tests.hostile import contracts
from tests.hostile.case import HostileCase
from tests.hostile.mutations import mutations

EMBEDDED = ROOT / "artifacts" / "bundle" / "albert_tiny"
HIDDEN = 312
"""The width of the embedded bundle's vectors."""
EVERY = 3
OPEN = frozenset({("labels",), ("golden",), ("bundle", "dir"), ("files",), ("class_weights", 0)})


def predict(directory: Path) -> list[str]:
    """Returns the command that reads a classifier."""
    return ["node", "node_bridge/predict.js", "--model", str(directory), "--backend", "cpu", "好"]


def write_description(data: bytes, directory: Path) -> list[str]:
    """Writes a description without other files; returns the command."""
    (directory / "classifier.json").write_bytes(data)
    return predict(directory)


def change_sealed_classifier(change: Callable[[dict[str, Any]], Any], directory: Path) -> list[str]:
    """Writes a classifier with two outputs, changed and resealed; returns the command."""
    bundle = sha256((EMBEDDED / "bundle.json").read_bytes()).hexdigest()
    description = contracts.classifier_description(bundle)
    model = json.dumps(contracts.linear_model(HIDDEN, 2)).encode()
    weights = bytes(4 * (HIDDEN * 2 + 2))
    description["files"] = {}
    for name, data in (("model.json", model), ("weights.bin", weights)):
        (directory / name).write_bytes(data)
        entry = {"sha256": sha256(data).hexdigest(), "size": len(data)}
        description["files"][name] = entry
    change(description)
    (directory / "classifier.json").write_bytes(seal_description(description))
    return [*predict(directory), "--bundle", str(EMBEDDED)]


def other_labels(*names: str) -> Callable[[dict[str, Any]], None]:
    """Returns a change to other labels, with as many weights."""
    return lambda d: d.update(labels=list(names), class_weights=[1] * len(names), golden=[])


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "three labels on two outputs": (other_labels("a", "b", "c"), "got gives [?,2], expected [?,3]"),
    "a hundred labels on two outputs": (other_labels(*map(str, range(100))), "got gives [?,2]"),
    "another head": (lambda d: d.update(head="bilstm"), "got pooling"),
    "another pooling": (lambda d: d.update(pooling="sequence_output"), "got pooling"),
    "head and pooling of another": (
        lambda d: d.update(head="bilstm", pooling="sequence_output"),
        "got takes [?,312]",
    ),
    "a length beyond the model's": (lambda d: d.update(max_length=513), "got max_length 513"),
    "another bundle's": (lambda d: d["bundle"].update(hash="0" * 64), "was trained on the bundle"),
    "weights of another sum": (
        lambda d: d["files"]["weights.bin"].update(sha256="0" * 64),
        "weights.bin has sha256",
    ),
}


def contradictions() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields descriptions that contradict themselves."""
    golden = contracts.classifier_description()["golden"][0]
    changes: dict[str, dict[str, Any]] = {
        "one label": {"labels": ["a"]},
        "a label twice": {"labels": ["a", "a"]},
        "an empty label": {"labels": ["a", ""]},
        "a label that is null": {"labels": ["a", None]},
        "three labels, two weights": {"labels": ["a", "b", "c"]},
        "a golden label of nobody": {"golden": [golden | {"label": "c"}]},
        "a golden answer of one": {"golden": [golden | {"probabilities": [1]}]},
        "a golden answer beyond 1": {"golden": [golden | {"probabilities": [2, 0]}]},
        "a golden text that is a number": {"golden": [golden | {"text": 1}]},
        "single texts for pairs": {"task": "pair"},
        "an epoch that was not": {"best_epoch": 6},
        "a version to come": {"version": 3},
        "no files": {"files": {}},
        "a file outside": {
            "files": contracts.classifier_description()["files"] | {"../x": contracts.EMPTY}
        },
        "itself a file": {
            "files": contracts.classifier_description()["files"]
            | {"classifier.json": contracts.EMPTY}
        },
    }
    for name, change in changes.items():
        yield name, copy.deepcopy(contracts.classifier_description()) | change


def train_over(populate: Callable[[Path], Any], options: list[str], directory: Path) -> list[str]:
    """Makes a directory for `--out` with files in it; returns the command of `train.js`."""
    out = directory / "out"
    out.mkdir()
    populate(out)
    bundle = directory / "bundle"
    bundle.mkdir()
    (bundle / "bundle.json").write_text(json.dumps(contracts.bundle_contract()))
    train = ["node", "node_bridge/train.js", "--bundle", str(bundle), "--out", str(out)]
    return [*train, "--cache", str(directory / "cache"), *options]


def with_a_diary(out: Path) -> None:
    """Writes a classifier, and a file of the user."""
    (out / "classifier.json").write_bytes(seal_description(contracts.classifier_description()))
    for name in ("model.json", "weights.bin"):
        (out / name).touch()
    (out / "diary.txt").write_text("mine")


def diary_alone(out: Path) -> None:
    """Writes only a file of the user."""
    (out / "diary.txt").write_text("mine")


def false_list(out: Path) -> None:
    """Writes an unsealed description that lists the user's file."""
    description = contracts.classifier_description()
    description["files"]["diary.txt"] = contracts.EMPTY
    (out / "classifier.json").write_text(json.dumps(description | {"sha256": "1" * 64}))
    (out / "diary.txt").write_text("mine")


def broken_list(out: Path) -> None:
    """Writes a description that cannot be read."""
    (out / "classifier.json").write_text("{")
    (out / "diary.txt").write_text("mine")


def folder_in_a_files_place(out: Path) -> None:
    """Makes a folder with the name of a listed file."""
    (out / "classifier.json").write_bytes(seal_description(contracts.classifier_description()))
    (out / "weights.bin").mkdir()
    (out / "weights.bin" / "diary.txt").write_text("mine")


def diary_is_there(directory: Path) -> str:
    """Checks that the user's file exists after the run."""
    return "" if list((directory / "out").rglob("diary.txt")) else "the diary is gone"


def cases() -> Iterator[HostileCase]:
    """Yields spoilt descriptions, resealed where they remain JSON, and the cases of `--out`."""
    spoilt = list(mutations(contracts.classifier_description() | {"sha256": "0" * 64}, OPEN))
    for name, text in spoilt[::EVERY]:
        data = text.encode()
        try:
            document = json.loads(text)
            if isinstance(document, dict) and "seal" not in name and "sha256" not in name:
                data = seal_description(document)
        except UnicodeEncodeError:
            pass
        yield HostileCase(
            f"classifier: {name}", partial(write_description, data), says="classifier.json"
        )
    for name, description in contradictions():
        data = seal_description(description)
        yield HostileCase(
            f"classifier: {name}", partial(write_description, data), says="classifier.json"
        )
    whole = seal_description(contracts.classifier_description())
    for name, old, new in (
        ("labels swapped by hand", b'"a",\n    "b"', b'"b",\n    "a"'),
        ("a label renamed by hand", b'"b"', b'"B"'),
        ("the length edited by hand", b'"max_length": 16', b'"max_length": 17'),
        ("a byte added", b"{", b"{ "),
    ):
        assert old in whole, name
        edited = whole.replace(old, new)
        yield HostileCase(
            f"classifier: {name}", partial(write_description, edited), says="classifier.json"
        )
    for name, (change, said) in CHANGES.items():
        if EMBEDDED.exists():
            make = partial(change_sealed_classifier, change)
            yield HostileCase(f"classifier: {name}", make, says=said)
    for populate, said in (
        (with_a_diary, "holds diary.txt"),
        (diary_alone, "holds other things (diary.txt)"),
        (false_list, "cannot be read"),
        (broken_list, "cannot be read"),
        (folder_in_a_files_place, "holds weights.bin"),
    ):
        for options in ([], ["--force"]):
            yield HostileCase(
                f"classifier: train {' '.join(options)}over {populate.__name__}",
                partial(train_over, populate, options),
                says=said,
                check=diary_is_there,
            )
