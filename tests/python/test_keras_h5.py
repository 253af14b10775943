"""`tf_model.h5` gives the variables of the same model's safetensors.

transformers 5 has no TensorFlow classes, so nothing here can write such a file as they did. NAMES
has paths of the files that TFBertForPreTraining, TFAlbertForPreTraining and others of transformers
4.46.3 wrote, one of each kind of name. Whole files of thirteen of its classes were read once, and
each SavedModel gave the answers of the class within 1e-5. The files here are written in that layout
from PyTorch's variables.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from safetensors.numpy import load_file

from export.checkpoints import keras_h5, open_checkpoint
from export.checkpoints.keras_h5 import H5Job, convert, torch_name
from export.keras_weights import converted_weights
from support.errors import UserError
from tests.python.publishers import HEADS, Publisher, publisher

NAMES = {
    "bert/tf_bert_for_pre_training/bert/embeddings/word_embeddings/weight:0": (
        "bert.embeddings.word_embeddings.weight"
    ),
    "bert/tf_bert_for_pre_training/bert/embeddings/position_embeddings/embeddings:0": (
        "bert.embeddings.position_embeddings.weight"
    ),
    "bert/tf_bert_for_pre_training/bert/embeddings/LayerNorm/gamma:0": (
        "bert.embeddings.LayerNorm.weight"
    ),
    "bert/tf_bert_for_pre_training/bert/encoder/layer_._11/attention/self/query/kernel:0": (
        "bert.encoder.layer.11.attention.self.query.weight"
    ),
    "bert/tf_bert_for_pre_training/bert/encoder/layer_._0/attention/output/LayerNorm/beta:0": (
        "bert.encoder.layer.0.attention.output.LayerNorm.bias"
    ),
    "bert/tf_bert_model/bert/pooler/dense/bias:0": "bert.pooler.dense.bias",
    "mlm___cls/tf_bert_for_pre_training/mlm___cls/predictions/transform/dense/kernel:0": (
        "cls.predictions.transform.dense.weight"
    ),
    "nsp___cls/tf_bert_for_pre_training/nsp___cls/seq_relationship/kernel:0": (
        "cls.seq_relationship.weight"
    ),
    "mlm___cls/tf_bert_for_masked_lm/bert/embeddings/LayerNorm/beta:0": (
        "bert.embeddings.LayerNorm.bias"
    ),
    "albert/tf_model/albert/encoder/albert_layer_groups_._0/albert_layers_._0/ffn/kernel:0": (
        "albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight"
    ),
    "predictions/tf_albert_for_pre_training/predictions/bias:0": "predictions.bias",
    "sop_classifier/tf_albert_for_pre_training/sop_classifier/classifier/kernel:0": (
        "sop_classifier.classifier.weight"
    ),
    "electra/tf_electra_model/electra/embeddings_project/kernel:0": (
        "electra.embeddings_project.weight"
    ),
    "classifier/tf_electra_for_sequence_classification/classifier/out_proj/kernel:0": (
        "classifier.out_proj.weight"
    ),
    "classifier/tf_bert_for_token_classification/classifier/bias:0": "classifier.bias",
}
KERNEL = "bert/tf_bert_model/bert/encoder/layer_._0/attention/self/query/kernel:0"


def keras_path(name: str, array: np.ndarray) -> str:
    """Returns the path of a PyTorch variable in the file of its TF class."""
    scope, _, leaf = name.rpartition(".")
    scope = scope.replace(".", "/")
    scope = re.sub(r"/(layer|albert_layer_groups|albert_layers)/(\d+)", r"/\1_._\2", scope)
    layer = scope.split("/")[0]
    if "LayerNorm" in scope or "layer_norm" in scope:
        leaf = {"weight": "gamma", "bias": "beta"}[leaf]
    elif "position_embeddings" in scope or "token_type_embeddings" in scope:
        leaf = "embeddings"
    elif "word_embeddings" not in scope and array.ndim == 2:
        leaf = "kernel"
    if layer == "cls":
        layer = "mlm___cls"
        scope = scope.replace("cls", layer, 1)
    return f"{layer}/tf_model_3/{scope}/{leaf}:0"


def write_h5(made: Publisher, file: Path, heads: bool = False) -> None:
    """Writes a publisher's variables as transformers' TF classes did.

    Args:
        made: the variables in PyTorch's names.
        file: the file.
        heads: whether attention has an axis for its heads.
    """
    with h5py.File(file, "w") as opened:
        for name, array in made.arrays.items():
            path = keras_path(name, array)
            value = array.T if path.endswith("/kernel:0") else array
            if heads:
                value = with_heads(path, value)
            opened.create_dataset(path, data=value)
            # The layer of the masked language model's head has the embeddings too.
            if "embeddings" in name and "head" in made.parts and made.family == "bert":
                opened.create_dataset(path.replace("bert/", "mlm___cls/", 1), data=value)
        opened.attrs["backend"] = "tensorflow"
        opened.create_group("dropout_37")


def with_heads(path: str, value: np.ndarray) -> np.ndarray:
    """Returns an attention's variable as transformers 4.1 wrote it."""
    if re.search(r"/self/(query|key|value)/kernel:0$", path):
        return value.reshape(len(value), HEADS, -1)
    if re.search(r"/self/(query|key|value)/bias:0$", path):
        return value.reshape(HEADS, -1)
    if path.endswith("attention/output/dense/kernel:0"):
        return value.reshape(HEADS, -1, value.shape[-1])
    return value


def read_back(file: Path, directory: Path) -> dict[str, np.ndarray]:
    directory.mkdir(exist_ok=True)
    convert(H5Job(file, directory))
    found: dict[str, np.ndarray] = {}
    for part in sorted(directory.glob("*.safetensors")):
        found |= load_file(part)
    return found


@pytest.mark.parametrize("path", NAMES)
def test_names_are_those_of_the_pytorch_class(path: str):
    assert torch_name(path) == NAMES[path]


@pytest.mark.parametrize("family", ["bert", "albert", "electra"])
@pytest.mark.parametrize("batch", [64 << 20, 1000])
def test_all_variables_are_those_of_the_safetensors(
    family: str, batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(keras_h5, "BATCH_BYTES", batch)
    made = publisher(family, "hf")
    write_h5(made, tmp_path / "tf_model.h5")
    got = read_back(tmp_path / "tf_model.h5", tmp_path / "out")
    assert set(got) == set(made.arrays)
    for name, array in made.arrays.items():
        np.testing.assert_array_equal(got[name], array, name, strict=True)
    assert (len(list((tmp_path / "out").iterdir())) > 1) == (batch == 1000)


def test_an_axis_for_the_heads_is_joined(tmp_path: Path):
    made = publisher("bert", "hf")
    write_h5(made, tmp_path / "tf_model.h5", heads=True)
    got = read_back(tmp_path / "tf_model.h5", tmp_path / "out")
    for name, array in made.arrays.items():
        np.testing.assert_array_equal(got[name], array, name, strict=True)


def test_a_confined_process_reads_the_file(tmp_path: Path):
    made = publisher("bert", "hf")
    directory = made.write(tmp_path / "m")
    (directory / "model.safetensors").unlink()
    # As in Hugging Face's cache, where the file is a link to another directory.
    write_h5(made, tmp_path / "blob")
    (directory / "tf_model.h5").symlink_to(tmp_path / "blob")
    for path in (directory, directory / "tf_model.h5"):
        with converted_weights(path, print) as weights:
            checkpoint = open_checkpoint(path, weights=weights)
            assert checkpoint.config.architecture == "bert"
            for name, array in made.arrays.items():
                got = checkpoint.variables.read(name, array.shape)
                np.testing.assert_array_equal(got, array, name)
            assert weights is not None
        assert not any(file.exists() for file in weights)
    (directory / "tf_model.h5").unlink()
    (directory / "tf_model.h5").write_bytes(b"<html>")
    with pytest.raises(UserError, match="tf_model.h5: is no HDF5 file; download it again"):  # noqa: SIM117
        with converted_weights(directory, print):
            pass


def test_safetensors_and_tf1_come_first(tmp_path: Path):
    directory = publisher("bert", "hf").write(tmp_path)
    (directory / "tf_model.h5").write_bytes(b"never read")
    with converted_weights(directory, print) as weights:
        assert weights is None


def external(file: h5py.File) -> None:
    file.create_dataset(KERNEL, (2, 2), "f4", external=[("/etc/passwd", 0, 16)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((2, 2), "f4")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "x", (2, 2))
    file.create_virtual_dataset(KERNEL, layout)


def linked(file: h5py.File) -> None:
    file[KERNEL] = h5py.ExternalLink("/tmp/other.h5", "x")
    file["bert/soft"] = h5py.SoftLink("/bert")


def huge(file: h5py.File) -> None:
    file.create_dataset(KERNEL, (1 << 40, 1 << 20), "f4", chunks=(1024, 1024))


def twice(file: h5py.File) -> None:
    file[KERNEL] = np.zeros((2, 2), "f4")
    file[KERNEL.replace("bert/", "other/", 1)] = np.ones((2, 2), "f4")


def many(file: h5py.File) -> None:
    keras_h5.MAX_DATASETS = 3
    for i in range(5):
        file[f"a/b/{i}"] = np.zeros(1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (external, "got values in another file, expected plain numbers"),
        (virtual, "got values of other datasets, expected plain numbers"),
        (linked, "got no variables, expected a model's"),
        (huge, "got 0 bytes stored of [0-9]+, expected plain numbers"),
        (twice, "got other values than before for bert.encoder.*, expected the same"),
        (many, "has more than 3 variables"),
        (lambda f: f.create_dataset(KERNEL, data=[b"a", b"bc"]), "got dtype .*, expected plain"),
        (
            lambda f: f.create_dataset(KERNEL, data=["a"], dtype=h5py.string_dtype()),
            "got dtype object",
        ),
        (
            lambda f: f.create_dataset(KERNEL, data=np.zeros((99, 99)), compression="gzip"),
            "got a filter",
        ),
        (lambda f: f.create_dataset(KERNEL, data=h5py.Empty("f4")), "got the shape None"),
        (lambda f: f.create_dataset(KERNEL, data=np.zeros([1] * 9)), "got the shape"),
        (lambda f: f.create_dataset(KERNEL, data=np.zeros(2, np.longdouble)), "got dtype float128"),
    ],
)
def test_what_no_file_of_transformers_has_is_refused(
    make: Callable[[Any], None], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(keras_h5, "MAX_DATASETS", keras_h5.MAX_DATASETS)
    with h5py.File(tmp_path / "tf_model.h5", "w") as file:
        make(file)
    with pytest.raises(UserError, match=message):
        convert(H5Job(tmp_path / "tf_model.h5", tmp_path))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no HDF5 file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (keras_h5.SIGNATURE + bytes(1000), "is damaged: "),
    ],
)
def test_a_file_that_is_none_is_refused(data: bytes, message: str, tmp_path: Path):
    (tmp_path / "tf_model.h5").write_bytes(data)
    with pytest.raises(UserError, match=message):
        convert(H5Job(tmp_path / "tf_model.h5", tmp_path))


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path):
    file = tmp_path / "tf_model.h5"
    write_h5(publisher("bert", "hf"), file)
    file.write_bytes(file.read_bytes()[:-5000])
    with pytest.raises(UserError, match="is damaged: .*truncated"):
        convert(H5Job(file, tmp_path))


def test_the_order_of_bytes_does_not_matter(tmp_path: Path):
    value = np.arange(6, dtype=">f4").reshape(2, 3)
    with h5py.File(tmp_path / "tf_model.h5", "w") as file:
        file[KERNEL] = value
    (got,) = read_back(tmp_path / "tf_model.h5", tmp_path / "out").values()
    np.testing.assert_array_equal(got, value.T.astype("f4"))
