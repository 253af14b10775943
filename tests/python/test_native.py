"""`python -m native`: what it builds, when it does nothing, and its errors."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from native import __main__ as command
from native import build
from native import build as building
from native.build import TensorFlow, find_tensorflow
from support.errors import EnvironmentProblem
from tests.python.conftest import ROOT

WORKS = {"origin": "built", "package": "tfjs-node", "tensorflow": "2.21.0"}


@pytest.fixture
def tensorflow(tmp_path: Path) -> TensorFlow:
    directory = tmp_path / "tensorflow"
    directory.mkdir()
    libraries = (directory / "cc", directory / "framework")
    for library in libraries:
        library.write_text("library")
    return TensorFlow("2.21.0", directory, libraries)


class Machine:
    """A machine with fake steps of `build_if_needed`; it counts the builds."""

    def __init__(self, home: Path, tensorflow: TensorFlow, answers: list[dict[str, Any]]) -> None:
        self.home, self.tensorflow, self.answers = home, tensorflow, answers
        self.built = 0

    def build(self, tensorflow: TensorFlow, home: Path, say: Any) -> None:
        self.built += 1
        home.mkdir(parents=True, exist_ok=True)
        build.write_stamp(home, build.make_stamp(tensorflow))

    def build_if_needed(self, monkeypatch: pytest.MonkeyPatch) -> str:
        answers = iter(self.answers)
        monkeypatch.setattr(command, "find_tensorflow", lambda: self.tensorflow)
        monkeypatch.setattr(command, "check_native", lambda: next(answers))
        monkeypatch.setattr(command, "build", self.build)
        return command.build_if_needed(self.home)


def test_second_run_does_nothing_and_another_tensorflow_builds_again(
    tmp_path: Path, tensorflow: TensorFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path / "native", tensorflow, [{"error": "not built"}, WORKS])
    assert "Node runs TensorFlow 2.21.0" in machine.build_if_needed(monkeypatch)
    machine.answers = [WORKS]
    assert "nothing has changed, nothing to do" in machine.build_if_needed(monkeypatch)
    assert machine.built == 1
    machine.tensorflow = replace(tensorflow, version="2.22.0")
    machine.answers = [WORKS, WORKS]
    machine.build_if_needed(monkeypatch)
    assert machine.built == 2
    # The same version, but another build.
    tensorflow.libraries[0].write_text("another library")
    machine.answers = [WORKS, WORKS]
    machine.build_if_needed(monkeypatch)
    assert machine.built == 3


def test_binding_that_no_longer_loads_is_built_again(
    tmp_path: Path, tensorflow: TensorFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path / "native", tensorflow, [{"error": "gone"}, WORKS])
    machine.build_if_needed(monkeypatch)
    machine.answers = [{"error": "the library is gone"}, WORKS]
    machine.build_if_needed(monkeypatch)
    assert machine.built == 2


def test_working_prebuilt_binding_is_used(
    tmp_path: Path, tensorflow: TensorFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {"origin": "prebuilt", "package": "node_modules/tfjs-node", "tensorflow": "2.9.1"}
    machine = Machine(tmp_path / "native", tensorflow, [there])
    said = machine.build_if_needed(monkeypatch)
    assert said.startswith("node_modules/tfjs-node is taken, a prebuilt one with TensorFlow 2.9.1")
    assert machine.built == 0


def test_new_binding_that_does_not_work_is_removed(
    tmp_path: Path, tensorflow: TensorFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {"error": "undefined symbol: TF_Version"}
    machine = Machine(tmp_path / "native", tensorflow, [broken, broken])
    with pytest.raises(EnvironmentProblem, match="does not work: undefined symbol"):
        machine.build_if_needed(monkeypatch)
    assert not machine.home.exists()


def test_missing_compiler_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentProblem, match=r"c\+\+, g\+\+, clang\+\+.*apt install g\+\+"):
        building.find_compiler()
    monkeypatch.setenv("CXX", "g++-99")
    with pytest.raises(EnvironmentProblem, match=r"no C\+\+ compiler is found \(g\+\+-99\)"):
        building.find_compiler()


def test_missing_npm_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentProblem, match="npm is missing; install Node"):
        building.install_packages(tmp_path)


def test_missing_network_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Nothing listens at port 9, and the cache is empty.
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    home = tmp_path / "native"
    with pytest.raises(EnvironmentProblem, match=r"npm cannot reach its registry \(.*ECONNREFUSED"):
        building.build(find_tensorflow(), home, lambda line: None)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def use_compiler_script(script: str, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("CXX", str(program))


def test_failed_compilation_does_not_change_the_old_binding(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = "echo 'x.cc:1: error: no C++17 here' >&2\necho 'x.cc:2: error: nor there' >&2; exit 1"
    use_compiler_script(script, tmp_path / "cxx", monkeypatch)
    monkeypatch.setattr(building, "install_packages", lambda directory: None)
    home = tmp_path / "native"
    home.mkdir()
    (home / build.STAMP_FILE).write_text("{}")
    with pytest.raises(EnvironmentProblem, match="x.cc:1: error: no C.*named in the variable CXX"):
        building.build(find_tensorflow(), home, lambda line: None)
    assert {path.name for path in tmp_path.iterdir()} == {"cxx", "native"}
    assert build.read_stamp(home) == {}


def test_missing_tensorflow_is_an_environment_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match="has no TensorFlow; `nox -s export`"):
        find_tensorflow()
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(EnvironmentProblem, match="got win32, expected Linux or macOS"):
        find_tensorflow()


def test_an_error_is_one_line_and_exit_code_3(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NODE", str(tmp_path / "none"))
    assert command.main([]) == 3
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.endswith(
        "is not found; install Node.js 20.19, 22.12 or newer, or set NODE to its path\n"
    )


def test_a_build_in_an_empty_folder_gives_a_binding_that_loads(
    native: None, tmp_path: Path
) -> None:
    """Runs only where the binding is built: there compiler and packages exist."""
    home = tmp_path / "native"
    said: list[str] = []
    building.build(find_tensorflow(), home, said.append)
    assert len(said) == 4
    assert build.read_stamp(home) == build.make_stamp(find_tensorflow())
    assert (home / "quiet.node").is_file()
    binding = home / building.TFJS_NODE / "lib" / "napi-v8" / "tfjs_binding.node"
    load = f"process.dlopen({{exports: {{}}}}, {json.dumps(str(binding))})"
    node = shutil.which("node") or "node"
    subprocess.run([node, "-e", load], check=True, capture_output=True)


def test_existing_binding_is_not_built_again(native: None) -> None:
    run = [sys.executable, "-m", "native"]
    subprocess.run(run, cwd=ROOT, capture_output=True, check=True)
    second = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "nothing has changed, nothing to do" in second.stderr
