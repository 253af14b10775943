"""sentence-transformers directories, compared with the library's formulas in float64."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file, save_file

from export.__main__ import main
from export.checkpoints.sentence_transformers import limit_positions, read_sentence_model
from support.errors import UserError
from support.node import find_node
from tests.python.conftest import ROOT
from tests.python.publishers import HIDDEN, VOCAB, Publisher, publisher

TOLERANCE = 1e-5
IDS = np.array([[2, 7, 8, 1, 3], [2, 5, 3, 0, 0]], np.int32)
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.int32)
TYPES = np.zeros_like(IDS)
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"这本书很好房间小"]
TOKENS += [chr(ord("a") + i) for i in range(VOCAB - len(TOKENS))]
CLASSES = "sentence_transformers.models"


def write(
    directory: Path, modules: list[tuple[str, dict[str, Any]]], subfolder: str = ""
) -> Publisher:
    """Writes a model as the library does: an encoder, and modules with their configs."""
    made = publisher("bert", "hf")
    made.write(directory / subfolder)
    (directory / subfolder / "vocab.txt").write_text("".join(f"{t}\n" for t in TOKENS), "utf-8")
    rows = [{"idx": 0, "name": "0", "path": subfolder, "type": f"{CLASSES}.Transformer"}]
    for i, (kind, config) in enumerate(modules, 1):
        path = f"{i}_{kind}"
        rows.append({"idx": i, "name": str(i), "path": path, "type": f"{CLASSES}.{kind}"})
        # Git stores no empty directory: that of Normalize is missing in many copies.
        if config:
            (directory / path).mkdir()
            (directory / path / "config.json").write_text(json.dumps(config))
    (directory / "modules.json").write_text(json.dumps(rows))
    return made


def embedding(saved_model: Path) -> np.ndarray:
    function = tf.saved_model.load(str(saved_model)).signatures["serving_default"]
    feeds = {"input_ids": IDS, "attention_mask": MASK, "token_type_ids": TYPES}
    outputs = function(**{name: tf.constant(value) for name, value in feeds.items()})
    assert sorted(outputs) == ["pooled_output", "sentence_embedding", "sequence_output"]
    value: np.ndarray = outputs["sentence_embedding"].numpy()
    assert value.dtype == np.float32
    return value


def pooled(mode: str, sequence: np.ndarray) -> np.ndarray:
    """Pools each row over its visible positions only, without a mask."""
    rows = [vectors[: mask.sum()] for vectors, mask in zip(sequence, MASK, strict=True)]
    formulas = {
        "cls": lambda row: row[0],
        "max": lambda row: row.max(0),
        "mean": lambda row: row.sum(0) / len(row),
        "mean_sqrt_len_tokens": lambda row: row.sum(0) / len(row) ** 0.5,
    }
    return np.stack([formulas[mode](row) for row in rows])


@pytest.mark.parametrize(
    ("config", "modes"),
    [
        ({"pooling_mode_mean_tokens": True, "word_embedding_dimension": HIDDEN}, ["mean"]),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, ["cls"]),
        (
            {"pooling_mode": "mean_sqrt_len_tokens", "include_prompt": True},
            ["mean_sqrt_len_tokens"],
        ),
        # Concatenated in the library's order, for any order of the flags.
        (
            {
                "pooling_mode_mean_sqrt_len_tokens": True,
                "pooling_mode_mean_tokens": True,
                "pooling_mode_max_tokens": True,
                "pooling_mode_cls_token": True,
            },
            ["cls", "max", "mean", "mean_sqrt_len_tokens"],
        ),
        ({"pooling_mode": ["mean", "cls"], "embedding_dimension": HIDDEN}, ["mean", "cls"]),
    ],
)
def test_pooling_equals_the_formulas_of_the_library(
    config: dict[str, Any], modes: list[str], tmp_path: Path
):
    made = write(tmp_path / "model", [("Pooling", config)])
    assert main(["build", str(tmp_path / "model"), "--out", str(tmp_path / "out")]) == 0
    sequence = made.run(IDS, MASK, TYPES)["sequence_output"]
    expected = np.concatenate([pooled(mode, sequence) for mode in modes], -1)
    np.testing.assert_allclose(embedding(tmp_path / "out"), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("activation", "bias"), [("Tanh", True), ("Identity", False)])
def test_dense_and_normalize_equal_the_formulas_of_the_library(
    activation: str, bias: bool, tmp_path: Path
):
    module = "torch.nn.modules.activation" if activation == "Tanh" else "torch.nn.modules.linear"
    dense = {
        "in_features": HIDDEN,
        "out_features": 5,
        "bias": bias,
        "activation_function": f"{module}.{activation}",
    }
    pooling = {"pooling_mode_mean_tokens": True}
    source = tmp_path / "model"
    made = write(source, [("Pooling", pooling), ("Dense", dense), ("Normalize", {})], "0_Transf")
    weights = np.random.default_rng(3).normal(size=(5, HIDDEN)).astype(np.float32)
    offsets = np.linspace(-1, 1, 5, dtype=np.float32)
    arrays = {"linear.weight": weights} | ({"linear.bias": offsets} if bias else {})
    save_file(arrays, source / "2_Dense" / "model.safetensors")
    assert main(["build", str(source), "--out", str(tmp_path / "out")]) == 0
    x = pooled("mean", made.run(IDS, MASK, TYPES)["sequence_output"]) @ weights.T.astype(np.float64)
    x = x + offsets if bias else x
    x = np.tanh(x) if activation == "Tanh" else x
    expected = x / np.sqrt((x**2).sum(-1, keepdims=True))
    np.testing.assert_allclose(embedding(tmp_path / "out"), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([], "got modules Transformer, expected Transformer, Pooling"),
        ([("Pooling", {"pooling_mode_lasttoken": True})], 'got pooling "lasttoken", expected one'),
        ([("Pooling", {"pooling_mode": "weightedmean"})], 'got pooling "weightedmean", expected'),
        (
            [("Pooling", {"a": 1}), ("LSTM", {"a": 1})],
            "got module LSTM, expected Transformer, Pool",
        ),
        (
            [("Pooling", {"a": 1}), ("Dense", {"activation_function": "torch.nn.modules.x.GELU"})],
            r"got activation_function torch.nn.modules.x.GELU, expected one of torch.nn's",
        ),
        (
            [("Pooling", {"a": 1}), ("Dense", {"use_residual": True})],
            "got use_residual true, expected false",
        ),
        (
            [("Pooling", {"a": 1}), ("Normalize", {"module_input_name": "token_embeddings"})],
            "got module_input_name \"token_embeddings\", expected 'sentence_embedding'",
        ),
    ],
)
def test_unsupported_modules_are_refused(
    modules: list[tuple[str, dict[str, Any]]], message: str, tmp_path: Path
):
    write(tmp_path, modules)
    with pytest.raises(UserError, match=message) as refused:
        read_sentence_model(tmp_path)
    assert "give the encoder's model.safetensors itself" in str(refused.value)


def test_dense_weights_in_a_pickle_are_refused(tmp_path: Path):
    dense = {"in_features": HIDDEN, "out_features": 5}
    write(tmp_path, [("Pooling", {"a": 1}), ("Dense", dense)])
    (tmp_path / "2_Dense" / "pytorch_model.bin").touch()
    with pytest.raises(UserError, match="2_Dense: got pytorch_model.bin, a pickle, .*weights_only"):
        read_sentence_model(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("modules.json", "{}", "got {}, expected an array"),
        ("modules.json", "[{}]", "module 0: type: got null, expected a string"),
        ("modules.json", '[{"type": "x.Transformer", "path": ""}]', "got modules x.Transformer,"),
        ("modules.json", '[{"type": "x", "path": "../y"}]', 'got path "../y", expected one inside'),
        (
            "config_sentence_transformers.json",
            '{"prompts": {"query": "问："}, "default_prompt_name": "query"}',
            "got default_prompt_name 'query', expected null, and the prompt '问：' before",
        ),
        (
            "sentence_bert_config.json",
            '{"max_seq_length": 0}',
            "max_seq_length: got 0, expected an int",
        ),
    ],
)
def test_damaged_files_are_refused(file: str, content: str, message: str, tmp_path: Path):
    write(tmp_path, [("Pooling", {"pooling_mode_mean_tokens": True})])
    (tmp_path / file).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_sentence_model(tmp_path)


def test_lower_case_before_a_cased_tokenizer_is_refused(tmp_path: Path):
    write(tmp_path, [("Pooling", {"pooling_mode_mean_tokens": True})])
    (tmp_path / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    assert read_sentence_model(tmp_path) is not None
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    with pytest.raises(UserError, match="got do_lower_case false, and true in the sentence-tran"):
        read_sentence_model(tmp_path)


def test_prompts_are_reported(tmp_path: Path):
    write(tmp_path, [("Pooling", {"pooling_mode_mean_tokens": True})])
    config = {"prompts": {"query": "问：", "document": ""}, "default_prompt_name": None}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(config))
    found = read_sentence_model(tmp_path)
    assert found is not None
    (notice,) = found.notices
    assert notice.endswith("its prompts are yours to put before the texts: query: '问：'")


def test_limit_of_positions_reaches_the_bundle(tmp_path: Path):
    write(tmp_path, [("Pooling", {"pooling_mode_mean_tokens": True})])

    def limit() -> int | None:
        found = read_sentence_model(tmp_path)
        assert found is not None
        return found.max_length

    assert limit() is None
    tokenizer = tmp_path / "tokenizer_config.json"
    tokenizer.write_text(json.dumps({"model_max_length": 10**30}))
    assert limit() is None
    tokenizer.write_text(json.dumps({"model_max_length": 12}))
    assert limit() == 12
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 9}')
    assert limit() == 9
    assert limit_positions(tmp_path, 16) == 16
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "sentence_bert_config.json").write_text('{"max_seq_length": 9}')
    assert limit_positions(tmp_path, 16) == 9
    assert limit_positions(tmp_path, 8) == 8


def test_sentence_embedding_of_token_strings_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    write(tmp_path, [("Pooling", {"pooling_mode_mean_tokens": True})])
    out = tmp_path / "out"
    assert main(["build", str(tmp_path), "--out", str(out), "--contract", "tokens"]) == 2
    assert "a sentence embedding needs the attention mask" in capsys.readouterr().err
    assert not out.exists()


def encoded(bundle: Path, out: Path, *arguments: str) -> dict[str, np.ndarray]:
    """Returns the outputs of encode.js for two texts."""
    command: list[str | Path] = [
        find_node(),
        "node_bridge/encode.js",
        "--bundle",
        bundle,
        "--out",
        out,
        *arguments,
    ]
    command += ["--backend", "wasm"]
    texts = "这本书很好\n房间小 abc\n".encode()
    subprocess.run(command, cwd=ROOT, input=texts, check=True, capture_output=True)
    tensors: dict[str, np.ndarray] = load_file(out)
    return tensors


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Publisher, Path]:
    """A bundle of a sentence model without a pooler, which cuts texts to 6 positions."""
    place = tmp_path_factory.mktemp("sentence")
    pooling = {"pooling_mode_mean_tokens": True}
    made = write(place / "model", [("Pooling", pooling), ("Normalize", {})])
    for leaf in ("weight", "bias"):
        del made.arrays[f"bert.pooler.dense.{leaf}"]
    made = replace(made, parts={k: v for k, v in made.parts.items() if k != "pooler"})
    made.write(place / "model")
    (place / "model" / "sentence_bert_config.json").write_text('{"max_seq_length": 6}')
    assert main(["build", str(place / "model"), "--out", str(place / "built")]) == 0
    vocab = str(place / "model" / "vocab.txt")
    arguments = ["model", str(place / "built"), "--vocab", vocab, "--tokenizer", "bert"]
    command = [sys.executable, "-m", "export", *arguments, "--out", str(place / "bundle")]
    subprocess.run(command, cwd=ROOT, check=True)
    return made, place / "bundle"


def test_embedding_in_node_equals_the_formulas(exported: tuple[Publisher, Path], tmp_path: Path):
    made, bundle = exported
    contract = json.loads((bundle / "bundle.json").read_text("utf-8"))
    assert contract["max_length"] == 6
    names = [output["name"] for output in contract["outputs"]]
    assert names == ["sentence_embedding", "sequence_output"]
    tensors = encoded(bundle, tmp_path / "default.safetensors")
    assert sorted(tensors) == ["attention_mask", "input_ids", "sentence_embedding"]
    ids = [
        ["[CLS]", "这", "本", "书", "很", "[SEP]"],
        ["[CLS]", "房", "间", "小", "[UNK]", "[SEP]"],
    ]
    expected_ids = np.array([[TOKENS.index(token) for token in row] for row in ids])
    np.testing.assert_array_equal(tensors["input_ids"], expected_ids)
    ones = np.ones_like(expected_ids)
    sequence = made.run(expected_ids, ones, np.zeros_like(ones))["sequence_output"]
    mean = sequence.mean(1)
    expected = mean / np.linalg.norm(mean, axis=-1, keepdims=True)
    got = tensors["sentence_embedding"]
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)

    tensors = encoded(bundle, tmp_path / "all.safetensors", "--outputs", "all")
    assert {"sentence_embedding", "sequence_output"} < set(tensors)
    tensors = encoded(bundle, tmp_path / "one.safetensors", "--outputs", "sequence_output")
    np.testing.assert_allclose(tensors["sequence_output"], sequence, rtol=0, atol=TOLERANCE * 10)
    assert "sentence_embedding" not in tensors

    # The same arithmetic outside the graph, for a model without such an output.
    tensors = encoded(bundle, tmp_path / "mean.safetensors", "--pooling", "mean", "--normalize")
    assert list(tensors) == ["sentence_embedding"]
    np.testing.assert_allclose(tensors["sentence_embedding"], got, rtol=0, atol=1e-6)
    np.testing.assert_allclose(tensors["sentence_embedding"], expected, rtol=0, atol=TOLERANCE)


def test_encode_refuses_a_missing_output(exported: tuple[Publisher, Path], tmp_path: Path):
    out = tmp_path / "x.safetensors"
    command: list[str | Path] = [
        find_node(),
        "node_bridge/encode.js",
        "--bundle",
        exported[1],
        "--out",
        out,
    ]
    command += ["--outputs", "pooled_output"]
    done = subprocess.run(command, cwd=ROOT, input=b"a\n", capture_output=True, check=False)
    assert done.returncode == 2
    said = done.stderr.decode()
    assert 'got "pooled_output", but' in said
    assert "has sentence_embedding, sequence_output" in said
    assert not out.exists()


def test_a_bundle_without_a_pooler_is_verified_and_trained(
    exported: tuple[Publisher, Path], tmp_path: Path
):
    _, bundle = exported
    verify: list[str | Path] = [
        find_node(),
        "node_bridge/verify.js",
        "--bundle",
        bundle,
        "--json",
        "--backend",
        "wasm",
    ]
    done = subprocess.run(verify, cwd=ROOT, capture_output=True, check=False)
    answer = json.loads(done.stdout)
    assert answer["passed"], done.stderr
    assert [check["name"] for check in answer["checks"]][1:] == [
        "sentence_embedding",
        "sequence_output",
    ]
    rows = [{"text": "这本书很好" if i % 2 else "房间小", "label": str(i % 2)} for i in range(8)]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    train: list[str | Path] = [
        find_node(),
        "node_bridge/train.js",
        "--bundle",
        bundle,
        "--train",
        data,
        "--dev",
        data,
    ]
    train += ["--epochs", "1", "--backend", "wasm", "--out", tmp_path / "classifier"]
    done = subprocess.run(train, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "classifier" / "classifier.json").is_file()
