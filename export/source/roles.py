"""Finds the role of each input and output of a signature, from its name or the user's options."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from export.source.signature_choice import DEFAULT_SIGNATURE, TensorInfo
from support.errors import UserError

if TYPE_CHECKING:
    pass

# The publishers' names, the most certain first; compared in lower case, with `_` for `-`.
INPUT_NAMES = {
    "input_ids": (
        "input_ids", "input_word_ids", "input_token", "input_tokens", "input_token_ids",
        "token_ids", "word_ids", "ids",
    ),
    "attention_mask": (
        "attention_mask", "input_mask", "padding_mask", "attention_masks", "mask", "masks",
    ),
    "token_type_ids": (
        "token_type_ids", "input_type_ids", "segment_ids", "input_segment", "input_segment_ids",
        "input_segments", "type_ids", "segments", "types",
    ),
}  # fmt: skip
OUTPUT_NAMES = {
    "sequence_output": (
        "sequence_output", "last_hidden_state", "encoder_output", "encoder_outputs",
        "sequence_outputs", "last_hidden_states",
    ),
    "pooled_output": ("pooled_output", "pooler_output", "pooled_outputs"),
    # The scores of a classifier: transformers and Model Garden say `logits`, TensorFlow's
    # estimators and Keras models both. Names such as `scores` or `predictions` say neither.
    "logits": ("logits", "output_logits", "class_logits", "classifier_logits"),
    "probabilities": ("probabilities", "probs", "class_probabilities"),
}  # fmt: skip
INPUT_DTYPES = ("int32", "int64", "bool", "float32")
FLOATS = ("float16", "float32", "float64", "bfloat16")
# Scores are of a text or of each token.
OUTPUT_RANKS: dict[str, tuple[int, ...]] = {
    "sequence_output": (3,),
    "pooled_output": (2,),
    "logits": (2, 3),
    "probabilities": (2, 3),
}
SERVING = f"{DEFAULT_SIGNATURE}_"


def _plain_name(name: str) -> str:
    """Returns a name in the form of the tables.

    >>> [_plain_name(name) for name in ("Input-Token", "serving_default_input_ids:0")]
    ['input_token', 'input_ids']
    """
    return name.partition(":")[0].lower().replace("-", "_").removeprefix(SERVING)


def find_role(name: str, meanings: Mapping[str, tuple[str, ...]]) -> str:
    """Returns the role of a name, or the name itself."""
    plain = _plain_name(name)
    return next((role for role, names in meanings.items() if plain in names), name)


def _describe_roles(meanings: Mapping[str, tuple[str, ...]]) -> str:
    """Describes every role with its other names, for messages."""
    return "; ".join(f"{role} ({', '.join(names[1:])})" for role, names in meanings.items())


def _shape_text(tensor: TensorInfo) -> str:
    """Returns dtype and shape for messages, such as `float32[?, ?, 312]`."""
    axes = "..." if tensor.shape is None else ", ".join(str(n or "?") for n in tensor.shape)
    return f"{tensor.dtype}[{axes}]"


def input_roles(inputs: list[TensorInfo], asked: Mapping[str, str], where: str) -> dict[str, str]:
    """Returns the role of each input by its name; `asked` has the user's names by role.

    Raises:
        UserError: an input has no known role, two inputs have one role, there is none for the ids,
            shapes differ, or a name in `asked` does not exist.
    """
    _refuse_unknown("input", asked, [tensor.name for tensor in inputs], INPUT_NAMES, where)
    by_name = {name: role for role, name in asked.items()}
    roles = {t.name: by_name.get(t.name) or find_role(t.name, INPUT_NAMES) for t in inputs}
    for tensor in inputs:
        fits = tensor.dtype in INPUT_DTYPES and tensor.rank in (2, None)
        if roles[tensor.name] not in INPUT_NAMES or not fits:
            how = (
                f"; say what it means with --input ROLE={tensor.name}"
                if fits
                else "; export the model with such a signature"
            )
            raise UserError(
                f"{where}: got input {tensor.name} {_shape_text(tensor)}, expected "
                f"int32[batch, sequence] called {_describe_roles(INPUT_NAMES)}{how}"
            )
    found_roles = list(roles.values())
    if "input_ids" not in found_roles or len(set(found_roles)) != len(found_roles):
        names = ", ".join(f"{name} ({role})" for name, role in roles.items()) or "none"
        raise UserError(
            f"{where}: got inputs {names}, expected one input_ids and at most one of each other; "
            f"the names are {_describe_roles(INPUT_NAMES)}; or say it with --input ROLE=NAME"
        )
    for axis, called in enumerate(("batch", "sequence")):
        sizes = {t.shape[axis] for t in inputs if t.shape and t.shape[axis] is not None}
        if len(sizes) > 1:
            shapes = ", ".join(f"{t.name} {_shape_text(t)}" for t in inputs)
            raise UserError(f"{where}: got inputs {shapes}, expected one size of the {called}")
    return roles


def output_roles(outputs: list[TensorInfo], asked: Mapping[str, str], where: str) -> dict[str, str]:
    """Returns the role of each output by its name, or the name itself.

    `asked` has the user's names by role. A name means a role only if the tensor has the role's
    dtype and rank. Of several names for one role the most certain gets it.

    Raises:
        UserError: a name in `asked` does not exist, or the tensor has another dtype or rank.
    """
    by_name = {tensor.name: tensor for tensor in outputs}
    _refuse_unknown("output", asked, list(by_name), OUTPUT_NAMES, where)
    for role, name in asked.items():
        if not fits_role(by_name[name], role):
            raise UserError(
                f"{where}: got --output {role}={name}, which is {_shape_text(by_name[name])}, "
                f"expected float32 of rank {' or '.join(map(str, OUTPUT_RANKS[role]))}"
            )
        if role in by_name and role != name:
            raise UserError(
                f"{where}: got --output {role}={name}, but another output is called {role}; "
                "leave the option out"
            )
    roles = {name: name for name in by_name}
    for role, names in OUTPUT_NAMES.items():
        fitting = [t.name for t in outputs if _plain_name(t.name) in names and fits_role(t, role)]
        fitting.sort(key=lambda name: (names.index(_plain_name(name)), name))
        for name in [asked[role]] if role in asked else fitting[:1]:
            roles[name] = role
    for role, name in asked.items():
        roles[name] = role
    return roles


def fits_role(tensor: TensorInfo, role: str) -> bool:
    """Whether a tensor has the dtype and the rank of a role."""
    return tensor.dtype in FLOATS and tensor.rank in (*OUTPUT_RANKS[role], None)


def _refuse_unknown(
    side: str,
    asked: Mapping[str, str],
    names: Sequence[str],
    meanings: Mapping[str, tuple[str, ...]],
    where: str,
) -> None:
    """Refuses wrong `--input` and `--output` options.

    Args:
        side: `input` or `output`.
        asked: the user's names by role.
        names: the names of the signature.
        meanings: the roles, with their names.
        where: the model, for messages.

    Raises:
        UserError: an unknown role, or a name that the signature does not have.
    """
    for role, name in asked.items():
        if role not in meanings:
            raise UserError(
                f"got --{side} {role}={name}, expected one of {', '.join(meanings)} before the ="
            )
        if name not in names:
            raise UserError(
                f"{where}: got --{side} {role}={name}, expected one of its {side}s: "
                f"{', '.join(names) or 'none'}"
            )
    if len(set(asked.values())) != len(asked):
        pairs = ", ".join(f"{role}={name}" for role, name in asked.items())
        raise UserError(f"got --{side} {pairs}, expected one role for each {side}")
