"""`--out` replaces only what this program wrote, completely or not at all."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from export import output_directory
from export.__main__ import main
from export.bundle import FORMAT
from export.output_directory import atomic_directory, recover_interrupted, refuse_overlap
from support.contracts import CONTRACT, FILE_LIST
from support.errors import UserError
from tests.python.conftest import ROOT

pytestmark = pytest.mark.quick

MISSING_PROCESS = 2**22 + 1
"""No process has this number."""


def bundle(directory: Path, text: str) -> None:
    """Writes a small bundle to a directory."""
    (directory / "saved_model").mkdir(parents=True)
    (directory / "saved_model" / "saved_model.pb").write_text(text)
    (directory / "vocab.txt").write_text(text)
    names: dict[str, object] = {"vocab.txt": {}, "saved_model/saved_model.pb": {}}
    (directory / CONTRACT).write_text(json.dumps({"format": FORMAT, "files": names}))


def export_bundle(out: Path, text: str) -> None:
    """Writes this bundle as an export does."""
    with atomic_directory(out, CONTRACT) as directory:
        bundle(directory, text)


def saved_model(out: Path, text: str) -> None:
    """Writes a SavedModel as `build` does."""
    with atomic_directory(out) as directory:
        (directory / "assets").mkdir()
        (directory / "saved_model.pb").write_text(text)
        (directory / "assets" / "vocab.txt").write_text(text)


def test_failure_leaves_no_directory(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    with pytest.raises(RuntimeError), atomic_directory(out) as directory:
        (directory / "half").touch()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [export_bundle, saved_model])
def test_own_bundle_is_replaced_and_not_after_a_failure(
    write: Callable[[Path, str], None], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    write(out, "first")
    write(out, "second")
    with (
        pytest.raises(RuntimeError),
        atomic_directory(out, CONTRACT if write is export_bundle else FILE_LIST) as half,
    ):
        (half / "half").touch()
        raise RuntimeError
    names = ["vocab.txt", "assets/vocab.txt"]
    assert [(out / n).read_text() for n in names if (out / n).exists()] == ["second"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_file_list_names_every_file(tmp_path: Path) -> None:
    saved_model(tmp_path / "m", "x")
    document = json.loads((tmp_path / "m" / FILE_LIST).read_text())
    files = ["assets/vocab.txt", "saved_model.pb"]
    assert document == {"format": FORMAT, "files": files, "folders": ["assets"]}


def add_a_file(out: Path) -> None:
    (out / "thesis.docx").touch()


def add_a_folder(out: Path) -> None:
    (out / "photos").mkdir()


def add_a_link(out: Path) -> None:
    (out / "saved_model" / "home").symlink_to(out.parent)


def add_a_hidden_file(out: Path) -> None:
    (out / "saved_model" / ".git").mkdir()


OTHERS: dict[str, Callable[[Path], object]] = {
    "holds thesis.docx, which": add_a_file,
    "holds photos, which": add_a_folder,
    "holds saved_model/home, which": add_a_link,
    "holds saved_model/.git, which": add_a_hidden_file,
    f"has a {CONTRACT} that cannot be read": lambda out: (out / CONTRACT).write_text("{"),
    f"{CONTRACT} that cannot": lambda out: (out / CONTRACT).write_text('{"files": {}}'),
    "holds a SavedModel": lambda out: (out / CONTRACT).rename(out / "saved_model.pb"),
    "holds other files": lambda out: (out / CONTRACT).unlink(),
}


@pytest.mark.parametrize("said", OTHERS)
def test_other_directories_are_refused(said: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_bundle(out, "first")
    OTHERS[said](out)
    before = sorted(output_directory.walk_names(tmp_path))
    with pytest.raises(UserError, match=said):
        export_bundle(out, "second")
    assert sorted(output_directory.walk_names(tmp_path)) == before


def test_directory_that_changes_during_the_export_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_bundle(out, "first")
    with (
        pytest.raises(UserError, match="holds thesis.docx"),
        atomic_directory(out, CONTRACT) as directory,
    ):
        bundle(directory, "second")
        (out / "thesis.docx").touch()
    assert (out / "vocab.txt").read_text() == "first"
    assert (out / "thesis.docx").exists()


@pytest.mark.parametrize("command", ["build", "vocab", "model"])
def test_saved_model_of_another_program_is_not_replaced(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, vocab = tmp_path / "out", tmp_path / "vocab.txt"
    out.mkdir()
    (out / "saved_model.pb").write_text("mine")
    vocab.write_text("".join(f"[{name}]\n" for name in ("PAD", "UNK", "CLS", "SEP", "MASK")))
    arguments = {
        "build": ["build", str(tmp_path / "none")],
        "vocab": ["vocab", str(vocab), "--tokenizer", "chars"],
        "model": ["model", str(out), "--vocab", str(vocab), "--tokenizer", "chars"],
    }
    assert main([*arguments[command], "--out", str(out)]) == 2
    assert capsys.readouterr().err.count("error: ") == 1
    assert (out / "saved_model.pb").read_text() == "mine"


def test_link_to_a_directory_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "there")
    export_bundle(tmp_path / "out", "first")
    export_bundle(tmp_path / "out", "second")
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "there" / "vocab.txt").read_text() == "second"
    assert {path.name for path in tmp_path.iterdir()} == {"there", "out"}


KILLED_EXPORT = """
import os, shutil, signal, sys
from pathlib import Path
from export import output_directory
from support.contracts import CONTRACT
from support import atomic
left, exchange = int(sys.argv[2]), sys.argv[3] == "exchange"
def counted(work):
    def step(*arguments, **named):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return work(*arguments, **named)
    return step
if not exchange:
    atomic.exchange_directories = lambda one, other: False
else:
    atomic.exchange_directories = counted(atomic.exchange_directories)
Path.mkdir, Path.rename = counted(Path.mkdir), counted(Path.rename)
shutil.rmtree, shutil.copytree = counted(shutil.rmtree), counted(shutil.copytree)
with output_directory.atomic_directory(Path(sys.argv[1]), CONTRACT) as directory:
    shutil.copytree(sys.argv[4], directory, dirs_exist_ok=True)
"""


@pytest.mark.parametrize("way", ["exchange", "two renames"])
def test_killed_at_any_step_the_next_run_restores_or_finishes(way: str, tmp_path: Path) -> None:
    seen, step, unfinished = set(), 0, 0
    bundle(tmp_path / "second", "second")
    while True:
        out = tmp_path / str(step) / "out"
        out.parent.mkdir()
        export_bundle(out, "first")
        command = [sys.executable, "-c", KILLED_EXPORT, str(out), str(step), way]
        command.append(str(tmp_path / "second"))
        done = subprocess.run(command, cwd=ROOT, check=False)
        there = (out / "vocab.txt").read_text() if out.exists() else "nothing"
        seen.add(there)
        recover_interrupted(out)
        assert (out / "vocab.txt").read_text() == ("first" if there == "nothing" else there)
        assert len(list(output_directory.walk_names(out))) == 4
        # An unfinished directory is removed later.
        for left in out.parent.glob(".out.*"):
            assert left.name.endswith(".partial")
            os.utime(left, (0, 0))
            unfinished += 1
        export_bundle(out, "third")
        assert [path.name for path in out.parent.iterdir()] == ["out"]
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        step += 1
    assert step >= 5
    assert unfinished > 0
    # An exchange in one step always leaves one of the two.
    assert seen == {"first", "second"} | ({"nothing"} if way == "two renames" else set())


def test_directory_of_a_running_process_is_not_touched(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for number, end in (
        (os.getpid(), "old"),
        (os.getppid(), "partial"),
        (MISSING_PROCESS, "partial"),
    ):
        (tmp_path / f".out.{number}.{end}").mkdir()
    recover_interrupted(out)
    assert len(list(tmp_path.iterdir())) == 3
    (tmp_path / f".out.{MISSING_PROCESS}.old").mkdir()
    (tmp_path / f".other.{MISSING_PROCESS}.old").mkdir()
    recover_interrupted(out)
    assert out.is_dir()
    assert (tmp_path / f".other.{MISSING_PROCESS}.old").is_dir()


def test_source_is_never_the_output_directory(tmp_path: Path) -> None:
    source = tmp_path / "a" / "model"
    source.mkdir(parents=True)
    for out, said in [("a/model", "is"), ("a/model/out", "lies inside"), ("a", "holds")]:
        with pytest.raises(UserError, match=f"--out .* {said} .*made from"):
            refuse_overlap(tmp_path / out, [source])
    refuse_overlap(tmp_path / "a" / "model2", [source])
    refuse_overlap(tmp_path / "a" / "model" / "out", [source], may_be_inside=True)


@pytest.mark.skipif(sys.platform != "linux", reason="stands on Linux's /sys")
def test_directory_that_is_not_writable_is_an_error() -> None:
    # Nobody can create a folder in /sys, not even root.
    refused = pytest.raises(UserError, match="cannot write /sys/bundle: .*give another place")
    with refused, atomic_directory(Path("/sys/bundle")):
        pass
