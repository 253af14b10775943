"""Through nox, a command has its own exit code and stdout."""

import json
import os
import re
import subprocess
import sys

from tests.python.conftest import ROOT


def nox(*arguments, **environment):
    command = [sys.executable, "-m", "nox", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env=os.environ | environment
    )


def test_a_user_error_keeps_exit_code_2():
    done = nox("-s", "export", "--", "--trian", "5")
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: There is no option --trian; did you mean --train?" in done.stderr


def test_a_session_that_takes_no_arguments_refuses_them():
    done = nox("-s", "lint", "--", "--fix")
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected no arguments, got --fix" in done.stderr


def test_a_problem_of_the_machine_keeps_exit_code_3(tmp_path):
    done = nox("-s", "train", "--", "--help", PATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (3, "")
    assert "node is missing; install Node.js" in done.stderr


def test_a_failed_check_keeps_exit_code_1(embedded, tmp_path):
    """train.js checks the golden cases before it encodes; those of an altered bundle fail."""
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for file in embedded.bundle.iterdir():
        if file.name != "bundle.json":
            (bundle / file.name).symlink_to(file)
    contract = json.loads((embedded.bundle / "bundle.json").read_text("utf-8"))
    for budget in contract["accuracy"]["budgets"].values():
        budget.update(atol=1e-12, rtol=0.0)
    (bundle / "bundle.json").write_text(json.dumps(contract), "utf-8")
    options = ["--bundle", str(bundle), "--backend", "wasm", "--out", str(tmp_path / "out")]
    done = nox("-s", "train", "--", *options, "--cache", str(tmp_path / "cache"))
    assert done.returncode == 1
    assert "the golden cases are not what Python gave" in done.stderr


def test_nox_adds_nothing_to_the_json_of_a_session():
    done = nox("-s", "export", "--", "catalog", "--json")
    assert done.returncode == 0
    assert "marks" in json.loads(done.stdout)
    assert "Session export was successful" in done.stderr


def test_the_list_of_sessions_has_no_numbers():
    done = nox("-l")
    assert "Inject faults" in done.stdout
    assert not re.search(r"\d+ (faults|clean)", done.stdout)
