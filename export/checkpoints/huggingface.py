"""Opens a Hugging Face directory: `config.json` and `model.safetensors`, whole or in shards."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.checkpoints.checkpoint import Checkpoint
from export.checkpoints.config_json import huggingface_config
from export.checkpoints.consistency import checked
from export.checkpoints.families import family_of, root_of
from export.checkpoints.naming import HF_LEAVES, HF_OLD_LEAVES, Naming, huggingface_scopes
from export.checkpoints.variables import Variables
from export.errors import UserError
from export.input_files import read_object, shown

WHOLE = "model.safetensors"
SHARDS = "model.safetensors.index.json"
CONFIG = "config.json"
LFS_POINTER = b"version https://git-lfs"


def weight_files(path: Path) -> list[Path]:
    """The safetensors files at `path`, which is such a file or a directory; empty for none.

    Raises:
        UserError: the index of the shards is damaged or names a file outside of the directory.
    """
    if path.suffix == ".safetensors" and path.is_file():
        return [path]
    if (path / SHARDS).is_file():
        return shards(path / SHARDS)
    return [path / WHOLE] if (path / WHOLE).is_file() else []


def shards(index: Path) -> list[Path]:
    """The files that an index of shards names."""
    places = weight_map(index)
    for name in places.values():
        if not isinstance(name, str) or Path(name).name != name:
            raise UserError(
                f"{index}: got the file {shown(name)}, expected a name in that directory"
            )
        if not (index.parent / name).is_file():
            raise UserError(f"{index}: names {name}, which is not there; download it too")
    return [index.parent / name for name in sorted(set(places.values()))]


def weight_map(index: Path) -> dict[str, str]:
    """The file of each variable, as an index of shards has it."""
    places = read_object(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise UserError(f"{index}: got no weight_map, expected one of variables and their files")
    return places


def open_directory(path: Path, config: Path | None) -> Checkpoint:
    """Opens what `weight_files` found; `config` stands in for the `config.json` beside it.

    Raises:
        UserError: a damaged file, or see `family_of`, `huggingface_config` and `checked`.
    """
    json = config or (path if path.is_dir() else path.parent) / CONFIG
    document = read_object(json, "the model's json config")
    variables = opened(weight_files(path), str(path))
    refuse_missing(path / SHARDS, variables)
    family, inferred = family_of(document, str(json), variables)
    encoder = huggingface_config(document, str(json), family)
    naming = naming_of(variables, family)
    notices = [f"{json}: no model_type; its variables are {family}'s"] if inferred else []
    return checked(Checkpoint(encoder, naming, variables, str(json), notices))


def refuse_missing(index: Path, variables: Variables) -> None:
    """Stops where an index of shards promises what no shard has: else it would pass for unsaved."""
    if index.is_file():
        missing = sorted(set(weight_map(index)) - variables.names)
        if missing:
            raise UserError(
                f"{index}: names {', '.join(missing[:3])}, {len(missing)} variables that are in "
                "none of its files; download them again"
            )


def opened(files: list[Path], where: str) -> Variables:
    """The variables of all files; the file system's pages stand in for a copy in memory."""
    from safetensors import SafetensorError, safe_open

    for file in files:
        with file.open("rb") as stream:
            if stream.read(len(LFS_POINTER)) == LFS_POINTER:
                raise UserError(
                    f"{file}: is a Git LFS pointer, not the weights; run `git lfs pull` there"
                )
    try:
        readers: list[Any] = [safe_open(str(file), framework="numpy") for file in files]
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{where}: is damaged or no safetensors: {error}; download it again"
        ) from None
    # A reader is no dictionary, although it has keys.
    reader_of = {name: reader for reader in readers for name in reader.keys()}  # noqa: SIM118

    def fetch(name: str) -> NDArray[Any]:
        try:
            return np.asarray(reader_of[name].get_tensor(name))
        except (SafetensorError, TypeError, AttributeError):
            # NumPy has no such number: an 8-bit or 4-bit float.
            kind = reader_of[name].get_slice(name).get_dtype()
            raise UserError(f"{where}: {name}: got dtype {kind}, expected a float") from None

    shapes = {name: tuple(file.get_slice(name).get_shape()) for name, file in reader_of.items()}
    return Variables(where, shapes, fetch)


def naming_of(variables: Variables, family: str) -> Naming:
    """The names as they are in this checkpoint: with or without `bert.`, with gamma or weight."""
    root = root_of(variables, family)
    old = any(name.endswith("LayerNorm.gamma") for name in variables.names)
    leaves = HF_OLD_LEAVES if old else HF_LEAVES
    return Naming(huggingface_scopes(family, root), leaves, transposes=True)
