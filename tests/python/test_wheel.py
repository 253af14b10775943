"""The wheel's launcher installs the packed npm package once, and passes everything on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import ROOT

pytestmark = pytest.mark.quick

NODE = """#!/bin/sh
echo "node $*" >> "$CALLS"
echo "$BERT_BRIDGE_COMMAND|$PYTHON" >> "$CALLS"
exit "${CODE:-0}"
"""
NPM = """#!/bin/sh
echo npm >> "$CALLS"
if [ -n "$BROKEN" ]; then
  printf 'npm error code E404\\nnpm error 404 no such \\033[31mpackage\\n' >&2
  exit 1
fi
[ -z "$SLOW" ] || sleep 1
mkdir -p node_modules/bert-bridge/launcher
"""


class Installed:
    """The wheel's package as pip would install it, with programs that note how they are called."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.calls_file = place / "calls"
        package = place / "site" / "bert_bridge"
        package.mkdir(parents=True)
        for file in (ROOT / "wheel" / "bert_bridge").glob("*.py"):
            (package / file.name).write_bytes(file.read_bytes())
        (package / "bert-bridge.tgz").write_bytes(b"packed")
        programs = place / "bin"
        programs.mkdir()
        for name, script in (("node", NODE), ("npm", NPM)):
            (programs / name).write_text(script, "utf-8")
            (programs / name).chmod(0o755)
        self.environment = {
            "PATH": f"{programs}:/usr/bin:/bin",
            "PYTHONPATH": str(place / "site"),
            "XDG_CACHE_HOME": str(place / "cache"),
            "CALLS": str(self.calls_file),
            "HOME": str(place),
        }

    def start(self, *words: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "bert_bridge", *words],
            env=self.environment | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, **more: str) -> tuple[int, str]:
        process = self.start(*words, **more)
        _, stderr = process.communicate()
        return process.returncode, stderr

    def calls(self) -> list[str]:
        return self.calls_file.read_text("utf-8").splitlines()


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    return Installed(tmp_path)


def test_the_first_use_installs_and_the_second_does_not(installed: Installed) -> None:
    code, stderr = installed.run("predict", "--model", "a b")
    assert code == 0
    assert stderr.startswith("installing Node's packages in ")
    [home] = (installed.place / "cache" / "bert-bridge").iterdir()
    program = home / "node_modules" / "bert-bridge" / "launcher" / "bert-bridge.js"
    assert installed.calls() == [
        "npm",
        f"node {program} predict --model a b",
        f"bert-bridge|{sys.executable}",
    ]
    assert installed.run("train", CODE="2") == (2, "")
    assert installed.calls()[3:4] == [f"node {program} train"]


def test_a_new_packed_file_is_installed_anew(installed: Installed) -> None:
    installed.run()
    (installed.place / "site" / "bert_bridge" / "bert-bridge.tgz").write_bytes(b"newer")
    installed.run()
    assert installed.calls().count("npm") == 2
    assert len(list((installed.place / "cache" / "bert-bridge").iterdir())) == 2


def test_a_failed_install_is_one_line_and_leaves_nothing(installed: Installed) -> None:
    code, stderr = installed.run("train", BROKEN="1")
    assert code == 3
    assert stderr.splitlines()[1:] == [
        "error: npm install failed: npm error 404 no such ?[31mpackage"
    ]
    assert list((installed.place / "cache" / "bert-bridge").iterdir()) == []
    assert installed.run("train")[0] == 0


def test_two_first_uses_at_once_both_work(installed: Installed) -> None:
    processes = [installed.start("train", SLOW="1") for _ in range(3)]
    ended = [(process.communicate()[1], process.returncode) for process in processes]
    assert [code for _, code in ended] == [0, 0, 0], ended
    assert len(list((installed.place / "cache" / "bert-bridge").iterdir())) == 1


@pytest.mark.parametrize("name", ["node", "npm"])
def test_a_missing_program_is_one_line(installed: Installed, name: str) -> None:
    (installed.place / "bin" / name).unlink()
    code, stderr = installed.run("train", PATH=str(installed.place / "bin"))
    assert code == 3
    assert stderr.startswith(f"error: {name} is missing; ")
    assert stderr.count("\n") == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_cache_is_one_line(installed: Installed) -> None:
    cache = installed.place / "cache"
    cache.mkdir(mode=0o500)
    code, stderr = installed.run("train")
    assert code == 3
    assert "name another directory in the variable XDG_CACHE_HOME" in stderr


def test_a_file_in_the_place_of_the_cache_is_one_line(installed: Installed) -> None:
    (installed.place / "cache").write_text("", "utf-8")
    code, stderr = installed.run("train")
    assert code == 3
    assert stderr.splitlines()[-1].startswith("error: cannot write ")
    assert "XDG_CACHE_HOME" in stderr
