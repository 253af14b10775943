"""Opens a TF1 checkpoint: `NAME.index`, `NAME.data-*` and the publisher's json beside them."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.checkpoints.checkpoint import Checkpoint, Variables
from export.checkpoints.config_json import check_config, tf1_config
from export.checkpoints.heads import add_tf1_head
from export.checkpoints.naming import TF1, TF1_LAYER_SHARED, TF1_LEAVES, Naming
from export.encoder_config import EncoderConfig
from support.errors import UserError
from support.input_files import read_object
from support.quiet_tensorflow import tensorflow

# The first pattern that matches a file counts.
CONFIG_PATTERNS = (
    "bert_config*.json",
    "albert_config*.json",
    "*discriminator*.json",
    "electra*config*.json",
    "config.json",
)
LAYER_SHARED = "bert/encoder/layer_shared/"
# A variable that only this family has; a re-saved TF-Hub module has the prefix `module/`.
FAMILY_VARIABLES = {
    "electra": "electra/embeddings/word_embeddings",
    "albert": "bert/encoder/transformer/group_0/inner_group_0/attention_1/self/query/kernel",
    "shared": f"{LAYER_SHARED}attention/self/query/kernel",
    "bert": "bert/encoder/layer_0/attention/self/query/kernel",
}
# Keras's name of a layer norm, which later versions of the publishers' code use.
KERAS_NORM = re.compile(r"(.*)/layer_normalization(?:_(\d+))?/gamma")


def find_prefix(path: Path) -> Path | None:
    """Returns the prefix of a checkpoint; `path` is the prefix, one of its files or a directory.

    Raises:
        UserError: the directory has several checkpoints.
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
    """Opens a checkpoint; `config` replaces the json beside it.

    Raises:
        UserError: a file is damaged, the variables are of no known family; or see `tf1_config`,
            `check_config` and `add_tf1_head`.
    """
    json = config or _find_config(prefix)
    # Read it before TensorFlow, which takes seconds to load.
    document = read_object(json, "the model's json config")
    variables = _open_variables(prefix)
    form, root = _find_form(variables)
    shared = form == "shared"
    family = "albert" if shared else form
    encoder = tf1_config(document, str(json), family)
    scopes = TF1_LAYER_SHARED if shared else TF1[family]
    naming = Naming({part: root + scope for part, scope in scopes.items()}, TF1_LEAVES)
    _alias_keras_norms(variables)
    found = check_config(Checkpoint(encoder, naming, variables, str(json)))
    if shared:
        if found.config.layer_groups or found.config.inner_group_num > 1:
            raise UserError(f"{json}: num_hidden_groups: expected 1, as {LAYER_SHARED} has")
        found = replace(found, config=_fold_factorised(variables, naming, found.config))
    if family == "albert" and found.config.embedding_size == found.config.hidden_size:
        _add_identity_projection(variables, naming, found.config)
    return add_tf1_head(found, root)


def _open_variables(prefix: Path) -> Variables:
    """Opens the variables of a checkpoint."""
    tf, _ = tensorflow()
    # The errors of the C++ reader for a damaged file, by status.
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


def _find_form(variables: Variables) -> tuple[str, str]:
    """Returns the family of the names, or `shared`, and the prefix of the names."""
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


def _alias_keras_norms(variables: Variables) -> None:
    """Adds aliases `LayerNorm` and `LayerNorm_1` for Keras's `layer_normalization_N`.

    Keras sometimes numbers them over the whole model; within one scope their order counts.
    """
    scopes: dict[str, list[tuple[int, str]]] = {}
    for name in variables.names:
        found = KERAS_NORM.fullmatch(name)
        if found:
            scopes.setdefault(found.group(1), []).append((int(found.group(2) or 0), name))
    for scope, norms in scopes.items():
        # More than two in one scope would be layers that do not share their weights.
        if len(norms) > 2:
            continue
        for number, (_, gamma) in enumerate(sorted(norms)):
            ours = f"{scope}/LayerNorm{'_1' if number else ''}"
            variables.aliases[f"{ours}/gamma"] = gamma
            variables.aliases[f"{ours}/beta"] = f"{gamma.removesuffix('gamma')}beta"


def _find_config(prefix: Path) -> Path:
    """Finds the publisher's json in the checkpoint's directory."""
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


def _fold_factorised(variables: Variables, naming: Naming, config: EncoderConfig) -> EncoderConfig:
    """Multiplies the two word tables of brightmart's first Chinese ALBERT into one.

    That model adds positions and types at the hidden width, and normalises there. So the product of
    both tables is a word table of that width, and there is no projection.
    """
    words = f"{naming.scopes['embeddings']}/word_embeddings"
    narrow = (config.vocab_size, config.embedding_size)
    wide = (config.embedding_size, config.hidden_size)
    variables.derived[words] = lambda: (
        variables.read_stored(words, narrow) @ variables.read_stored(f"{words}_2", wide)
    )
    return replace(config, embedding_size=config.hidden_size)


def _add_identity_projection(variables: Variables, naming: Naming, config: EncoderConfig) -> None:
    """Adds an identity projection: Google's ALBERT has none if the widths are equal."""
    kernel, bias = (naming.name("projection", leaf) for leaf in ("kernel", "bias"))
    if kernel is None or bias is None or kernel in variables.names:
        return
    width = config.hidden_size
    variables.derived[kernel] = lambda: np.eye(width, dtype=np.float32)
    variables.derived[bias] = lambda: np.zeros(width, np.float32)
