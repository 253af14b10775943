"""No bundle appears before its graph has run in Node: wrong numbers there refuse the export."""

import json
import shutil
import subprocess
import sys

import pytest
from safetensors.numpy import load_file, save_file

from export import node_check
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
        "import sys; from export import tfjs, __main__ as command; write = tfjs.write\n"
        "def wrong(frozen, stored, directory):\n"
        "    write(frozen, stored, directory)\n"
        "    shard = next(directory.glob('*.bin')); data = bytearray(shard.read_bytes())\n"
        "    data[-4:] = b'\\0\\0\\x80\\x3f'; shard.write_bytes(data)\n"
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
