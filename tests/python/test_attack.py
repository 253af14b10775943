"""The runner of `nox -s attack` finds each kind of fault, and a short attack finds none."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support import ROOT
from tests.hostile.__main__ import every_case
from tests.hostile.case import HostileCase
from tests.hostile.running import attempt_case

Maker = Callable[[Path], list[str]]


def python(code: str) -> Maker:
    """Makes a case whose command is this program."""
    return lambda place: ["python", "-c", code]


GOOD = "import sys; print('error: no', file=sys.stderr); sys.exit(2)"
FAULTS = {
    "a trace of Python": ("1 / 0", "a stack trace"),
    "a trace of Node": (
        "import sys; print('error: x\\n    at f (a.js:1:2)', file=sys.stderr); sys.exit(2)",
        "a stack trace",
    ),
    "the wrong exit code": ("import sys; print('error: x', file=sys.stderr)", "exit code 0"),
    "two lines": (
        "import sys; print('error: a\\nerror: b', file=sys.stderr); sys.exit(2)",
        "expected one line",
    ),
    "a line after it": (
        "import sys; print('error: a\\nb', file=sys.stderr); sys.exit(2)",
        "expected one line",
    ),
    "an escape": (
        "import sys; print('error: \\x1b[31m', file=sys.stderr); sys.exit(2)",
        r"stderr has '\x1b' raw",
    ),
    "an escape in a result": (
        "import sys; print('\\x9b'); print('error: a', file=sys.stderr); sys.exit(2)",
        r"stdout has '\x9b' raw",
    ),
    "another direction": (
        "import sys; print('error: \\u202e', file=sys.stderr); sys.exit(2)",
        r"'\u202e' raw",
    ),
    "a command of CI": (
        "import sys; print('::error::x'); print('error: a', file=sys.stderr); sys.exit(2)",
        "'::' raw",
    ),
    "a crash": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "by signal 11"),
    "a hang": ("import time; time.sleep(60)", "did not end within"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_wrong_behaviour_of_a_command_is_reported(name: str, tmp_path: Path) -> None:
    code, fault = FAULTS[name]
    seconds = 1.0 if name == "a hang" else 60.0
    outcome = attempt_case(HostileCase(name, python(code), seconds=seconds), tmp_path / "case")
    assert fault in outcome.fault
    assert not (tmp_path / "case").exists()


def test_a_clear_refusal_is_no_fault(tmp_path: Path) -> None:
    outcome = attempt_case(HostileCase("good", python(GOOD), says="no"), tmp_path / "case")
    assert (outcome.fault, outcome.code, outcome.line) == ("", 2, "error: no")


def test_a_missing_expected_message_is_a_fault(tmp_path: Path) -> None:
    outcome = attempt_case(HostileCase("good", python(GOOD), says="yes"), tmp_path / "case")
    assert "expected 'yes'" in outcome.fault


def test_a_changed_file_outside_of_the_case_is_a_fault(tmp_path: Path) -> None:
    def make(place: Path) -> list[str]:
        secret = place.parent / "guard" / "secret.txt"
        return ["python", "-c", f"open({str(secret)!r}, 'w'); {GOOD}"]

    outcome = attempt_case(HostileCase("bad", make), tmp_path / "case")
    assert outcome.fault == "files outside of the case were changed"


def test_a_failed_check_of_a_case_is_a_fault(tmp_path: Path) -> None:
    outcome = attempt_case(
        HostileCase("bad", python(GOOD), check=lambda place: f"{place.name} is wrong"),
        tmp_path / "case",
    )
    assert outcome.fault == "files is wrong"


def test_case_names_are_unique() -> None:
    names = [case.name for case in every_case()]
    assert len(set(names)) == len(names)
    assert len(names) >= 500


def test_a_short_attack_finds_no_fault(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.hostile", "--only", "none", "--flips", "14"]
    command += ["--seed", "5", "--root", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    tally = json.loads((tmp_path / "attack.part.json").read_text("utf-8"))
    assert (done.returncode, tally["faults"]) == (0, [])
    assert sum(sum(ends.values()) for ends in tally["fuzz"].values()) == 14
