"""Files beyond the limits or with wrong types: model.json, tensors, tokenizers, contracts."""

import json
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.hostile import toys
from tests.hostile.case import HostileCase
from tests.hostile.data_cases import GOOD, train_on_file

Files = dict[str, bytes]
BROKEN = {
    "empty": b"",
    "null": b"null",
    "an array": b"[]",
    "a number": b"5",
    "an empty object": b"{}",
    "cut off": b'{"modelTopology":{"node":[',
    "deep": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "no UTF-8": b'{"\xff":1}',
}
SHAPES: list[Any] = [
    [-1],
    [2**31],
    [2**53, 2**53],
    [10**9, 10**9],
    [1e300],
    [1] * 7,
    [0],
    ["4"],
    [None],
    [[4]],
]
ZERO = 0x597D * 4
"""The symbol of 好 as a letter."""
TABLES = {
    "a fold bomb": toys.pack_tables(fold=(0,) * 1_000_000),
    "65 symbols of a character": toys.pack_tables(fold=(0,) * 65),
    "a symbol beyond Unicode": toys.pack_tables(fold=(2**30,)),
    "a symbol below 0": toys.pack_tables(fold=(2 * ZERO * 4 + 1,)),
    "words of 1,001 letters": toys.pack_tables(limit=1001),
    "words of 2^31 letters": toys.pack_tables(limit=2**31 - 1),
    "words of no letters": toys.pack_tables(limit=0),
    "a mark beyond Unicode": toys.pack_tables(ranks=(0x110000, 1)),
    "a number without end": b"BBTT\x01" + b"\xff" * 100_000,
    "a number of 2^63": b"BBTT\x01\x00" + toys.pack_numbers(2**63),
    "a million empty runs": b"BBTT\x01" + toys.pack_numbers(0, 100, 1_000_000) + bytes(1_000_000),
    "a run beyond Unicode": b"BBTT\x01" + toys.pack_numbers(0, 100, 1, 0x110001 << 3 | 1),
    "a class that there is not": b"BBTT\x01" + toys.pack_numbers(0, 100, 1, 0x110000 << 3 | 7),
    "2^31 runs": b"BBTT\x01" + toys.pack_numbers(0, 100, 2**31 - 1),
    "2^31 marks": toys.pack_tables()[:-4] + toys.pack_numbers(2**31 - 1),
    "more at the end": toys.pack_tables(rest=b"x"),
    "another version": b"BBTT\x02" + toys.pack_tables()[5:],
    "nothing": b"",
}
LONG = b"x" * (1 << 24) + b"x"
"""A line of one byte more than allowed."""
OPTIONS = {
    "train": [
        ["--epochs", "1000000000000"],
        ["--epochs", "1e9"],
        ["--batch-size", "1000000000"],
        ["--batch-size", "-1"],
        ["--workers", "100000"],
        ["--max-length", "1000000000"],
        ["--patience", "99999999999999999999"],
        ["--seed", "99999999999999999999"],
        ["--learning-rate", "1e999"],
        ["--split", "1"],
        ["--class-weights", "[" * 100_000],
        ["--class-weights", "[]"],
        ["--columns", "," * 100_000],
    ],
    "encode": [
        ["--workers", "100000"],
        ["--max-length", "1000000000"],
        ["--outputs", "x" * 100_000],
        ["--pooling", "__proto__"],
        ["--encoding", "constructor"],
        ["--backend", "toString"],
    ],
    "predict": [["--top", "99999999999"], ["--workers", "0"], ["--workers", "0x10"]],
    "tokenize": [["--max-length", "0"], ["--max-length", "1e400"]],
}


def cases() -> Iterator[HostileCase]:
    """Yields sound toys first, which must not be refused, then all others."""
    yield HostileCase(
        "limits: a sound bundle", partial(encode, {}, None), "survived", stdin="好\n".encode()
    )
    yield HostileCase(
        "limits: a sound classifier", partial(predict, None), "survived", says='"label":"0"'
    )
    yield from of_model_json()
    yield from of_safetensors()
    yield from of_tokenizers()
    yield from of_contracts()
    yield from of_lines()
    for command, options in OPTIONS.items():
        for words in options:
            title = f"limits: {command} {words[0]} {words[1][:20]}"
            yield HostileCase(title, partial(with_options, command, words))


def of_model_json() -> Iterator[HostileCase]:
    """Yields every field of the manifest with every wrong type, and invalid graphs."""
    for name, data in BROKEN.items():
        yield HostileCase(f"limits: model.json {name}", partial(encode, {"model.json": data}, None))
        if data:
            title = f"limits: a classifier's model.json {name}"
            yield HostileCase(title, partial(predict, constantly(data)))
    size = vocab_size()
    sound = toys.model_document(size)
    for title, change in toys.mutations({"weightsManifest": sound["weightsManifest"]}):
        files = {"model.json": json.dumps(change(toys.model_document(size))).encode()}
        yield HostileCase(
            f"limits: model.json, {title}", partial(encode, files, None), stdin=b"a\n"
        )
    for title, change in toys.mutations({"weightsManifest": sound["weightsManifest"]}):
        if title.startswith("weightsManifest.0.weights.") and ".shape." not in title:
            yield HostileCase(
                f"limits: a classifier's model.json, {title}", partial(predict, change)
            )
    nodes = range(len(sound["modelTopology"]["node"]))
    wrong: Any
    paths: list[tuple[Any, ...]] = [("modelTopology",), ("modelTopology", "node")]
    paths += [("modelTopology", "node", at) for at in nodes]
    # Inputs and weights are not computed, so their op does not matter.
    paths += [("modelTopology", "node", 3, "op")]
    paths += [("modelTopology", "node", 3, "input", at) for at in range(3)]
    for path in paths:
        for wrong in (5, "x", [], None):
            change = toys.setter(path, wrong)
            files = {"model.json": json.dumps(change(toys.model_document(size))).encode()}
            title = f"limits: model.json, {toys.path_name(path)} is {json.dumps(wrong)}"
            yield HostileCase(title, partial(encode, files, None), stdin=b"a\n")
    for shape in SHAPES:
        for at in (0, 1):
            change = toys.setter(("weightsManifest", 0, "weights", at, "shape"), shape)
            files = {"model.json": json.dumps(change(toys.model_document(size))).encode()}
            title = f"limits: model.json, weight {at} of shape {json.dumps(shape)[:30]}"
            yield HostileCase(title, partial(encode, files, None), stdin=b"a\n")
    stored: Any
    for stored in ("x", "toString", "float16", 5, None, {}):
        quantization = {"dtype": stored, "scale": 1, "min": 0}
        change = toys.setter(("weightsManifest", 0, "weights", 0, "quantization"), quantization)
        files = {"model.json": json.dumps(change(toys.model_document(size))).encode()}
        yield HostileCase(
            f"limits: weights stored as {stored}", partial(encode, files, None), stdin=b"a\n"
        )


def of_safetensors() -> Iterator[HostileCase]:
    """Yields odd headers, as golden cases of a bundle and as a checkpoint."""
    for name, data in headers().items():
        yield HostileCase(f"limits: golden cases with {name}", partial(verify, data))
        if name not in ("metadata that is no string", "F64"):
            yield HostileCase(f"limits: a checkpoint with {name}", partial(build, data))


def headers() -> dict[str, bytes]:
    """Returns invalid safetensors files."""
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}

    def file(header: Any, body: bytes = bytes(8), length: int | None = None) -> bytes:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(text) if length is None else length) + text + body

    return {
        "nothing": b"",
        "seven bytes": bytes(7),
        "a header of 2^53 bytes": file({"x": entry}, length=2**53),
        "a header of 2^64-1 bytes": file({"x": entry}, length=2**64 - 1),
        "a header of no bytes": file(b""),
        "a header that is an array": file([]),
        "a header that is null": file(b"null"),
        "a deep header": file(b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        "broken JSON": file(b'{"x":'),
        "metadata that is no string": file({"__metadata__": {"texts": 5}, "x": entry}),
        "metadata that is an array": file({"__metadata__": [], "x": entry}),
        "F64": file({"x": entry | {"dtype": "F64"}}),
        "a dtype that is a number": file({"x": entry | {"dtype": 5}}),
        "a dtype of Object": file({"x": entry | {"dtype": "toString"}}),
        "a shape below 0": file({"x": entry | {"shape": [-2]}}),
        "a shape of 2^60": file({"x": entry | {"shape": [2**60]}}),
        "a shape that is a string": file({"x": entry | {"shape": "2"}}),
        "a shape of halves": file({"x": entry | {"shape": [0.5, 4]}}),
        "offsets below 0": file({"x": entry | {"data_offsets": [-8, 0]}}),
        "offsets beyond the end": file({"x": entry | {"data_offsets": [0, 80], "shape": [20]}}),
        "offsets that are null": file({"x": entry | {"data_offsets": None}}),
        "one offset": file({"x": entry | {"data_offsets": [0]}}),
        "tensors that overlap": file({"x": entry, "y": entry}),
        "a hole": file({"x": entry | {"data_offsets": [8, 16]}}, bytes(16)),
        "more at the end": file({"x": entry}, bytes(100)),
        "a tensor that is a number": file({"x": 5}),
        "a tensor that is null": file({"x": None}),
        "two tensors of one name": file(
            b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
            b'"x":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}',
            bytes(12),
        ),
    }


def of_tokenizers() -> Iterator[HostileCase]:
    """Yields tables, vocabs and special tokens."""
    for name, data in TABLES.items():
        files = {"tokenizer_tables.bin": data}
        title = f"limits: tables with {name}"
        yield HostileCase(
            title, partial(tokenize, files, None), "refused", stdin="好\n".encode() * 100
        )
    size: Any
    for size in (10**9, -1, 0, 1.5, "21128", None, [], 2**53):
        change = toys.setter(("tokenizer", "vocab_size"), size)
        yield HostileCase(f"limits: a vocab of {size} lines", partial(tokenize, {}, change))
    for data, name in (
        (b"\n" * 5_000_000, "five million blank lines"),
        (b"\xff\xfe", "no UTF-8"),
        (b"", "nothing"),
        (bytes(1000), "zeros"),
    ):
        yield HostileCase(
            f"limits: a vocab of {name}", partial(tokenize, {"vocab.txt": data}, None)
        )
    for role in ("unk", "cls", "pad"):
        token: Any
        for token in ("", 5, None, [], "x" * 1000):
            change = toys.setter(("tokenizer", "special_tokens", role, "token"), token)
            title = f"limits: the special token {role} is {json.dumps(token)[:12]}"
            yield HostileCase(title, partial(tokenize, {}, change), stdin=b"[a[b[\n")


def of_contracts() -> Iterator[HostileCase]:
    """Yields contracts that claim too much."""
    for size in (10**9, 2**31, 2**53, 0, -1, 1.5):
        change = toys.setter(("inputs", 0, "shape"), ["batch", size])
        yield HostileCase(
            f"limits: a model of {size} positions", partial(encode, {}, change), stdin=b"a\n"
        )
        change = toys.setter(("inputs", 0, "shape"), [size, "sequence"])
        yield HostileCase(
            f"limits: a model of {size} rows", partial(encode, {}, change), stdin=b"a\n"
        )
    yield HostileCase("limits: a contract of 200,000 files", partial(encode, {}, many_files))
    for name in ("vocab.txt", "model.json", "tokenizer_tables.bin"):
        yield HostileCase(f"limits: {name} of 5 GB", partial(sparse, name))


def of_lines() -> Iterator[HostileCase]:
    """Yields lines that are too long; some commands go on with the other lines."""
    stdin = b"a\n" + LONG + b"\nb\n"
    says = "more than 16777216 bytes"
    broken = '{"line":2,"error":"the line has more than'
    yield HostileCase(
        "limits: a long line to encode", partial(encode, {}, None), says=says, stdin=stdin
    )
    yield HostileCase(
        "limits: a long line to tokenize", partial(tokenize, {}, None), says=says, stdin=stdin
    )
    yield HostileCase(
        "limits: a long line to predict", partial(predict_texts, None, []), says=broken, stdin=stdin
    )
    yield HostileCase(
        "limits: a long line to train", partial(train_on_file, GOOD + LONG), says="data:3"
    )
    array = b'[{"text":"a","label":"1"},{"text":"' + LONG * 2 + b'"}]'
    yield HostileCase(
        "limits: a long element to train", partial(train_on_file, array), says="more than 16777216"
    )
    cell = b'text,label\n"' + (b"x" * 1000 + b"\n") * 17_000
    yield HostileCase("limits: a long cell to train", partial(train_on_file, cell), says="data:2")
    labels = b"".join(b'{"text":"a","label":"%d"}\n' % number for number in range(10_001))
    yield HostileCase(
        "limits: 10,001 labels", partial(train_on_file, labels), says="more than 10000 labels"
    )


def vocab_size() -> int:
    """Returns the number of lines of the toys' vocab."""
    return (toys.EMBEDDED / "vocab.txt").read_bytes().count(b"\n")


def constantly(value: Any) -> Callable[[Any], Any]:
    """Returns a change to this value."""
    return lambda _: value


def encode(files: Files, contract: toys.Change | None, workdir: Path) -> list[str]:
    """Returns the command of `encode.js` with a toy."""
    made = toys.write_bundle(workdir / "b", files, contract)
    words = ["node", "node_bridge/encode.js", "--bundle", str(made), "--backend", "cpu"]
    return [*words, "--out", str(workdir / "out.safetensors")]


def tokenize(files: Files, contract: toys.Change | None, workdir: Path) -> list[str]:
    """Returns the command of `tokenize.js` with a toy."""
    made = toys.write_bundle(workdir / "b", files, contract)
    return ["node", "node_bridge/tokenize.js", "--bundle", str(made)]


def predict(change: toys.Change | None, workdir: Path) -> list[str]:
    """Returns the command of `predict.js` with a toy."""
    return predict_texts(change, ["a"], workdir)


def predict_texts(change: toys.Change | None, texts: list[str], workdir: Path) -> list[str]:
    """Returns the command of `predict.js` with a toy and texts; without texts it reads stdin."""
    made = toys.write_classifier(workdir / "c", toys.write_bundle(workdir / "b"), change=change)
    return ["node", "node_bridge/predict.js", "--model", str(made), "--backend", "cpu", *texts]


def verify(golden: bytes, workdir: Path) -> list[str]:
    """Returns the command of `verify.js` of a toy with these golden cases."""
    made = toys.write_bundle(workdir / "b", {"golden.safetensors": golden})
    return ["node", "node_bridge/verify.js", "--bundle", str(made), "--backend", "cpu"]


def build(weights: bytes, workdir: Path) -> list[str]:
    """Writes a Hugging Face checkpoint with these weights; returns the command."""
    directory = workdir / "checkpoint"
    directory.mkdir()
    config = {
        "model_type": "bert",
        "vocab_size": 8,
        "hidden_size": 4,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 8,
        "max_position_embeddings": 16,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
    }
    (directory / "config.json").write_text(json.dumps(config), "utf-8")
    (directory / "model.safetensors").write_bytes(weights)
    return ["python", "-m", "export", "build", str(directory), "--out", str(workdir / "out")]


def with_options(command: str, words: list[str], workdir: Path) -> list[str]:
    """Returns a command on sound toys with options beyond the limits."""
    if command == "train":
        base = train_on_file(GOOD * 10, workdir)
        if words[0] == "--workers":
            base = [word for word in base if word not in ("--workers", "1")]
        return [*base, *words]
    if command == "predict":
        return [*predict(None, workdir)[:-1], *words, "a"]
    base = encode({}, None, workdir) if command == "encode" else tokenize({}, None, workdir)
    if words[0] == "--backend":
        base = [word for word in base if word not in ("--backend", "cpu")]
    return [*base, *words]


def many_files(document: Any) -> Any:
    """Makes a contract list 200,000 files."""
    entry = toys.file_entry(b"")
    document["files"] |= {f"file-{number}": entry for number in range(200_000)}
    return document


def sparse(name: str, workdir: Path) -> list[str]:
    """Makes a file of a bundle all zeros, without disk space; returns the command."""
    size = 5_000_000_000
    command = encode({}, toys.setter(("files", name, "size"), size), workdir)
    with (workdir / "b" / name).open("r+b") as file:
        file.truncate(size)
    return command
