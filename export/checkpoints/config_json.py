"""Reads an encoder's configuration from a publisher's json file.

The two dialects (TF1 and Hugging Face) share the keys of google-research/bert's `BertConfig`. They
differ in the meaning of `"hidden_act": "gelu"`, in whether the layer norm's epsilon can be set, and
in how a layer's number maps to ALBERT's group.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from export.checkpoints.checkpoint import Checkpoint
from export.encoder_config import MOST_LAYERS, EncoderConfig
from support.errors import UserError
from support.input_files import require_integer, require_number, short_json

REQUIRED = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
)
OPTIONAL = (
    "max_position_embeddings",
    "type_vocab_size",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "initializer_range",
)
# Keys for which the encoder supports only one value.
SUPPORTED_VALUES: dict[str, Any] = {
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    # In NEZHA's and ERNIE's checkpoints, which use BERT's names.
    "use_relative_position": False,
    "use_task_id": False,
    "pruned_heads": {},
    # albert_zh's key; its other value, `preln`, has the same variable names.
    "ln_type": "postln",
}
# Names with one meaning everywhere. `gelu_10` (clipped) and `quick_gelu` are other functions.
ACTIVATIONS = {
    "relu": "relu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_python": "gelu_erf",
}
TF1_EPSILON = 1e-12


def tf1_config(document: dict[str, Any], where: str, family: str) -> EncoderConfig:
    """Reads the config of a TF1 checkpoint; `family` comes from the variables' names.

    `gelu` is the tanh form in BERT's and ALBERT's code and the erf form in ELECTRA's.

    Raises:
        UserError: see `encoder_config`.
    """
    reported = document.get("model_type", family)
    if reported != family:
        raise UserError(
            f"{where}: model_type: got {short_json(reported)}, but the variables are {family}'s; "
            "give the config of this checkpoint"
        )
    gelu = "gelu_erf" if family == "electra" else "gelu_tanh"
    return encoder_config(
        document, where, family, gelu, TF1_EPSILON, lambda i, n, groups: int(i / n * groups)
    )


def huggingface_config(document: dict[str, Any], where: str, family: str) -> EncoderConfig:
    """Reads a Hugging Face `config.json`; `gelu` is the erf form.

    Raises:
        UserError: see `encoder_config`.
    """
    epsilon = TF1_EPSILON
    if "layer_norm_eps" in document:
        epsilon = require_number(document["layer_norm_eps"], f"{where}: layer_norm_eps")
    return encoder_config(
        document, where, family, "gelu_erf", epsilon, lambda i, n, groups: int(i / (n / groups))
    )


def encoder_config(
    document: dict[str, Any],
    where: str,
    family: str,
    gelu: str,
    epsilon: float,
    group_of: Callable[[int, int, int], int],
) -> EncoderConfig:
    """Reads the config of either dialect.

    Args:
        document: the publisher's json.
        where: its path, for messages.
        family: the architecture.
        gelu: the meaning of the activation `gelu`.
        epsilon: the epsilon of the layer norms.
        group_of: maps layer, number of layers and number of groups to the layer's group of ALBERT's
            weights. The publishers' formulas round differently: with 22 layers and 22 groups, layer
            15 uses group 14 in TF1.

    Raises:
        UserError: a key is missing, a number is impossible, or an activation or a structure is not
            supported. The message names the file and the key.
    """
    for key, only in SUPPORTED_VALUES.items():
        if document.get(key, only) != only:
            raise UserError(
                f"{where}: {key}: got {short_json(document[key])}, expected {short_json(only)}, "
                "the only one built here"
            )
    optional = [key for key in OPTIONAL if key in document]
    numbers: dict[str, Any] = {
        key: require_number(_require_key(document, where, key), f"{where}: {key}")
        for key in (*REQUIRED, *optional)
    }
    # BERT's embedding is as wide as its layers, and so is ELECTRA's unless the config has a size.
    if family == "albert" or (family == "electra" and document.get("embedding_size") is not None):
        width = _require_key(document, where, "embedding_size")
        numbers["embedding_size"] = require_number(width, f"{where}: embedding_size")
    else:
        numbers["embedding_size"] = numbers["hidden_size"]
    act = _read_activation(_require_key(document, where, "hidden_act"), where, gelu)
    layers = numbers["num_hidden_layers"]
    if family == "albert" and isinstance(layers, int) and 0 < layers <= MOST_LAYERS:
        groups = require_integer(
            document.get("num_hidden_groups", 1), f"{where}: num_hidden_groups", 1, layers
        )
        numbers["inner_group_num"] = require_integer(
            document.get("inner_group_num", 1), f"{where}: inner_group_num", 1, MOST_LAYERS
        )
        if groups > 1:
            numbers["layer_groups"] = tuple(group_of(i, layers, groups) for i in range(layers))
    try:
        return EncoderConfig(
            architecture=family,
            activation=act,
            layer_norm_eps=epsilon,
            **numbers,
        )
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _read_activation(name: Any, where: str, gelu: str) -> str:
    """Returns this program's name for a config's `hidden_act`."""
    known = ACTIVATIONS | {"gelu": gelu}
    if not isinstance(name, str) or name not in known:
        raise UserError(
            f"{where}: hidden_act: got {short_json(name)}, expected one of "
            f"{', '.join(sorted(known))}"
        )
    return known[name]


def _require_key(document: dict[str, Any], where: str, key: str) -> Any:
    """Returns the value of a required key."""
    if key not in document:
        raise UserError(f"{where}: got no {key}, expected it; is this the model's json config?")
    return document[key]


# Comparison of a config with the variables, before anything is built or read.


def check_config(checkpoint: Checkpoint) -> Checkpoint:
    """Compares the config with the variables, and returns the checkpoint.

    If the variables have no pooler, the config gets none either, and a notice reports it.

    Raises:
        UserError: the config has another size, more layers or other groups than the variables.
    """
    _refuse_other_layers(checkpoint)
    _refuse_other_sizes(checkpoint)
    names = checkpoint.variables.names
    pooler = [checkpoint.naming.name("pooler", leaf) for leaf in ("kernel", "bias")]
    if not checkpoint.config.has_pooler or any(name in names for name in pooler):
        return checkpoint
    notice = f"{checkpoint.variables.where}: has no pooler, so the model gives no pooled_output"
    config = replace(checkpoint.config, saved_pooler=False)
    return replace(checkpoint, config=config, notices=[*checkpoint.notices, notice])


def _refuse_other_layers(checkpoint: Checkpoint) -> None:
    """Refuses a config with more layers, or other groups, than the variables."""
    config, naming = checkpoint.config, checkpoint.naming
    scope = naming.scopes["query"]
    if "{0}" not in scope:
        return
    # The text before and between the numbers; the rest of the name is the same in all layers.
    parts = re.split(r"\{[01]\}", f"{scope}{naming.leaves['kernel']}")
    pattern = re.compile(r"(\d+)".join(map(re.escape, parts)))
    found = [
        tuple(map(int, m.groups())) for m in map(pattern.fullmatch, checkpoint.variables.names) if m
    ]
    if not found:
        return
    if not config.shared_layers:
        there = 1 + max(numbers[0] for numbers in found)
        _require_config(
            config.num_hidden_layers <= there,
            checkpoint,
            f"num_hidden_layers: got {config.num_hidden_layers}, but the variables are those of "
            f"{there} layers",
        )
        return
    groups, inner = (len({numbers[i] for numbers in found}) for i in (0, 1))
    for key, got, there in (
        ("num_hidden_groups", len(set(config.layer_groups)) or 1, groups),
        ("inner_group_num", config.inner_group_num, inner),
    ):
        _require_config(
            got == there, checkpoint, f"{key}: {got} in use, but the variables have {there}"
        )


def _refuse_other_sizes(checkpoint: Checkpoint) -> None:
    """Refuses a config with another size than a variable."""
    config = checkpoint.config
    width = "hidden_size" if config.architecture == "bert" else "embedding_size"
    kernel = 1 if checkpoint.naming.transposes else 0
    sizes = [
        ("vocab_size", "embeddings", "word_embeddings", 0),
        (width, "embeddings", "word_embeddings", 1),
        ("max_position_embeddings", "embeddings", "position_embeddings", 0),
        ("type_vocab_size", "embeddings", "token_type_embeddings", 0),
        ("hidden_size", "query", "kernel", kernel),
        ("intermediate_size", "intermediate", "kernel", 1 - kernel),
    ]
    for key, part, leaf, axis in sizes:
        name = str(checkpoint.naming.name(part, leaf, config.blocks[0]))
        got, shape = getattr(config, key), checkpoint.variables.shapes.get(name)
        if shape is None:
            # Otherwise nothing would contradict the size, and a huge encoder might be built first.
            raise UserError(
                f"{checkpoint.variables.where}: got no variable {name} among its "
                f"{len(checkpoint.variables.names)}, expected it with {key} {got}; is the config "
                "the one of this checkpoint?"
            )
        _require_config(
            len(shape) == 2 and got == shape[axis],
            checkpoint,
            f"{key}: got {got}, but {name} is {list(shape)}"
            + (f", which has {shape[axis]}" if len(shape) == 2 else ", which is no matrix"),
        )


def _require_config(holds: bool, checkpoint: Checkpoint, problem: str) -> None:
    """Raises an error about the config unless a condition holds."""
    if not holds:
        raise UserError(f"{checkpoint.config_file}: {problem}; give the config of this checkpoint")
