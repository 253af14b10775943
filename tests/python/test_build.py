"""`python -m export build`: SavedModels of both contracts, compared with NumPy."""

import re
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from export.__main__ import main
from export.architectures.encoder import Encoder, seeded_encoder, seeded_head
from export.architectures.string_tokens import save_string_tokens
from export.encoder_config import EncoderConfig
from export.tokenizer.vocab import Vocab, parse_vocab
from support.errors import UserError
from tests.python.publishers import HIDDEN, NARROW, VOCAB, publisher

TOLERANCE = 1e-5
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "\u2028", "##儿", "你", "好"]
TOKENS += [chr(ord("a") + i) for i in range(VOCAB - len(TOKENS))]
SENTENCES = [["[CLS]", "你", "好", "xyzzy", "[SEP]"], ["[CLS]", "\u2028", "", "", ""]]
IDS = np.array([[2, 7, 8, 1, 3], [2, 5, 0, 0, 0]], np.int32)


def vocab() -> Vocab:
    return parse_vocab("".join(f"{token}\n" for token in TOKENS).encode(), "vocab.txt")


@pytest.fixture
def vocab_file(tmp_path: Path) -> Path:
    file = tmp_path / "vocab.txt"
    file.write_bytes(vocab().raw)
    return file


def run(saved_model: Path, **feeds: Any) -> dict[str, np.ndarray]:
    """Calls the signature of a SavedModel, loaded by TensorFlow alone."""
    loaded = tf.saved_model.load(str(saved_model))
    function = loaded.signatures["serving_default"]
    tensors = {name: tf.constant(value) for name, value in feeds.items()}
    return {name: value.numpy() for name, value in function(**tensors).items()}


def assert_close(got: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert expected and set(got) == set(expected)
    for name, array in expected.items():
        assert got[name].dtype == np.float32
        assert got[name].shape == array.shape
        np.testing.assert_allclose(
            got[name], array, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=False, err_msg=name
        )


def test_named_contract_equals_numpy(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    made = publisher("bert", "tf1")
    source = made.write(tmp_path / "checkpoint")
    out = tmp_path / "out"
    assert main(["build", str(source), "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out == f"{out}\n"
    assert re.search(r"5 of \d+ variables .* not used: 5 masked language model head\n", said.err)

    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], np.int32)
    types = np.array([[0, 0, 0, 1, 1], [0, 0, 0, 0, 0]], np.int32)
    expected = made.run(IDS, mask, types)
    del expected["embedding_output"]
    assert_close(run(out, input_ids=IDS, attention_mask=mask, token_type_ids=types), expected)


@pytest.mark.parametrize("contract", ["named", "tokens"])
def test_checkpoint_without_a_pooler_has_no_pooled_output(
    contract: str, tmp_path: Path, vocab_file: Path, capsys: pytest.CaptureFixture[str]
):
    made = publisher("bert", "hf")
    for leaf in ("weight", "bias"):
        del made.arrays[f"bert.pooler.dense.{leaf}"]
    del made.parts["pooler"]
    source, out = made.write(tmp_path / "checkpoint"), tmp_path / "out"
    arguments = ["--contract", contract, "--vocab", str(vocab_file), "--out", str(out)]
    assert main(["build", str(source), *arguments]) == 0
    said = capsys.readouterr().err
    assert f"{source}: has no pooler, so the model gives no pooled_output\n" in said
    ones, zeros = np.ones_like(IDS), np.zeros_like(IDS)
    expected = made.run(IDS, ones, zeros)
    if contract == "tokens":
        expected["mlm_logits"] = made.logits(expected["sequence_output"])
        assert_close(run(out, args_0=SENTENCES), expected)
    else:
        del expected["embedding_output"]
        assert_close(run(out, input_ids=IDS, attention_mask=ones, token_type_ids=zeros), expected)


def test_named_contract_of_the_first_layer_equals_numpy(tmp_path: Path):
    made = publisher("electra", "hf")
    source = made.write(tmp_path / "checkpoint")
    out = tmp_path / "out"
    assert main(["build", str(source), "--out", str(out), "--layers", "1"]) == 0
    ones, zeros = np.ones_like(IDS), np.zeros_like(IDS)
    expected = made.run(IDS, ones, zeros, layers=1)
    del expected["embedding_output"]
    assert_close(run(out, input_ids=IDS, attention_mask=ones, token_type_ids=zeros), expected)


def test_tokens_contract_equals_numpy(tmp_path: Path, vocab_file: Path):
    made = publisher("albert", "tf1", positions=520)
    source = made.write(tmp_path / "checkpoint")
    out = tmp_path / "out"
    arguments = ["--contract", "tokens", "--vocab", str(vocab_file)]
    assert main(["build", str(source), "--out", str(out), *arguments]) == 0

    expected = made.run(IDS, np.ones_like(IDS), np.zeros_like(IDS))
    expected["mlm_logits"] = made.logits(expected["sequence_output"])
    assert_close(run(out, args_0=SENTENCES), expected)
    assert (out / "assets" / "vocab.txt").read_bytes() == vocab_file.read_bytes()

    long = np.arange(514) % VOCAB
    got = run(out, args_0=[[TOKENS[i] for i in long]])
    assert got["sequence_output"].shape == (1, 512, HIDDEN)
    ids = long[None, :512].astype(np.int32)
    expected = made.run(ids, np.ones_like(ids), np.zeros_like(ids))
    expected["mlm_logits"] = made.logits(expected["sequence_output"])
    assert_close(got, expected)


@pytest.fixture(scope="module")
def small() -> EncoderConfig:
    sizes: dict[str, Any] = {
        "num_hidden_layers": 1,
        "num_attention_heads": 3,
        "intermediate_size": 20,
    }
    return EncoderConfig(
        "albert", VOCAB, hidden_size=HIDDEN, embedding_size=NARROW, activation="relu", **sizes
    )


def expected_of(encoder: Encoder, ids: np.ndarray) -> dict[str, np.ndarray]:
    """Computes the three outputs that need no head with the encoder itself."""
    zeros = np.zeros_like(ids)
    batch = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": zeros}
    expected = {name: value.numpy() for name, value in encoder(batch).items()}
    return expected | {"embedding_output": encoder.embeddings(ids, zeros).numpy()}


def test_a_seeded_model_of_string_tokens_has_four_outputs(small: EncoderConfig, tmp_path: Path):
    encoder = seeded_encoder(small, "toy", 5)
    save_string_tokens(encoder, vocab(), tmp_path)
    expected = expected_of(encoder, IDS)
    words = encoder.embeddings.word_embeddings
    expected["mlm_logits"] = seeded_head(small, 1)(expected["sequence_output"], words).numpy()
    assert_close(run(tmp_path, args_0=SENTENCES), expected)

    # hub.load returns an object that is called with the matrix itself.
    loaded = tf.saved_model.load(str(tmp_path))
    called = loaded(tf.constant(SENTENCES))
    assert_close({name: value.numpy() for name, value in called.items()}, expected)
    function = loaded.signatures["serving_default"]
    (tokens,) = function.structured_input_signature[1].values()
    assert (tokens.name, tokens.dtype, tokens.shape.as_list()) == ("args_0", tf.string, [None] * 2)
    shapes = {name: spec.shape.as_list() for name, spec in function.structured_outputs.items()}
    assert shapes == {
        "sequence_output": [None, None, HIDDEN],
        "pooled_output": [None, HIDDEN],
        "embedding_output": [None, None, NARROW],
        "mlm_logits": [None, None, VOCAB],
    }


def test_two_models_of_string_tokens_in_one_process_use_their_own_vocabs(
    small: EncoderConfig, tmp_path: Path
):
    encoder = seeded_encoder(small, "toy", 5)
    swapped = parse_vocab(vocab().raw.replace("你\n好".encode(), "好\n你".encode()), "vocab.txt")
    save_string_tokens(encoder, vocab(), tmp_path / "one", 3)
    save_string_tokens(encoder, swapped, tmp_path / "other", 3)
    # TensorFlow shares tables of the same name in one process; these two must differ.
    expected = expected_of(encoder, np.array([[7, 8]], np.int32))
    assert_close(run(tmp_path / "one", args_0=[["你", "好"]]), expected)
    assert_close(run(tmp_path / "other", args_0=[["好", "你"]]), expected)
    # A local folder in the graph would make each save different.
    assert gettempdir().encode() not in (tmp_path / "one" / "saved_model.pb").read_bytes()


def test_vocab_of_another_size_is_refused(small: EncoderConfig, tmp_path: Path):
    lines = "".join(f"{token}\n" for token in [*TOKENS, "新"]).encode()
    with pytest.raises(UserError, match=f"has {VOCAB + 1} lines, .* has {VOCAB} rows"):
        save_string_tokens(
            seeded_encoder(small, "toy", 5), parse_vocab(lines, "vocab.txt"), tmp_path
        )
    lines = "".join(f"{token}\n" for token in [*TOKENS[:-1], "你"]).encode()
    with pytest.raises(UserError, match="'你' stands in line 8 already"):
        save_string_tokens(
            seeded_encoder(small, "toy", 5), parse_vocab(lines, "vocab.txt"), tmp_path
        )
    with pytest.raises(ValueError, match="3 or 4"):
        save_string_tokens(seeded_encoder(small, "toy", 5), vocab(), tmp_path, 2)


def test_errors_are_one_line_and_leave_no_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], vocab_file: Path
):
    made = publisher("bert", "hf")
    source = str(made.write(tmp_path / "checkpoint"))
    out = tmp_path / "built" / "out"
    longer = tmp_path / "longer.txt"
    longer.write_bytes(vocab_file.read_bytes() + "新\n".encode())
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").touch()
    for arguments, message in [
        ([source, "--contract", "tokens"], "vocab.txt, expected a vocab; give --vocab"),
        ([source, "--vocab", str(longer)], f"has {VOCAB + 1} lines, but the .* {VOCAB} rows"),
        ([source, "--layers", "9"], "--layers: got 9, expected 1 to 2"),
        ([str(tmp_path / "nothing")], "no such checkpoint"),
        ([source, "--out", str(foreign)], "holds other files"),
    ]:
        place = [] if "--out" in arguments else ["--out", str(out)]
        assert main(["build", *place, *arguments]) == 2
        said = capsys.readouterr()
        assert re.fullmatch(f"error: .*{message}.*\n", said.err)
        assert said.out == ""
    made.arrays["bert.pooler.dense.bias"][3] = np.inf
    made.write(tmp_path / "checkpoint")
    assert main(["build", source, "--out", str(out)]) == 2
    assert "bert.pooler.dense.bias: got NaN or infinity in 1 of 12" in capsys.readouterr().err
    assert not out.parent.exists()


def test_logits_without_a_head_are_seeded_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    made = publisher("electra", "tf1")
    source = made.write(tmp_path / "checkpoint")
    (source / "vocab.txt").write_bytes(vocab().raw)
    out = tmp_path / "out"
    arguments = ["--contract", "tokens", "--layers", "1", "--out", str(out)]
    assert main(["build", str(source), *arguments]) == 0
    assert "mlm_logits are seeded, untrained" in capsys.readouterr().err
    got = run(out, args_0=SENTENCES)
    assert got.pop("mlm_logits").shape == (2, 5, VOCAB)
    assert_close(got, made.run(IDS, np.ones_like(IDS), np.zeros_like(IDS), layers=1))
