"""Directories of a checkpoint as downloaders leave them: ModelScope's, and Hugging Face's cache."""

import re
import shutil
from pathlib import Path

import pytest

from export.checkpoints import open_checkpoint
from export.tokenizer import facts
from support.errors import UserError
from tests.python.fake_hub import COMMIT
from tests.python.publishers import publisher

pytestmark = pytest.mark.quick
CONFIGURATION = '{"framework": "pytorch", "task": "fill-mask", "allow_remote": true}'


def write_checkpoint(directory: Path) -> Path:
    publisher("bert", "hf").write(directory)
    (directory / "vocab.txt").write_text("[PAD]\n", "utf-8")
    return directory


def as_modelscope(directory: Path) -> Path:
    """Adds what ModelScope's downloader writes beside the files."""
    (directory / "configuration.json").write_text(CONFIGURATION, "utf-8")
    for name in (".msc", ".mv", ".mdl"):
        (directory / name).write_bytes(b"\x80\x04N.")
    (directory / "._____temp").mkdir()
    return directory


def as_hub_cache(root: Path, commit: str = COMMIT) -> Path:
    """Lays a checkpoint out as Hugging Face's cache does; returns the commit's directory."""
    whole = write_checkpoint(root / "whole")
    repository = root / "models--owner--name"
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir(exist_ok=True)
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / "main").write_text(commit, "utf-8")
    for file in whole.iterdir():
        blob = repository / "blobs" / f"{commit[:4]}-{file.name}"
        shutil.move(file, blob)
        (snapshot / file.name).symlink_to(Path("..", "..", "blobs", blob.name))
    return snapshot


def test_modelscopes_directory_is_read(tmp_path: Path):
    directory = as_modelscope(write_checkpoint(tmp_path / "hfl" / "rbt3"))
    assert open_checkpoint(directory).config.architecture == "bert"
    assert set(facts.collect_files(directory)) == {"vocab.txt"}


def test_a_commits_directory_in_hugging_faces_cache_is_read(tmp_path: Path):
    snapshot = as_hub_cache(tmp_path)
    assert open_checkpoint(snapshot).config.architecture == "bert"
    assert set(facts.collect_files(snapshot)) == {"vocab.txt"}


def test_the_directory_above_names_the_right_one(tmp_path: Path):
    snapshot = as_hub_cache(tmp_path / "hub")
    repository = snapshot.parents[1]
    for place in (repository, snapshot.parent):
        got = ", ".join(sorted(child.name for child in place.iterdir()))
        message = f"{place}: got {got}, expected a TF1 checkpoint .*; give {snapshot}$"
        with pytest.raises(UserError, match=message):
            open_checkpoint(place)
    other = as_hub_cache(tmp_path / "hub", "f" * 40)
    with pytest.raises(UserError, match=f"; give one of .*{re.escape(str(other))}"):
        open_checkpoint(repository)

    model = as_modelscope(write_checkpoint(tmp_path / "hfl" / "rbt3"))
    (tmp_path / "hfl" / "empty").mkdir()
    (tmp_path / "hfl" / "empty" / "config.json").write_text("{}", "utf-8")
    with pytest.raises(UserError, match=f"; give {model}$"):
        open_checkpoint(tmp_path / "hfl")
