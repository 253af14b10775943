"""Files and directories that are written completely or not at all."""

import json
import os
from pathlib import Path

import pytest

from support import atomic
from support.atomic import new_directory, temporary_sibling, write_file, write_json

pytestmark = pytest.mark.quick


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_file_replaces_the_old_one_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "new" / "file"
    for content in ("好\n", b"\xff"):
        write_file(file, content)
    assert file.read_bytes() == b"\xff"
    write_json(file, {"好": [1]})
    assert file.read_bytes() == b'{\n "\xe5\xa5\xbd": [\n  1\n ]\n}\n'
    assert json.loads(file.read_bytes()) == {"好": [1]}
    assert names(tmp_path / "new") == ["file"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path, monkeypatch, error) -> None:
    file = tmp_path / "file"
    file.write_text("old")

    def fail(path: Path, target: Path) -> None:
        assert path.read_text() == "new" and str(os.getpid()) in path.name
        raise error

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(error):
        write_file(file, "new")
    assert (names(tmp_path), file.read_text()) == (["file"], "old")


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_directory_that_cannot_be_finished_leaves_the_old_one(tmp_path, error) -> None:
    out = tmp_path / "out"
    for content in ("old", "new"):
        with new_directory(out) as directory:
            (directory / content).touch()
    assert (names(tmp_path), names(out)) == (["out"], ["new"])
    with pytest.raises(error), new_directory(out) as directory:
        (directory / "half").touch()
        raise error
    assert (names(tmp_path), names(out)) == (["out"], ["new"])


@pytest.mark.parametrize("at_once", [True, False])
def test_an_old_directory_is_replaced_with_one_rename_or_two(tmp_path, monkeypatch, at_once):
    if not at_once:
        monkeypatch.setattr(atomic, "exchange_directories", lambda one, other: False)
    out = tmp_path / "out"
    for content in ("old", "new"):
        with new_directory(out) as directory:
            (directory / content).touch()
    assert (names(tmp_path), names(out)) == (["out"], ["new"])


def test_what_a_killed_process_of_the_same_id_left_is_no_obstacle(tmp_path: Path) -> None:
    out = tmp_path / "out"
    temporary_sibling(out).mkdir()
    (temporary_sibling(out) / "half").touch()
    with new_directory(out) as directory:
        (directory / "whole").touch()
    assert (names(tmp_path), names(out)) == (["out"], ["whole"])
