"""A bundle is written completely or not at all, and reproducibly."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from export.__main__ import main
from export.bundle import refuse_other_source
from export.trained_weights import find_weights
from support.contracts import CONTRACT
from support.errors import UserError
from support.sha256 import path_sha256
from tests.hostile import contracts
from tests.python.conftest import ROOT, Embedded

MODEL = {"provenance": {"source": {"handle": "m", "sha256": "1" * 64}}, "tokenizer": {}}


def tokenizer_contract(algorithm: str, sha256: str) -> dict[str, Any]:
    return {
        "tokenizer": {"algorithm": algorithm, "options": {"lower_case": True}},
        "provenance": {"vocab": {"sha256": sha256 * 64}},
    }


def write_contract(out: Path, contract: dict[str, Any]) -> None:
    whole = contracts.bundle_contract()
    made_by = {"versions": {}} | contract["provenance"]
    whole |= {"name": "n", "provenance": made_by}
    whole["tokenizer"] |= {"algorithm": "bert", "options": {"lower_case": True}}
    whole["tokenizer"] |= contract["tokenizer"]
    out.mkdir()
    (out / CONTRACT).write_text(json.dumps(whole))


@pytest.mark.parametrize(
    ("there", "new", "refused"),
    [
        (MODEL, MODEL, False),
        (MODEL, {"provenance": {"source": {"handle": "other"}}, "tokenizer": {}}, True),
        (MODEL, tokenizer_contract("bert", "1"), True),
        (tokenizer_contract("bert", "1"), MODEL, True),
        (tokenizer_contract("bert", "1"), tokenizer_contract("bert", "1"), False),
        (tokenizer_contract("bert", "1"), tokenizer_contract("tf-text", "1"), True),
        (tokenizer_contract("bert", "1"), tokenizer_contract("bert", "2"), True),
    ],
)
def test_only_a_bundle_of_the_same_source_is_replaced(
    tmp_path: Path, there: dict[str, Any], new: dict[str, Any], refused: bool
) -> None:
    out = tmp_path / "out"
    write_contract(out, there)
    refuse_other_source(out, new, "the new one", replace=True)
    if not refused:
        refuse_other_source(out, new, "the new one", replace=False)
        return
    said = r"holds the bundle n \(tokenizer bert, lower_case true; made from .*--replace"
    with pytest.raises(UserError, match=said):
        refuse_other_source(out, new, "the new one", replace=False)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"tokenizer": 1, "provenance": {}}'])
def test_bundle_with_an_unreadable_contract_is_not_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / CONTRACT).write_text(text)
    with pytest.raises(UserError, match="cannot be read"):
        refuse_other_source(tmp_path, MODEL, "the new one", replace=False)


def test_out_never_replaces_a_source(
    embedded: Embedded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vocab = tmp_path / "b" / "vocab.txt"
    vocab.parent.mkdir()
    vocab.write_bytes(embedded.vocab.read_bytes())
    before = path_sha256(embedded.model)
    named = ["--tokenizer", "bert", "--uncased"]
    options = ["--vocab", str(embedded.vocab), *named]
    for arguments in [
        ["model", str(embedded.model), *options, "--out", str(embedded.model)],
        ["model", str(embedded.model), *options, "--out", str(embedded.model / "bundle")],
        ["model", str(embedded.model), *options, "--out", str(embedded.model.parent)],
        ["vocab", str(vocab), *named, "--out", str(vocab.parent)],
    ]:
        assert main(arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert path_sha256(embedded.model) == before
    assert vocab.exists()


def test_digest_leaves_out_the_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"graph")
    before = path_sha256(tmp_path)
    (tmp_path / "fingerprint.pb").write_bytes(os.urandom(8))
    (tmp_path / "bert-bridge.json").write_text("the list of its files")
    assert path_sha256(tmp_path) == before
    (tmp_path / "saved_model.pb").write_bytes(b"grapH")
    assert path_sha256(tmp_path) != before


def exported(embedded: Embedded, out: Path, *options: str, **environment: str) -> int:
    command = [sys.executable, "-m", "export", "model", str(embedded.model)]
    command += ["--vocab", str(embedded.vocab), "--tokenizer", "tf-text", "--out", str(out)]
    command += options
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=False).returncode


def contract_of(bundle: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    return document


def files_in(directory: Path) -> set[str]:
    return {
        path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("options", [(), ("--with-saved-model",)])
def test_two_processes_write_the_same_bytes(
    embedded: Embedded, tmp_path: Path, options: tuple[str, ...]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert exported(embedded, first, *options, PYTHONHASHSEED="1") == 0
    assert exported(embedded, second, *options, PYTHONHASHSEED="2") == 0
    names = files_in(first)
    assert names == files_in(second)
    assert ("saved_model/saved_model.pb" in names) == bool(options)
    different = [n for n in names if (first / n).read_bytes() != (second / n).read_bytes()]
    assert different == []


def test_the_contract_lists_every_file(embedded: Embedded) -> None:
    document = json.loads((embedded.bundle / "bundle.json").read_text(encoding="utf-8"))
    there = files_in(embedded.bundle) - {"bundle.json"}
    assert set(document["files"]) == there
    assert {"model.json", "vocab.txt", "tokenizer_tables.bin", "golden.safetensors"} <= there
    assert [spec["name"] for spec in document["outputs"]] == ["pooled_output", "sequence_output"]
    assert document["trained"] is (find_weights() is not None)


def test_the_saved_model_of_a_bundle_has_the_bytes_of_the_source(
    embedded: Embedded, tmp_path: Path
) -> None:
    names = {name for name in files_in(embedded.bundle) if name.startswith("saved_model/")}
    variables = {f"variables/variables.{end}" for end in ("index", "data-00000-of-00001")}
    # Without the fingerprint, which differs between two saves, and Keras's metadata.
    assert names == {f"saved_model/{name}" for name in {"saved_model.pb", *variables}}
    for name in names:
        source = embedded.model / name.removeprefix("saved_model/")
        assert (embedded.bundle / name).read_bytes() == source.read_bytes()
    bundle = tmp_path / "bundle"
    assert exported(embedded, bundle) == 0
    assert not (bundle / "saved_model").exists()
    assert contract_of(bundle)["saved_model"] is None
    assert exported(embedded, bundle, "--with-saved-model") == 0
    assert contract_of(bundle)["saved_model"] == {
        "sha256": path_sha256(bundle / "saved_model"),
        "allowed_ops": path_sha256(ROOT / "export" / "source" / "allowed_ops.txt"),
    }


def test_vocab_that_does_not_fit_the_embedding_is_refused(
    embedded: Embedded, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    longer = tmp_path / "vocab.txt"
    longer.write_bytes(embedded.vocab.read_bytes() + "新词\n".encode())
    command = [sys.executable, "-m", "export", "model", str(embedded.model)]
    command += ["--vocab", str(longer), "--tokenizer", "tf-text"]
    command += ["--out", str(tmp_path / "bundle")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    rows = len(embedded.vocab.read_text(encoding="utf-8").splitlines())
    expected = f"has {rows + 1} lines, but the model's embedding has {rows} rows"
    assert expected in result.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["vocab.txt"]


def test_a_second_run_does_nothing(embedded: Embedded) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "export"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "nothing has changed, nothing to do" in result.stderr
    assert "import time:" in result.stderr
    assert "| tensorflow\n" not in result.stderr
