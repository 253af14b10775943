"""Makes a tiny bundle and classifier to be damaged: the model only looks ids up.

Contract, vocab and tables are those of the embedded default, so that a toy equals an export of this
release, except for its size.
"""

import hashlib
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from support import ROOT

EMBEDDED = ROOT / "artifacts" / "bundle" / "albert_tiny"
WIDTH = 4
"""The width of a vector."""
SHARD = "group1-shard1of1.bin"
Change = Callable[[Any], Any]


def write_bundle(
    directory: Path, files: dict[str, bytes] | None = None, contract: Change | None = None
) -> Path:
    """Writes a sealed bundle.

    Args:
        directory: its directory.
        files: replacements of its files by name; the hashes are right for these.
        contract: changes the contract at the end.
    """
    document = json.loads((EMBEDDED / "bundle.json").read_text("utf-8"))
    size = document["tokenizer"]["vocab_size"]
    content = {
        "model.json": json.dumps(model_document(size)).encode(),
        SHARD: struct.pack(f"<{size * WIDTH}f", *([0.25] * size * WIDTH)) + struct.pack("<i", 0),
        "vocab.txt": (EMBEDDED / "vocab.txt").read_bytes(),
        "tokenizer_tables.bin": (EMBEDDED / "tokenizer_tables.bin").read_bytes(),
        **(files or {}),
    }
    directory.mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        (directory / name).write_bytes(data)
    output = {"name": "sequence_output", "role": "sequence_output", "dtype": "float32"}
    document |= {
        "name": "toy",
        "inputs": [spec for spec in document["inputs"] if spec["role"] == "input_ids"],
        "outputs": [output | {"shape": ["batch", "sequence", WIDTH]}],
        "taps": [],
        "files": {name: file_entry(data) for name, data in content.items()},
    }
    document["inputs"][0]["name"] = "input_ids"
    if contract is not None:
        document = contract(document) or document
    (directory / "bundle.json").write_text(json.dumps(document), "utf-8")
    return directory


def model_document(size: int) -> dict[str, Any]:
    """Returns `model.json` of a toy with `size` ids."""
    real, whole = {"type": "DT_FLOAT"}, {"type": "DT_INT32"}

    def constant(name: str, dtype: dict[str, str], shape: list[int]) -> dict[str, Any]:
        tensor = {"dtype": dtype["type"], "tensorShape": {"dim": [{"size": str(n)} for n in shape]}}
        return {"name": name, "op": "Const", "attr": {"dtype": dtype, "value": {"tensor": tensor}}}

    free = {"shape": {"dim": [{"size": "-1"}, {"size": "-1"}]}}
    nodes = [
        {"name": "input_ids", "op": "Placeholder", "attr": {"dtype": whole, "shape": free}},
        constant("table", real, [size, WIDTH]),
        constant("zero", whole, []),
        {
            "name": "sequence_output",
            "op": "GatherV2",
            "input": ["table", "input_ids", "zero"],
            "attr": {"Tparams": real, "Tindices": whole, "Taxis": whole, "batch_dims": {"i": "0"}},
        },
    ]
    weights = [
        {"name": "table", "dtype": "float32", "shape": [size, WIDTH]},
        {"name": "zero", "dtype": "int32", "shape": []},
    ]
    return {
        "format": "graph-model",
        "modelTopology": {"node": nodes, "versions": {"producer": 1}},
        "weightsManifest": [{"paths": [SHARD], "weights": weights}],
    }


def write_classifier(
    directory: Path, of: Path, labels: list[str] | None = None, change: Change | None = None
) -> Path:
    """Writes a classifier of a bundle: a linear head with equal weights.

    Args:
        directory: its directory.
        of: the bundle.
        labels: in order; two by default.
        change: changes its `model.json` before it is sealed.
    """
    labels = labels or ["0", "1"]
    count = len(labels)
    layer = {
        "name": "probabilities",
        "trainable": True,
        "batch_input_shape": [None, WIDTH],
        "dtype": "float32",
        "units": count,
        "activation": "softmax",
        "use_bias": True,
    }
    layers = [{"class_name": "Dense", "config": layer}]
    config = {"name": "classifier", "layers": layers}
    weights = [
        {"name": "probabilities/kernel", "shape": [WIDTH, count], "dtype": "float32"},
        {"name": "probabilities/bias", "shape": [count], "dtype": "float32"},
    ]
    document: Any = {
        "format": "layers-model",
        "generatedBy": "bert-bridge",
        "convertedBy": None,
        "modelTopology": {"class_name": "Sequential", "config": config, "keras_version": "tfjs"},
        "weightsManifest": [{"paths": ["weights.bin"], "weights": weights}],
    }
    if change is not None:
        document = change(document) or document
    files = {
        "model.json": document if isinstance(document, bytes) else json.dumps(document).encode(),
        "weights.bin": struct.pack(f"<{(WIDTH + 1) * count}f", *([0.5] * (WIDTH + 1) * count)),
    }
    directory.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (directory / name).write_bytes(data)
    description = {
        "format": "bert-bridge-classifier",
        "version": 1,
        "head": "linear",
        "pooling": "position 0 of sequence_output",
        "task": "single",
        "max_length": 16,
        "special_tokens": "added",
        "bundle": {
            "hash": hashlib.sha256((of / "bundle.json").read_bytes()).hexdigest(),
            "dir": f"../{of.name}",
        },
        "backend": "cpu",
        "seed": 1,
        "epochs": 1,
        "best_epoch": 1,
        "best_by": "accuracy",
        "batch_size": 32,
        "learning_rate": 0.0003,
        "schedule": "constant",
        "class_weights": [1] * count,
        "dev_accuracy": 0.5,
        "dev_macro_f1": 0.5,
        "labels": labels,
        "files": {name: file_entry(data) for name, data in files.items()},
    }
    (directory / "classifier.json").write_text(json.dumps(description), "utf-8")
    return directory


def file_entry(data: bytes) -> dict[str, Any]:
    """Returns a contract's entry of a file."""
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def pack_numbers(*values: int) -> bytes:
    """Packs numbers as in `tokenizer_tables.bin`: 7 bits a byte, lowest first."""
    out = bytearray()
    for value in values:
        while value >= 0x80:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
    return bytes(out)


def pack_tables(
    limit: int = 100, fold: tuple[int, ...] = (), ranks: tuple[int, ...] = (), rest: bytes = b""
) -> bytes:
    """Makes tables in which every character is a word, and 好 becomes some symbols.

    Args:
        limit: the longest word that is looked up.
        fold: the symbols of 好, as they are stored.
        ranks: pairs of a mark and its rank.
        rest: extra bytes at the end.
    """
    alone, folded, last = 1, 5, 0x110000
    at = ord("好")
    runs = [(at, alone), (1, folded), (last - at - 1, alone)] if fold else [(last, alone)]
    out = b"BBTT\x01" + pack_numbers(0, limit, len(runs), *(n << 3 | kind for n, kind in runs))
    if fold:
        out += pack_numbers(len(fold)) + pack_numbers(*fold)
    return out + pack_numbers(len(ranks) // 2, *ranks) + pack_numbers(1, last << 3) + rest


WRONG: list[Any] = [None, 5, -1, 1.5, "x", [], {}, [[]], True, 1e300]
"""Values, most of which have another type than a field."""


def mutations(document: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[str, Change]]:
    """Yields changes that give each field of a JSON document each wrong value, by its path."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(items):
        path = (*at, key)
        for number, wrong in enumerate(WRONG):
            if type(wrong) is not type(value) or isinstance(value, (list, dict)) and value:
                yield f"{path_name(path)} is {json.dumps(wrong)}", setter(path, WRONG[number])
        if isinstance(value, (dict, list)):
            yield from mutations(value, path)


def setter(path: tuple[Any, ...], value: Any) -> Change:
    """Returns a change that sets the value at a path."""

    def change(document: Any) -> Any:
        inner = document
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        return document

    return change


def path_name(path: tuple[Any, ...]) -> str:
    """Returns a path in a document as text, such as `weights.0.shape`."""
    return ".".join(map(str, path))
