"""Reads `tf_model.h5`, transformers' weights for TensorFlow, as the variables of its PyTorch model.

Names and shapes become those of PyTorch, so that all that reads a Hugging Face checkpoint (family,
head, checks) reads this one too. Only a confined process runs `convert`: HDF5's library is written
in C and was not made for files of strangers.

Each Keras layer has a group, and each variable a dataset, whose path in the group is its name:
`bert` / `tf_bert_model/bert/encoder/layer_._0/attention/self/query/kernel:0`.

Sources: `load_tf_weights` of `modeling_tf_utils.py`, and `modeling_tf_pytorch_utils.py`, of
huggingface/transformers 4.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.checkpoints.huggingface import refuse_lfs_pointer
from support.errors import UserError
from support.input_files import plain_file_size

KERAS_FILE = "tf_model.h5"
SIGNATURE = b"\x89HDF\r\n\x1a\n"
# TensorFlow's names of a variable's last part → PyTorch's; all others are the same.
LEAVES = {"kernel": "weight", "gamma": "weight", "embeddings": "weight", "beta": "bias"}
# BERT-large has 400 variables.
MAX_DATASETS = 10_000
MAX_RANK = 4
FLOATS_AND_INTEGERS = "fiu"
ADVICE = "download it again, or take the same model's model.safetensors"
BATCH_BYTES = 64 << 20
"""Bytes of the variables in one file of the result; one larger variable has a file of its own."""


@dataclass(frozen=True)
class H5Job:
    """The file to read, and the directory that gets its variables as safetensors files."""

    file: Path
    directory: Path


def find_keras_file(path: Path) -> Path | None:
    """Returns the HDF5 file at `path`, a file or a directory; None if there is none."""
    if path.suffix == ".h5" and path.is_file():
        return path
    return path / KERAS_FILE if (path / KERAS_FILE).is_file() else None


def convert(job: H5Job) -> None:
    """Writes the variables of an HDF5 file as safetensors files, in PyTorch's names and layout.

    Raises:
        UserError: it is damaged, no HDF5, or has anything that no file of transformers has.
    """
    from safetensors.numpy import save_file

    batch: dict[str, NDArray[Any]] = {}
    contents: dict[str, bytes] = {}
    files = 0
    for path, value in _read_variables(job.file):
        name, content = torch_name(path), sha256(value.tobytes()).digest()
        if name in contents:
            # The layer of a masked language model's head has the embeddings too, which it shares.
            if contents[name] != content:
                raise UserError(
                    f"{job.file}: {path}: got other values than before for {name}, expected the "
                    f"same; {ADVICE}"
                )
            continue
        contents[name] = content
        if sum(value.nbytes for value in batch.values()) > BATCH_BYTES:
            save_file(batch, job.directory / f"{files:05}.safetensors")
            batch, files = {}, files + 1
        batch[name] = _torch_layout(path, value)
    if not contents:
        raise UserError(f"{job.file}: got no variables, expected a model's; {ADVICE}")
    save_file(batch, job.directory / f"{files:05}.safetensors")


def torch_name(path: str) -> str:
    """Returns PyTorch's name of the variable at a path in the file.

    >>> torch_name("bert/tf_bert_model/bert/encoder/layer_._0/attention/self/query/kernel:0")
    'bert.encoder.layer.0.attention.self.query.weight'
    >>> torch_name("mlm___cls/tf_bert_for_masked_lm/mlm___cls/predictions/bias:0")
    'cls.predictions.bias'
    """
    # The first two parts are the Keras layer and the Keras model. `_._` stands for the index of a
    # list, and what is before `___` tells two heads of one PyTorch module apart.
    parts = path.removesuffix(":0").replace("_._", "/").split("/")[2:]
    *scope, leaf = [part.rpartition("___")[2] for part in parts] or [path]
    return ".".join([*scope, LEAVES.get(leaf, leaf)])


def _torch_layout(path: str, value: NDArray[Any]) -> NDArray[Any]:
    """Returns a variable as PyTorch stores it: kernels as [out, in].

    For some months of 2020, transformers wrote attention with an axis for the heads: kernels as
    [hidden, heads, size], or [heads, size, hidden] in the output, and biases as [heads, size].
    """
    leaf = path.removesuffix(":0").rpartition("/")[2]
    if leaf == "kernel":
        if value.ndim == 3:
            into_heads = "/self/" in path
            value = value.reshape((value.shape[0], -1) if into_heads else (-1, value.shape[-1]))
        value = value.T
    elif leaf == "bias" and value.ndim == 2:
        value = value.reshape(-1)
    # safetensors writes an array's memory, so a transposed view would be lost.
    return np.ascontiguousarray(value)


def _read_variables(file: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yields the path and the values of each variable in a file.

    Raises:
        UserError: see `convert`.
    """
    import h5py

    size = plain_file_size(file, "the model's tf_model.h5")
    with file.open("rb") as stream:
        start = stream.read(512)
    refuse_lfs_pointer(file, start)
    if not start.startswith(SIGNATURE):
        raise UserError(f"{file}: is no HDF5 file; {ADVICE}")
    try:
        with h5py.File(file, "r", locking=False) as opened:
            for path, dataset in _datasets(opened, file, size):
                value: NDArray[Any] = np.asarray(dataset[()])
                # The file's order of bytes may be another machine's.
                yield path, value.astype(value.dtype.newbyteorder("="), copy=False)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{file}: is damaged: {reason}; {ADVICE}") from None


def _datasets(opened: Any, file: Path, size: int) -> Iterator[tuple[str, Any]]:
    """Yields the datasets in the order of their paths; soft and external links are not followed.

    Raises:
        UserError: there are too many, or a dataset has what `_find_problem` names.
    """
    import h5py

    paths: list[str] = []

    def add(path: str, found: Any) -> bool | None:
        if isinstance(found, h5py.Dataset):
            paths.append(path)
        # Anything but None ends the visit.
        return True if len(paths) > MAX_DATASETS else None

    opened.visititems(add)
    if len(paths) > MAX_DATASETS:
        raise UserError(f"{file}: has more than {MAX_DATASETS} variables; {ADVICE}")
    total = 0
    for path in sorted(paths):
        dataset = opened[path]
        problem = _find_problem(dataset)
        total += dataset.nbytes
        if not problem and total > size:
            problem = "variables of more bytes than the file"
        if problem:
            raise UserError(f"{file}: {path}: got {problem}, expected plain numbers; {ADVICE}")
        yield path, dataset


def _find_problem(dataset: Any) -> str:
    """Returns what a dataset has that no plain array of numbers has, or ""."""
    if dataset.dtype.kind not in FLOATS_AND_INTEGERS or dataset.dtype.itemsize > 8:
        return f"dtype {dataset.dtype}"
    if dataset.shape is None or len(dataset.shape) > MAX_RANK:
        return f"the shape {dataset.shape}"
    if dataset.external:
        return "values in another file"
    if dataset.is_virtual:
        return "values of other datasets"
    if dataset.id.get_create_plist().get_nfilters():
        return "a filter (a compression)"
    # A file may declare any shape and store nothing: reading it would fill the memory.
    if dataset.id.get_storage_size() != dataset.nbytes:
        return f"{dataset.id.get_storage_size()} bytes stored of {dataset.nbytes}"
    return ""
