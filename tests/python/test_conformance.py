"""No row of the catalog is left out, a failure is told, and one row goes all the way."""

import json
import subprocess
import sys

import numpy as np

from export import catalog
from parity_tests.conformance import __main__ as command
from parity_tests.conformance.fixtures import groups, vocab_lines
from parity_tests.conformance.rows import Row
from parity_tests.conformance.table import table
from parity_tests.conformance.trained import judge_by
from tests.python.conftest import ROOT


def test_every_row_of_the_catalog_has_a_build():
    names = [entry.name for group in groups() for entry in group]
    assert sorted(names) == sorted(entry.name for entry in catalog.entries())


def test_rows_that_share_a_build_are_the_same_model():
    for group in groups():
        assert len({(entry.configuration, entry.contract) for entry in group}) == 1


def test_the_vocab_is_as_large_as_the_collection_s():
    lines = vocab_lines(21128)
    assert len(lines) == len(set(lines)) == 21128


def test_a_command_is_measured(tmp_path):
    """By a small process, as in the command: a child begins with its parent's peak."""
    code = "import sys; x = bytearray(300 << 20); print('out'); sys.exit('no such thing')"
    script = (
        "import pathlib, sys; from parity_tests.conformance.measure import measured; "
        f"log = pathlib.Path({str(tmp_path / 'log')!r}); "
        f"done = measured([sys.executable, '-c', {code!r}], log); "
        "print(done.code, done.stdout.strip(), done.last_words, done.peak_bytes >> 20, sep='|')"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True)
    *said, peak = done.stdout.decode().strip().split("|")
    assert said == ["1", "out", "no such thing"]
    assert 300 < int(peak) < 400
    assert list(tmp_path.iterdir()) == []


def test_the_table_has_every_build_and_says_what_failed():
    good = Row("one", ["two"], "named", "d", True, "", 16.0, 1.5, 900.0, 0.2, 150.0, {"x": 2e-6})
    bad = Row("three", [], "tokens-3", "h", said="export: no such op")
    lines = table([good, bad]).split("\n")
    assert len({len(line) for line in lines}) == 1
    assert (
        "one, two" in lines[2]
        and "2.0e-06" in lines[2]
        and lines[2].endswith("| ok                 |")
    )
    assert "export: no such op" in lines[3]


def test_the_third_party_can_say_no():
    golden = {
        "input_ids": np.array([[2, 3]], np.int32),
        "attention_mask": np.array([[1, 0]], np.int32),
        "sequence_output": np.zeros((1, 2, 3), np.float32),
        "pooled_output": np.zeros((1, 3), np.float32),
    }
    theirs = {"own_ids": golden["input_ids"], **{k: v.copy() for k, v in golden.items()}}
    theirs["sequence_output"][0, 1] = 9.0  # masked: means nothing

    def said(**changed):
        row = Row("trained", [], "named", "trained", ok=True)
        judge_by(row, golden, theirs | changed)
        return row.ok, row.said

    assert said() == (True, "")
    assert said(own_ids=np.array([[2, 4]], np.int32))[0] is False
    off = np.full((1, 3), 2e-4, np.float32)
    assert said(pooled_output=off) == (
        False,
        "pooled_output: 0.0002 from transformers, expected 0.0001",
    )


def test_one_row_goes_all_the_way(tmp_path, capsys):
    out = tmp_path / "conformance.json"
    assert command.main(["--rows", "albert_tiny", "--out", str(out)]) == 0
    (row,) = json.loads(out.read_text("utf-8"))
    assert row["name"] == "albert_tiny" and row["ok"]
    assert set(row["max_abs"]) == {"sequence_output", "pooled_output"}
    # 21,128 × 128 embeddings, positions, types, and one layer for all four.
    assert 15 < row["parameters_mib"] < 17
    assert "albert_tiny" in capsys.readouterr().out


def test_a_row_that_the_catalog_has_not(tmp_path, capsys):
    assert command.main(["--rows", "gpt", "--out", str(tmp_path / "x.json")]) == 2
    assert "the catalog has no gpt" in capsys.readouterr().err
