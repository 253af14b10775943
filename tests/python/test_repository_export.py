"""From a repository of a fake hub to answers in Node: `build`, `inspect` and `model` of `hf:…`."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from export.__main__ import main
from support import ROOT
from support.contracts import read_bundle
from support.sha256 import path_sha256
from tests.python.fake_hub import COMMIT, NAME, FakeHub, hash_of, read_files
from tests.python.publishers import Publisher
from tests.python.test_build import TOKENS
from tests.python.test_heads import with_head
from tests.python.test_keras_h5 import write_h5

HANDLE = f"hf:{NAME}"
LABELS = {"0": "体育", "1": "财经", "2": "科技"}


@pytest.fixture(scope="module")
def made() -> Publisher:
    return with_head("bert", "Sequence", id2label=LABELS)


@pytest.fixture(scope="module")
def fake(made: Publisher, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeHub]:
    """A hub with a fine-tuned classifier, whose weights are a tf_model.h5."""
    directory = made.write(tmp_path_factory.mktemp("published"))
    (directory / "model.safetensors").unlink()
    write_h5(made, directory / "tf_model.h5")
    (directory / "vocab.txt").write_text("".join(f"{t}\n" for t in TOKENS), "utf-8")
    config = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (directory / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    server = FakeHub(read_files(directory))
    yield server
    server.close()


def export(arguments: list[str], fake: FakeHub, home: Path, **more: str) -> Any:
    """Runs the exporter in a process of its own: the library reads its settings when it starts."""
    environment = os.environ | {"HF_ENDPOINT": fake.url, "HF_HOME": str(home)} | more
    environment.pop("HF_HUB_CACHE", None)
    command = [sys.executable, "-m", "export", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_a_repository_becomes_a_bundle_that_answers_in_node(fake: FakeHub, tmp_path: Path):
    home, bundle, saved_model = tmp_path / "home", tmp_path / "bundle", tmp_path / "saved_model"
    done = export(["model", HANDLE, "--out", str(bundle)], fake, home)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{bundle}\n"
    assert f"{HANDLE}: commit {COMMIT}, tf_model.h5\n" in done.stderr
    contract = read_bundle(bundle)
    source = contract["provenance"]["source"]
    assert (contract["name"], source["handle"]) == ("name", HANDLE)
    assert contract["classifier"]["labels"] == list(LABELS.values())
    needed = ("config.json", "tf_model.h5", "tokenizer_config.json", "vocab.txt")
    assert source["repository"] == {
        "repository": NAME,
        "revision": "main",
        "commit": COMMIT,
        "endpoint": "mirror",
        "files": {name: hash_of("x.bin", fake.files[name]) for name in needed},
    }
    answer = subprocess.run(
        ["node", "node_bridge/predict.js", "--model", str(bundle), "你好"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["label"] in LABELS.values()

    # Parity needs the SavedModel: `build` makes the same one again.
    done = export(["build", HANDLE, "--out", str(saved_model)], fake, home)
    assert done.returncode == 0, done.stderr
    assert path_sha256(saved_model) == source["sha256"]

    # Another bundle is not replaced, and nothing is downloaded for it.
    fake.asked.clear()
    done = export(["model", "hf:owner/other", "--out", str(bundle)], fake, home)
    assert done.returncode == 2 and "not one of the model hf:owner/other" in done.stderr
    assert fake.asked == []


def test_inspect_downloads_no_weights(
    fake: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    fake.storage.asked.clear()
    done = export(["inspect", HANDLE, "--json"], fake, tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["weights"] == {"tf_model.h5": len(fake.files["tf_model.h5"])}
    assert found["labels"] == list(LABELS.values())
    assert found["config"]["architecture"] == "bert" and found["problem"] == ""
    assert fake.storage.asked == []
    done = export(["inspect", HANDLE], fake, tmp_path)
    lines = done.stdout.splitlines()
    assert lines[0] == HANDLE
    assert lines[1].startswith(f"  commit {COMMIT}, as the mirror says, lies in {tmp_path}")
    assert lines[3] == "bert: 2 layers of 12, 3 heads, gelu_erf, 16 positions, 31 tokens"
    assert lines[4] == "class: BertForSequenceClassification, 3 labels (体育, 财经, 科技)"
    assert lines[5].startswith("tokenizer: tokenizer_config.json says")
    assert lines[6] == "verdict: can be built, as far as its config tells"
    assert main(["inspect", HANDLE, "--sha256", "0" * 64]) == 2
    assert "expected --json alone" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["build", "model", "inspect"])
def test_a_closed_network_ends_with_one_line_and_3(fake: FakeHub, command: str, tmp_path: Path):
    out = [] if command == "inspect" else ["--out", str(tmp_path / "out")]
    offline = export([command, HANDLE, *out], fake, tmp_path, HF_HUB_OFFLINE="1")
    dead = export([command, HANDLE, *out], fake, tmp_path, HF_ENDPOINT="http://127.0.0.1:1")
    for done, message in ((offline, "HF_HUB_OFFLINE is set"), (dead, "does not answer")):
        assert done.returncode == 3
        assert done.stderr.startswith("error: ") and message in done.stderr
        assert done.stderr.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_a_commit_binds_in_the_place_of_a_sha256(capsys: pytest.CaptureFixture[str]):
    assert main(["model", HANDLE, "--sha256", "0" * 64, "--out", "out"]) == 2
    assert f"{HANDLE}@COMMIT binds all its files" in capsys.readouterr().err
