"""An export runs its bundle in Node first; wrong numbers there stop it."""

import hashlib
import json
import math
import shutil
import subprocess
import sys

import pytest
from safetensors.numpy import load_file, save_file

from export import node_check
from export.__main__ import main as command
from support.errors import CheckFailed, EnvironmentProblem
from support.sha256 import path_sha256
from tests.python import resealing
from tests.python.conftest import ROOT

PRODUCTS = 5e6


@pytest.fixture
def altered(embedded, tmp_path):
    """The embedded bundle with one golden number changed by 0.01, and sealed again."""
    bundle = tmp_path / "bundle"
    shutil.copytree(embedded.bundle, bundle)
    file = bundle / "golden.safetensors"
    contract = json.loads((bundle / "bundle.json").read_text("utf-8"))
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        metadata = json.loads(stream.read(length))["__metadata__"]
    tensors = load_file(file)
    tensors["pooled_output"][0, 5] += 0.01
    save_file(tensors, file, metadata)
    contract["files"][file.name] = {"sha256": path_sha256(file), "size": file.stat().st_size}
    (bundle / "bundle.json").write_text(json.dumps(contract), "utf-8")
    return bundle


def test_wrong_output_on_a_backend_is_refused_by_name(altered):
    with pytest.raises(CheckFailed, match=r"on wasm pooled_output .*no bundle was written"):
        node_check.check_in_node(altered, [4, 13], PRODUCTS, {}, lambda line: None)


def test_only_the_cost_of_a_forced_dtype_is_allowed(altered):
    said: list[str] = []
    node_check.check_in_node(altered, [4, 13], PRODUCTS, {"pooled_output": 0.02}, said.append)
    assert [line.split(" on ")[1].split()[0] for line in said] == ["wasm", "cpu"]
    with pytest.raises(CheckFailed):
        node_check.check_in_node(altered, [4], PRODUCTS, {"pooled_output": 0.001}, said.append)


def test_no_bundle_is_written_without_node(monkeypatch, tmp_path):
    monkeypatch.setenv("NODE", str(tmp_path / "node"))
    with pytest.raises(EnvironmentProblem, match="set NODE"):
        node_check.check_in_node(tmp_path, [4], PRODUCTS, {}, lambda line: None)


def test_export_leaves_nothing_behind_where_the_check_fails(embedded, tmp_path, monkeypatch):
    """The whole command, with a converter that writes one weight wrong."""
    program = (
        "import sys; from dataclasses import replace\n"
        "from export import model, __main__ as command\n"
        "from export.graph import tfjs\n"
        "write = tfjs.write_model\n"
        # In this process: a confined one would have the original converter.
        "export = model.export_model\n"
        "model.export_model = lambda request, *more: export(replace(request, own=True), *more)\n"
        "def wrong(frozen, stored, directory):\n"
        "    sums = write(frozen, stored, directory)\n"
        "    shard = next(directory.glob('*.bin')); data = bytearray(shard.read_bytes())\n"
        "    data[-4:] = b'\\0\\0\\x80\\x3f'; shard.write_bytes(data)\n"
        "    return sums\n"
        "tfjs.write_model = wrong; sys.exit(command.main(sys.argv[1:]))\n"
    )
    out = tmp_path / "out"
    command = [sys.executable, "-c", program, "model", str(embedded.model), "--out", str(out)]
    command += ["--vocab", str(embedded.vocab), "--tokenizer", "tf-text"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "error: in Node on wasm" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_tokenizers_bundle_is_verified_by_its_hashes_and_golden_ids(tmp_path):
    """The golden ids are Hugging Face's; a changed and re-sealed one is found by its text."""
    vocab = tmp_path / "vocab.txt"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "你", "好", "书"]
    vocab.write_text("".join(f"{token}\n" for token in tokens), "utf-8", newline="\n")
    bundle = tmp_path / "bundle"
    options = ["--tokenizer", "bert", "--cased", "--out", str(bundle)]
    assert command(["vocab", str(vocab), *options]) == 0
    good = verify(bundle)
    assert good.returncode == 0, good.stderr
    assert "a tokenizer alone: 4 files have their hashes, its golden ids are equal" in good.stdout

    file = bundle / "golden.safetensors"
    tensors = load_file(file)
    assert list(tensors["input_ids"][0][:4]) == [2, 5, 6, 3]  # [CLS] 你 好 [SEP]
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        metadata = json.loads(stream.read(length))["__metadata__"]
    tensors["input_ids"][0, 1] = 7
    save_file(tensors, file, metadata)
    contract = json.loads((bundle / "bundle.json").read_text("utf-8"))
    contract["files"][file.name] = {"sha256": path_sha256(file), "size": file.stat().st_size}
    (bundle / "bundle.json").write_text(json.dumps(contract), "utf-8")
    bad = verify(bundle)
    assert bad.returncode == 1
    assert 'DRIFT: input_ids of "你好": got 2 5 6 3, expected 2 7 6 3' in bad.stdout

    (bundle / "vocab.txt").write_text("", "utf-8")
    assert verify(bundle).returncode == 2


def verify(bundle):
    program = ["node", str(ROOT / "node_bridge" / "verify.js"), "--bundle", str(bundle)]
    return subprocess.run(program, capture_output=True, text=True)


def golden_metadata(bundle):
    with (bundle / "golden.safetensors").open("rb") as stream:
        return json.loads(stream.read(int.from_bytes(stream.read(8), "little")))["__metadata__"]


def weights_of(bundle):
    """Returns the bytes of each weight by name, from the manifest as TF.js does."""
    (group,) = json.loads((bundle / "model.json").read_text("utf-8"))["weightsManifest"]
    data = b"".join((bundle / path).read_bytes() for path in group["paths"])
    sizes = {"float32": 4, "int32": 4, "bool": 1}
    found, at = {}, 0
    for weight in group["weights"]:
        size = math.prod(weight["shape"]) * sizes[weight["dtype"]]
        found[weight["name"]] = (at, data[at : at + size])
        at += size
    assert at == len(data)
    return found


def test_checksums_are_those_of_the_files(embedded):
    sums = json.loads(golden_metadata(embedded.bundle)["checksums"])
    contract = json.loads((embedded.bundle / "bundle.json").read_text("utf-8"))
    assert sums == {
        "weights": {
            name: hashlib.sha256(data).hexdigest()
            for name, (_, data) in weights_of(embedded.bundle).items()
        },
        "files": {
            name: path_sha256(embedded.bundle / name)
            for name in ("model.json", "vocab.txt", "tokenizer_tables.bin")
        },
        # Written by hand: sorted keys, no spaces.
        "contract": hashlib.sha256(
            json.dumps(
                {
                    key: contract[key]
                    for key in ("inputs", "max_length", "outputs", "padding", "tokenizer")
                },
                sort_keys=True,
                separators=(",", ":"),
            ).encode()
        ).hexdigest(),
    }


def test_checksum_finds_changes_that_golden_texts_miss(embedded, tmp_path):
    """Each bundle was sealed again, so its hashes are correct."""
    bundle = tmp_path / "bundle"

    def copied():
        shutil.rmtree(bundle, ignore_errors=True)
        shutil.copytree(embedded.bundle, bundle)

    copied()
    good = verify(bundle)
    assert good.returncode == 0, good.stdout
    assert "; the rest is covered by checksums" in good.stdout

    # A number in the last row of the word embeddings.
    found = weights_of(bundle)
    name = max(found, key=lambda one: len(found[one][1]))
    start, data = found[name]
    shards = sorted(bundle.glob("group1-*.bin"))
    at = start + len(data) - 4
    shard = next(s for s in shards if (at := at - s.stat().st_size) < 0)
    content = bytearray(shard.read_bytes())
    content[at] ^= 1
    shard.write_bytes(content)
    resealing.reseal(bundle)
    bad = verify(bundle)
    assert bad.returncode == 1
    assert f"DRIFT: not what was exported: weight {name}" in bad.stdout
    assert bad.stdout.count("DRIFT:") == 2, "the golden texts did not notice"

    copied()
    lines = (bundle / "vocab.txt").read_bytes().splitlines(keepends=True)
    lines[-1] = "㐀㐁\n".encode()
    (bundle / "vocab.txt").write_bytes(b"".join(lines))
    resealing.reseal(bundle)
    bad = verify(bundle)
    assert bad.returncode == 1
    assert "DRIFT: not what was exported: vocab.txt" in bad.stdout

    # One position less: no golden text is that long.
    copied()
    resealing.edit_json(
        bundle / "bundle.json", lambda made: made.update(max_length=made["max_length"] - 1)
    )
    bad = verify(bundle)
    assert bad.returncode == 1
    assert "DRIFT: not what was exported: bundle.json, in inputs, outputs" in bad.stdout


@pytest.mark.parametrize("key", ["texts", "tokenizer_cases", "checksums"])
@pytest.mark.parametrize(
    "value", ["{", "[7]", "{}", '{"weights": 7}', '{"texts": ["a"], "ids": []}']
)
def test_damaged_metadata_gives_one_error_line(tmp_path, key, value):
    vocab = tmp_path / "vocab.txt"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "好"]
    vocab.write_text("".join(f"{token}\n" for token in tokens), "utf-8", newline="\n")
    bundle = tmp_path / "bundle"
    options = ["--tokenizer", "chars", "--out", str(bundle)]
    assert command(["vocab", str(vocab), *options]) == 0
    file = bundle / "golden.safetensors"
    save_file(load_file(file), file, golden_metadata(bundle) | {key: value})
    resealing.reseal(bundle)
    done = verify(bundle)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert "golden.safetensors" in done.stderr
    assert done.stderr.count("\n") == 1


def test_bundles_without_checksums_are_verified_as_before(embedded, tmp_path):
    bundle = tmp_path / "bundle"
    shutil.copytree(embedded.bundle, bundle)
    file = bundle / "golden.safetensors"
    save_file(load_file(file), file, {"texts": golden_metadata(bundle)["texts"]})
    resealing.reseal(bundle)
    done = verify(bundle)
    assert done.returncode == 0, done.stdout
    assert "nothing holds the rest" in done.stdout
    assert "checksums " not in done.stdout
