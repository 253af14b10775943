"""Data files and streams that are not files, not text, or not JSON."""

import os
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.hostile import toys
from tests.hostile.case import HostileCase

DEEP = b"[" * 100_000 + b"]" * 100_000
GOOD = b'{"text":"\xe5\xa5\xbd","label":"1"}\n{"text":"\xe5\x9d\x8f","label":"0"}\n'
LINES: dict[str, tuple[bytes, str]] = {
    "deep brackets": (b'{"text":' + DEEP + b"}", "broken JSON"),
    "deep objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "broken JSON"),
    "brackets that never close": (b"{" + b'"a":[' * 5000, "broken JSON"),
    "a deep field beside": (b'{"text":"a","label":"1","x":' + DEEP + b"}", "broken JSON"),
    "a text that is a list": (b'{"text":["a"],"label":"1"}', "expected `text` to be a string"),
    "a text that is null": (b'{"text":null,"label":"1"}', "expected `text` to be a string"),
    "a text that is a number": (b'{"text":1e999,"label":"1"}', "expected `text`"),
    "half a character": (b'{"text":"\\ud800","label":"1"}', "lone surrogate"),
    "an array": (b'["a"]', "expected a JSON object"),
    "a string": (b'"a"', "expected a JSON object"),
    "null": (b"null", "expected a JSON object"),
    "NaN": (b'{"text":"a","label":NaN}', "NaN is no JSON"),
    "invalid UTF-8": (b'{"text":"\xff\xfe\xfd","label":"1"}', "invalid UTF-8"),
    "an escape that ends early": (b'{"text":"\\u12', "broken JSON"),
    "control characters": (b'{"text":"\x1b[31m\x07","label":"1"}', "broken JSON"),
}
LABELS = {
    "a list": b"[1]",
    "an object": b'{"a":1}',
    "true": b"true",
    "1.5": b"1.5",
    "1e300": b"1e300",
    "deep": b"[" * 300 + b"]" * 300,
    "null": b"null",
    "empty": b'""',
}
FILES: dict[str, bytes] = {
    "empty": b"",
    "one bracket": b"[",
    "an array of deep arrays": b'[{"a":' + DEEP + b"}]",
    "an array that never closes": b"[" + GOOD.replace(b"\n", b","),
    "zeros": bytes(5000),
    "random bytes": bytes(range(256)) * 20,
    "a zip": b"PK\x03\x04" + bytes(100),
    "a quote that never closes": b'text,label\n"' + b"a\n" * 5000,
    "a header alone": b"text\tlabel\n",
    "a header of 10,000 columns": ",".join(f"c{i}" for i in range(10_000)).encode() + b"\n",
    "two labels in one header": b"text\tlabel\tlabel\na\tb\tc\n",
    "10,000 line ends": b"\n" * 10_000,
    "a byte order mark alone": b"\xef\xbb\xbf",
    "UTF-16 without its mark": "text\tlabel\n好\t1\n".encode("utf-16-le"),
    "one label": b'{"text":"a","label":"1"}\n',
    "__proto__": b'{"__proto__":{"text":"a"},"label":"1"}\n',
}


def cases() -> Iterator[HostileCase]:
    """Yields lines for each command that reads lines, files for train, and special files."""
    for name, (line, says) in LINES.items():
        for command in ("encode", "tokenize", "predict", "train"):
            if command != "train" and ("label" in says or name == "NaN"):
                continue
            content = GOOD + line + b"\n"
            make = (
                partial(train_on_file, content)
                if command == "train"
                else partial(read_stdin, command)
            )
            stdin = b"" if command == "train" else content
            yield HostileCase(f"data: {name}, to {command}", make, says=says, stdin=stdin)
    for name, label in LABELS.items():
        content = GOOD + b'{"text":"a","label":' + label + b"}\n"
        yield HostileCase(
            f"data: a label that is {name}", partial(train_on_file, content), says="data:3"
        )
    for name, content in FILES.items():
        yield HostileCase(f"data: {name}", partial(train_on_file, content), says="data")
    for kind in SPECIAL_FILES:
        for reader in ("train", "dev", "vocab", "checkpoint", "handle", "texts", "config"):
            # A directory is what a checkpoint or a model may be.
            if kind == "directory" and reader in ("checkpoint", "handle"):
                continue
            make = partial(special_file, kind, reader)
            yield HostileCase(f"data: {kind} as {reader}", make, seconds=60)
        for file in ("bundle.json", "model.json", "vocab.txt", "tokenizer_tables.bin", toys.SHARD):
            yield HostileCase(
                f"data: {kind} as {file} of a bundle", partial(replace_in_bundle, kind, file)
            )
        for file in ("classifier.json", "model.json", "weights.bin"):
            yield HostileCase(
                f"data: {kind} as {file} of a classifier",
                partial(replace_in_classifier, kind, file),
            )


def train_on_file(content: bytes, workdir: Path) -> list[str]:
    """Writes a file; returns the command of `train.js`."""
    (workdir / "data").write_bytes(content)
    return train_on(workdir, workdir / "data", workdir / "data")


def train_on(workdir: Path, data: Path, dev: Path) -> list[str]:
    """Returns the command of `train.js` on two files."""
    words = ["node", "node_bridge/train.js", "--bundle", str(toys.write_bundle(workdir / "b"))]
    words += ["--train", str(data), "--dev", str(dev), "--backend", "cpu", "--workers", "1"]
    return [*words, "--cache", str(workdir / "cache"), "--out", str(workdir / "out")]


def read_stdin(command: str, workdir: Path) -> list[str]:
    """Returns a command that reads JSON lines on stdin."""
    made = toys.write_bundle(workdir / "b")
    words = ["node", f"node_bridge/{command}.js", "--jsonl"]
    if command == "predict":
        return [
            *words,
            "--model",
            str(toys.write_classifier(workdir / "c", made)),
            "--backend",
            "cpu",
        ]
    words += ["--bundle", str(made)]
    if command == "encode":
        words += ["--out", str(workdir / "out.safetensors"), "--backend", "cpu"]
    return words


def make_pipe(path: Path) -> None:
    """Makes a pipe without a writer."""
    os.mkfifo(path)


def bind_socket(path: Path) -> None:
    """Makes a socket."""
    listening = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    # The name of a socket has at most 108 bytes.
    link = here / f".socket-{os.getpid()}-{abs(hash(path))}"
    link.symlink_to(path.parent)
    try:
        listening.bind(str(link / path.name))
    finally:
        link.unlink()
        listening.close()


SPECIAL_FILES: dict[str, Callable[[Path], None]] = {
    "fifo": make_pipe,
    "endless device": lambda path: path.symlink_to("/dev/zero"),
    "empty device": lambda path: path.symlink_to("/dev/null"),
    "directory": lambda path: path.mkdir(),
    "socket": bind_socket,
    "circle of links": lambda path: path.symlink_to(path.name),
}


def special_file(kind: str, reader: str, workdir: Path) -> list[str]:
    """Makes a special file where a file is read; returns the command."""
    odd, good = workdir / "odd", workdir / "good.jsonl"
    SPECIAL_FILES[kind](odd)
    good.write_bytes(GOOD)
    out = ["--out", str(workdir / "out")]
    export = ["python", "-m", "export"]
    match reader:
        case "train":
            return train_on(workdir, odd, good)
        case "dev":
            return train_on(workdir, good, odd)
        case "vocab":
            return [*export, "vocab", str(odd), "--tokenizer", "bert", "--uncased", *out]
        case "checkpoint":
            return [*export, "build", str(odd), *out]
        case "handle":
            return [*export, "inspect", str(odd)]
        case "config":
            (workdir / "m").mkdir()
            (workdir / "m" / "model.safetensors").write_bytes(b"\x02" + bytes(7) + b"{}")
            return [*export, "build", str(workdir / "m"), "--config", str(odd), *out]
    model = workdir / "model"
    model.mkdir()
    (model / "saved_model.pb").touch()
    words = ["python", "-m", "parity_tests", "--bundle", str(toys.write_bundle(workdir / "b"))]
    return [*words, "--model", str(model), "--texts", str(odd), *out]


def replace_in_bundle(kind: str, file: str, workdir: Path) -> list[str]:
    """Makes a special file in a bundle; returns the command."""
    made = toys.write_bundle(workdir / "b")
    (made / file).unlink()
    SPECIAL_FILES[kind](made / file)
    words = ["node", "node_bridge/encode.js", "--bundle", str(made), "--backend", "cpu"]
    return [*words, "--out", str(workdir / "out.safetensors")]


def replace_in_classifier(kind: str, file: str, workdir: Path) -> list[str]:
    """Makes a special file in a classifier; returns the command."""
    made = toys.write_classifier(workdir / "c", toys.write_bundle(workdir / "b"))
    (made / file).unlink()
    SPECIAL_FILES[kind](made / file)
    return ["node", "node_bridge/predict.js", "--model", str(made), "--backend", "cpu", "x"]
