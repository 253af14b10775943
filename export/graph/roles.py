"""What each input and output of a signature means, told by its name or by the person."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from export.bundle import TensorSpec
from export.source.signature_choice import Tensor
from support.errors import UserError

if TYPE_CHECKING:
    from export.graph.graph import Array, Endpoint, Inlined

# The names that publishers give, the surest first; compared in lower case, with `_` for `-`.
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
}  # fmt: skip
INPUT_DTYPES = ("int32", "int64", "bool", "float32")
FLOATS = ("float16", "float32", "float64", "bfloat16")
OUTPUT_RANKS = {"sequence_output": 3, "pooled_output": 2}
SERVING = "serving_default_"


def plain_name(name: str) -> str:
    """A name as the tables have it.

    >>> [plain_name(name) for name in ("Input-Token", "serving_default_input_ids:0")]
    ['input_token', 'input_ids']
    """
    return name.partition(":")[0].lower().replace("-", "_").removeprefix(SERVING)


def role_of(name: str, meanings: Mapping[str, tuple[str, ...]]) -> str:
    """The role that a name stands for, or the name itself."""
    plain = plain_name(name)
    return next((role for role, names in meanings.items() if plain in names), name)


def aliases(meanings: Mapping[str, tuple[str, ...]]) -> str:
    """Every role with its other names, for messages."""
    return "; ".join(f"{role} ({', '.join(names[1:])})" for role, names in meanings.items())


def shape_text(tensor: Tensor) -> str:
    """Dtype and shape for messages, such as `float32[?, ?, 312]`."""
    axes = "..." if tensor.shape is None else ", ".join(str(n or "?") for n in tensor.shape)
    return f"{tensor.dtype}[{axes}]"


def input_roles(inputs: list[Tensor], asked: Mapping[str, str], where: str) -> dict[str, str]:
    """The role of each input by its name; `asked` has names by role.

    Raises:
        UserError: an input that no tokenizer can fill, two of one role, none for the ids, shapes
            that differ, or an asked name that is not there.
    """
    refuse_unknown("input", asked, [tensor.name for tensor in inputs], INPUT_NAMES, where)
    by_name = {name: role for role, name in asked.items()}
    roles = {t.name: by_name.get(t.name) or role_of(t.name, INPUT_NAMES) for t in inputs}
    for tensor in inputs:
        fits = tensor.dtype in INPUT_DTYPES and tensor.rank in (2, None)
        if roles[tensor.name] not in INPUT_NAMES or not fits:
            how = (
                f"; say what it means with --input ROLE={tensor.name}"
                if fits
                else "; export the model with such a signature"
            )
            raise UserError(
                f"{where}: got input {tensor.name} {shape_text(tensor)}, expected "
                f"int32[batch, sequence] called {aliases(INPUT_NAMES)}{how}"
            )
    given = list(roles.values())
    if "input_ids" not in given or len(set(given)) != len(given):
        names = ", ".join(f"{name} ({role})" for name, role in roles.items()) or "none"
        raise UserError(
            f"{where}: got inputs {names}, expected one input_ids and at most one of each other; "
            f"the names are {aliases(INPUT_NAMES)}; or say it with --input ROLE=NAME"
        )
    for axis, called in enumerate(("batch", "sequence")):
        sizes = {t.shape[axis] for t in inputs if t.shape and t.shape[axis] is not None}
        if len(sizes) > 1:
            shapes = ", ".join(f"{t.name} {shape_text(t)}" for t in inputs)
            raise UserError(f"{where}: got inputs {shapes}, expected one size of the {called}")
    return roles


def output_roles(outputs: list[Tensor], asked: Mapping[str, str], where: str) -> dict[str, str]:
    """The role of each output by its name, or the name itself; `asked` has names by role.

    A name stands for a role only where the tensor has the role's dtype and rank. Of several names
    for one role the surest is taken, and the others stand for themselves.

    Raises:
        UserError: an asked name that is not there, or of another dtype or rank.
    """
    by_name = {tensor.name: tensor for tensor in outputs}
    refuse_unknown("output", asked, list(by_name), OUTPUT_NAMES, where)
    for role, name in asked.items():
        if not may_be(by_name[name], role):
            raise UserError(
                f"{where}: got --output {role}={name}, which is {shape_text(by_name[name])}, "
                f"expected float32 of rank {OUTPUT_RANKS[role]}"
            )
        if role in by_name and role != name:
            raise UserError(
                f"{where}: got --output {role}={name}, but another output is called {role}; "
                "leave the option out"
            )
    roles = {name: name for name in by_name}
    for role, names in OUTPUT_NAMES.items():
        fitting = [t.name for t in outputs if plain_name(t.name) in names and may_be(t, role)]
        fitting.sort(key=lambda name: (names.index(plain_name(name)), name))
        for name in [asked[role]] if role in asked else fitting[:1]:
            roles[name] = role
    for role, name in asked.items():
        roles[name] = role
    return roles


def may_be(tensor: Tensor, role: str) -> bool:
    """Whether a tensor has the dtype and the rank of a role."""
    return tensor.dtype in FLOATS and tensor.rank in (OUTPUT_RANKS[role], None)


def refuse_unknown(
    side: str,
    asked: Mapping[str, str],
    names: Sequence[str],
    meanings: Mapping[str, tuple[str, ...]],
    where: str,
) -> None:
    """Stops at `--input` and `--output` that fit nothing.

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
        given = ", ".join(f"{role}={name}" for role, name in asked.items())
        raise UserError(f"got --{side} {given}, expected one role for each {side}")


def from_layers(roles: dict[str, str], outputs: list[Tensor], parts: Inlined) -> dict[str, str]:
    """The roles, with those of an encoder layer's own outputs where Keras only numbered them.

    A Keras functional model calls its outputs after their layer: `bert_encoder`, `bert_encoder_1`
    and so on, as Model Garden's own export has them. The last layer's output is the tensor of rank
    3 that all others of rank 3 lead to; the pooled one is the only tensor of rank 2. Where this
    does not decide, nothing is taken. Outputs of other names (Keras 3's `output_0`) get no role:
    logits of each token look like a layer's output.
    """
    from export.graph.graph import origins_of, upstream_of

    stems = {re.sub(r"_\d+$", "", tensor.name) for tensor in outputs}
    named = set(OUTPUT_NAMES) & set(roles.values())
    if named or len(stems) != 1 or "encoder" not in next(iter(stems)).lower():
        return roles
    of_rank = {role: [t for t in outputs if may_be(t, role)] for role in OUTPUT_NAMES}
    origins = origins_of(parts)
    layers = of_rank["sequence_output"]
    widths = {tuple((t.shape or [])[2:]) for t in layers}
    last = [
        t.name
        for t in layers
        if {origins[other.name] for other in layers} <= upstream_of(parts, origins[t.name])
    ]
    if not last or len(widths) != 1:
        return roles
    found = roles | {max(last, key=number_of): "sequence_output"}
    pooled = [t.name for t in of_rank["pooled_output"]]
    if len({origins[name] for name in pooled}) == 1:
        found[max(pooled, key=number_of)] = "pooled_output"
    return found


def number_of(name: str) -> int:
    """The number that Keras put behind a layer's name, 0 for the first.

    >>> [number_of(name) for name in ("bert_encoder", "bert_encoder_12")]
    [0, 12]
    """
    found = re.search(r"_(\d+)$", name)
    return int(found[1]) if found else 0


def input_specs(endpoints: Sequence[Endpoint], roles: Mapping[str, str]) -> list[TensorSpec]:
    """The inputs with their roles, int32; a number stands where the model fixes a size."""
    return [
        TensorSpec(endpoint.name, roles[endpoint.name], "int32", shape_spec(endpoint.shape))
        for endpoint in endpoints
    ]


def output_specs(
    endpoints: Sequence[Endpoint],
    roles: Mapping[str, str],
    expected: Mapping[str, Array],
    sequence: int,
) -> list[TensorSpec]:
    """All outputs with their roles, sorted by name; a free axis is `batch`, then `sequence`.

    What a TF1 graph leaves open though it never varies is taken from `expected`, outputs for
    `sequence` positions.
    """
    specs = []
    for endpoint in sorted(endpoints, key=lambda e: e.name):
        shape = list(endpoint.shape)
        for axis, size in enumerate(expected[endpoint.name].shape):
            if axis > 1 and shape[axis] is None and size != sequence:
                shape[axis] = size
        role = roles.get(endpoint.name, endpoint.name)
        specs.append(TensorSpec(endpoint.name, role, endpoint.dtype.name, shape_spec(shape)))
    return specs


def shape_spec(shape: Sequence[int | None]) -> list[str | int]:
    """A shape as the contract has it.

    >>> shape_spec([None, 64, 312]), shape_spec([1, None])
    (['batch', 64, 312], [1, 'sequence'])
    """
    free = ("batch", "sequence")
    return [free[min(axis, 1)] if size is None else size for axis, size in enumerate(shape)]


def notices(outputs: Sequence[TensorSpec]) -> list[str]:
    """What to tell a person of the outputs: each with its role, and what seems to lack one."""
    known = set(OUTPUT_NAMES)
    shown = [
        f"{spec.name} {spec.dtype}{spec.shape}".replace("'", "")
        + (f" is {spec.role}" if spec.role in known else " has no role")
        for spec in outputs
    ]
    lines = ["outputs: " + "; ".join(shown)]
    if "sequence_output" not in {spec.role for spec in outputs}:
        alike = [s.name for s in outputs if len(s.shape) == 3 and s.dtype == "float32"]
        how = " or ".join(f"--output sequence_output={name}" for name in alike)
        lines.append(
            "notice: no output is sequence_output, which a classifier is trained on; "
            + (f"if that is what it is, export again with {how}; " if how else "")
            + f"the names that tell it are {', '.join(OUTPUT_NAMES['sequence_output'])}"
        )
    return lines
