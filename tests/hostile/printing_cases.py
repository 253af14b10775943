"""Names, labels, paths and options that a terminal, a log or a reader's eye would obey."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.hostile import toys
from tests.hostile.case import HostileCase
from tests.hostile.data_cases import GOOD, train_on
from tests.hostile.limits_cases import encode, predict_texts, tokenize, vocab_size

TEXTS = {
    "a title of the terminal": "\x1b]0;x\x07",
    "a colour": "\x1b[31mred",
    "C1": "\x9b31m",
    "a CI command": "a\n::error::x",
    "a CI command at once": "::error::x",
    "a return": "fine\rnot fine",
    "a turned name": "\u202egnp.exe",
    "an isolate": "\u2066x\u2069",
    "a mark of direction": "\u200fx",
    "another line end": "a\u2028::error::x",
    "a million characters": "x" * 1_000_000,
}
SHORT = {name: text for name, text in TEXTS.items() if len(text) < 1000}
"""What fits into a name of a file, or a word of a command line."""


def cases() -> Iterator[HostileCase]:
    """Each text at each place that is quoted."""
    for name, text in TEXTS.items():
        for place, make in IN_FILES.items():
            yield HostileCase(f"printing: {name} as {place}", partial(make, text), stdin=b"a\n")
        stdin = f"{json.dumps({'text': text, text: text})}\n".encode()
        yield HostileCase(
            f"printing: {name} in a text", partial(predicted, text), "survived", stdin=stdin
        )
        make = partial(labelled, text)
        yield HostileCase(
            f"printing: {name} as a label that is given", make, "survived", stdin=b"a\n"
        )
        stdin = f'{{"text":"a"}}\n{{"{text}\n[{json.dumps(text)}]\n'.encode()
        for command in (predicted, tokenized):
            title = f"printing: {name} in broken JSON, to {command.__name__}"
            yield HostileCase(title, partial(command, text), stdin=stdin)
    for name, text in SHORT.items():
        for place, make in IN_WORDS.items():
            yield HostileCase(f"printing: {name} as {place}", partial(make, text))


def of_contract(*at: Any) -> Callable[[str, Path], list[str]]:
    """The text at a place in a contract."""
    return lambda text, place: encode({}, toys.setter(at, text), place)


def op(text: str, place: Path) -> list[str]:
    """The op of a node."""
    change = toys.setter(("modelTopology", "node", 3, "op"), text)
    return encode(
        {"model.json": json.dumps(change(toys.model_document(vocab_size()))).encode()}, None, place
    )


def weight(text: str, place: Path) -> list[str]:
    """The name of a weight, of a dtype that there is not."""
    document = toys.model_document(vocab_size())
    document["weightsManifest"][0]["weights"][0] |= {"name": text, "dtype": text}
    return encode({"model.json": json.dumps(document).encode()}, None, place)


def shard(text: str, place: Path) -> list[str]:
    """The path of a shard."""
    document = toys.model_document(vocab_size())
    document["weightsManifest"][0]["paths"] = [text]
    return encode({"model.json": json.dumps(document).encode()}, None, place)


def broken_model(text: str, place: Path) -> list[str]:
    """A `model.json` that is no JSON."""
    return encode({"model.json": f'{{"{text}":'.encode()}, None, place)


def special_token(text: str, place: Path) -> list[str]:
    """A special token, empty but for it, in a vocab of another size."""

    def change(document: Any) -> None:
        document["tokenizer"]["special_tokens"]["unk"]["token"] = text * 300
        document["tokenizer"]["vocab_size"] = text

    return tokenize({}, change, place)


def tensor(text: str, place: Path) -> list[str]:
    """A tensor of golden cases, of a dtype that there is not."""
    header = json.dumps({text: {"dtype": text, "shape": [], "data_offsets": [0, 0]}}).encode()
    golden = len(header).to_bytes(8, "little") + header
    made = toys.write_bundle(place / "b", {"golden.safetensors": golden})
    return ["node", "node_bridge/verify.js", "--bundle", str(made), "--backend", "cpu"]


def label(text: str, place: Path) -> list[str]:
    """A label of a dev text that no training text has."""
    (place / "train").write_bytes(GOOD)
    (place / "dev").write_text(json.dumps({"text": "a", "label": f"l{text}"}) + "\n", "utf-8")
    return train_on(place, place / "train", place / "dev")


def column(text: str, place: Path) -> list[str]:
    """A column of a table."""
    (place / "data").write_text(f"{text}\tx\na\tb\n", "utf-8", newline="")
    return train_on(place, place / "data", place / "data")


def field(text: str, place: Path) -> list[str]:
    """A field of an object."""
    (place / "data").write_text(json.dumps({text: 1, "label": [text]}) + "\n", "utf-8")
    return train_on(place, place / "data", place / "data")


def vocab_line(text: str, place: Path) -> list[str]:
    """A vocab that is refused, with the text on a line, in the Python exporter."""
    (place / "vocab.txt").write_text(f"{text} \n{text}\n \n", "utf-8", newline="")
    words = ["python", "-m", "export", "vocab", str(place / "vocab.txt"), "--tokenizer", "bert"]
    return [*words, "--uncased", "--out", str(place / "out")]


def labelled(text: str, place: Path) -> list[str]:
    """A classifier whose label it is."""
    made = toys.write_classifier(place / "c", toys.write_bundle(place / "b"), [f"l{text}", "other"])
    return ["node", "node_bridge/predict.js", "--model", str(made), "--backend", "cpu"]


def predicted(_: str, place: Path) -> list[str]:
    """`predict.js` of objects on stdin."""
    return [*predict_texts(None, [], place), "--jsonl"]


def tokenized(_: str, place: Path) -> list[str]:
    """`tokenize.js` of objects on stdin."""
    return [*tokenize({}, None, place), "--jsonl"]


IN_FILES: dict[str, Callable[[str, Path], list[str]]] = {
    "the format of a bundle": of_contract("format"),
    "the version of a contract": of_contract("contract_version"),
    "a sha256": of_contract("files", "vocab.txt", "sha256"),
    "an op": op,
    "a weight": weight,
    "a shard": shard,
    "a broken model.json": broken_model,
    "a special token": special_token,
    "a tensor": tensor,
    "a label": label,
    "a column": column,
    "a field": field,
    "a line of a vocab": vocab_line,
}

EXPORT = ["python", "-m", "export"]
IN_WORDS: dict[str, Callable[[str, Path], list[str]]] = {
    "a bundle": lambda text, place: [
        "node",
        "node_bridge/verify.js",
        "--bundle",
        str(place / text),
    ],
    "a classifier": lambda text, place: [
        "node",
        "node_bridge/predict.js",
        "--model",
        str(place / text),
        "x",
    ],
    "data": lambda text, place: train_on(place, place / text, place / text),
    "a backend": lambda text, place: [
        "node",
        "node_bridge/verify.js",
        "--bundle=x",
        "--backend",
        text,
    ],
    "an option": lambda text, place: ["node", "node_bridge/train.js", f"--{text}", "x"],
    "a positional": lambda text, place: ["node", "node_bridge/encode.js", text],
    "class weights": lambda text, place: [
        *train_on(place, place, place),
        "--class-weights",
        f'{{"{text}":',
    ],
    "a handle": lambda text, place: [*EXPORT, "model", text, "--out", str(place / "o")],
    "an inspected handle": lambda text, place: [*EXPORT, "inspect", str(place / text)],
    "a checkpoint": lambda text, place: [
        *EXPORT,
        "build",
        str(place / text),
        "--out",
        str(place / "o"),
    ],
    "a subcommand": lambda text, place: [*EXPORT, text],
    "a dtype": lambda text, place: [*EXPORT, "model", "x", "--out", "y", "--dtype", text],
    "an option of Python": lambda text, place: [*EXPORT, f"--{text}"],
    "a bundle of the judge": lambda text, place: [
        "python",
        "-m",
        "parity_tests",
        "--bundle",
        str(place / text),
        "--model",
        str(place),
    ],
    "backends of the judge": lambda text, place: [
        "python",
        "-m",
        "parity_tests",
        "--backends",
        text,
        "--bundle",
        str(place),
        "--model",
        str(place),
    ],
}
