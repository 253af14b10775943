"""What each input and output of a signature means, told by its name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from export.bundle import TensorSpec
from export.errors import UserError

if TYPE_CHECKING:
    from export.graph import Endpoint

INPUT_NAMES = {
    "input_ids": ("input_ids", "input_word_ids", "ids", "token_ids"),
    "attention_mask": ("attention_mask", "input_mask", "mask", "masks"),
    "token_type_ids": ("token_type_ids", "input_type_ids", "segment_ids", "type_ids", "types"),
}
OUTPUT_NAMES = {
    "sequence_output": ("sequence_output", "last_hidden_state", "encoder_output"),
    "pooled_output": ("pooled_output", "pooler_output"),
}


def role_of(name: str, meanings: dict[str, tuple[str, ...]]) -> str:
    """The role that a name stands for, or the name itself."""
    return next((role for role, names in meanings.items() if name in names), name)


def input_specs(endpoints: list[Endpoint], where: Path) -> list[TensorSpec]:
    """The inputs with their roles, each int32[batch, sequence].

    Raises:
        UserError: an input that no tokenizer can fill, two of one role, or none for the ids.
    """
    specs = []
    for endpoint in endpoints:
        role = role_of(endpoint.name, INPUT_NAMES)
        if role not in INPUT_NAMES or endpoint.dtype.name != "int32" or len(endpoint.shape) != 2:
            expected = ", ".join(INPUT_NAMES)
            raise UserError(
                f"{where}: got input {endpoint.name} {endpoint.dtype.name}{endpoint.shape}, "
                f"expected int32[batch, sequence] called {expected} or an alias of these"
            )
        specs.append(TensorSpec(endpoint.name, role, "int32", ["batch", "sequence"]))
    roles = [spec.role for spec in specs]
    if "input_ids" not in roles or len(set(roles)) != len(roles):
        names = ", ".join(spec.name for spec in specs) or "none"
        raise UserError(
            f"{where}: got inputs {names}, expected one input_ids and one of each other"
        )
    return specs


def output_specs(endpoints: list[Endpoint]) -> list[TensorSpec]:
    """All outputs with their roles, sorted by name; a free axis is `batch`, then `sequence`."""
    free: tuple[str, str] = ("batch", "sequence")
    return [
        TensorSpec(
            endpoint.name,
            role_of(endpoint.name, OUTPUT_NAMES),
            endpoint.dtype.name,
            [size or free[min(axis, 1)] for axis, size in enumerate(endpoint.shape)],
        )
        for endpoint in sorted(endpoints, key=lambda e: e.name)
    ]
