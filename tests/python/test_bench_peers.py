"""The benchmarks of encoding, training and starting, on small data.

No peer is installed or timed; only our side runs, and the peers that are installed anyway.
"""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.encoding import features, material
from bench.encoding import speed as encoding
from bench.peers import installing
from bench.setting import BenchSetting
from bench.side import SideProcess, node_program, python_program
from bench.starting import cold, memory
from bench.training import speed as training
from support import ROOT
from support.errors import CheckFailed, EnvironmentProblem, UserError

REVIEWS = ["这本书很好", "不好", "一般般吧，服务员的态度很差。"]


def setting(tmp_path, names=(), said=None):
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    say = (lambda line: None) if said is None else said.append
    return BenchSetting(tmp_path, scratch, quick=True, names=list(names), say=say)


def test_reviews_are_taken_evenly_from_both_files_in_their_order(tmp_path):
    (tmp_path / "data").mkdir()
    for name, numbers in (("train", range(6)), ("dev", range(6, 8))):
        lines = [json.dumps({"text": f"t{n}", "label": 0}) + "\n" for n in numbers]
        (tmp_path / "data" / f"{name}.jsonl").write_text("".join(lines))
    assert material.read_reviews(setting(tmp_path), 4) == ["t0", "t2", "t4", "t6"]
    assert len(material.read_reviews(setting(tmp_path), 100)) == 8
    (tmp_path / "data" / "dev.jsonl").unlink()
    with pytest.raises(UserError, match="dev.jsonl does not exist; `nox -s export` makes it"):
        material.read_reviews(setting(tmp_path), 4)


def test_peers_get_padded_batches_in_file_order():
    batches = material.batch_in_file_order([[1]] * 33 + [[1, 1, 1]])
    assert [len(batch) for batch in batches] == [32, 2]
    assert material.mean_positions(batches) == ((33 + 3) / 34, (32 + 6) / 34)


def test_made_batches_have_one_shape_and_different_texts():
    batches = material.make_batches(2, 32, 64)
    assert [(len(batch), {len(ids) for ids in batch}) for batch in batches] == [(32, {64})] * 2
    texts = [tuple(ids) for batch in batches for ids in batch]
    assert len(set(texts)) == 64
    assert all(5 <= token < 5000 for ids in texts for token in ids)


def test_targets_are_for_peers_that_batch_as_their_users_do():
    targets = {case.name: case.target for case in encoding.CASES if case.target is not None}
    assert targets == {
        f"encoding.{backend}.{model}.{peer}": target
        for model in ("albert_tiny", "bert")
        for backend, peer, target in (
            ("native", "ort-node", 1),
            ("native", "tensorflow", 1.3),
            ("wasm", "ort-node", 0.3),
            ("wasm", "ort-web", 1),
            ("wasm", "tensorflow", 0.4),
        )
    }
    same = {case.name for case in encoding.CASES if case.target is None}
    assert {f"{name}.32x64" for name in targets if "native" not in name} < same
    assert len(set(encoding.NAMES)) == len(encoding.CASES) == len(targets) + len(same)


def side(vectors: list[list[float]]) -> Any:
    return SimpleNamespace(ask=lambda op, count: vectors[:count])


def test_vectors_that_differ_are_not_timed():
    ours = side([[1.0, 2.0], [3.0, 4.0]])
    assert encoding.compare_vectors("row", ours, side([[1.0, 2.0], [3.0, 4.00001]])) < 2e-5
    with pytest.raises(CheckFailed, match="row: the vectors differ by 0.001, expected 5e-05"):
        encoding.compare_vectors("row", ours, side([[1.0, 2.001], [3.0, 4.0]]))
    with pytest.raises(CheckFailed, match="differ by nan"):
        encoding.compare_vectors("row", ours, side([[1.0, float("nan")], [3.0, 4.0]]))
    with pytest.raises(CheckFailed, match=r"got vectors of \(1, 2\), expected \(2, 2\)"):
        encoding.compare_vectors("row", ours, side([[1.0, 2.0]]))


@pytest.mark.parametrize("family", [encoding, features, cold])
def test_a_peer_that_cannot_be_installed_is_reported_and_the_run_goes_on(
    family, tmp_path, monkeypatch
):
    def offline(say):
        raise EnvironmentProblem("npm could not install the peers: ENOTFOUND")

    monkeypatch.setattr(family, "install_node_peers", offline)
    monkeypatch.setattr(encoding, "native_problem", lambda: "")
    monkeypatch.setattr(features, "native_problem", lambda: "")
    monkeypatch.setattr(cold, "train_classifier", lambda setting: tmp_path)
    monkeypatch.setattr(cold, "make_timer", lambda arguments: lambda: 0.25)
    peers = [case for case in encoding.CASES if case.peer != "tensorflow"]
    monkeypatch.setattr(encoding, "CASES", peers)
    said: list[str] = []
    rows = list(family.measure_rows(setting(tmp_path, said=said)))
    assert [row.name for row in rows] == ([cold.GOAL] if family is cold else [])
    lost = [line for line in said if "NOT MEASURED: npm could not install the peers" in line]
    # A pair of rows of each model for: native ort-node, wasm ort-node, wasm ort-web.
    assert len(lost) == {encoding: 6, features: 2, cold: 1}[family]
    with pytest.raises(EnvironmentProblem, match="ENOTFOUND"):
        list(family.measure_rows(setting(tmp_path, names=[family.NAMES[0]])))


def test_a_lock_file_is_installed_once(tmp_path, monkeypatch):
    monkeypatch.setattr(installing, "HOME", tmp_path / "home")
    lock = tmp_path / "lock"
    lock.write_text("1")
    installed: list[Path] = []

    def install(directory):
        (directory / "package").write_text(lock.read_text())
        installed.append(directory)

    def broken(directory):
        (directory / "package").write_text("half")
        raise EnvironmentProblem("no network")

    def home(how):
        return installing.install_once("peer", lock, how, lambda line: None, "a peer")

    assert (home(install) / "package").read_text() == "1"
    assert home(broken) == home(install) == tmp_path / "home" / "peer"
    lock.write_text("2")
    with pytest.raises(EnvironmentProblem):
        home(broken)
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["peer"]
    assert (home(install) / "package").read_text() == "2"
    assert len(installed) == 2


def test_a_missing_or_failing_installer_is_an_error_with_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(installing, "HOME", tmp_path / "home")
    monkeypatch.setenv("UV", str(tmp_path / "uv"))
    with pytest.raises(EnvironmentProblem, match="uv is not found; run `nox -s bench`, or set UV"):
        installing.install_onnx_converter(lambda line: None)
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho npm warn slow >&2\necho npm error code ENOTFOUND >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(EnvironmentProblem, match="npm could not install .*: npm error code ENOTF"):
        installing.install_node_peers(lambda line: None)
    assert list((tmp_path / "home").iterdir()) == []


def test_peer_versions_equal_their_lock_file():
    wanted, lock = (
        json.loads((installing.PACKAGES / name).read_text())
        for name in ("package.json", "package-lock.json")
    )
    found = {name: lock["packages"][f"node_modules/{name}"] for name in wanted["dependencies"]}
    assert wanted["dependencies"] == {name: each["version"] for name, each in found.items()}
    names = [place.split("node_modules/")[-1] for place in lock["packages"]]
    assert names.count("onnxruntime-node") == names.count("onnxruntime-web") == 1


def test_an_epoch_of_the_older_design_is_estimated_by_texts():
    asked = []

    def ask(op, what, count):
        asked.append((op, what, count))
        return {"train": {"seconds": 24, "texts": 480}, "dev": {"seconds": 3, "texts": 96}}[what]

    older: Any = SimpleNamespace(ask=ask)
    # 24 s · 5000/480 + 3 s · 1000/96
    assert training.estimate_epoch(older, {"train": 5000, "dev": 1000}) == 250 + 31.25
    assert asked == [("part", "train", 15), ("part", "dev", 3)]
    assert training.describe_shares({"train": 5000, "dev": 1000}) == "480 of 5000 and 96 of 1000"
    assert training.describe_shares({"train": 32, "dev": 32}) == "32 of 32 and 32 of 32"


def test_a_training_with_too_few_epochs_is_an_error(tmp_path, monkeypatch):
    program = tmp_path / "node"
    monkeypatch.setattr(training, "find_node", lambda: str(program))
    files = {"train": "t.jsonl", "dev": "d.jsonl"}

    def run(*lines):
        program.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
        program.chmod(0o755)
        accuracies: list[float] = []
        training.time_training(setting(tmp_path), training.CASES[0], "bundle", files, accuracies)
        return accuracies

    summary = '{"history": [1, 2, 3, 4, 5], "dev_accuracy": 0.75}'
    check = 'case "$*" in *"--epochs 5 --backend wasm"*) ;; *) exit 9;; esac'
    assert run(check, f"echo '{summary}'") == [0.75]
    with pytest.raises(CheckFailed, match="ran 2 epochs, expected 5"):
        run("""echo '{"history": [1, 2], "dev_accuracy": 0.75}'""")
    with pytest.raises(EnvironmentProblem, match="train.js failed: error: no data"):
        run("echo error: no data >&2", "exit 2")
    assert not list((tmp_path / "scratch").iterdir())


def test_all_available_sides_give_the_same_vectors(embedded, tmp_path):
    current = setting(tmp_path)
    examples = [{"text": text, "label": place % 2} for place, text in enumerate(REVIEWS)]
    data = tmp_path / "three.jsonl"
    data.write_text("".join(json.dumps(each) + "\n" for each in examples))
    bundle = str(embedded.bundle)
    room = ROOT / "bench"
    with (
        SideProcess("ours", node_program(str(room / "encoding" / "ours.js"))) as ours,
        SideProcess("TensorFlow", python_program("bench.encoding.saved_model")) as tensorflow,
        SideProcess("the older design", node_program(str(room / "training" / "older.js"))) as older,
    ):
        ours.ask("open", bundle=bundle, backend="wasm")
        file = material.write_json_file(current, "texts", REVIEWS)
        ids = ours.ask("ids", file=file)
        assert [row[0] for row in ids] == [ids[0][0]] * 3
        ours.ask("texts", file=file)
        tensorflow.ask("open", directory=str(embedded.model))
        tensorflow.ask(
            "batches", file=material.write_json_file(current, "batches", [ids[:2], ids[2:]])
        )
        # Any GraphModel does: here it is the bundle's.
        paths = {"train": str(data), "dev": str(data)}
        older.ask("open", directory=bundle, bundle=bundle, backend="wasm", **paths)
        assert encoding.compare_vectors("TensorFlow", ours, tensorflow) < encoding.CLOSE
        assert encoding.compare_vectors("older", ours, older) < encoding.CLOSE
        for what in ("train", "dev"):
            part = older.ask("part", what=what, count=9)
            assert part["texts"] == 3 and part["seconds"] > 0
        ours.ask(
            "batches",
            file=material.write_json_file(current, "batches", [ids[:1], ids[1:2], ids[2:]]),
        )
        assert encoding.compare_vectors("batches", ours, tensorflow) < encoding.CLOSE


def test_the_memory_row_counts_the_whole_process(embedded, tmp_path):
    size = memory.weight_bytes(embedded.bundle)
    assert size == sum(file.stat().st_size for file in embedded.bundle.glob("group*.bin"))
    assert memory.peak_bytes(embedded.bundle) > size + 2**20
    with pytest.raises(EnvironmentProblem, match="loading failed"):
        memory.peak_bytes(tmp_path)


def test_a_program_that_fails_is_not_timed(tmp_path):
    program = tmp_path / "program.js"
    for source in ("throw new Error('no data')", "process.exit(0)"):
        program.write_text(source)
        with pytest.raises(EnvironmentProblem, match="program.js failed"):
            cold.make_timer([str(program)])()
    program.write_text("console.log(1)")
    assert cold.make_timer([str(program)])() > 0
