"""The Python environments: each is made once, whole or not at all, and an error is one line."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from launcher import check_environment
from launcher.environments import STAMP, WAIT_NOTICE, is_complete, program_of
from tests.python.conftest import ROOT

pytestmark = pytest.mark.quick

UV = f"""#!{sys.executable}
import os, pathlib, sys, time
with open(os.environ["CALLS"], "a") as calls:
    calls.write(" ".join(sys.argv[1:3]) + "\\n")
if sys.argv[1] == "venv":
    program = pathlib.Path(sys.argv[-1], "bin", "python")
    program.parent.mkdir(parents=True)
    program.symlink_to({sys.executable!r})
elif "FAILS_WITH" in os.environ:
    print("error: Failed to fetch: `https://host/simple/`", file=sys.stderr)
    print("  Caused by: " + os.environ["FAILS_WITH"], file=sys.stderr)
    sys.exit(2)
else:
    print("Downloading tensorflow (545.9MiB)", file=sys.stderr)
    time.sleep(float(os.environ.get("TAKES_S", "0")))
"""
"""Stands for uv: makes an empty environment, and writes down what it was asked."""


class Installer:
    """Runs `python -m launcher.environments` with a uv that installs nothing."""

    def __init__(self, place: Path) -> None:
        self.home, self.calls, self.uv = place / "cache" / "python", place / "calls", place / "uv"
        self.uv.write_text(UV, "utf-8")
        self.uv.chmod(0o755)

    def run(self, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "launcher.environments", "python"]
        command += ["--home", str(self.home), "--uv", str(self.uv)]
        environment = os.environ | {"CALLS": str(self.calls)} | variables
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)

    def asked(self) -> list[str]:
        return self.calls.read_text("utf-8").splitlines() if self.calls.exists() else []


@pytest.fixture
def installer(tmp_path: Path) -> Installer:
    return Installer(tmp_path)


def test_environment_is_made_once_with_progress(installer: Installer) -> None:
    first, second = installer.run(), installer.run()
    assert (first.returncode, second.returncode, second.stderr) == (0, 0, "")
    assert "installing the Python packages of python.txt" in first.stderr
    assert "  Downloading tensorflow (545.9MiB)\n" in first.stderr
    assert installer.asked() == ["venv -q", "pip sync"]
    assert is_complete("python", installer.home)


def test_half_made_environment_is_made_anew(installer: Installer) -> None:
    installer.run()
    (installer.home / STAMP).unlink()
    (installer.home / "half").touch()
    assert installer.run().returncode == 0
    assert installer.asked() == ["venv -q", "pip sync"] * 2
    assert not (installer.home / "half").exists()


def test_environment_whose_python_is_gone_is_made_anew(installer: Installer) -> None:
    installer.run()
    program = program_of(installer.home)
    program.unlink()
    program.symlink_to("/nowhere/python")
    assert installer.run().returncode == 0
    assert program.exists()


def test_new_lock_file_updates_the_environment(installer: Installer) -> None:
    installer.run()
    (installer.home / STAMP).write_text("of another lock file", "utf-8")
    (installer.home / "same").touch()
    assert installer.run().returncode == 0
    assert installer.asked() == ["venv -q", "pip sync", "pip sync"]
    assert (installer.home / "same").exists()


def test_failed_update_is_not_taken_for_the_old_environment(installer: Installer) -> None:
    installer.run()
    (installer.home / STAMP).write_text("of another lock file", "utf-8")
    assert installer.run(FAILS_WITH="x").returncode == 3
    assert not (installer.home / STAMP).exists()


def test_two_first_uses_at_once_make_it_once(installer: Installer) -> None:
    with ThreadPoolExecutor() as pool:
        runs = list(pool.map(lambda _: installer.run(TAKES_S="2"), range(2)))
    assert [run.returncode for run in runs] == [0, 0]
    assert installer.asked() == ["venv -q", "pip sync"]
    assert sum(WAIT_NOTICE in run.stderr for run in runs) == 1


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        (
            "dns error: failed to lookup address information",
            "could not be downloaded (dns error: failed to lookup address information); connect "
            "to the network once, or name an environment that is there in BERT_BRIDGE_PYTHON",
        ),
        ("hash mismatch", "could not be installed: hash mismatch"),
    ],
)
def test_failed_installation_is_one_line(installer: Installer, reason: str, line: str) -> None:
    done = installer.run(FAILS_WITH=reason)
    assert done.returncode == 3
    assert done.stderr.splitlines()[1:] == [f"error: the Python packages {line}"]
    assert not is_complete("python", installer.home)


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="root may write everywhere")
def test_read_only_cache_is_one_line(installer: Installer) -> None:
    installer.home.parent.mkdir()
    installer.home.parent.chmod(0o555)
    _assert_not_writable(installer)


def test_cache_below_a_file_is_one_line(installer: Installer) -> None:
    installer.home.parent.touch()
    _assert_not_writable(installer)


def _assert_not_writable(installer: Installer) -> None:
    done = installer.run()
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: cannot write ")
    assert "XDG_CACHE_HOME" in done.stderr


def test_packages_that_a_named_environment_needs() -> None:
    text = (ROOT / "locks" / "python.in").read_text("utf-8")
    assert check_environment.DEVELOPMENT in text
    needed = check_environment.read_requirements(text)
    assert {"tensorflow", "tensorflow-text", "numpy", "snownlp"} <= set(needed)
    assert not {"pytest", "ruff", "mypy", "nox"} & set(needed)
    assert needed["tensorflow"] is not None


def test_named_environment_with_all_packages_is_accepted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert check_environment.main() == 0
    assert capsys.readouterr().err == ""
