"""No bundle appears before its graph has run in Node: wrong numbers there refuse the export."""

import json
import shutil
import subprocess
import sys

import pytest
from safetensors.numpy import load_file, save_file

from export import node_check
from export.__main__ import main as command
from export.bundle import digest
from export.errors import CheckFailed, EnvironmentProblem
from tests.python.conftest import ROOT

PRODUCTS = 5e6


@pytest.fixture
def altered(embedded, tmp_path):
    """The embedded bundle with one golden number moved by 0.01, and sealed again."""
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
    contract["files"][file.name] = {"sha256": digest(file), "size": file.stat().st_size}
    (bundle / "bundle.json").write_text(json.dumps(contract), "utf-8")
    return bundle


def test_an_output_that_is_off_on_a_backend_is_refused_by_name(altered):
    with pytest.raises(CheckFailed, match=r"on wasm pooled_output .*no bundle was written"):
        node_check.check_in_node(altered, [4, 13], PRODUCTS, {}, lambda line: None)


def test_what_a_forced_dtype_costs_is_allowed_and_no_more(altered):
    said: list[str] = []
    node_check.check_in_node(altered, [4, 13], PRODUCTS, {"pooled_output": 0.02}, said.append)
    assert [line.split(" on ")[1].split()[0] for line in said] == ["wasm", "cpu"]
    with pytest.raises(CheckFailed):
        node_check.check_in_node(altered, [4], PRODUCTS, {"pooled_output": 0.001}, said.append)


def test_without_node_nothing_is_written(monkeypatch, tmp_path):
    monkeypatch.setenv("NODE", str(tmp_path / "node"))
    with pytest.raises(EnvironmentProblem, match="set NODE"):
        node_check.check_in_node(tmp_path, [4], PRODUCTS, {}, lambda line: None)


def test_export_leaves_nothing_behind_where_the_check_fails(embedded, tmp_path, monkeypatch):
    """The whole command, with a converter that writes one weight wrong."""
    program = (
        "import sys; from dataclasses import replace\n"
        "from export import model, tfjs, __main__ as command; write = tfjs.write\n"
        # In this process: a confined one would have the converter as it is.
        "export = model.export_model\n"
        "model.export_model = lambda request, *more: export(replace(request, own=True), *more)\n"
        "def wrong(frozen, stored, directory):\n"
        "    sums = write(frozen, stored, directory)\n"
        "    shard = next(directory.glob('*.bin')); data = bytearray(shard.read_bytes())\n"
        "    data[-4:] = b'\\0\\0\\x80\\x3f'; shard.write_bytes(data)\n"
        "    return sums\n"
        "tfjs.write = wrong; sys.exit(command.main(sys.argv[1:]))\n"
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
    """The golden ids are Hugging Face's; one changed and sealed again is found by its text."""
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
    contract["files"][file.name] = {"sha256": digest(file), "size": file.stat().st_size}
    (bundle / "bundle.json").write_text(json.dumps(contract), "utf-8")
    bad = verify(bundle)
    assert bad.returncode == 1
    assert 'DRIFT: input_ids of "你好": got 2 5 6 3, expected 2 7 6 3' in bad.stdout

    (bundle / "vocab.txt").write_text("", "utf-8")
    assert verify(bundle).returncode == 2


def verify(bundle):
    program = ["node", str(ROOT / "node_bridge" / "verify.js"), "--bundle", str(bundle)]
    return subprocess.run(program, capture_output=True, text=True)
