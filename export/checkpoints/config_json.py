"""Reads an encoder's numbers from a publisher's json config.

The two dialects share their keys (those of google-research/bert's `BertConfig`) and differ in
what `"hidden_act": "gelu"` means, in whether the layer norm's epsilon can be chosen, and in how
the number of a layer becomes that of ALBERT's group.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from export.architectures.config import MOST_LAYERS, EncoderConfig
from export.errors import UserError
from export.regular_file import regular

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
# What the encoder is, where a config may ask for something else.
FIXED: dict[str, Any] = {
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    # Of NEZHA's and ERNIE's checkpoints under BERT's names.
    "use_relative_position": False,
    "use_task_id": False,
    "pruned_heads": {},
    # albert_zh's key; its other value, `preln`, has the same variable names.
    "ln_type": "postln",
}
# The names on which everybody agrees. `gelu_10`, which is clipped, and `quick_gelu` are others.
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


def read_json(path: Path) -> dict[str, Any]:
    """A json file that holds one object.

    Raises:
        UserError: no such file, no json, something else than an object.
    """
    try:
        document = json.loads(regular(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; give the model's json config") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is no json: {error}; give the model's json config") from None
    if not isinstance(document, dict):
        raise UserError(f"{path}: got a {type(document).__name__}, expected a json object")
    return document


def tf1_config(document: dict[str, Any], where: str, family: str) -> EncoderConfig:
    """The config beside a TF1 checkpoint; the variables' names tell the family.

    `gelu` is the tanh form in BERT's and ALBERT's code and the erf form in ELECTRA's.

    Raises:
        UserError: see `encoder_config`.
    """
    said = document.get("model_type", family)
    if said != family:
        raise UserError(
            f"{where}: model_type: got {said!r}, but the checkpoint's variables are {family}'s; "
            "give the config of this checkpoint"
        )
    gelu = "gelu_erf" if family == "electra" else "gelu_tanh"
    return encoder_config(
        document, where, family, gelu, TF1_EPSILON, lambda i, n, groups: int(i / n * groups)
    )


def huggingface_config(document: dict[str, Any], where: str, family: str) -> EncoderConfig:
    """A Hugging Face `config.json`; `gelu` is the erf form.

    Raises:
        UserError: see `encoder_config`.
    """
    epsilon = TF1_EPSILON
    if "layer_norm_eps" in document:
        epsilon = number(document, where, "layer_norm_eps")
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
    """The config that both dialects come to.

    Args:
        document: the publisher's json.
        where: its path, for messages.
        family: the architecture.
        gelu: what the activation `gelu` means.
        epsilon: of the layer norms.
        group_of: layer, layers, groups → the layer's group of ALBERT's weights. The publishers'
            formulas round differently: of 22 layers in 22 groups, layer 15 uses group 14 in TF1.

    Raises:
        UserError: a key missing, a number that no encoder can have, an activation or a structure
            that this encoder has not. The message names the file and the key.
    """
    for key, only in FIXED.items():
        if document.get(key, only) != only:
            raise UserError(
                f"{where}: {key}: got {document[key]!r}, expected {only!r}, the only one built here"
            )
    given = [key for key in OPTIONAL if key in document]
    numbers = {key: number(document, where, key) for key in (*REQUIRED, *given)}
    # BERT's embedding is as wide as its layers, and so is ELECTRA's where nothing is said of it.
    if family == "albert" or (family == "electra" and document.get("embedding_size") is not None):
        numbers["embedding_size"] = number(document, where, "embedding_size")
    else:
        numbers["embedding_size"] = numbers["hidden_size"]
    act = activation(needed(document, where, "hidden_act"), where, gelu)
    layers = numbers["num_hidden_layers"]
    if family == "albert" and isinstance(layers, int) and 0 < layers <= MOST_LAYERS:
        groups = count(document, where, "num_hidden_groups", layers)
        numbers["inner_group_num"] = count(document, where, "inner_group_num", MOST_LAYERS)
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


def activation(name: Any, where: str, gelu: str) -> str:
    """Our name of a config's `hidden_act`."""
    known = ACTIVATIONS | {"gelu": gelu}
    if not isinstance(name, str) or name not in known:
        raise UserError(
            f"{where}: hidden_act: got {name!r}, expected one of {', '.join(sorted(known))}"
        )
    return known[name]


def needed(document: dict[str, Any], where: str, key: str) -> Any:
    """The value of a key that must be there."""
    if key not in document:
        raise UserError(f"{where}: got no {key}, expected it; is this the model's json config?")
    return document[key]


def count(document: dict[str, Any], where: str, key: str, most: int) -> int:
    """The value of a key that is 1 where it is missing, and a small positive integer else."""
    value = document.get(key, 1)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise UserError(f"{where}: {key}: got {value!r}, expected an integer from 1 to {most}")
    return value


def number(document: dict[str, Any], where: str, key: str) -> Any:
    """The value of a key that must be there and be a number."""
    value = needed(document, where, key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{where}: {key}: got {value!r}, expected a number")
    return value
