"""Reads an encoder's numbers from a publisher's json config.

The two dialects share their keys (those of google-research/bert's `BertConfig`) and differ in
what `"hidden_act": "gelu"` means and in whether the layer norm's epsilon can be chosen.
"""

import json
from pathlib import Path
from typing import Any

from export.architectures.config import ARCHITECTURES, EncoderConfig
from export.errors import UserError

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
    "num_hidden_groups": 1,
    "inner_group_num": 1,
    "is_decoder": False,
    "add_cross_attention": False,
    # albert_zh's key; its other value, `preln`, has the same variable names.
    "ln_type": "postln",
}
# The names on which everybody agrees; all three of `gelu_*` are the tanh form.
ACTIVATIONS = {
    "relu": "relu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}
TF1_EPSILON = 1e-12


def read_json(path: Path) -> dict[str, Any]:
    """A json file that holds one object.

    Raises:
        UserError: no such file, no json, something else than an object.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; give the model's json config") from None
    except ValueError as error:
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
    return encoder_config(document, where, family, gelu, TF1_EPSILON)


def huggingface_config(document: dict[str, Any], where: str) -> EncoderConfig:
    """A Hugging Face `config.json`; `gelu` is the erf form.

    Raises:
        UserError: a `model_type` that is none of the three families; see `encoder_config`.
    """
    family = document.get("model_type")
    if family not in ARCHITECTURES:
        raise UserError(
            f"{where}: model_type: got {family!r}, expected one of {', '.join(ARCHITECTURES)}; "
            "other families have another structure"
        )
    epsilon = TF1_EPSILON
    if "layer_norm_eps" in document:
        epsilon = number(document, where, "layer_norm_eps")
    return encoder_config(document, where, family, "gelu_erf", epsilon)


def encoder_config(
    document: dict[str, Any], where: str, family: str, gelu: str, epsilon: float
) -> EncoderConfig:
    """The config that both dialects come to; `gelu` is what the name `gelu` means.

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


def number(document: dict[str, Any], where: str, key: str) -> Any:
    """The value of a key that must be there and be a number."""
    value = needed(document, where, key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{where}: {key}: got {value!r}, expected a number")
    return value
