"""Opens a TF1 checkpoint: `NAME.index`, `NAME.data-*` and the publisher's json beside them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.architectures.config import EncoderConfig
from export.checkpoints.checkpoint import Checkpoint
from export.checkpoints.config_json import read_json, tf1_config
from export.checkpoints.naming import TF1, TF1_LAYER_SHARED, TF1_LEAVES, Naming
from export.checkpoints.variables import Variables
from export.errors import UserError
from export.quiet import tensorflow

# In this order; the first pattern that a file has wins.
CONFIGS = (
    "bert_config*.json",
    "albert_config*.json",
    "*discriminator*.json",
    "electra*config*.json",
    "config.json",
)
LAYER_SHARED = "bert/encoder/layer_shared/"
# A variable that only this family has.
MARKS = {
    "electra": "electra/embeddings/word_embeddings",
    "albert": "bert/encoder/transformer/group_0/inner_group_0/attention_1/self/query/kernel",
    "bert": "bert/encoder/layer_0/attention/self/query/kernel",
}


def prefix_of(path: Path) -> Path | None:
    """The prefix of the checkpoint that `path` names by itself, one of its files or a directory.

    Raises:
        UserError: a directory with several.
    """
    if path.is_dir():
        found = sorted(path.glob("*.index"))
        if len(found) > 1:
            names = ", ".join(file.stem for file in found)
            raise UserError(f"{path}: got the checkpoints {names}, expected one; give {path}/NAME")
        return found[0].with_suffix("") if found else None
    if path.suffix in (".index", ".meta") or path.suffix.startswith(".data-"):
        path = path.with_suffix("")
    return path if Path(f"{path}.index").is_file() else None


def open_prefix(prefix: Path, config: Path | None) -> Checkpoint:
    """Opens a checkpoint; `config` stands in for the json beside it.

    Raises:
        UserError: a damaged file, variables of no known family, or see `tf1_config`.
    """
    variables = opened(prefix)
    family = family_of(variables)
    json = config or config_beside(prefix)
    encoder = tf1_config(read_json(json), str(json), family)
    if any(name.startswith(LAYER_SHARED) for name in variables.names):
        encoder = fold_factorised(variables, encoder)
        naming = Naming(TF1_LAYER_SHARED, TF1_LEAVES)
    else:
        naming = Naming(TF1[family], TF1_LEAVES)
    if family == "albert" and encoder.embedding_size == encoder.hidden_size:
        pass_through(variables, naming, encoder)
    return Checkpoint(encoder, naming, variables)


def opened(prefix: Path) -> Variables:
    """The variables of a checkpoint."""
    tf, _ = tensorflow()
    # What a reader in C++ says of a damaged file, by the status that it had.
    damage = (tf.errors.OpError, ValueError, IndexError, RuntimeError)

    def damaged(error: Exception) -> UserError:
        reason = str(error).splitlines()[0]
        return UserError(f"{prefix}: is damaged or not whole: {reason}; download it again")

    try:
        reader = tf.train.load_checkpoint(str(prefix))
    except damage as error:
        raise damaged(error) from None

    def fetch(name: str) -> NDArray[Any]:
        try:
            return np.asarray(reader.get_tensor(name))
        except damage as error:
            raise damaged(error) from None

    return Variables(str(prefix), reader.get_variable_to_shape_map(), fetch)


def family_of(variables: Variables) -> str:
    """The family whose names these are."""
    if any(name.startswith(LAYER_SHARED) for name in variables.names):
        return "albert"
    for family, mark in MARKS.items():
        if mark in variables.names:
            return family
    some = ", ".join(sorted(variables.names)[:3]) or "none"
    raise UserError(
        f"{variables.where}: got the variables {some}, …, expected those of a published BERT, "
        f"ALBERT or ELECTRA, e.g. {MARKS['bert']}"
    )


def config_beside(prefix: Path) -> Path:
    """The publisher's json in the checkpoint's directory."""
    for pattern in CONFIGS:
        found = sorted(prefix.parent.glob(pattern))
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(file.name for file in found)
            raise UserError(f"{prefix}: got the configs {names}, expected one; choose by --config")
    raise UserError(
        f"{prefix}: got no json config beside it, expected one of {', '.join(CONFIGS)}; give the "
        "model's by --config (ELECTRA's archives have none, their repositories do)"
    )


def fold_factorised(variables: Variables, config: EncoderConfig) -> EncoderConfig:
    """Brightmart's first Chinese ALBERT multiplies out its two word tables before all else.

    There positions and types are added, and normalised, at the hidden width; so the product of
    both tables is a word table of that width, and nothing is left to project.
    """
    words = "bert/embeddings/word_embeddings"
    narrow = (config.vocab_size, config.embedding_size)
    wide = (config.embedding_size, config.hidden_size)
    variables.derived[words] = lambda: (
        variables.stored(words, narrow) @ variables.stored(f"{words}_2", wide)
    )
    return replace(config, embedding_size=config.hidden_size)


def pass_through(variables: Variables, naming: Naming, config: EncoderConfig) -> None:
    """Google's ALBERT has no projection where the widths are equal; ours gets the identity."""
    kernel, bias = (naming.name("projection", leaf) for leaf in ("kernel", "bias"))
    if kernel is None or bias is None or kernel in variables.names:
        return
    width = config.hidden_size
    variables.derived[kernel] = lambda: np.eye(width, dtype=np.float32)
    variables.derived[bias] = lambda: np.zeros(width, np.float32)
