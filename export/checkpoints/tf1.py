"""Opens a TF1 checkpoint: `NAME.index`, `NAME.data-*` and the publisher's json beside them."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.checkpoints.checkpoint import Checkpoint, Variables
from export.checkpoints.config_json import check_config, tf1_config
from export.checkpoints.naming import TF1, TF1_LAYER_SHARED, TF1_LEAVES, Naming
from export.encoder_config import EncoderConfig
from support.errors import UserError
from support.input_files import read_object
from support.quiet_tensorflow import tensorflow

# In this order; the first pattern that a file has wins.
CONFIG_PATTERNS = (
    "bert_config*.json",
    "albert_config*.json",
    "*discriminator*.json",
    "electra*config*.json",
    "config.json",
)
LAYER_SHARED = "bert/encoder/layer_shared/"
# A variable that only this family has; a TF-Hub module saved again has `module/` before it.
FAMILY_VARIABLES = {
    "electra": "electra/embeddings/word_embeddings",
    "albert": "bert/encoder/transformer/group_0/inner_group_0/attention_1/self/query/kernel",
    "shared": f"{LAYER_SHARED}attention/self/query/kernel",
    "bert": "bert/encoder/layer_0/attention/self/query/kernel",
}
# Keras' name of a layer norm, which later versions of the publishers' code use.
KERAS_NORM = re.compile(r"(.*)/layer_normalization(?:_(\d+))?/gamma")


def find_prefix(path: Path) -> Path | None:
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
        UserError: a damaged file, variables of no known family, or see `tf1_config` and `checked`.
    """
    json = config or find_config(prefix)
    # Before TensorFlow, which takes seconds to load.
    document = read_object(json, "the model's json config")
    variables = open_variables(prefix)
    form, root = find_form(variables)
    shared = form == "shared"
    family = "albert" if shared else form
    encoder = tf1_config(document, str(json), family)
    scopes = TF1_LAYER_SHARED if shared else TF1[family]
    naming = Naming({part: root + scope for part, scope in scopes.items()}, TF1_LEAVES)
    alias_keras_norms(variables)
    found = check_config(Checkpoint(encoder, naming, variables, str(json)))
    if shared:
        if found.config.layer_groups or found.config.inner_group_num > 1:
            raise UserError(f"{json}: num_hidden_groups: expected 1, as {LAYER_SHARED} has")
        found = replace(found, config=fold_factorised(variables, naming, found.config))
    if family == "albert" and found.config.embedding_size == found.config.hidden_size:
        add_identity_projection(variables, naming, found.config)
    return found


def open_variables(prefix: Path) -> Variables:
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


def find_form(variables: Variables) -> tuple[str, str]:
    """The family whose names these are, or `shared`, and what stands before the names."""
    for form, mark in FAMILY_VARIABLES.items():
        roots = sorted(name.removesuffix(mark) for name in variables.names if name.endswith(mark))
        if roots and (roots[0] == "" or len(roots) == 1):
            return form, roots[0]
    some = ", ".join(sorted(variables.names)[:3]) or "none"
    if any(name.endswith("/.ATTRIBUTES/VARIABLE_VALUE") for name in variables.names):
        raise UserError(
            f"{variables.where}: got a TF2 checkpoint of objects ({some}, …), whose names depend "
            "on the code that saved it; export that model as a SavedModel and give it to `model`"
        )
    raise UserError(
        f"{variables.where}: got the variables {some}, …, expected those of a published BERT, "
        f"ALBERT or ELECTRA, e.g. {FAMILY_VARIABLES['bert']}"
    )


def alias_keras_norms(variables: Variables) -> None:
    """Lets `layer_normalization` and its numbered followers be read as `LayerNorm`, `LayerNorm_1`.

    Keras numbers them through, at times over the whole model; in one scope their order counts.
    """
    scopes: dict[str, list[tuple[int, str]]] = {}
    for name in variables.names:
        found = KERAS_NORM.fullmatch(name)
        if found:
            scopes.setdefault(found.group(1), []).append((int(found.group(2) or 0), name))
    for scope, norms in scopes.items():
        # More than two in a scope would be layers that do not share their weights.
        if len(norms) > 2:
            continue
        for place, (_, gamma) in enumerate(sorted(norms)):
            ours = f"{scope}/LayerNorm{'_1' if place else ''}"
            variables.aliases[f"{ours}/gamma"] = gamma
            variables.aliases[f"{ours}/beta"] = f"{gamma.removesuffix('gamma')}beta"


def find_config(prefix: Path) -> Path:
    """The publisher's json in the checkpoint's directory."""
    for pattern in CONFIG_PATTERNS:
        found = sorted(prefix.parent.glob(pattern))
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(file.name for file in found)
            raise UserError(f"{prefix}: got the configs {names}, expected one; choose by --config")
    raise UserError(
        f"{prefix}: got no json config beside it, expected one of {', '.join(CONFIG_PATTERNS)}; "
        "give the model's by --config (ELECTRA's archives have none, their repositories do)"
    )


def fold_factorised(variables: Variables, naming: Naming, config: EncoderConfig) -> EncoderConfig:
    """Brightmart's first Chinese ALBERT multiplies out its two word tables before all else.

    There positions and types are added, and normalised, at the hidden width; so the product of
    both tables is a word table of that width, and nothing is left to project.
    """
    words = f"{naming.scopes['embeddings']}/word_embeddings"
    narrow = (config.vocab_size, config.embedding_size)
    wide = (config.embedding_size, config.hidden_size)
    variables.derived[words] = lambda: (
        variables.stored(words, narrow) @ variables.stored(f"{words}_2", wide)
    )
    return replace(config, embedding_size=config.hidden_size)


def add_identity_projection(variables: Variables, naming: Naming, config: EncoderConfig) -> None:
    """Google's ALBERT has no projection where the widths are equal; ours gets the identity."""
    kernel, bias = (naming.name("projection", leaf) for leaf in ("kernel", "bias"))
    if kernel is None or bias is None or kernel in variables.names:
        return
    width = config.hidden_size
    variables.derived[kernel] = lambda: np.eye(width, dtype=np.float32)
    variables.derived[bias] = lambda: np.zeros(width, np.float32)
