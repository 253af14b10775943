"""Checkpoints in the publishers' naming, against a NumPy encoder that runs on those very names."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from export.checkpoints import Checkpoint, load_encoder, load_head, open_checkpoint, unused
from export.errors import UserError
from tests.python.publishers import (
    BARE_BERT_HF,
    FORMS,
    HIDDEN,
    VOCAB,
    Publisher,
    fill,
    publisher,
    write_tf1,
)

TOLERANCE = 1e-5
# Two rows of unequal length, both types.
IDS = np.array([[2, 5, 30, 7, 3], [2, 9, 3, 0, 0]], np.int32)
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.int32)
TYPES = np.array([[0, 0, 1, 1, 1], [0, 0, 0, 0, 0]], np.int32)
HEAD = re.compile(r"^(cls[./])?predictions")


def assert_close(got: np.ndarray, expected: np.ndarray):
    np.testing.assert_allclose(got, expected, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=False)


def assert_equal_outputs(checkpoint: Checkpoint, made: Publisher, layers: int | None = None):
    encoder = load_encoder(checkpoint)
    outputs = encoder({"input_ids": IDS, "attention_mask": MASK, "token_type_ids": TYPES})
    expected = made.run(IDS, MASK, TYPES, layers)
    del expected["embedding_output"]
    assert set(outputs) == set(expected)
    for name, value in expected.items():
        assert_close(outputs[name].numpy(), value)


def left(checkpoint: Checkpoint) -> dict[str, list[str]]:
    return unused.by_kind(checkpoint.variables)


@pytest.mark.parametrize(("family", "form"), FORMS)
def test_encoder_equals_numpy_on_the_publishers_names(family: str, form: str, tmp_path: Path):
    made = publisher(family, form)
    checkpoint = open_checkpoint(made.write(tmp_path))
    assert checkpoint.config.architecture == family
    assert_equal_outputs(checkpoint, made)
    heads = {name for name in made.arrays if HEAD.match(name)}
    assert {name for names in left(checkpoint).values() for name in names} == heads
    assert checkpoint.variables.used == set(made.arrays) - heads


@pytest.mark.parametrize(
    ("family", "form", "act", "meant"),
    [
        ("bert", "tf1", "gelu", "gelu_tanh"),
        ("albert", "tf1", "relu", "relu"),
        ("electra", "tf1", "gelu", "gelu_erf"),
        ("bert", "hf", "gelu", "gelu_erf"),
        ("albert", "hf", "gelu_new", "gelu_tanh"),
        ("bert", "hf", "gelu_python", "gelu_erf"),
        ("bert", "hf", "gelu_accurate", "gelu_tanh"),
    ],
)
def test_activation_means_what_its_publisher_means(
    family: str, form: str, act: str, meant: str, tmp_path: Path
):
    made = publisher(family, form, act=act)
    checkpoint = open_checkpoint(made.write(tmp_path))
    assert checkpoint.config.activation == meant
    assert_equal_outputs(checkpoint, made)


@pytest.mark.parametrize(("family", "form"), [("albert", "tf1"), ("electra", "tf1")])
def test_equal_widths_have_no_projection(family: str, form: str, tmp_path: Path):
    made = publisher(family, form)
    made.config["embedding_size"] = HIDDEN
    del made.parts["projection"]
    made.arrays.clear()
    fill(made, np.random.default_rng(3))
    assert_equal_outputs(open_checkpoint(made.write(tmp_path)), made)


def test_bare_encoder_without_prefix(tmp_path: Path):
    made = publisher("bert", "hf")
    bare = {name.removeprefix("bert."): array for name, array in made.arrays.items()}
    made = replace(made, parts=BARE_BERT_HF, arrays=bare)
    assert_equal_outputs(open_checkpoint(made.write(tmp_path)), made)


def test_old_names_of_layer_norm(tmp_path: Path):
    made = publisher("bert", "hf")
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    renamed = {}
    for name, array in made.arrays.items():
        ending = next((e for e in old if name.endswith(e)), "")
        renamed[name.removesuffix(ending) + old.get(ending, "")] = array
    directory = replace(made, arrays=renamed).write(tmp_path)
    assert_equal_outputs(open_checkpoint(directory), made)


def test_shards(tmp_path: Path):
    made = publisher("electra", "hf")
    made.write(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    places = {}
    for i, name in enumerate(sorted(made.arrays)):
        places[name] = f"model-{i % 2 + 1:05}-of-00002.safetensors"
    for file in set(places.values()):
        save_file({n: made.arrays[n] for n in places if places[n] == file}, tmp_path / file)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    assert_equal_outputs(open_checkpoint(tmp_path), made)

    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match="names model-00002-of-00002.safetensors, which is not th"):
        open_checkpoint(tmp_path)
    index.write_text(json.dumps({"weight_map": {"a": "../stranger.safetensors"}}))
    with pytest.raises(UserError, match="got the file '../stranger.safetensors'"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("form", "dtype"),
    [
        ("tf1", np.float16),
        ("tf1", ml_dtypes.bfloat16),
        ("hf", np.float16),
        ("hf", ml_dtypes.bfloat16),
        ("hf", np.float64),
    ],
)
def test_other_floats_become_float32(form: str, dtype: Any, tmp_path: Path):
    made = publisher("bert", form)
    narrow = {name: array.astype(dtype) for name, array in made.arrays.items()}
    directory = replace(made, arrays=narrow).write(tmp_path)
    made.arrays = {name: array.astype(np.float32) for name, array in narrow.items()}
    assert_equal_outputs(open_checkpoint(directory), made)


@pytest.mark.parametrize(("family", "form"), [("bert", "tf1"), ("albert", "tf1"), ("bert", "hf")])
def test_cut_to_the_first_layers(family: str, form: str, tmp_path: Path):
    made = publisher(family, form)
    checkpoint = open_checkpoint(made.write(tmp_path), layers=1)
    assert checkpoint.config.num_hidden_layers == 1
    assert_equal_outputs(checkpoint, made, layers=1)
    beyond = {name for name in made.arrays if re.search(r"layer[._]1[./]", name)}
    assert set(left(checkpoint).get("layers cut off", [])) == beyond
    assert len(beyond) == (16 if family == "bert" else 0)


def test_more_layers_than_there_are(tmp_path: Path):
    directory = publisher("bert", "tf1").write(tmp_path)
    with pytest.raises(UserError, match="--layers: got 3, expected 1 to 2"):
        open_checkpoint(directory, layers=3)


def test_what_training_leaves_behind_is_named(tmp_path: Path):
    made = publisher("electra", "tf1")
    words = made.arrays["electra/embeddings/word_embeddings"]
    extra = {
        "electra/embeddings/word_embeddings/adam_m": words,
        "electra/embeddings/word_embeddings/adam_v": words,
        "global_step": np.array(7, np.int64),
        "generator/encoder/layer_0/intermediate/dense/bias": words[0],
        "generator_predictions/output_bias": words[0],
        "discriminator_predictions/dense/bias": words[0],
        "something_new": words,
    }
    directory = replace(made, arrays=made.arrays | extra).write(tmp_path)
    checkpoint = open_checkpoint(directory)
    assert_equal_outputs(checkpoint, made)
    names = list(extra)
    assert left(checkpoint) == {
        "optimizer": names[:3],
        "generator": names[3:5],
        "discriminator head": names[5:6],
        "others": names[6:],
    }
    lines = unused.lines(checkpoint.variables)
    assert lines[0].startswith(f"7 of {len(made.arrays) + 7} variables of the checkpoint are not")
    assert all(any(name in line for line in lines) for name in names)


def test_layer_numbers_are_written_together():
    names = [f"bert/encoder/layer_{i}/output/dense/bias" for i in (1, 10, 2)]
    assert unused.braced([*names, "x"]) == ["bert/encoder/layer_{1,10,2}/output/dense/bias", "x"]


def remove(arrays: dict[str, np.ndarray], name: str) -> None:
    del arrays[name]


def widen(arrays: dict[str, np.ndarray], name: str) -> None:
    arrays[name] = np.zeros((3, 5), np.float32)


def spoil(arrays: dict[str, np.ndarray], name: str) -> None:
    arrays[name][0, 1] = np.nan
    arrays[name][1, 1] = -np.inf


def integers(arrays: dict[str, np.ndarray], name: str) -> None:
    arrays[name] = arrays[name].astype(np.int32)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (remove, r"got no variable {name} among its \d+, expected float\[{shape}\]"),
        (widen, r"{name}: got float32\[3, 5\], expected float\[{shape}\]"),
        (spoil, r"{name}: got NaN or infinity in 2 of \d+ values"),
        (integers, r"{name}: got int32\[{shape}\], expected float\[{shape}\]"),
    ],
)
@pytest.mark.parametrize(
    ("form", "name", "shape"),
    [
        ("tf1", "bert/encoder/layer_1/intermediate/dense/kernel", "12, 20"),
        ("hf", "bert.encoder.layer.1.intermediate.dense.weight", "20, 12"),
    ],
)
def test_wrong_variable_is_named(
    harm: Callable[[dict[str, np.ndarray], str], None],
    message: str,
    form: str,
    name: str,
    shape: str,
    tmp_path: Path,
):
    made = publisher("bert", form)
    harm(made.arrays, name)
    checkpoint = open_checkpoint(made.write(tmp_path))
    with pytest.raises(UserError, match=message.format(name=re.escape(name), shape=shape)):
        load_encoder(checkpoint)


@pytest.mark.parametrize(
    ("family", "form", "key", "value", "message"),
    [
        ("bert", "hf", "model_type", "roberta", "got 'roberta', expected one of albert, bert, ele"),
        ("bert", "tf1", "model_type", "albert", "got 'albert', but the .* variables are bert's"),
        ("bert", "hf", "hidden_act", "silu", "hidden_act: got 'silu', expected one of gelu, "),
        ("bert", "tf1", "hidden_act", None, "hidden_act: got None"),
        (
            "bert",
            "hf",
            "position_embedding_type",
            "relative_key",
            "got 'relative_key', expected 'a",
        ),
        ("albert", "tf1", "num_hidden_groups", 12, "got 12, expected an integer from 1 to 2"),
        ("albert", "tf1", "num_hidden_groups", 2, "num_hidden_groups: 2 in use, but .* have 1"),
        ("albert", "shared", "num_hidden_groups", 2, "num_hidden_groups: expected 1, as .*shared"),
        ("albert", "hf", "inner_group_num", 2, "inner_group_num: 2 in use, but .* have 1"),
        ("albert", "hf", "inner_group_num", 0, "inner_group_num: got 0, expected an integer from"),
        ("albert", "shared", "ln_type", "preln", "ln_type: got 'preln', expected 'postln'"),
        ("bert", "hf", "is_decoder", True, "is_decoder: got True, expected False"),
        ("bert", "tf1", "hidden_size", 13, "hidden_size 13 does not divide into 3"),
        ("bert", "tf1", "hidden_size", "12", "hidden_size: got '12', expected a number"),
        ("bert", "hf", "num_hidden_layers", 0, "num_hidden_layers: got 0, expected a positive"),
        ("bert", "hf", "num_hidden_layers", 10**9, "layers: got 1000000000, expected at most 256"),
        ("albert", "tf1", "num_hidden_layers", 10**9, "layers: got 1000000000, expected at most"),
        ("bert", "tf1", "num_hidden_layers", 3, "got 3, but the variables are those of 2 layers"),
        ("bert", "tf1", "vocab_size", 32, r"vocab_size: got 32, but .* is \[31, 12\], which has 31"),
        ("bert", "hf", "vocab_size", 10**12, "vocab_size: got 1000000000000, but bert.embeddings"),
        ("bert", "hf", "hidden_size", 15, r"hidden_size: got 15, but .* is \[31, 12\], which has 12"),
        ("albert", "hf", "embedding_size", 9, "embedding_size: got 9, but .*, which has 8"),
        ("albert", "tf1", "hidden_size", 15, "hidden_size: got 15, but .*query.*, which has 12"),
        ("bert", "hf", "intermediate_size", 21, "intermediate_size: got 21, but .*, which has 20"),
        ("bert", "tf1", "max_position_embeddings", 512, "embeddings: got 512, but .* has 16"),
        ("bert", "tf1", "type_vocab_size", 16, "type_vocab_size: got 16, but .* has 2"),
        ("bert", "hf", "layer_norm_eps", 0, "layer_norm_eps: got 0, expected a number above 0"),
        ("bert", "hf", "layer_norm_eps", -1, "layer_norm_eps: got -1, expected a number above 0"),
        ("bert", "hf", "layer_norm_eps", math.nan, "layer_norm_eps: got nan, expected a number"),
        ("bert", "hf", "layer_norm_eps", math.inf, "layer_norm_eps: got inf, expected a number"),
        ("bert", "tf1", "hidden_dropout_prob", 1.0, "hidden_dropout_prob: got 1.0, expected a num"),
        ("bert", "hf", "hidden_act", "gelu_10", "hidden_act: got 'gelu_10', expected one of gelu"),
        ("bert", "hf", "use_relative_position", True, "use_relative_position: got True, expected"),
        ("bert", "hf", "pruned_heads", {"0": [1]}, "pruned_heads: got {'0': .1.}, expected"),
    ],
)
def test_config_that_cannot_be_built(
    family: str, form: str, key: str, value: Any, message: str, tmp_path: Path
):
    made = publisher(family, form)
    made.config[key] = value
    with pytest.raises(UserError, match=rf"config\.json: .*{message}"):
        open_checkpoint(made.write(tmp_path))


@pytest.mark.parametrize("key", ["vocab_size", "hidden_act", "embedding_size", "num_hidden_layers"])
def test_config_without_a_key(key: str, tmp_path: Path):
    made = publisher("albert", "tf1")
    del made.config[key]
    with pytest.raises(UserError, match=f"albert_config.json: got no {key}, expected it"):
        open_checkpoint(made.write(tmp_path))


def test_config_is_found_or_given(tmp_path: Path):
    made = publisher("electra", "tf1")
    directory = made.write(tmp_path / "archive", "elsewhere.json")
    prefix = directory / "electra_model.ckpt"
    with pytest.raises(
        UserError, match="got no json config beside it, .* give the model's by --co"
    ):
        open_checkpoint(directory)
    elsewhere = (directory / "elsewhere.json").rename(tmp_path / "elsewhere.json")
    for path in (directory, prefix, Path(f"{prefix}.index"), Path(f"{prefix}.data-00000-of-00001")):
        assert open_checkpoint(path, elsewhere).config.architecture == "electra"
    for name in ("small_generator_config.json", "small_discriminator_config.json"):
        (directory / name).write_bytes(elsewhere.read_bytes())
    assert open_checkpoint(directory).config.hidden_size == HIDDEN
    for name in ("bert_config.json", "bert_config_2.json"):
        (directory / name).write_text("{}")
    with pytest.raises(UserError, match="got the configs bert_config.json, bert_config_2.json"):
        open_checkpoint(directory)
    with pytest.raises(UserError, match="nowhere.json: No such file"):
        open_checkpoint(directory, tmp_path / "nowhere.json")
    with pytest.raises(UserError, match="is no json"):
        open_checkpoint(directory, Path(f"{prefix}.index"))


def test_safetensors_file_itself(tmp_path: Path):
    made = publisher("bert", "hf")
    file = made.write(tmp_path) / "model.safetensors"
    assert_equal_outputs(open_checkpoint(file), made)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "x.pt"])
def test_pickles_are_never_opened(name: str, tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'touch /tmp/opened'\ntR.")
    message = f"got {name}, a pickle, which can run code and is never opened.*save_pretrained"
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(UserError, match=message):
            open_checkpoint(path)
    assert not Path("/tmp/opened").exists()


def test_nothing_to_open(tmp_path: Path):
    with pytest.raises(UserError, match="no such checkpoint; give a TF1 checkpoint"):
        open_checkpoint(tmp_path / "nothing")
    with pytest.raises(UserError, match="got nothing, expected a TF1 checkpoint"):
        open_checkpoint(tmp_path)
    (tmp_path / "readme.md").touch()
    with pytest.raises(UserError, match="got readme.md, expected a TF1 checkpoint"):
        open_checkpoint(tmp_path)


def test_several_checkpoints(tmp_path: Path):
    made = publisher("bert", "tf1")
    made.write(tmp_path)
    write_tf1(made.arrays, tmp_path / "bert_model.ckpt-100")
    with pytest.raises(
        UserError, match="got the checkpoints bert_model.ckpt-100, bert_model.ckpt, ex"
    ):
        open_checkpoint(tmp_path)
    assert_equal_outputs(open_checkpoint(tmp_path / "bert_model.ckpt-100"), made)


def test_strange_variables(tmp_path: Path):
    write_tf1({"layer/w": np.zeros(3, np.float32)}, tmp_path / "model.ckpt")
    with pytest.raises(UserError, match="got the variables layer/w, …, expected those of a publis"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("file", ["bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"])
def test_damaged_tf1_file(file: str, tmp_path: Path):
    damaged = publisher("bert", "tf1").write(tmp_path) / file
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="bert_model.ckpt: is damaged or not whole: "):
        load_encoder(open_checkpoint(tmp_path))
    if ".data" in file:
        damaged.unlink()
        with pytest.raises(UserError, match="bert_model.ckpt: is damaged or not whole: "):
            load_encoder(open_checkpoint(tmp_path))


def test_damaged_safetensors(tmp_path: Path):
    file = publisher("bert", "hf").write(tmp_path) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(UserError, match="is damaged or no safetensors"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("family", "form"), [form for form in FORMS if form[0] != "electra"], ids=str
)
def test_head_equals_numpy(family: str, form: str, tmp_path: Path):
    made = publisher(family, form)
    checkpoint = open_checkpoint(made.write(tmp_path))
    encoder = load_encoder(checkpoint)
    sequence = np.random.default_rng(5).normal(size=(2, 3, HIDDEN)).astype(np.float32)
    assert checkpoint.has_head
    logits = load_head(checkpoint)(sequence, encoder.embeddings.word_embeddings)
    assert_close(logits.numpy(), made.logits(sequence))
    assert not left(checkpoint)


def test_head_with_a_decoder_of_its_own(tmp_path: Path):
    made = publisher("bert", "hf")
    words = made.arrays["bert.embeddings.word_embeddings.weight"]
    made.arrays["cls.predictions.decoder.weight"] = words.copy()
    checkpoint = open_checkpoint(made.write(tmp_path))
    load_head(checkpoint)
    assert "cls.predictions.decoder.weight" in checkpoint.variables.used
    made.arrays["cls.predictions.decoder.weight"] = words + 1
    with pytest.raises(UserError, match="decoder.weight: got weights of its own"):
        load_head(open_checkpoint(made.write(tmp_path)))


@pytest.mark.parametrize("form", ["tf1", "hf"])
def test_electra_has_no_head(form: str, tmp_path: Path):
    made = publisher("electra", form)
    name = "generator_predictions/output_bias" if form == "tf1" else "generator_lm_head.bias"
    made.arrays[name] = np.zeros(VOCAB, np.float32)
    assert not open_checkpoint(made.write(tmp_path)).has_head
