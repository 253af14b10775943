"""The fine-tuning comparison: batches, moved weights, Node's steps, and the table.

No figure of time or memory decides a test.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity_tests.cases import TextCase
from parity_tests.finetune import __main__ as command
from parity_tests.finetune import experiments, run_python, texts
from parity_tests.finetune.network import Network
from parity_tests.finetune.rows import FinetuneRow, markdown_table
from parity_tests.runners.measure import MeasuredRun
from parity_tests.runners.python_tokenizer import make_tokenizer
from parity_tests.runners.run_python import open_saved_model
from parity_tests.runners.source import SourceModel
from parity_tests.runners.tokenizer_source import TokenizerSource
from support.errors import CheckFailed, EnvironmentProblem
from support.node import find_node
from tests.python import untrusted_models
from tests.python.conftest import Embedded

MIB = 1 << 20
IDS_OF_TWO = {
    "input_ids": np.array([[2, 5, 3, 0], [2, 6, 6, 3]], np.int32),
    "attention_mask": np.array([[1, 1, 1, 0], [1, 1, 1, 1]], np.int32),
    "token_type_ids": np.zeros([2, 4], np.int32),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Makes a model, a tokenizer, 40 training and 8 dev texts, good and bad."""
    place = tmp_path_factory.mktemp("tiny")
    untrusted_models.own_encoder(place / "model", dropout=0.0)
    untrusted_models.own_tokenizer(place / "tokenizer")
    for name, count in (("train", 40), ("dev", 8)):
        rows = [{"text": "你好"[i % 2] * (1 + i % 5), "label": i % 2} for i in range(count)]
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (place / f"{name}.jsonl").write_text("".join(lines), "utf-8")
    return place


def arguments(place: Path, *more: str) -> list[str]:
    arguments = ["--model", str(place / "model"), "--tokenizer-model", str(place / "tokenizer")]
    arguments += ["--train", str(place / "train.jsonl"), "--dev", str(place / "dev.jsonl")]
    return [*arguments, "--epochs", "2", *more]


def experiment(place: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    assert run_python.main(arguments(place, *more)) == 0
    output: dict[str, Any] = json.loads(capsys.readouterr().out)
    return output


def test_a_frozen_encoder_does_not_move(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = experiment(tiny, capsys)
    assert output["weights"]["all"] > 0
    assert output["weights"]["moved"] == 0
    assert len(output["losses"]) == 2 * 2
    assert output["losses"][-1] != output["losses"][0]


def test_an_updated_encoder_moves(tiny: Path) -> None:
    network = Network(open_saved_model(tiny / "model"), trainable=True, classes=2)
    before = network.weights()
    network.train(IDS_OF_TWO, np.array([0, 1], np.int32))
    unmoved = {name for name, now in network.weights().items() if (now == before[name]).all()}
    pooler = {name for name in before if "/pooler/" in name}
    # A key's bias adds the same to all scores of a query, which softmax ignores.
    no_gradient = {name for name in before if name.endswith("/key/bias")}
    assert pooler and no_gradient
    assert pooler <= unmoved <= pooler | no_gradient


def test_the_head_of_a_frozen_encoder_takes_scaled_vectors(tiny: Path) -> None:
    encoder = open_saved_model(tiny / "model")
    network = Network(encoder, trainable=False, classes=2)
    plain = network.model(IDS_OF_TWO).numpy()
    network.scale([IDS_OF_TWO])
    vectors = encoder(IDS_OF_TWO, training=False)["sequence_output"][:, 0].numpy()
    assert network.scaling.mean.numpy()[0] == pytest.approx(vectors.mean(axis=0))
    assert network.scaling.variance.numpy()[0] == pytest.approx(vectors.var(axis=0), rel=1e-3)
    assert (network.infer(IDS_OF_TWO)["probabilities"].numpy() != plain).any()


def test_a_moved_frozen_encoder_and_an_unmoved_updated_one_fail() -> None:
    run_python.check_moved_weights([], trainable=False)
    run_python.check_moved_weights(["a"], trainable=True)
    with pytest.raises(CheckFailed, match="is frozen, but 2 weights moved: a"):
        run_python.check_moved_weights(["a", "b"], trainable=False)
    with pytest.raises(CheckFailed, match="none of its weights moved"):
        run_python.check_moved_weights([], trainable=True)


def test_dropout_is_detected(tiny: Path, tmp_path: Path) -> None:
    with_dropout = untrusted_models.own_encoder(tmp_path, dropout=0.5)
    assert run_python.has_dropout(open_saved_model(with_dropout), IDS_OF_TWO)
    assert not run_python.has_dropout(open_saved_model(tiny / "model"), IDS_OF_TWO)


def test_node_has_the_same_losses_as_python(
    native: None, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python = experiment(tiny, capsys, "--trainable")
    experiment(tiny, capsys, "--trainable", "--save", str(tmp_path))
    run = [find_node(), str(experiments.RUN_NODE), "--from", str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    output = json.loads(done.stdout)
    assert len(output["losses"]) == 4
    assert output["losses"] == python["losses"]
    keys = ("epoch", "dev_accuracy")
    ours, theirs = ([[e[key] for key in keys] for e in t["history"]] for t in (output, python))
    assert ours == theirs


def test_ids_equal_those_of_parity_cut_at_128(embedded: Embedded, tmp_path: Path) -> None:
    tokenizer = make_tokenizer(TokenizerSource(model=embedded.tokenizer_model))
    source = SourceModel(open_saved_model(embedded.model), tokenizer)
    lines = (embedded.data / "dev.jsonl").read_text("utf-8").split("\n")[:60]
    rows = [json.loads(line) for line in lines] + [{"text": "好\u2028" * 200, "label": "0"}]
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), "utf-8")

    found = texts.encode_texts(source, file, ["0", "1"])
    every = [TextCase(i, 0, row["text"]) for i, row in enumerate(rows)]
    whole = source.batch(source.encode(every, added=True))
    longest = 0
    for i, row in enumerate(rows):
        expected = whole["input_ids"][i][whole["attention_mask"][i] == 1].tolist()
        longest = max(longest, len(expected))
        if len(expected) > 128:
            expected = [*expected[:127], tokenizer.special["[SEP]"]]
        assert found.ids["input_ids"][i, : found.lengths[i]].tolist() == expected
        assert found.labels[i] == int(row["label"])
    assert longest > 128


def test_a_batch_is_as_wide_as_its_longest_text() -> None:
    mask = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]], np.int32)
    tokens = (mask * np.arange(5, 9)).astype(np.int32)
    ids = {"input_ids": tokens, "attention_mask": mask}
    some = texts.Texts(ids, np.array([0, 1, 2], np.int32))
    batch, labels = some.batch(np.array([1, 0, -1], np.int32))
    assert batch["input_ids"].tolist() == [[5, 6, 7], [5, 6, 0]]
    assert labels.tolist() == [1, 0]


def test_an_epoch_has_each_text_once_with_others_of_similar_length() -> None:
    lengths = np.random.default_rng(7).integers(3, 129, 100).astype(np.int32)
    first, second = (texts.make_batches(lengths, seed) for seed in (0, 1))
    assert first.shape == (4, 32)
    assert sorted(first[first >= 0]) == list(range(100))
    assert (first != second).any()
    spans = [sorted(lengths[rows[rows >= 0]])[:: len(rows[rows >= 0]) - 1] for rows in first]
    ordered = sorted(spans)
    assert all(a[1] <= b[0] for a, b in zip(ordered, ordered[1:], strict=False))


HISTORY = [
    {"epoch": 1, "seconds": 9.0, "dev_accuracy": 0.5},
    {"epoch": 2, "seconds": 2.0, "dev_accuracy": 0.75},
    {"epoch": 3, "seconds": 4.0, "dev_accuracy": 0.75},
]


def test_a_row_has_figures_of_epochs_and_of_the_whole_run() -> None:
    row = FinetuneRow("Node, native", "updated", texts=100, history=HISTORY, seconds=20.0)
    assert (row.best["epoch"], row.epoch_seconds, row.other_seconds) == (2, 3.0, 5.0)
    assert row.texts_per_second == 15
    assert FinetuneRow("Python", "frozen", history=HISTORY[:1]).epoch_seconds is None


def test_the_table_is_markdown_and_says_why_a_row_is_missing() -> None:
    measured = FinetuneRow("Python", "frozen", "", 30000, HISTORY, 20.0, 1500 * MIB)
    measured = replace(measured, weights={"all": 25, "moved": 0}, dropout=False)
    equal = FinetuneRow(
        "Node", "updated", "", 100, HISTORY[:1], 20.0, MIB, [0.5, 0.25], equal_steps=2
    )
    lines = markdown_table(
        [measured, FinetuneRow("Node, wasm", "updated", "no gradients"), equal]
    ).split("\n")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:5]]
    assert len({len(line) for line in lines[:5]}) == 1
    assert [cell.endswith(":") for cell in cells[1]] == [False] * 2 + [True] * 6
    assert cells[2] == ["Python", "frozen", "75.0 %", "2", "3.0", "5.0", "1,500", "4,500"]
    assert cells[3] == ["Node, wasm", "updated", *"––––––"]
    assert cells[4] == ["Node", "updated", "50.0 %", "1", "–", "11.0", "1", "5"]
    notes = "\n".join(lines[5:])
    assert "Python, frozen: 0 of the encoder's 25 weights moved, no dropout in it." in notes
    assert "Node, wasm, updated: none; no gradients." in notes
    assert "to the last bit in 2 of 2 steps" in notes


def test_losses_are_compared_to_the_last_bit() -> None:
    many = [0.5] * experiments.FIRST_STEPS
    assert experiments.count_equal_steps([*many, 0.25], [*many, 0.125]) == len(many)
    almost = float(np.nextafter(np.float32(0.5), np.float32(1)))
    with pytest.raises(CheckFailed, match="got loss 0.5000000596046448 in step 2.*Python's 0.5"):
        experiments.count_equal_steps([0.5, almost], [0.5, 0.5])


def test_training_in_node_gives_a_row(embedded: Embedded, tmp_path: Path) -> None:
    row = experiments.run_node_frozen(setting(embedded.root, tmp_path), "wasm")
    assert [epoch["epoch"] for epoch in row.history] == [1, 2]
    assert 0 <= row.best["dev_accuracy"] <= 1
    assert 0 < sum(epoch["seconds"] for epoch in row.history) < row.seconds


def setting(root: Path, scratch: Path) -> experiments.FinetuneSetting:
    options = argparse.Namespace(root=root, texts=20, epochs=2)
    return command.make_setting(options, scratch)


def test_caches_of_earlier_runs_are_not_used(
    embedded: Embedded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def record(name: str, command: list[str], *_: object) -> MeasuredRun:
        asked.append(command)
        return MeasuredRun(0, 1.0, 1, json.dumps({"history": HISTORY}), "")

    monkeypatch.setattr(experiments, "run_to_end", record)
    for options in ("--out DIR", "--out DIR --cache DIR"):
        monkeypatch.setattr(experiments, "read_help", lambda program, text=options: text)
        experiments.run_node_frozen(setting(embedded.root, tmp_path), "wasm")
    assert "--cache" not in asked[0]
    assert Path(asked[1][asked[1].index("--cache") + 1]).parent == tmp_path


@pytest.mark.parametrize(
    ("problem", "missing"),
    [(("not built", ""), ["not built"] * 2), (("", "another one"), ["another one"])],
)
def test_a_run_without_native_is_reported_and_saved(
    embedded: Embedded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    problem: tuple[str, str],
    missing: list[str],
) -> None:
    def finished(*_: object) -> MeasuredRun:
        return MeasuredRun(0, 20.0, MIB, json.dumps({"history": HISTORY, "losses": [1.0]}), "")

    monkeypatch.setattr(experiments, "run_to_end", finished)
    monkeypatch.setattr(experiments, "why_native_is_missing", lambda: problem)
    monkeypatch.setattr(experiments, "read_help", lambda program: "")
    (tmp_path / "data").symlink_to(embedded.data)
    assert command.main(["--texts", "20", "--root", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    document = json.loads((tmp_path / "finetune.json").read_text("utf-8"))
    rows = [(row["runtime"], row["encoder"]) for row in document["rows"]]
    assert rows == [
        (runtime, encoder)
        for runtime in ("Python", "Node, wasm", "Node, native")
        for encoder in ("frozen", "updated")
    ]
    reasons = [row["missing"] for row in document["rows"] if "missing" in row]
    assert reasons == [experiments.NO_GRADIENTS, *missing]
    assert all(reason in shown for reason in reasons)
    assert "20 training and 4 dev reviews, 5 epochs" in shown
    assert document["texts"] == {"train": 20, "dev": 4}


@pytest.mark.parametrize(
    ("code", "error"), [(1, CheckFailed), (-9, EnvironmentProblem), (70, EnvironmentProblem)]
)
def test_a_failing_process_is_reported(
    embedded: Embedded, tmp_path: Path, code: int, error: type[Exception]
) -> None:
    ending = f"os.kill(os.getpid(), {-code})" if code < 0 else f"sys.exit({code})"
    script = f"import os, sys; print('error: so it is', file=sys.stderr); {ending}"
    with pytest.raises(error, match=rf"toy: so it is \(exit code {code}\)"):
        run = [sys.executable, "-c", script]
        experiments.run_to_end("toy", run, setting(embedded.root, tmp_path))
    assert not list(tmp_path.glob("log*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--texts", "4"], "got 0 dev texts, expected 1 to the 1000"),
        (["--texts", "5001"], "got 5001 train texts, expected 1 to the 5000"),
        (["--epochs", "0"], "--epochs: got 0, expected 1 or more"),
        (["--root", os.devnull], "does not exist; `nox -s export` makes it"),
    ],
)
def test_a_user_error_gives_one_error_line(
    embedded: Embedded, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    root = [] if "--root" in arguments else ["--root", str(embedded.root)]
    assert command.main([*root, *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
