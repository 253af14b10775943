"""Checkpoints in the publishers' naming, compared with a NumPy encoder that uses these names."""

import json
import math
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from export.checkpoints import Checkpoint, load_encoder, load_head, loading, open_checkpoint
from support.errors import UserError
from tests.python.publishers import (
    BARE_BERT_HF,
    FORMS,
    HIDDEN,
    VOCAB,
    Publisher,
    add_random_arrays,
    publisher,
    write_tf1,
)

TOLERANCE = 1e-5
# Two rows of different length, with both token types.
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


def unused_variables(checkpoint: Checkpoint) -> dict[str, list[str]]:
    return loading.unused_by_kind(checkpoint.variables)


@pytest.mark.parametrize(("family", "form"), FORMS)
def test_encoder_equals_numpy_on_the_publishers_names(family: str, form: str, tmp_path: Path):
    made = publisher(family, form)
    checkpoint = open_checkpoint(made.write(tmp_path))
    assert checkpoint.config.architecture == family
    assert_equal_outputs(checkpoint, made)
    heads = {name for name in made.arrays if HEAD.match(name)}
    assert {name for names in unused_variables(checkpoint).values() for name in names} == heads
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
def test_gelu_is_the_formula_of_the_publishers_own_code(
    family: str, form: str, act: str, meant: str, tmp_path: Path
):
    made = publisher(family, form, act=act)
    checkpoint = open_checkpoint(made.write(tmp_path))
    assert checkpoint.config.activation == meant
    assert_equal_outputs(checkpoint, made)


@pytest.mark.parametrize(("family", "form"), [("albert", "tf1"), ("electra", "tf1")])
def test_embeddings_as_wide_as_the_layers_need_no_projection(
    family: str, form: str, tmp_path: Path
):
    made = publisher(family, form)
    made.config["embedding_size"] = HIDDEN
    del made.parts["projection"]
    made.arrays.clear()
    add_random_arrays(made, np.random.default_rng(3))
    assert_equal_outputs(open_checkpoint(made.write(tmp_path)), made)


def test_variables_without_the_prefix_of_the_encoder_are_read(tmp_path: Path):
    made = publisher("bert", "hf")
    bare = {name.removeprefix("bert."): array for name, array in made.arrays.items()}
    made = replace(made, parts=BARE_BERT_HF, arrays=bare)
    assert_equal_outputs(open_checkpoint(made.write(tmp_path)), made)


def test_old_names_of_layer_norm_are_read(tmp_path: Path):
    made = publisher("bert", "hf")
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    renamed = {}
    for name, array in made.arrays.items():
        ending = next((e for e in old if name.endswith(e)), "")
        renamed[name.removesuffix(ending) + old.get(ending, "")] = array
    directory = replace(made, arrays=renamed).write(tmp_path)
    assert_equal_outputs(open_checkpoint(directory), made)


def test_shards_are_read_and_checked(tmp_path: Path):
    made = publisher("electra", "hf")
    made.write(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    file_of_variable = {}
    for i, name in enumerate(sorted(made.arrays)):
        file_of_variable[name] = f"model-{i % 2 + 1:05}-of-00002.safetensors"
    for file in set(file_of_variable.values()):
        save_file(
            {n: made.arrays[n] for n in file_of_variable if file_of_variable[n] == file},
            tmp_path / file,
        )
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": file_of_variable}))
    assert_equal_outputs(open_checkpoint(tmp_path), made)

    promised = file_of_variable | {"electra.pooler.weight": "model-00002-of-00002.safetensors"}
    index.write_text(json.dumps({"weight_map": promised}))
    with pytest.raises(UserError, match="names electra.pooler.weight, 1 variables that are in non"):
        open_checkpoint(tmp_path)
    index.write_text(json.dumps({"weight_map": file_of_variable}))
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match="names model-00002-of-00002.safetensors, which is not th"):
        open_checkpoint(tmp_path)
    index.write_text(json.dumps({"weight_map": {"a": "../stranger.safetensors"}}))
    with pytest.raises(UserError, match='got the file "../stranger.safetensors"'):
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
def test_layers_option_uses_the_first_layers(family: str, form: str, tmp_path: Path):
    made = publisher(family, form)
    checkpoint = open_checkpoint(made.write(tmp_path), layers=1)
    assert checkpoint.config.num_hidden_layers == 1
    assert_equal_outputs(checkpoint, made, layers=1)
    beyond = {name for name in made.arrays if re.search(r"layer[._]1[./]", name)}
    assert set(unused_variables(checkpoint).get("layers cut off", [])) == beyond
    assert len(beyond) == (16 if family == "bert" else 0)


def test_more_layers_than_the_checkpoint_has_are_refused(tmp_path: Path):
    directory = publisher("bert", "tf1").write(tmp_path)
    with pytest.raises(UserError, match="--layers: got 3, expected 1 to 2"):
        open_checkpoint(directory, layers=3)


def test_unused_training_variables_are_reported(tmp_path: Path):
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
    assert unused_variables(checkpoint) == {
        "optimizer": names[:3],
        "generator": names[3:5],
        "discriminator head": names[5:6],
        "others": names[6:],
    }
    lines = loading.describe_unused(checkpoint.variables)
    assert lines[0].startswith(f"7 of {len(made.arrays) + 7} variables of the checkpoint are not")
    assert all(any(name in line for line in lines) for name in names)


def test_layer_numbers_are_merged_in_messages():
    names = [f"bert/encoder/layer_{i}/output/dense/bias" for i in (1, 10, 2)]
    assert loading.brace_layer_numbers([*names, "x"]) == [
        "bert/encoder/layer_{1,10,2}/output/dense/bias",
        "x",
    ]


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
        (widen, r"{name}: got the shape \[3, 5\], expected float\[{shape}\]"),
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
def test_error_names_the_wrong_variable(
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
        ("bert", "tf1", "model_type", "albert", 'got "albert", but the variables are bert'),
        ("bert", "hf", "hidden_act", "silu", 'hidden_act: got "silu", expected one of gelu, '),
        ("bert", "tf1", "hidden_act", None, "hidden_act: got null"),
        (
            "bert",
            "hf",
            "position_embedding_type",
            "relative_key",
            'got "relative_key", expected "a',
        ),
        ("albert", "tf1", "num_hidden_groups", 12, "got 12, expected an integer from 1 to 2"),
        ("albert", "tf1", "num_hidden_groups", 2, "num_hidden_groups: 2 in use, but .* have 1"),
        ("albert", "shared", "num_hidden_groups", 2, "num_hidden_groups: expected 1, as .*shared"),
        ("albert", "hf", "inner_group_num", 2, "inner_group_num: 2 in use, but .* have 1"),
        ("albert", "hf", "inner_group_num", 0, "inner_group_num: got 0, expected an integer from"),
        ("albert", "shared", "ln_type", "preln", 'ln_type: got "preln", expected "postln"'),
        ("bert", "hf", "is_decoder", True, "is_decoder: got true, expected false"),
        ("bert", "tf1", "hidden_size", 13, "hidden_size 13 does not divide into 3"),
        ("bert", "tf1", "hidden_size", "12", 'hidden_size: got "12", expected a number'),
        ("bert", "hf", "num_hidden_layers", 0, "num_hidden_layers: got 0, expected a positive"),
        ("bert", "hf", "num_hidden_layers", 10**9, "layers: got 1000000000, expected at most 256"),
        ("albert", "tf1", "num_hidden_layers", 10**9, "layers: got 1000000000, expected at most"),
        ("bert", "tf1", "num_hidden_layers", 3, "got 3, but the variables are those of 2 layers"),
        (
            "bert",
            "tf1",
            "vocab_size",
            32,
            r"vocab_size: got 32, but .* is \[31, 12\], which has 31",
        ),
        ("bert", "hf", "vocab_size", 10**12, "vocab_size: got 1000000000000, but bert.embeddings"),
        (
            "bert",
            "hf",
            "hidden_size",
            15,
            r"hidden_size: got 15, but .* is \[31, 12\], which has 12",
        ),
        ("albert", "hf", "embedding_size", 9, "embedding_size: got 9, but .*, which has 8"),
        ("albert", "tf1", "hidden_size", 15, "hidden_size: got 15, but .*query.*, which has 12"),
        ("bert", "hf", "intermediate_size", 21, "intermediate_size: got 21, but .*, which has 20"),
        ("bert", "tf1", "max_position_embeddings", 512, "embeddings: got 512, but .* has 16"),
        ("bert", "tf1", "type_vocab_size", 16, "type_vocab_size: got 16, but .* has 2"),
        ("bert", "hf", "layer_norm_eps", 0, "layer_norm_eps: got 0, expected a number above 0"),
        ("bert", "hf", "layer_norm_eps", -1, "layer_norm_eps: got -1, expected a number above 0"),
        ("bert", "hf", "layer_norm_eps", math.nan, "layer_norm_eps: got NaN, expected a number"),
        (
            "bert",
            "hf",
            "layer_norm_eps",
            math.inf,
            "layer_norm_eps: got Infinity, expected a number",
        ),
        ("bert", "hf", "layer_norm_eps", "1e-12", 'layer_norm_eps: got "1e-12", expected a number'),
        ("bert", "hf", "layer_norm_eps", None, "layer_norm_eps: got null, expected a number"),
        ("bert", "hf", "layer_norm_eps", True, "layer_norm_eps: got true, expected a number"),
        ("bert", "hf", "layer_norm_eps", [1e-12], "layer_norm_eps: got an array, expected a numb"),
        ("bert", "tf1", "hidden_dropout_prob", 1.0, "hidden_dropout_prob: got 1.0, expected a num"),
        ("bert", "hf", "hidden_act", "gelu_10", 'hidden_act: got "gelu_10", expected one of gelu'),
        ("bert", "hf", "use_relative_position", True, "use_relative_position: got true, expected"),
        ("bert", "hf", "pruned_heads", {"0": [1]}, "pruned_heads: got an object, expected"),
    ],
)
def test_unsupported_config_is_refused(
    family: str, form: str, key: str, value: Any, message: str, tmp_path: Path
):
    made = publisher(family, form)
    made.config[key] = value
    with pytest.raises(UserError, match=rf"config\.json: .*{message}"):
        open_checkpoint(made.write(tmp_path))


@pytest.mark.parametrize("key", ["vocab_size", "hidden_act", "embedding_size", "num_hidden_layers"])
def test_config_without_a_required_key_is_refused(key: str, tmp_path: Path):
    made = publisher("albert", "tf1")
    del made.config[key]
    with pytest.raises(UserError, match=f"albert_config.json: got no {key}, expected it"):
        open_checkpoint(made.write(tmp_path))


def test_config_is_found_or_set_by_an_option(tmp_path: Path):
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
    with pytest.raises(UserError, match="is no JSON"):
        open_checkpoint(directory, Path(f"{prefix}.index"))


def test_path_may_be_the_safetensors_file(tmp_path: Path):
    made = publisher("bert", "hf")
    file = made.write(tmp_path) / "model.safetensors"
    assert_equal_outputs(open_checkpoint(file), made)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("pytorch_model.bin", "pytorch_model.bin"),
        ("pytorch_model-00001-of-00002.bin", "pytorch_model-*-of-00002.bin"),
        ("x.pt", "x.pt"),
        ("epoch=3.ckpt", "epoch=3.ckpt"),
    ],
)
def test_pickles_are_never_opened(name: str, files: str, tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "optimizer.pt").write_bytes(b"cos\nsystem\n(S'touch /tmp/opened'\ntR.")
    (tmp_path / "training_args.bin").touch()
    (tmp_path / name).write_bytes(b"\x80\x02cos\nsystem\n(S'touch /tmp/opened'\ntR.")
    message = re.escape(f"got {name}, a pickle, which can run code and is never opened")
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(UserError, match=message) as refused:
            open_checkpoint(path)
        # The command of the message converts only the file's tensors: no class adds random ones.
        assert f"glob.glob('{tmp_path / files}')" in str(refused.value)
        assert "weights_only=True" in str(refused.value)
        assert "from_pretrained" not in str(refused.value)
    assert not Path("/tmp/opened").exists()


def test_the_command_that_an_error_recommends_converts_a_pickle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Uses a fake torch; the command writes all tensors of the shards, shared or not."""
    shared = np.arange(6, dtype=np.float32).reshape(2, 3)
    shards: dict[str, dict[str, Any]] = {"1": {"state_dict": {"a": shared, "step": 7}}, "2": {}}
    saved: dict[str, Any] = {}

    class Tensor:
        def __init__(self, array: np.ndarray) -> None:
            self.array = array

        def clone(self) -> "Tensor":
            return Tensor(self.array.copy())

        def contiguous(self) -> "Tensor":
            return Tensor(np.ascontiguousarray(self.array))

    def load(file: str, **options: Any) -> dict[str, Any]:
        assert options == {"map_location": "cpu", "weights_only": True}
        tensors = dict(shards[Path(file).name[len("pytorch_model-0000")]])
        if "state_dict" in tensors:
            state = {k: Tensor(v) if k != "step" else v for k, v in tensors["state_dict"].items()}
            tensors["state_dict"] = state
        return tensors

    torch = ModuleType("torch")
    torch.load, torch.is_tensor = load, lambda value: isinstance(value, Tensor)  # type: ignore[attr-defined]
    safe = ModuleType("safetensors.torch")

    def save_file(*arguments: Any) -> None:
        saved.update(zip(("d", "file", "metadata"), arguments, strict=True))

    safe.save_file = save_file  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "safetensors.torch", safe)
    for i in (1, 2):
        (tmp_path / f"pytorch_model-0000{i}-of-00002.bin").touch()
    with pytest.raises(UserError) as refused:
        open_checkpoint(tmp_path)
    code = re.search(r'python -c "(.*)"', str(refused.value))
    assert code is not None
    exec(code[1], {})
    assert saved["file"] == str(tmp_path / "model.safetensors")
    assert list(saved["d"]) == ["a"]
    np.testing.assert_array_equal(saved["d"]["a"].array, shared)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("weights.h5", "got weights.h5, Keras weights, .*export that model as a SavedModel"),
        ("flax_model.msgpack", "got flax_model.msgpack, Flax weights, .*take the same model's"),
        ("model.onnx", "got model.onnx, an exported graph, .*that it was exported from"),
        ("saved_model.pb", "got saved_model.pb, a SavedModel, .*`python -m export model`"),
        ("pytorch_model.bin.index.json", "an index of pickles that are not there, .*download"),
        ("bert_model.ckpt", "got bert_model.ckpt, a TF1 checkpoint of before 2017"),
        ("bert_model.ckpt.data-00000-of-00001", "without its .index; download"),
        ("bert_model.ckpt.meta", "without its .index; download"),
    ],
)
def test_error_names_other_kinds_of_checkpoints(name: str, message: str, tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).write_bytes(b"12345678")
    with pytest.raises(UserError, match=message):
        open_checkpoint(tmp_path)


def test_git_lfs_pointers_are_refused(tmp_path: Path):
    file = publisher("bert", "hf").write(tmp_path) / "model.safetensors"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 409\n")
    with pytest.raises(UserError, match="is a Git LFS pointer, not the weights; run `git lfs pull"):
        open_checkpoint(tmp_path)


POOLER = {
    ("bert", "tf1"): "bert/pooler/dense/",
    ("albert", "tf1"): "bert/pooler/dense/",
    ("bert", "hf"): "bert.pooler.dense.",
    ("albert", "hf"): "albert.pooler.",
}


@pytest.mark.parametrize(("family", "form"), POOLER)
def test_without_a_pooler_there_is_no_pooled_output(family: str, form: str, tmp_path: Path):
    made = publisher(family, form)
    pooler = [name for name in made.arrays if name.startswith(POOLER[family, form])]
    assert len(pooler) == 2
    kernel = made.arrays.pop(pooler[0])
    # A pooler with only one variable means a damaged checkpoint.
    with pytest.raises(UserError, match=f"got no variable {re.escape(pooler[0])}"):
        load_encoder(open_checkpoint(made.write(tmp_path / "half")))
    del made.arrays[pooler[1]], made.parts["pooler"]
    checkpoint = open_checkpoint(made.write(tmp_path / "none"))
    assert [n for n in checkpoint.notices if "has no pooler, so the model gives no pooled_out" in n]
    assert_equal_outputs(checkpoint, made)
    assert kernel.shape == (HIDDEN, HIDDEN)


@pytest.mark.parametrize("form", ["tf1", "hf"])
@pytest.mark.parametrize(("layers", "groups", "inner"), [(4, 2, 1), (5, 3, 2), (2, 1, 3)])
def test_albert_with_layer_groups_equals_numpy(
    form: str, layers: int, groups: int, inner: int, tmp_path: Path
):
    sizes: dict[str, Any] = {
        "num_hidden_layers": layers,
        "num_hidden_groups": groups,
        "inner_group_num": inner,
    }
    made = publisher("albert", form, **sizes)
    directory = made.write(tmp_path)
    checkpoint = open_checkpoint(directory)
    assert_equal_outputs(checkpoint, made)
    assert set(unused_variables(checkpoint)) == {"masked language model head"}
    # The first two layers use the same groups as in the whole model.
    checkpoint = open_checkpoint(directory, layers=2)
    assert_equal_outputs(checkpoint, made, layers=2)
    assert ("layers cut off" in unused_variables(checkpoint)) == (groups > 1)


def test_layer_groups_are_rounded_as_each_publisher_does(tmp_path: Path):
    """With 22 layers in 22 groups, `int(15 / 22 * 22)` is 14, `int(15 / (22 / 22))` is 15."""
    for form, expected in (("tf1", 14), ("hf", 15)):
        made = publisher("albert", form, num_hidden_layers=22, num_hidden_groups=22)
        checkpoint = open_checkpoint(made.write(tmp_path / form))
        assert checkpoint.config.layer_groups[15] == expected


@pytest.mark.parametrize("numbers", [("", "_1"), ("_3", "_17")])
def test_keras_names_of_layer_norms_are_read(numbers: tuple[str, str], tmp_path: Path):
    made = publisher("albert", "tf1")
    old = {"LayerNorm": numbers[0], "LayerNorm_1": numbers[1]}
    renamed = {}
    for name, array in made.arrays.items():
        scope, _, leaf = name.rpartition("/")
        parent, _, last = scope.rpartition("/")
        if last in old and not name.startswith("cls/"):
            name = f"{parent}/layer_normalization{old[last]}/{leaf}"
        renamed[name] = array
    assert "bert/embeddings/LayerNorm/gamma" not in renamed
    checkpoint = open_checkpoint(replace(made, arrays=renamed).write(tmp_path))
    assert_equal_outputs(checkpoint, made)
    assert set(unused_variables(checkpoint)) == {"masked language model head"}


def test_prefixed_variable_names_are_read(tmp_path: Path):
    for form, prefix in (("tf1", "module/"), ("hf", "module.")):
        made = publisher("bert", form)
        named = {f"{prefix}{name}": array for name, array in made.arrays.items()}
        checkpoint = open_checkpoint(replace(made, arrays=named).write(tmp_path / form))
        assert_equal_outputs(checkpoint, made)
        assert checkpoint.has_head


def test_unused_fine_tuned_heads_are_reported(tmp_path: Path):
    for form, names in (
        ("tf1", ["output_bias", "output_weights"]),
        ("hf", ["classifier.bias", "classifier.weight", "qa_outputs.bias"]),
    ):
        made = publisher("bert", form)
        shape = {name: (3,) if name.endswith("bias") else (3, HIDDEN) for name in names}
        arrays = made.arrays | {name: np.zeros(shape[name], np.float32) for name in names}
        checkpoint = open_checkpoint(replace(made, arrays=arrays).write(tmp_path / form))
        load_encoder(checkpoint)
        assert unused_variables(checkpoint)["classifier head"] == names


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("tf1", "bert/embeddings/task_type_embeddings"),
        ("hf", "bert.encoder.layer.0.attention.self.distance_embedding.weight"),
        ("hf", "bert.encoder.layer.1.attention.self.query.lora_A.default.weight"),
    ],
)
def test_encoder_variables_of_another_structure_are_refused(form: str, name: str, tmp_path: Path):
    made = publisher("bert", form)
    arrays = made.arrays | {name: np.zeros((3, 3), np.float32)}
    checkpoint = open_checkpoint(replace(made, arrays=arrays).write(tmp_path))
    with pytest.raises(
        UserError, match=f"got {re.escape(name)}, 1 variables of the encoder that b"
    ):
        load_encoder(checkpoint)


@pytest.mark.parametrize("family", ["bert", "albert", "electra"])
def test_family_is_inferred_from_the_variables(family: str, tmp_path: Path):
    made = publisher(family, "hf")
    del made.config["model_type"]
    checkpoint = open_checkpoint(made.write(tmp_path))
    assert checkpoint.config.architecture == family
    assert f"no model_type; its variables are {family}'s" in checkpoint.notices[0]
    assert_equal_outputs(checkpoint, made)
    bare = {name.removeprefix(f"{family}."): array for name, array in made.arrays.items()}
    checkpoint = open_checkpoint(replace(made, arrays=bare).write(tmp_path / "bare"))
    assert checkpoint.config.architecture == family


def test_family_is_inferred_from_the_class_or_refused(tmp_path: Path):
    made = publisher("bert", "hf")
    del made.config["model_type"]
    arrays = {n.removeprefix("bert."): a for n, a in made.arrays.items() if "pooler" not in n}
    made = replace(made, arrays=arrays)
    with pytest.raises(UserError, match="got no model_type, and the variables' names do not tell"):
        open_checkpoint(made.write(tmp_path / "none"))
    made.config["architectures"] = ["BertForTokenClassification"]
    assert open_checkpoint(made.write(tmp_path / "class")).config.architecture == "bert"


@pytest.mark.parametrize(
    ("config", "prefix", "message"),
    [
        ({"model_type": "albert"}, "bert.", "contradicting families: model_type albert, .* bert;"),
        ({"architectures": ["AlbertModel"]}, "bert.", "model_type bert, architectures albert, the"),
        ({"architectures": ["RobertaForMaskedLM"]}, "", "architectures: got 'roberta', .*position"),
        ({"model_type": "xlm-roberta"}, "", "model_type: got 'xlm-roberta', .*position numbers"),
        ({"model_type": "nezha"}, "", "model_type: got 'nezha', .*relative positions"),
        ({"model_type": "ernie"}, "", "model_type: got 'ernie', .*task embeddings"),
        ({"model_type": "distilbert"}, "", "model_type: got 'distilbert', .*no token types"),
        ({"model_type": "roformer"}, "", "model_type: got 'roformer', .*rotary"),
        ({"model_type": "llama"}, "", "model_type: got 'llama', .*another structure"),
        ({}, "roberta.", "variables: got 'roberta', .*position numbers begin after the padding id"),
        ({}, "electra.", "contradicting families: model_type bert, the variables' names electra"),
    ],
)
def test_unsupported_families_are_refused(
    config: dict[str, Any], prefix: str, message: str, tmp_path: Path
):
    made = publisher("bert", "hf")
    made.config |= config
    named = {n.replace("bert.", prefix, 1): a for n, a in made.arrays.items()}
    with pytest.raises(UserError, match=message):
        open_checkpoint(replace(made, arrays=named).write(tmp_path))


def test_missing_checkpoint_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="no such checkpoint; give a TF1 checkpoint"):
        open_checkpoint(tmp_path / "nothing")
    with pytest.raises(UserError, match="got nothing, expected a TF1 checkpoint"):
        open_checkpoint(tmp_path)
    (tmp_path / "readme.md").touch()
    with pytest.raises(UserError, match="got readme.md, expected a TF1 checkpoint"):
        open_checkpoint(tmp_path)


def test_several_checkpoints_are_refused(tmp_path: Path):
    made = publisher("bert", "tf1")
    made.write(tmp_path)
    write_tf1(made.arrays, tmp_path / "bert_model.ckpt-100")
    with pytest.raises(
        UserError, match="got the checkpoints bert_model.ckpt-100, bert_model.ckpt, ex"
    ):
        open_checkpoint(tmp_path)
    assert_equal_outputs(open_checkpoint(tmp_path / "bert_model.ckpt-100"), made)


def test_unknown_variables_are_refused(tmp_path: Path):
    write_tf1({"layer/w": np.zeros(3, np.float32)}, tmp_path / "model.ckpt")
    config = json.dumps(publisher("bert", "tf1").config)
    (tmp_path / "bert_config.json").write_text(config)
    with pytest.raises(UserError, match="got the variables layer/w, …, expected those of a publis"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("file", ["bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"])
def test_damaged_tf1_file_is_refused(file: str, tmp_path: Path):
    damaged = publisher("bert", "tf1").write(tmp_path) / file
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="bert_model.ckpt: is damaged or not whole: "):
        load_encoder(open_checkpoint(tmp_path))
    if ".data" in file:
        damaged.unlink()
        with pytest.raises(UserError, match="bert_model.ckpt: is damaged or not whole: "):
            load_encoder(open_checkpoint(tmp_path))


def test_damaged_safetensors_file_is_refused(tmp_path: Path):
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
    assert not unused_variables(checkpoint)


def test_head_with_an_untied_decoder_is_refused(tmp_path: Path):
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
