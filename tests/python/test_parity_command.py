"""`python -m parity_tests` with invalid input: one clear line, an exit code, no pass."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from parity_tests.__main__ import BUNDLE, TEXTS, TOKENIZER, main, options_per_bundle, parse_options
from parity_tests.runners import runners
from parity_tests.runners.runners import parse_backend_counts
from support import ROOT
from support.errors import EnvironmentProblem, UserError
from tests.hostile import contracts


def command(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "parity_tests", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    directory = tmp_path / "bundle"
    directory.mkdir()
    (directory / "bundle.json").write_text(json.dumps(contracts.bundle_contract()))
    return directory


def stub(path: Path, script: str) -> Path:
    """Makes a program that replaces Node."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def run_stub(tmp_path: Path) -> None:
    side = runners.NodeSide(tmp_path)
    side.run("wasm", 1, tmp_path / "c", tmp_path / "out.safetensors")


def test_help_has_an_example() -> None:
    done = command("--help")
    assert done.returncode == 0
    assert "--bundle my_bundle --model my_model --texts dev.jsonl" in done.stdout


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / "saved_model.pb").write_bytes(b"")
    return directory


def test_user_errors_end_with_exit_code_2_and_one_line(
    tmp_path: Path, bundle: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "bundle.json").write_text("[]")
    untold = {
        name: value for name, value in contracts.bundle_contract().items() if name != "tokenizer"
    }
    (tmp_path / "untold").mkdir()
    (tmp_path / "untold" / "bundle.json").write_text(json.dumps(untold))
    out = tmp_path / "out"
    both: list[object] = ["--bundle", bundle, "--model", model]
    mistakes: list[tuple[list[object], str]] = [
        (["--bundle", bundle], "got --bundle without --model, expected both"),
        (["--model", model], "got --model without --bundle, expected both"),
        (["--bundle", tmp_path, "--model", model], "is not a bundle"),
        (["--bundle", tmp_path / "odd", "--model", model], "is not of the format bert-bridge"),
        (["--bundle", bundle, "--model", tmp_path], "is no SavedModel"),
        ([*both, *both, *both, "--model", model], "got 3 --bundle and 4 --model"),
        ([*both, "--texts", tmp_path / "none"], "No such file"),
        ([*both, "--texts", empty], "no text to compare"),
        ([*both, "--backends", "wasm"], "expected NAME:TEXTS"),
        ([*both, "--classifier", tmp_path], "is no classifier"),
        (["--bundle", tmp_path / "untold", "--model", model], "property"),
    ]
    for arguments, message in mistakes:
        assert main([*map(str, arguments), "--out", str(out)]) == 2
        said = capsys.readouterr()
        errors = [line for line in said.err.splitlines() if not line.startswith("note: ")]
        assert len(errors) == 1 and errors[0].startswith("error: "), said.err
        assert message in errors[0]
        assert said.out == ""
    assert not out.exists()


def test_another_bundle_gets_no_default_of_the_embedded_one() -> None:
    default = options_per_bundle(parse_options([]))
    assert [(one.bundle, one.texts, one.tokenizer_model) for one in default] == [
        (BUNDLE, TEXTS, str(TOKENIZER))
    ]
    (own,) = options_per_bundle(parse_options(["--tokenizer", "bert"]))
    assert (own.vocab, own.tokenizer_model) == (Path("artifacts/vocab.txt"), None)
    (own,) = options_per_bundle(parse_options(["--bundle", "b", "--model", "m"]))
    assert (own.texts, own.tokenizer_model, own.vocab, own.classifier) == (None,) * 4
    assert not own.default
    several = options_per_bundle(
        parse_options(["--bundle", "b", "--bundle", "c", "--model", "m", "--vocab", "v"])
    )
    assert [(one.vocab, one.tokenizer_model) for one in several] == [(Path("v"), None)] * 2
    assert [one.tokenizer_proof for one in several] == ["sample", "none"]


def test_the_earlier_name_of_the_proofs_option_works(capsys: pytest.CaptureFixture[str]) -> None:
    options = parse_options(["--tokenizer", "none"])
    assert (options.tokenizer_proof, options.tokenizer) == ("none", None)
    assert capsys.readouterr().err == "note: --tokenizer none is now --tokenizer-proof none\n"
    options = parse_options(["--tokenizer", "tf-text"])
    assert (options.tokenizer_proof, options.tokenizer) == ("sample", "tf-text")
    assert capsys.readouterr().err == ""


def test_backend_counts_are_parsed() -> None:
    assert parse_backend_counts("wasm:64, cpu:8") == {"wasm": 64, "cpu": 8}
    for bad in ("", "wasm", "wasm:0", "wasm:x", ":3", "../x:3", "wasm:-1"):
        with pytest.raises(UserError, match="--backends"):
            parse_backend_counts(bad)


def test_a_missing_node_is_a_problem_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE", str(tmp_path / "none"))
    with pytest.raises(EnvironmentProblem, match="is not found; install Node"):
        run_stub(tmp_path)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("kill -9 $$", r"runner was killed \(signal 9\)"),
        ("exit 0", "not a whole run"),
        ('printf "\\020" > "$last"; exit 0', "not a whole run"),
        ('echo "TypeError: x is not a function" >&2; exit 70', "exit code 70: TypeError: x"),
        ("exit 3", "exit code 3: it printed nothing"),
    ],
)
def test_node_that_ends_badly_is_never_a_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    """The answers of an earlier run exist, and must not be used for this one."""
    (tmp_path / "out.safetensors").write_bytes(b"stale")
    program = stub(tmp_path / "node", f"for last; do true; done\n{script}")
    monkeypatch.setenv("NODE", str(program))
    with pytest.raises(EnvironmentProblem, match=message):
        run_stub(tmp_path)


def test_a_refusal_by_node_is_a_user_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = stub(tmp_path / "node", 'echo "error: the shard is damaged" >&2; exit 2')
    monkeypatch.setenv("NODE", str(program))
    with pytest.raises(UserError, match="^the shard is damaged$"):
        run_stub(tmp_path)
