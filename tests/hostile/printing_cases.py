"""Names, labels, paths and options that control a terminal or a log, or mislead a reader."""

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
    "a reversed name": "\u202egnp.exe",
    "an isolate": "\u2066x\u2069",
    "a mark of direction": "\u200fx",
    "another line end": "a\u2028::error::x",
    "a million characters": "x" * 1_000_000,
}
SHORT = {name: text for name, text in TEXTS.items() if len(text) < 1000}
"""Texts that are short enough for a file name or an argument."""


def cases() -> Iterator[HostileCase]:
    """Yields each text at each position that a message quotes."""
    for name, text in TEXTS.items():
        for where, make in IN_FILES.items():
            yield HostileCase(f"printing: {name} as {where}", partial(make, text), stdin=b"a\n")
        stdin = f"{json.dumps({'text': text, text: text})}\n".encode()
        yield HostileCase(
            f"printing: {name} in a text", partial(predicted, text), "survived", stdin=stdin
        )
        make = partial(labelled, text)
        yield HostileCase(
            f"printing: {name} as the predicted label", make, "survived", stdin=b"a\n"
        )
        stdin = f'{{"text":"a"}}\n{{"{text}\n[{json.dumps(text)}]\n'.encode()
        for command in (predicted, tokenized):
            title = f"printing: {name} in broken JSON, to {command.__name__}"
            yield HostileCase(title, partial(command, text), stdin=stdin)
    for name, text in SHORT.items():
        for where, make in IN_WORDS.items():
            yield HostileCase(f"printing: {name} as {where}", partial(make, text))


def of_contract(*at: Any) -> Callable[[str, Path], list[str]]:
    """Returns a function that puts the text at a path of a contract."""
    return lambda text, workdir: encode({}, toys.setter(at, text), workdir)


def op(text: str, workdir: Path) -> list[str]:
    """Makes it the op of a node."""
    change = toys.setter(("modelTopology", "node", 3, "op"), text)
    return encode(
        {"model.json": json.dumps(change(toys.model_document(vocab_size()))).encode()},
        None,
        workdir,
    )


def weight(text: str, workdir: Path) -> list[str]:
    """Makes it the name and dtype of a weight."""
    document = toys.model_document(vocab_size())
    document["weightsManifest"][0]["weights"][0] |= {"name": text, "dtype": text}
    return encode({"model.json": json.dumps(document).encode()}, None, workdir)


def shard(text: str, workdir: Path) -> list[str]:
    """Makes it the path of a shard."""
    document = toys.model_document(vocab_size())
    document["weightsManifest"][0]["paths"] = [text]
    return encode({"model.json": json.dumps(document).encode()}, None, workdir)


def broken_model(text: str, workdir: Path) -> list[str]:
    """Puts it into a `model.json` that is no JSON."""
    return encode({"model.json": f'{{"{text}":'.encode()}, None, workdir)


def special_token(text: str, workdir: Path) -> list[str]:
    """Makes it a special token, and the size of the vocab."""

    def change(document: Any) -> None:
        document["tokenizer"]["special_tokens"]["unk"]["token"] = text * 300
        document["tokenizer"]["vocab_size"] = text

    return tokenize({}, change, workdir)


def tensor(text: str, workdir: Path) -> list[str]:
    """Makes it the name and dtype of a tensor of golden cases."""
    header = json.dumps({text: {"dtype": text, "shape": [], "data_offsets": [0, 0]}}).encode()
    golden = len(header).to_bytes(8, "little") + header
    made = toys.write_bundle(workdir / "b", {"golden.safetensors": golden})
    return ["node", "node_bridge/verify.js", "--bundle", str(made), "--backend", "cpu"]


def label(text: str, workdir: Path) -> list[str]:
    """Makes it the label of a dev text that no training text has."""
    (workdir / "train").write_bytes(GOOD)
    (workdir / "dev").write_text(json.dumps({"text": "a", "label": f"l{text}"}) + "\n", "utf-8")
    return train_on(workdir, workdir / "train", workdir / "dev")


def column(text: str, workdir: Path) -> list[str]:
    """Makes it a column of a table."""
    (workdir / "data").write_text(f"{text}\tx\na\tb\n", "utf-8", newline="")
    return train_on(workdir, workdir / "data", workdir / "data")


def field(text: str, workdir: Path) -> list[str]:
    """Makes it a field of an object."""
    (workdir / "data").write_text(json.dumps({text: 1, "label": [text]}) + "\n", "utf-8")
    return train_on(workdir, workdir / "data", workdir / "data")


def vocab_line(text: str, workdir: Path) -> list[str]:
    """Makes it a line of a vocab that the Python exporter refuses."""
    (workdir / "vocab.txt").write_text(f"{text} \n{text}\n \n", "utf-8", newline="")
    words = ["python", "-m", "export", "vocab", str(workdir / "vocab.txt"), "--tokenizer", "bert"]
    return [*words, "--uncased", "--out", str(workdir / "out")]


def labelled(text: str, workdir: Path) -> list[str]:
    """Makes it a label of a classifier."""
    made = toys.write_classifier(
        workdir / "c", toys.write_bundle(workdir / "b"), [f"l{text}", "other"]
    )
    return ["node", "node_bridge/predict.js", "--model", str(made), "--backend", "cpu"]


def predicted(_: str, workdir: Path) -> list[str]:
    """Returns the command of `predict.js` for objects on stdin."""
    return [*predict_texts(None, [], workdir), "--jsonl"]


def tokenized(_: str, workdir: Path) -> list[str]:
    """Returns the command of `tokenize.js` for objects on stdin."""
    return [*tokenize({}, None, workdir), "--jsonl"]


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
    "a bundle": lambda text, workdir: [
        "node",
        "node_bridge/verify.js",
        "--bundle",
        str(workdir / text),
    ],
    "a classifier": lambda text, workdir: [
        "node",
        "node_bridge/predict.js",
        "--model",
        str(workdir / text),
        "x",
    ],
    "data": lambda text, workdir: train_on(workdir, workdir / text, workdir / text),
    "a backend": lambda text, workdir: [
        "node",
        "node_bridge/verify.js",
        "--bundle=x",
        "--backend",
        text,
    ],
    "an option": lambda text, workdir: ["node", "node_bridge/train.js", f"--{text}", "x"],
    "a positional": lambda text, workdir: ["node", "node_bridge/encode.js", text],
    "class weights": lambda text, workdir: [
        *train_on(workdir, workdir, workdir),
        "--class-weights",
        f'{{"{text}":',
    ],
    "a handle": lambda text, workdir: [*EXPORT, "model", text, "--out", str(workdir / "o")],
    "an inspected handle": lambda text, workdir: [*EXPORT, "inspect", str(workdir / text)],
    "a checkpoint": lambda text, workdir: [
        *EXPORT,
        "build",
        str(workdir / text),
        "--out",
        str(workdir / "o"),
    ],
    "a subcommand": lambda text, workdir: [*EXPORT, text],
    "a dtype": lambda text, workdir: [*EXPORT, "model", "x", "--out", "y", "--dtype", text],
    "an option of Python": lambda text, workdir: [*EXPORT, f"--{text}"],
    "a bundle of the judge": lambda text, workdir: [
        "python",
        "-m",
        "parity_tests",
        "--bundle",
        str(workdir / text),
        "--model",
        str(workdir),
    ],
    "backends of the judge": lambda text, workdir: [
        "python",
        "-m",
        "parity_tests",
        "--backends",
        text,
        "--bundle",
        str(workdir),
        "--model",
        str(workdir),
    ],
}
