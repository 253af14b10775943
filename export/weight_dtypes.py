"""Which weights are stored in fewer bits, and what that costs.

TF.js stores a tensor as float16, or as uint16 or uint8 with a scale and a minimum of its own, and
widens it to float32 when it loads.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from export import tfjs
from export.errors import UserError
from export.golden import seen
from export.graph import Array, FrozenGraph, beyond_identities

DTYPES = ("float32", "float16", "uint16", "uint8")
BUDGETS = Path(__file__).parents[1] / "parity_tests" / "budgets.toml"
FLOAT16_MAX = 65504.0


def stored_dtypes(frozen: FrozenGraph, dtype: str) -> dict[str, str]:
    """The dtype of each weight that is not stored in float32.

    Biases and layer norms stay float32: they are a thousandth of the size, and their errors reach
    every position. With uint8 the embeddings get uint16: a table of 21,128 rows has outliers that
    leave the common rows a few of 256 steps.
    """
    if dtype == "float32":
        return {}
    tables = embeddings(frozen)
    stored = {}
    for name, value in frozen.weights.items():
        overflows = dtype == "float16" and bool(np.max(np.abs(value)) > FLOAT16_MAX)
        if value.dtype == np.float32 and value.ndim > 1 and not overflows:
            stored[name] = "uint16" if dtype == "uint8" and name in tables else dtype
    return stored


def embeddings(frozen: FrozenGraph) -> set[str]:
    """The weights that rows are gathered from."""
    nodes = {node.name: node for node in frozen.graph_def.node}
    gathers = [node for node in frozen.graph_def.node if node.op == "GatherV2"]
    return {beyond_identities(nodes, node.input[0]) for node in gathers} & set(frozen.weights)


def accuracy(
    frozen: FrozenGraph,
    stored: Mapping[str, str],
    feeds: Mapping[str, Array],
    expected: Mapping[str, Array],
    visible: Array,
) -> dict[str, dict[str, float | None]]:
    """How far the graph with its weights as stored is from the source's outputs, by output.

    `visible` says which positions count: bool[batch, sequence].

    Returns:
        For each float output `max_abs` and `cosine` (None where a side is all zeros), of three
        digits, so that they do not depend on the machine.
    """
    weights = dict(frozen.weights)
    for name, dtype in stored.items():
        weights[name] = tfjs.as_stored(weights[name], dtype)
    return difference(replace(frozen, weights=weights).run(feeds), expected, visible)


def difference(
    got: Mapping[str, Array], expected: Mapping[str, Array], visible: Array
) -> dict[str, dict[str, float | None]]:
    """`distances` of each expected output at the visible positions, by name."""
    return {
        name: distances(seen(got[name], visible), seen(expected[name], visible))
        for name in sorted(expected)
    }


def distances(one: Array, other: Array) -> dict[str, float | None]:
    """The largest difference and the cosine."""
    a, b = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    cosine = float(f"{a @ b / norms:.9g}") if norms else None
    return {"max_abs": float(f"{np.max(np.abs(a - b), initial=0.0):.1e}"), "cosine": cosine}


def furthest(measured: Mapping[str, Mapping[str, float | None]]) -> str:
    """The output that is furthest off, in words."""
    name = max(measured, key=lambda one: measured[one]["max_abs"] or 0.0)
    return f"{name} is within {measured[name]['max_abs']:g}"


def budget(dtype: str) -> dict[str, Any]:
    """The row of the parity room's table: `atol`, `rtol`, `origin`."""
    row: dict[str, Any] = tomllib.loads(BUDGETS.read_text(encoding="utf-8"))[dtype]
    return row


def refuse_over_budget(
    measured: Mapping[str, Mapping[str, float | None]], dtype: str, force: bool
) -> None:
    """Stops where an output is further off than its dtype may be.

    Raises:
        UserError: names the output; not with `force`.
    """
    allowed = float(budget(dtype)["atol"])
    for name, row in measured.items():
        moved = row["max_abs"]
        if moved is not None and not moved <= allowed and not force:
            raise UserError(
                f"with {dtype} weights {name} is off by {moved:.2g} on the golden cases, expected "
                f"at most {allowed:g}; take a dtype with more bits, or --force"
            )
