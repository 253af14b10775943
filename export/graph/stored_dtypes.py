"""Chooses the dtypes of stored weights, and measures the effect of fewer bits.

TF.js stores a tensor as float16, or as uint16 or uint8 with its own scale and minimum, and converts
it to float32 when it loads.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2
from tensorflow.python.framework import tensor_util

from export.golden import visible_values
from export.graph import tfjs
from export.graph.graph import Array, FrozenGraph, skip_identities
from numerics.budgets import Budget, Cost, atol_ceiling, derive_budget, round_up
from support.errors import UserError

FLOAT16_MAX = 65504.0


def choose_stored_dtypes(frozen: FrozenGraph, dtype: str) -> dict[str, str]:
    """Returns the dtype of each weight that is not stored in float32.

    Biases and layer norms stay float32: they are a thousandth of the size, and their errors affect
    every position. With uint8 the embeddings get uint16: a table of 21,128 rows has outliers, so
    that common rows would use only a few of 256 steps.
    """
    if dtype == "float32":
        return {}
    tables = _embedding_weights(frozen)
    stored = {}
    for name, value in frozen.weights.items():
        overflows = dtype == "float16" and bool(np.max(np.abs(value)) > FLOAT16_MAX)
        if value.dtype == np.float32 and value.ndim > 1 and not overflows:
            stored[name] = "uint16" if dtype == "uint8" and name in tables else dtype
    return stored


def _embedding_weights(frozen: FrozenGraph) -> set[str]:
    """Returns the names of the weights from which rows are gathered."""
    nodes = {node.name: node for node in frozen.graph_def.node}
    gathers = [node for node in frozen.graph_def.node if node.op == "GatherV2"]
    return {skip_identities(nodes, node.input[0]) for node in gathers} & set(frozen.weights)


def run_as_stored(
    frozen: FrozenGraph, stored: Mapping[str, str], feeds: Mapping[str, Array]
) -> dict[str, Array]:
    """Runs the graph with its weights as they are stored; returns outputs by name."""
    weights = dict(frozen.weights)
    for name, dtype in stored.items():
        weights[name] = tfjs.round_to_stored(weights[name], dtype)
    return replace(frozen, weights=weights).run(feeds)


def measure_accuracy(
    got: Mapping[str, Array], expected: Mapping[str, Array], visible: Array
) -> dict[str, dict[str, float | None]]:
    """Measures the differences between the bundle's and the source's outputs.

    `visible` has the positions that count: bool[batch, sequence].

    Returns:
        For each output `max_abs` and `cosine` (None if a side is all zeros), rounded, so that they
        do not depend on the machine.
    """
    return {
        name: _measure_distances(
            visible_values(got[name], visible), visible_values(expected[name], visible)
        )
        for name in sorted(expected)
    }


def _measure_distances(one: Array, other: Array) -> dict[str, float | None]:
    """Returns the largest difference and the cosine of two arrays."""
    a, b = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    cosine = float(f"{a @ b / norms:.9g}") if norms else None
    return {"max_abs": float(f"{np.max(np.abs(a - b), initial=0.0):.1e}"), "cosine": cosine}


def describe_furthest(measured: Mapping[str, Mapping[str, float | None]]) -> str:
    """Describes the output with the largest difference."""
    name = max(measured, key=lambda one: measured[one]["max_abs"] or 0.0)
    return f"{name} is within {measured[name]['max_abs']:g}"


def derive_budgets(costs: Mapping[str, Cost], dtype: str, force: bool) -> dict[str, Budget]:
    """Derives the budget of each output and tap from the cost of float32 there.

    Raises:
        UserError: the cost is larger than in any sound model, and `force` is false.
    """
    found = {name: derive_budget(cost, dtype) for name, cost in costs.items()}
    for name, budget in found.items():
        most = atol_ceiling(costs[name], dtype)
        if not budget.atol <= most and not force:
            raise UserError(
                f"float32 costs the model {costs[name].largest:.2g} at {name}, whose values are of "
                f"the size {costs[name].rms:.2g}: got a budget of {budget.atol:.2g}, expected at "
                f"most {most:.2g}; is the model whole? --force exports it all the same"
            )
    return found


def budgets_for_contract(
    costs: Mapping[str, Cost], allowed: Mapping[str, Budget]
) -> dict[str, dict[str, Any]]:
    """Returns the budgets as the contract has them, each with the cost of float32."""
    return {
        name: asdict(budget) | {"float32_cost": round_up(costs[name].largest)}
        for name, budget in allowed.items()
    }


def widest_budget(allowed: Mapping[str, Budget], outputs: Iterable[str]) -> dict[str, Any]:
    """Returns the widest budget of the outputs, for readers that use only one budget."""
    return asdict(max((allowed[n] for n in outputs if n in allowed), key=lambda b: b.atol))


def refuse_over_budget(
    got: Mapping[str, Array],
    expected: Mapping[str, Array],
    visible: Array,
    allowed: Mapping[str, Budget],
    *,
    dtype: str,
    force: bool,
) -> None:
    """Refuses outputs that differ by more than their budget.

    Args:
        got: the outputs of the bundle's graph, by name.
        expected: the outputs of the source.
        visible: which positions count, bool[batch, sequence].
        allowed: the budgets by output.
        dtype: the dtype of the stored weights.
        force: whether to accept any difference.

    Raises:
        UserError: an output differs; the message names it.
    """
    for name, budget in allowed.items():
        if name not in expected or force:
            continue
        one, other = (
            visible_values(side[name], visible).astype(np.float64) for side in (got, expected)
        )
        moved = np.abs(one - other)
        if not np.all(moved <= budget.atol + budget.rtol * np.abs(other)):
            remedy = (
                "please report the model" if dtype == "float32" else "take a dtype with more bits"
            )
            raise UserError(
                f"with {dtype} weights {name} is off by {np.max(moved):.2g} on the golden cases, "
                f"expected at most {budget.atol:g}; {remedy}, or --force"
            )


# Conversion of models in float16, bfloat16 or float64 to float32, the only float of TF.js.
#
# Widening the weights of a half-precision model is exact, and the sums are then more precise than
# the source's. So the bundle's reference is the source's function in float32; the difference from
# the source's outputs is measured and reported.

HALF_DTYPES = (tf.float16, tf.bfloat16)
OTHER_FLOATS = {dtype.as_datatype_enum for dtype in (*HALF_DTYPES, tf.float64)}
FLOAT32 = tf.float32.as_datatype_enum


def convert_to_float32(frozen: FrozenGraph) -> tuple[FrozenGraph, list[str]]:
    """Returns the graph with float32 for every other float, and the half-precision dtypes it had.

    Weights and outputs are converted too. A graph with only float32 is returned unchanged.
    """
    found: set[int] = set()
    result = graph_pb2.GraphDef(versions=frozen.graph_def.versions)
    for node in frozen.graph_def.node:
        new = result.node.add()
        new.CopyFrom(node)
        found |= _convert_node(new)
    if not found:
        return frozen, []
    weights = arrays_to_float32(frozen.weights)
    outputs = [
        replace(end, dtype=tf.float32) if end.dtype.as_datatype_enum in OTHER_FLOATS else end
        for end in frozen.outputs
    ]
    halves = sorted(dtype.name for dtype in HALF_DTYPES if dtype.as_datatype_enum in found)
    return replace(frozen, graph_def=result, weights=weights, outputs=outputs), halves


def arrays_to_float32(values: Mapping[str, Array]) -> dict[str, Array]:
    """Returns arrays by name, with those of another float converted to float32."""
    return {
        name: value.astype(np.float32)
        if tf.as_dtype(value.dtype).as_datatype_enum in OTHER_FLOATS
        else value
        for name, value in values.items()
    }


def _convert_node(node: node_def_pb2.NodeDef) -> set[int]:
    """Converts a node's other floats to float32 in place; returns their dtypes."""
    found: set[int] = set()
    for value in node.attr.values():
        kind = value.WhichOneof("value")
        if kind == "type" and value.type in OTHER_FLOATS:
            found.add(value.type)
            value.type = FLOAT32
        elif kind == "list":
            found |= set(value.list.type) & OTHER_FLOATS
            value.list.type[:] = [FLOAT32 if t in OTHER_FLOATS else t for t in value.list.type]
        elif kind == "tensor" and value.tensor.dtype in OTHER_FLOATS:
            found.add(value.tensor.dtype)
            numbers = tensor_util.MakeNdarray(value.tensor).astype(np.float32)
            value.tensor.CopyFrom(tensor_util.make_tensor_proto(numbers))
    if node.op == "Cast" and node.attr["SrcT"].type == node.attr["DstT"].type:
        dtype = node.attr["DstT"].type
        node.op = "Identity"
        node.attr.clear()
        node.attr["T"].type = dtype
    return found
