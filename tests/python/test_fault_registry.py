"""The registry of faults, the saved verdicts and the score; no fault is put into a bundle here."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from fault_injection import score, sensitivity
from fault_injection.kinds import runner
from fault_injection.registry import TARGETS, every_kind
from fault_injection.run import VerdictRecord
from fault_injection.sources import SOURCES
from tests.python.conftest import ROOT

pytestmark = pytest.mark.quick
KINDS = every_kind()


def test_there_are_enough_kinds_and_faults() -> None:
    assert len(KINDS) >= 20
    assert sum(kind.times for kind in KINDS.values()) >= 200
    assert {kind.target for kind in KINDS.values()} == set(TARGETS)
    assert all(kind.about for kind in KINDS.values())
    assert sum(len(source.dtypes) for source in SOURCES) >= 50


def test_only_the_evaluator_imports_the_judge() -> None:
    importing = set()
    for file in (ROOT / "fault_injection").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "parity_tests" for name in names):
                importing.add(file.name)
    assert importing == {"evaluator.py"}


def test_every_runner_fault_is_in_both_tables() -> None:
    module = "./fault_injection/runner_faults.js"
    code = f"import('{module}').then(({{ NAMES }}) => console.log(NAMES.join(' ')))"
    said = subprocess.run(
        ["node", "-e", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(said.stdout.split()) == set(runner.RUNNER_FAULTS)


def test_a_missing_hook_is_reported() -> None:
    code = (
        "import { Encoder } from './node_bridge/encoder/encoder.js';"
        "import { install } from './fault_injection/runner_faults.js';"
        "delete Encoder.prototype.pad; install('mask_all_ones');"
    )
    command = ["node", "--input-type=module", "-e", code]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode != 0
    assert "there is no hook pad any more" in said.stderr


def test_verdicts_are_saved_and_an_incomplete_line_is_dropped(tmp_path: Path) -> None:
    record = VerdictRecord(tmp_path, "key")
    record.add({"id": "a", "got": "weights"})
    with record.path.open("a") as stream:
        stream.write('{"id": "b", "go')
    again = VerdictRecord(tmp_path, "key")
    assert list(again.known) == ["a"]
    again.add({"id": "c"})
    assert list(VerdictRecord(tmp_path, "key").known) == ["a", "c"]
    assert not VerdictRecord(tmp_path, "other").known
    assert not record.path.exists()


def row(detected: bool, attributed: bool, without_effect: str | None = None) -> score.VerdictRow:
    return {
        "id": "k/0/b",
        "kind": "sign_bit",
        "what": "what",
        "stages": ["weights"],
        "got": "weights" if attributed else "vocab" if detected else None,
        "detected": detected,
        "attributed": attributed,
        "without_effect": without_effect,
    }


def clean_row(alarmed: bool) -> score.VerdictRow:
    return {"bundle": "b", "got": "ids" if alarmed else None, "detected": alarmed, "message": ""}


def test_the_score_counts_verdicts() -> None:
    good = [row(True, True)] * 19
    quiet = [clean_row(False)]
    counted = score.score_verdicts([*good, row(True, False), row(False, False, "no effect")], quiet)
    figures = ("injected", "detected", "attributed", "clean", "false_alarms", "without_effect")
    assert [counted[name] for name in figures] == [20, 20, 19, 1, 0, 1]
    assert score.judge_holds(counted)
    assert not score.judge_holds(score.score_verdicts([*good, row(False, False)], quiet))
    assert not score.judge_holds(
        score.score_verdicts([*good, row(True, False), row(True, False)], quiet)
    )
    assert not score.judge_holds(score.score_verdicts(good, [clean_row(True)]))
    assert "20 faults in 1 kinds: 20 detected (100.0%), 19 attributed (95.0%)" in score.score_table(
        counted, KINDS
    )


def test_an_unknown_kind_is_refused() -> None:
    command = [sys.executable, "-m", "fault_injection", "--kinds", "sign_bit,nonsense"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    said, _, names = done.stderr.partition(" expected of ")
    assert said == "error: --kinds: got nonsense,"
    # The line names only the first and the last.
    assert names.startswith(", ".join(sorted(KINDS)[:20]))
    assert names.endswith(f"{sorted(KINDS)[-1]}\n")


def test_bisection_finds_the_smallest_change() -> None:
    assert sensitivity.find_smallest_change(lambda change: change >= 3e-5) == pytest.approx(
        3e-5, rel=0.05
    )
    assert sensitivity.find_smallest_change(lambda change: False) is None
