"""Checkpoints, configurations, tokenizer files and vocabs for the Python exporter.

Nearly all end before TensorFlow is imported, so that each takes a second.
"""

import json
import os
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from tests.hostile.case import HostileCase

CONFIG: dict[str, Any] = {
    "model_type": "bert",
    "vocab_size": 9,
    "hidden_size": 4,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "max_position_embeddings": 16,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "initializer_range": 0.02,
}
VOCAB = "".join(
    f"{token}\n" for token in ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"你好这书"]
)
WRONG: dict[str, Any] = {
    "null": None,
    "true": True,
    "text": "7",
    "escapes": "\x1b[31m\n::error::no",
    "minus one": -1,
    "zero": 0,
    "a fraction": 1.5,
    "a billion": 10**9,
    "hundred digits": 10**100,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "a list": [1],
    "an object": {"a": 1},
}
# Fields for which some of these values are right.
RIGHT = {
    "layer_norm_eps": (),
    "hidden_dropout_prob": ("zero",),
    "attention_probs_dropout_prob": ("zero",),
    "initializer_range": ("zero", "a fraction", "a billion", "hundred digits"),
    "model_type": ("null",),
    "hidden_act": (),
}
DEEP = "[" * 200_000
RUN = """import os, resource, sys
sys.path.insert(0, os.getcwd())
{setup}
from export.__main__ import main
sys.exit(main({arguments!r}))
"""


def cases() -> Iterator[HostileCase]:
    """Yields every field with every wrong type, damaged files of each kind, and limits."""
    yield from configs()
    yield from tokenizer_files()
    yield from sentence_files()
    yield from safetensors_files()
    yield from vocabs()
    yield from saved_models()
    yield from outputs()


def checkpoint(workdir: Path, config: Any = CONFIG, raw: str | None = None) -> Path:
    """Writes a tiny BERT of Hugging Face's kind; its config is JSON, or the text `raw`."""
    directory = workdir / "m"
    directory.mkdir(exist_ok=True)
    text = json.dumps(config) if raw is None else raw
    (directory / "config.json").write_text(text, "utf-8")
    (directory / "model.safetensors").write_bytes(save(weights()))
    return directory


def weights() -> dict[str, Any]:
    """Returns the variables of a BERT of one layer, all zero."""
    layer = "encoder.layer.0"
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (9, 4),
        "embeddings.position_embeddings.weight": (16, 4),
        "embeddings.token_type_embeddings.weight": (2, 4),
        f"{layer}.intermediate.dense.weight": (8, 4),
        f"{layer}.intermediate.dense.bias": (8,),
        f"{layer}.output.dense.weight": (4, 8),
        f"{layer}.output.dense.bias": (4,),
        "pooler.dense.weight": (4, 4),
        "pooler.dense.bias": (4,),
    }
    for part in ("self.query", "self.key", "self.value", "output.dense"):
        shapes |= {
            f"{layer}.attention.{part}.weight": (4, 4),
            f"{layer}.attention.{part}.bias": (4,),
        }
    for norm in ("embeddings", f"{layer}.attention.output", f"{layer}.output"):
        shapes |= {f"{norm}.LayerNorm.weight": (4,), f"{norm}.LayerNorm.bias": (4,)}
    return {f"bert.{name}": np.zeros(shape, np.float32) for name, shape in shapes.items()}


def build(model: Path, *more: str) -> list[str]:
    """Returns the command that builds a SavedModel of a checkpoint."""
    return ["python", "-m", "export", "build", str(model), "--out", f"{model.parent}/out", *more]


def no_output(workdir: Path) -> str:
    """Checks that nothing half-written remains."""
    left = sorted(path.name for path in workdir.iterdir() if "out" in path.name)
    return f"left behind: {left}" if left else ""


def program(workdir: Path, setup: str, arguments: list[str]) -> list[str]:
    """Returns a command that runs the exporter after some lines of Python."""
    file = workdir / "run.py"
    file.write_text(RUN.format(setup=setup, arguments=arguments), "utf-8")
    return ["python", str(file)]


def configs() -> Iterator[HostileCase]:
    """Yields `config.json` with each wrong or missing key, and files that are no config."""

    def with_value(key: str, value: Any, workdir: Path) -> list[str]:
        return build(checkpoint(workdir, CONFIG | {key: value}))

    def without(key: str, workdir: Path) -> list[str]:
        return build(checkpoint(workdir, {k: v for k, v in CONFIG.items() if k != key}))

    def with_text(text: str, workdir: Path) -> list[str]:
        return build(checkpoint(workdir, raw=text))

    for key in CONFIG:
        for what, value in WRONG.items():
            if what not in RIGHT.get(key, ()):
                name = f"config: {key} is {what}"
                yield HostileCase(name, partial(with_value, key, value), check=no_output)
    for key in ("vocab_size", "hidden_size", "num_hidden_layers", "hidden_act"):
        yield HostileCase(f"config: no {key}", partial(without, key), says=f"got no {key}")
    for key in ("layer_norm_eps",):
        for value in (2.0, -1e-12, 1e400, "1e-12"):
            yield HostileCase(f"config: {key} {value!r}", partial(with_value, key, value), says=key)
    texts = {
        "empty": "",
        "no JSON": "{",
        "a list": "[]",
        "a number": "7",
        "deep": DEEP,
        "deep objects": '{"a":' * 100_000,
        "quotes and backslashes": '"' + '\\"' * 1_000_000,
        "a number of 10,000 digits": '{"vocab_size": ' + "9" * 10_000 + "}",
        "half a character": '{"hidden_act": "\\ud800"}',
        "a null byte": '{"hidden_act": "\\u0000"}\x00',
    }
    for what, text in texts.items():
        yield HostileCase(f"config: {what}", partial(with_text, text), check=no_output)
    for what, special in SPECIAL.items():
        yield HostileCase(
            f"config: {what}", partial(replace_by_special, special, "config.json"), seconds=30
        )
    for key, value in (("pruned_heads", {"0": [1]}), ("is_decoder", 2)):
        yield HostileCase(f"config: {key} {value}", partial(with_value, key, value), says=key)
    yield HostileCase(
        "config: --config is a pipe",
        lambda workdir: build(checkpoint(workdir), "--config", str(pipe(workdir / "pipe"))),
        says="is a pipe or a device",
        seconds=30,
    )


def pipe(file: Path) -> Path:
    """Makes a named pipe without a writer."""
    os.mkfifo(file)
    return file


def endless(file: Path) -> Path:
    """Makes a link to an endless device."""
    file.symlink_to("/dev/zero")
    return file


def folder(file: Path) -> Path:
    """Makes a directory where a file should be."""
    file.mkdir()
    return file


def sparse(file: Path) -> Path:
    """Makes a file of a terabyte that uses no disk space."""
    with file.open("wb") as stream:
        stream.truncate(1 << 40)
    return file


def loop(file: Path) -> Path:
    """Makes a link to itself."""
    file.symlink_to(file)
    return file


SPECIAL: dict[str, Callable[[Path], Path]] = {
    "a pipe": pipe,
    "an endless device": endless,
    "a directory": folder,
    "a terabyte": sparse,
    "a link to itself": loop,
}


def replace_by_special(special: Callable[[Path], Path], name: str, workdir: Path) -> list[str]:
    """Makes a checkpoint with a special file; returns the command."""
    model = checkpoint(workdir)
    (model / name).unlink(missing_ok=True)
    special(model / name)
    return build(model)


def tokenizer_files() -> Iterator[HostileCase]:
    """Yields the files beside a vocab that describe its tokenizer."""

    def beside(name: str, text: str, workdir: Path) -> list[str]:
        (workdir / "vocab.txt").write_text(VOCAB, "utf-8")
        (workdir / name).write_text(text, "utf-8")
        command = ["python", "-m", "export", "vocab", str(workdir / "vocab.txt")]
        return [*command, "--out", str(workdir / "out")]

    def of(name: str, document: Any) -> Callable[[Path], list[str]]:
        return partial(beside, name, json.dumps(document))

    files = (
        "tokenizer_config.json",
        "tokenizer.json",
        "special_tokens_map.json",
        "added_tokens.json",
    )
    for name in files:
        for what, text in {"a list": "[]", "deep": DEEP, "cut off": "{", "text": '"x"'}.items():
            yield HostileCase(f"tokenizer files: {name} {what}", partial(beside, name, text))
    keys: dict[str, tuple[Any, ...]] = {
        "do_lower_case": (7, "true", []),
        "strip_accents": (7, {}),
        "tokenize_chinese_chars": (None, 1),
        "tokenizer_class": (7, [], {"a": 1}, "XLNetTokenizer"),
        "padding_side": (None, 7),
        "never_split": ("x", 7),
        "added_tokens_decoder": ([], {"x": {}}, {"0": 7}, {"0": {"content": 7}}),
        "extra_special_tokens": (7, "x", [7]),
        "cls_token": (7, [], {"content": 7}, ""),
        "mask_token": (None, {"content": "[MASK]", "lstrip": 1}),
        "auto_map": ({"AutoTokenizer": "evil.Tokenizer"},),
    }
    for key, values in keys.items():
        for value in values:
            document = {"tokenizer_class": "BertTokenizer"} | {key: value}
            name = f"tokenizer files: {key} {json.dumps(value)}"
            yield HostileCase(name, of("tokenizer_config.json", document), check=no_output)
    sound: dict[str, Any] = {
        "normalizer": {"type": "BertNormalizer", "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"[PAD]": 0}},
    }
    # Each fold doubles the text, so that thirty make a gigabyte of one character.
    fold = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
    regex: dict[str, Any] = {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""}
    pipelines: dict[str, dict[str, Any]] = {
        "a fold bomb": {"normalizer": {"type": "Sequence", "normalizers": [fold] * 30}},
        "a slow regex": {"normalizer": regex},
        "a splitting regex": {"pre_tokenizer": {"type": "Split", "pattern": regex["pattern"]}},
        "no types": {"normalizer": {}, "pre_tokenizer": {}},
        "a type that is a number": {"normalizer": {"type": 7}},
        "normalizer a list": {"normalizer": []},
        "model a list": {"model": []},
        "vocab a list": {"model": {"type": "WordPiece", "vocab": []}},
        "ids that are texts": {"model": {"type": "WordPiece", "vocab": {"a": "b"}}},
        "an empty prefix": {"model": sound["model"] | {"continuing_subword_prefix": ""}},
        "an empty unknown token": {"model": sound["model"] | {"unk_token": ""}},
        "an empty added token": {"added_tokens": [{"id": 0, "content": ""}]},
        "added tokens of numbers": {"added_tokens": [7]},
        "an added token without id": {"added_tokens": [{"content": "x"}]},
        "no frame": {"post_processor": {"type": "TemplateProcessing"}},
    }
    for what, part in pipelines.items():
        yield HostileCase(
            f"tokenizer.json: {what}", of("tokenizer.json", sound | part), check=no_output
        )


def sentence_files() -> Iterator[HostileCase]:
    """Yields directories of sentence-transformers."""
    transformer = {"type": "sentence_transformers.models.Transformer", "path": ""}
    pooling = {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}

    def made(modules: Any, config: Any, workdir: Path) -> list[str]:
        model = checkpoint(workdir)
        (model / "modules.json").write_text(json.dumps(modules), "utf-8")
        (model / "1_Pooling").mkdir()
        (model / "1_Pooling" / "config.json").write_text(json.dumps(config), "utf-8")
        return build(model)

    lists: dict[str, Any] = {
        "an object": {},
        "a number": 7,
        "numbers": [7],
        "no path": [{"type": "x"}],
        "a path of a number": [transformer | {"path": 7}, pooling],
        "a path that leads out": [transformer | {"path": "../.."}, pooling],
        "an absolute path": [transformer | {"path": "/etc"}, pooling],
        "a path with a null": [transformer | {"path": "a\0b"}, pooling],
        "types of numbers": [transformer | {"type": 7}, pooling],
        "code of its own": [transformer | {"type": "evil.Transformer"}, pooling],
        "none": [],
    }
    for what, modules in lists.items():
        yield HostileCase(f"modules.json: {what}", partial(made, modules, {}), check=no_output)
    for key, value in {
        "pooling_mode": 7,
        "pooling_mode ": {},
        "word_embedding_dimension": "4",
        "embedding_dimension": -1,
        " pooling_mode": ["median"],
        "  pooling_mode": [["cls"]],
    }.items():
        config = {"pooling_mode": "mean"} | {key.strip(): value}
        yield HostileCase(
            f"pooling: {key.strip()} {json.dumps(value)}",
            partial(made, [transformer, pooling], config),
            check=no_output,
        )
    for name, document in (
        ("sentence_bert_config.json", {"max_seq_length": "x"}),
        ("sentence_bert_config.json", {"max_seq_length": 0}),
        ("sentence_bert_config.json", []),
        ("config_sentence_transformers.json", {"prompts": 7}),
        ("config_sentence_transformers.json", []),
    ):

        def with_file(workdir: Path, name: str = name, document: Any = document) -> list[str]:
            command = made([transformer, pooling], {"pooling_mode": "mean"}, workdir)
            (workdir / "m" / name).write_text(json.dumps(document), "utf-8")
            return command

        yield HostileCase(f"{name}: {json.dumps(document)}", with_file, check=no_output)


def safetensors_files() -> Iterator[HostileCase]:
    """Yields false headers, and indexes of shards."""

    def of_bytes(data: bytes, workdir: Path) -> list[str]:
        model = checkpoint(workdir)
        (model / "model.safetensors").write_bytes(data)
        return build(model)

    def header(document: Any, data: bytes = b"") -> bytes:
        text = document if isinstance(document, bytes) else json.dumps(document).encode()
        return struct.pack("<Q", len(text)) + text + data

    sound = save(weights())
    length = int.from_bytes(sound[:8], "little")
    tensors = json.loads(sound[8 : 8 + length])
    word = "bert.embeddings.word_embeddings.weight"

    def changed(**fields: Any) -> bytes:
        return header(tensors | {word: tensors[word] | fields}, sound[8 + length :])

    files = {
        "empty": b"",
        "seven bytes": b"\1" * 7,
        "a header of 2^60": struct.pack("<Q", 1 << 60) + b"{}",
        "a header of 2^63": struct.pack("<Q", (1 << 64) - 1) + b"{}",
        "cut off": sound[:-10],
        "cut in the header": sound[:100],
        "more behind": sound + b"more",
        "a deep header": header(b"[" * 100_000),
        "a header that is a list": header([]),
        "no tensors": header({}),
        "no dtype": header({"a": {"shape": [], "data_offsets": [0, 0]}}),
        "a dtype that is none": changed(dtype="F7"),
        "a bool": changed(dtype="BOOL"),
        "8-bit floats": changed(dtype="F8_E4M3"),
        "integers": changed(dtype="I32"),
        "another shape": changed(shape=[4, 9]),
        "a negative shape": changed(shape=[-9, -4]),
        "a shape of 2^62": changed(shape=[1 << 62, 4]),
        "a shape whose product overflows": changed(shape=[1 << 33, 1 << 33]),
        "a scalar": changed(shape=[], data_offsets=[0, 4]),
        "an empty tensor": changed(shape=[0, 4], data_offsets=[0, 0]),
        "offsets beyond the end": changed(data_offsets=[0, 1 << 50]),
        "offsets in reverse": changed(data_offsets=[144, 0]),
        "names with escapes": header({"\x1b[31m\n::error::": {}}),
    }
    for what, data in files.items():
        yield HostileCase(f"safetensors: {what}", partial(of_bytes, data), check=no_output)
    for what, special in SPECIAL.items():
        if special is not sparse:
            name = f"safetensors: {what}"
            yield HostileCase(
                name, partial(replace_by_special, special, "model.safetensors"), seconds=30
            )

    def index(document: Any, workdir: Path) -> list[str]:
        model = checkpoint(workdir)
        file = model / "model.safetensors.index.json"
        file.write_text(document if isinstance(document, str) else json.dumps(document), "utf-8")
        return build(model)

    for what, document in {
        "a list": [],
        "no map": {},
        "a map that is a list": {"weight_map": []},
        "a map of numbers": {"weight_map": {"a": 7}},
        "a file outside": {"weight_map": {"a": "../x.safetensors"}},
        "a file that is not there": {"weight_map": {"a": "x.safetensors"}},
        "a variable that is in no file": {"weight_map": {"a": "model.safetensors"}},
        "deep": DEEP,
    }.items():
        yield HostileCase(f"index of shards: {what}", partial(index, document), check=no_output)


def vocabs() -> Iterator[HostileCase]:
    """Yields files for `--vocab`."""

    def of(make: Callable[[Path], object], workdir: Path) -> list[str]:
        make(workdir / "v.txt")
        command = ["python", "-m", "export", "vocab", str(workdir / "v.txt"), "--tokenizer", "bert"]
        return [*command, "--out", str(workdir / "out")]

    for what, special in SPECIAL.items():
        yield HostileCase(f"vocab: {what}", partial(of, special), seconds=30)
    contents = {
        "empty": b"",
        "no special tokens": b"a\nb\n",
        "a byte order mark": b"\xef\xbb\xbf" + VOCAB.encode(),
        "UTF-16": VOCAB.encode("utf-16"),
        "nulls": VOCAB.encode() + b"a\0b\n",
        "half a character": VOCAB.encode() + b"\xe4\xbd\n",
        "a blank line": VOCAB.encode() + b"\n\nx\n",
        "mixed line ends": VOCAB.encode() + b"x\r\ny\n",
        "three million lines": VOCAB.encode() + b"a\n" * 3_000_000,
        "a line of a megabyte": VOCAB.encode() + b"a" * 1_000_000 + b"\n",
        "escapes": VOCAB.encode() + b" \x1b[31m::error::\n",
    }
    for what, data in contents.items():
        make = partial(of, partial(write_bytes, data))
        yield HostileCase(f"vocab: {what}", make, check=no_output, seconds=60)


def write_bytes(data: bytes, file: Path) -> None:
    """Writes a file."""
    file.write_bytes(data)


def saved_models() -> Iterator[HostileCase]:
    """Yields `saved_model.pb` files that are no message, or deep ones."""

    def of(make: Callable[[Path], object], workdir: Path) -> list[str]:
        (workdir / "m").mkdir()
        make(workdir / "m" / "saved_model.pb")
        return ["python", "-m", "export", "inspect", str(workdir / "m")]

    contents = {
        "empty": b"",
        "noise": bytes(range(256)) * 40,
        "groups in groups": b"\x0b" * 500_000,
        "a field of 2^60 bytes": b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x0f",
        "a number without end": b"\x08" + b"\xff" * 1000,
        "cut off": b"\x08\x01\x12\x05\x0a",
        "no graphs": b"\x08\x01",
        "field 0": b"\x02\x00",
        # A structured value in a structured value, ten thousand deep, in an object's signature.
        "values in values": nested(10_000),
        "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\n",
    }
    for what, data in contents.items():
        yield HostileCase(
            f"saved_model.pb: {what}", partial(of, partial(write_bytes, data)), seconds=60
        )
    for what, special in SPECIAL.items():
        yield HostileCase(f"saved_model.pb: {what}", partial(of, special), seconds=60)


def nested(depth: int) -> bytes:
    """Returns a SavedModel whose object's function spec nests `depth` levels."""
    data = b""
    for _ in range(depth):
        # StructuredValue.list_value (51) of ListValue.values (1).
        data = field(51, field(1, data))
    spec = field(5, data)  # FunctionSpec.input_signature
    function = field(2, spec)  # SavedFunction.function_spec
    node = field(6, function)  # SavedObject.function
    # SavedModel.meta_graphs, MetaGraphDef.object_graph_def, SavedObjectGraph.nodes.
    return b"\x08\x01" + field(2, field(7, field(1, node)))


def field(number: int, data: bytes) -> bytes:
    """Returns a field of bytes as protobuf writes it."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    """Returns a number as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def outputs() -> Iterator[HostileCase]:
    """Yields an `--out` that cannot be written, and contracts that `--replace` reads."""

    def contract(text: str, workdir: Path) -> list[str]:
        out = workdir / "bundle"
        out.mkdir()
        (out / "bundle.json").write_text(text, "utf-8")
        (workdir / "v.txt").write_text(VOCAB, "utf-8")
        command = ["python", "-m", "export", "vocab", str(workdir / "v.txt"), "--tokenizer", "bert"]
        return [*command, "--uncased", "--replace", "--out", str(out)]

    def file_exists(workdir: Path) -> str:
        return "" if (workdir / "bundle" / "bundle.json").is_file() else "the file is gone"

    texts = {
        "no JSON": "{",
        "a list": "[]",
        "deep": DEEP,
        "no format": "{}",
        "files a number": '{"format": "bert-bridge", "files": 7}',
        "folders a number": '{"format": "bert-bridge", "files": {}, "folders": 7}',
    }
    for what, text in texts.items():
        yield HostileCase(
            f"--replace: a contract that is {what}", partial(contract, text), check=file_exists
        )
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))"
    full = "sys.stdout = open('/dev/full', 'w'); os.dup2(sys.stdout.fileno(), 1)"
    little = "resource.setrlimit(resource.RLIMIT_AS, (600 << 20, 600 << 20))"

    def vocab_bundle(setup: str, workdir: Path) -> list[str]:
        (workdir / "v.txt").write_text(VOCAB, "utf-8")
        arguments = ["vocab", str(workdir / "v.txt"), "--tokenizer", "bert", "--uncased"]
        return program(workdir, setup, [*arguments, "--out", str(workdir / "out")])

    def built(setup: str, workdir: Path) -> list[str]:
        arguments = ["build", str(checkpoint(workdir)), "--out", str(workdir / "out")]
        return program(workdir, setup, arguments)

    yield HostileCase(
        "disk: files may have 4 KiB, a tokenizer", partial(vocab_bundle, limit), check=no_output
    )
    yield HostileCase("disk: files may have 4 KiB, a model", partial(built, limit), check=no_output)
    yield HostileCase(
        "disk: stdout is full", lambda workdir: program(workdir, full, ["catalog"]), says="No space"
    )
    yield HostileCase("memory: 600 MiB for a model", partial(built, little), check=no_output)
    yield HostileCase(
        "--out: below a file",
        lambda workdir: [
            *build(checkpoint(workdir))[:-1],
            str(workdir / "m" / "config.json" / "out"),
        ],
    )
