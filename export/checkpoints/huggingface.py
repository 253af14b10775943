"""Opens a Hugging Face directory: `config.json` and `model.safetensors`, whole or in shards."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.checkpoints.checkpoint import Checkpoint, Variables
from export.checkpoints.config_json import check_config, huggingface_config
from export.checkpoints.heads import add_huggingface_head
from export.checkpoints.naming import HF_LEAVES, HF_OLD_LEAVES, Naming, huggingface_scopes
from export.encoder_config import ARCHITECTURES, EncoderConfig
from support.errors import UserError
from support.input_files import read_object, short_json

# The family of a Hugging Face checkpoint, from its config and its variables' names.
#
# BERT, ALBERT and ELECTRA are supported. Other families have the same class layout but another
# arithmetic: their weights would load without an error and compute wrong numbers.

WORD_EMBEDDINGS = "embeddings.word_embeddings.weight"
# `model_type` of transformers → how it differs from the encoders that are built here.
UNSUPPORTED_FAMILIES = {
    "bert-generation": "it has no token types and runs as a decoder too",
    "big_bird": "its attention is sparse",
    "camembert": "its position numbers begin after the padding id, as RoBERTa's",
    "convbert": "its attention has convolutions",
    "data2vec-text": "its position numbers begin after the padding id, as RoBERTa's",
    "deberta": "its attention is relative to the distance of tokens",
    "deberta-v2": "its attention is relative to the distance of tokens",
    "distilbert": "it has no token types, and other names",
    "ernie": "it may add task embeddings; where `use_task_id` is false it computes what BERT does, "
    'so change model_type to "bert" and the prefix `ernie.` of the variables to `bert.`',
    "ernie_m": "it has no token types, and layer norms at other positions",
    "funnel": "it shortens the sequence",
    "layoutlm": "it adds embeddings of the layout",
    "longformer": "its attention is sparse",
    "megatron-bert": "it normalises before each layer, not after",
    "mobilebert": "it has bottlenecks between its layers",
    "modernbert": "it has rotary positions and normalises before each layer",
    "mpnet": "it adds a bias by distance to its attention",
    "nezha": "it has relative positions inside its attention",
    "nystromformer": "its attention is an approximation",
    "rembert": "it has other widths at its input and its output",
    "roberta": "its position numbers begin after the padding id",
    "roberta-prelayernorm": "it normalises before each layer, not after",
    "roformer": "it has rotary positions",
    "squeezebert": "it has convolutions in the place of dense layers",
    "xlm-roberta": "its position numbers begin after the padding id, as RoBERTa's",
    "xlm-roberta-xl": "its position numbers begin after the padding id, as RoBERTa's",
    "xlnet": "its attention is relative, over permuted tokens",
}


def _find_family(document: dict[str, Any], where: str, variables: Variables) -> tuple[str, bool]:
    """Returns the family, and whether it was inferred because the config has no `model_type`.

    Args:
        document: the config.
        where: its path, for messages.
        variables: the checkpoint's variables; only their names are used.

    Raises:
        UserError: the family is not supported or unknown, or `model_type`, `architectures` and the
            variables' names contradict each other.
    """
    named = _family_by_names(variables)
    classes = _family_by_classes(document.get("architectures"))
    reported = document.get("model_type")
    if reported is not None and reported not in ARCHITECTURES:
        _refuse_family(str(reported), f"{where}: model_type")
    if classes is not None and classes not in ARCHITECTURES:
        _refuse_family(classes, f"{where}: architectures")
    if named is not None and named not in ARCHITECTURES:
        _refuse_family(named, f"{variables.where}: variables")
    sources = {"model_type": reported, "architectures": classes, "the variables' names": named}
    known = {source: family for source, family in sources.items() if family is not None}
    if not known:
        raise UserError(
            f"{where}: got no model_type, and the variables' names do not tell the family; "
            f"expected one of {', '.join(ARCHITECTURES)}: add it to the config"
        )
    if len(set(known.values())) > 1:
        facts = ", ".join(f"{source} {family}" for source, family in known.items())
        raise UserError(
            f"{where}: got contradicting families: {facts}; give the config of this checkpoint"
        )
    return next(iter(known.values())), reported is None


def _refuse_family(family: str, what: str) -> None:
    """Raises an error about a family that is not supported, with the reason."""
    reason = UNSUPPORTED_FAMILIES.get(family, "other families have another structure")
    raise UserError(f"{what}: got {family!r}, expected one of {', '.join(ARCHITECTURES)}; {reason}")


def _family_by_names(variables: Variables) -> str | None:
    """Returns the family from the variables' names; None if several families use these names.

    BERT, ELECTRA and RoBERTa have the same names in a bare encoder (`encoder.layer.0.…`). With a
    pooler and two token types it is BERT: ELECTRA has no pooler, RoBERTa has one token type.
    """
    names = variables.names
    if any(".albert_layer_groups." in f".{name}" for name in names):
        return "albert"
    if any("embeddings_project." in name for name in names):
        return "electra"
    if any("relative_attention_bias" in name for name in names):
        return "mpnet"
    known = {*ARCHITECTURES, *UNSUPPORTED_FAMILIES}
    for root in _find_roots(variables):
        family = root.rstrip(".").rpartition(".")[2].replace("_", "-")
        if family in known:
            return family
    types = f"{WORD_EMBEDDINGS}".replace("word", "token_type")
    rows = next(iter(variables.shapes.get(types, ())), 0)
    bare = "encoder.layer.0.attention.self.query.weight" in names
    return "bert" if bare and "pooler.dense.weight" in names and rows > 1 else None


def _family_by_classes(architectures: Any) -> str | None:
    """Returns the family from class names: `["BertForMaskedLM"]` → `bert`; None if unknown."""
    known = {
        family.replace("-", "").replace("_", ""): family
        for family in (*ARCHITECTURES, *UNSUPPORTED_FAMILIES)
    }
    for name in architectures if isinstance(architectures, list) else []:
        found = re.match(r"(?:TF|Flax)?(\w+?)(?:Model|For|LMHead|PreTrained|$)", str(name))
        family = known.get(found.group(1).lower()) if found else None
        if family is not None:
            return family
    return None


def _find_roots(variables: Variables) -> list[str]:
    """Returns the prefixes of the embeddings' names: `bert.`, or "" for a bare encoder."""
    return sorted(
        name.removesuffix(WORD_EMBEDDINGS)
        for name in variables.names
        if name.endswith(WORD_EMBEDDINGS)
    )


def _find_root(variables: Variables, family: str) -> str:
    """Returns the prefix of the encoder's variables.

    Raises:
        UserError: there are several encoders, and none has the family's name.
    """
    roots = _find_roots(variables)
    if f"{family}." in roots:
        return f"{family}."
    if len(roots) > 1:
        names = ", ".join(root or "(bare)" for root in roots)
        raise UserError(
            f"{variables.where}: got {len(roots)} encoders, {names}, expected one, or one called "
            f"{family}.; save the one that you want by itself"
        )
    return roots[0] if roots else f"{family}."


SINGLE_FILE = "model.safetensors"
SHARD_INDEX = "model.safetensors.index.json"
CONFIG = "config.json"
LFS_POINTER = b"version https://git-lfs"


def weight_files(path: Path) -> list[Path]:
    """Returns the safetensors files at `path`, a file or a directory; empty if there are none.

    Raises:
        UserError: the index of the shards is damaged, or names a file outside the directory.
    """
    if path.suffix == ".safetensors" and path.is_file():
        return [path]
    if (path / SHARD_INDEX).is_file():
        return _shard_files(path / SHARD_INDEX)
    return [path / SINGLE_FILE] if (path / SINGLE_FILE).is_file() else []


def _shard_files(index: Path) -> list[Path]:
    """Returns the files that an index of shards names."""
    file_of_variable = weight_map(index)
    for name in file_of_variable.values():
        if not isinstance(name, str) or Path(name).name != name:
            raise UserError(
                f"{index}: got the file {short_json(name)}, expected a name in that directory"
            )
        if not (index.parent / name).is_file():
            raise UserError(f"{index}: names {name}, which is not there; download it too")
    return [index.parent / name for name in sorted(set(file_of_variable.values()))]


def weight_map(index: Path) -> dict[str, str]:
    """Returns the file name of each variable from an index of shards."""
    file_of_variable = read_object(index).get("weight_map")
    if not isinstance(file_of_variable, dict) or not file_of_variable:
        raise UserError(f"{index}: got no weight_map, expected one of variables and their files")
    return file_of_variable


def open_directory(
    path: Path, config: Path | None, weights: list[Path] | None = None
) -> Checkpoint:
    """Opens the files of `weight_files`, or other `weights` in their place.

    `config` replaces the `config.json` at `path`.

    Raises:
        UserError: a file is damaged; or see `_find_family`, `huggingface_config`, `check_config`
            and `add_huggingface_head`.
    """
    json = config or (path if path.is_dir() else path.parent) / CONFIG
    document = read_object(json, "the model's json config")
    variables = open_safetensors(weights or weight_files(path), str(path))
    _refuse_missing(path / SHARD_INDEX, variables)
    family, inferred = _find_family(document, str(json), variables)
    encoder = huggingface_config(document, str(json), family)
    root = _find_root(variables, family)
    naming = _find_naming(variables, family, root)
    notices = [f"{json}: no model_type; its variables are {family}'s"] if inferred else []
    found = check_config(Checkpoint(encoder, naming, variables, str(json), notices))
    return add_huggingface_head(found, document, root.removesuffix(f"{family}."))


def read_config(file: Path) -> EncoderConfig:
    """Reads a `config.json` alone, without the weights that could contradict it.

    Raises:
        UserError: see `_find_family` and `huggingface_config`.
    """
    document = read_object(file, "the model's json config")
    none = Variables(str(file), {}, lambda name: np.zeros(0))
    family, _ = _find_family(document, str(file), none)
    return huggingface_config(document, str(file), family)


def _refuse_missing(index: Path, variables: Variables) -> None:
    """Refuses an index of shards with variables that no shard has."""
    if index.is_file():
        missing = sorted(set(weight_map(index)) - variables.names)
        if missing:
            raise UserError(
                f"{index}: names {', '.join(missing[:3])}, {len(missing)} variables that are in "
                "none of its files; download them again"
            )


def open_safetensors(files: list[Path], where: str) -> Variables:
    """Opens the variables of all files, which are mapped into memory, not copied."""
    from safetensors import SafetensorError, safe_open

    for file in files:
        with file.open("rb") as stream:
            refuse_lfs_pointer(file, stream.read(len(LFS_POINTER)))
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
            # NumPy has no 8-bit or 4-bit floats.
            kind = reader_of[name].get_slice(name).get_dtype()
            raise UserError(f"{where}: {name}: got dtype {kind}, expected a float") from None

    shapes = {name: tuple(file.get_slice(name).get_shape()) for name, file in reader_of.items()}
    return Variables(where, shapes, fetch)


def refuse_lfs_pointer(file: Path, start: bytes) -> None:
    """Refuses a file of weights whose first bytes are those of a Git LFS pointer.

    Raises:
        UserError: it is one.
    """
    if start.startswith(LFS_POINTER):
        raise UserError(f"{file}: is a Git LFS pointer, not the weights; run `git lfs pull` there")


def _find_naming(variables: Variables, family: str, root: str) -> Naming:
    """Returns the naming of this checkpoint: with or without `bert.`, with `gamma` or `weight`."""
    old = any(name.endswith("LayerNorm.gamma") for name in variables.names)
    leaves = HF_OLD_LEAVES if old else HF_LEAVES
    return Naming(huggingface_scopes(family, root), leaves, transposes=True)
