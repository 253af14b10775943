"""The inputs and outputs of a frozen graph in a bundle's contract."""

import re
from collections.abc import Mapping, Sequence

from export.bundle import TensorSpec
from export.graph.graph import Array, Endpoint, InlinedGraph, find_origins, find_upstream
from export.source.roles import OUTPUT_NAMES, fits_role
from export.source.signature_choice import TensorInfo


def roles_from_layers(
    roles: dict[str, str], outputs: list[TensorInfo], parts: InlinedGraph
) -> dict[str, str]:
    """Adds the roles of an encoder layer's outputs that Keras only numbers.

    A Keras functional model names its outputs after their layer: `bert_encoder`, `bert_encoder_1`
    and so on, as in Model Garden's export. The last layer's output is the tensor of rank 3 that
    depends on all others of rank 3; the pooled output is the only tensor of rank 2. If this is not
    unique, no role is added. Outputs with other names (Keras 3's `output_0`) get no role, since
    token logits look like a layer's output.
    """
    stems = {re.sub(r"_\d+$", "", tensor.name) for tensor in outputs}
    named = set(OUTPUT_NAMES) & set(roles.values())
    if named or len(stems) != 1 or "encoder" not in next(iter(stems)).lower():
        return roles
    of_rank = {role: [t for t in outputs if fits_role(t, role)] for role in OUTPUT_NAMES}
    origins = find_origins(parts)
    layers = of_rank["sequence_output"]
    widths = {tuple((t.shape or [])[2:]) for t in layers}
    last = [
        t.name
        for t in layers
        if {origins[other.name] for other in layers} <= find_upstream(parts, origins[t.name])
    ]
    if not last or len(widths) != 1:
        return roles
    found = roles | {max(last, key=_layer_number): "sequence_output"}
    pooled = [t.name for t in of_rank["pooled_output"]]
    if len({origins[name] for name in pooled}) == 1:
        found[max(pooled, key=_layer_number)] = "pooled_output"
    return found


def _layer_number(name: str) -> int:
    """Returns the number at the end of a layer's name, 0 for the first.

    >>> [_layer_number(name) for name in ("bert_encoder", "bert_encoder_12")]
    [0, 12]
    """
    found = re.search(r"_(\d+)$", name)
    return int(found[1]) if found else 0


def input_specs(endpoints: Sequence[Endpoint], roles: Mapping[str, str]) -> list[TensorSpec]:
    """Returns the inputs with their roles, int32; a fixed size is a number in the shape."""
    return [
        TensorSpec(endpoint.name, roles[endpoint.name], "int32", _shape_spec(endpoint.shape))
        for endpoint in endpoints
    ]


def output_specs(
    endpoints: Sequence[Endpoint],
    roles: Mapping[str, str],
    expected: Mapping[str, Array],
    sequence: int,
) -> list[TensorSpec]:
    """Returns all outputs with their roles, sorted by name; free axes are `batch`, `sequence`.

    A TF1 graph may leave an axis free whose size is constant; its size is that of `expected`.

    Args:
        endpoints: the outputs of the graph.
        roles: their roles, by name.
        expected: values of the outputs, by name.
        sequence: the number of positions of these values.
    """
    specs = []
    for endpoint in sorted(endpoints, key=lambda e: e.name):
        shape = list(endpoint.shape)
        for axis, size in enumerate(expected[endpoint.name].shape):
            if axis > 1 and shape[axis] is None and size != sequence:
                shape[axis] = size
        role = roles.get(endpoint.name, endpoint.name)
        specs.append(TensorSpec(endpoint.name, role, endpoint.dtype.name, _shape_spec(shape)))
    return specs


def _shape_spec(shape: Sequence[int | None]) -> list[str | int]:
    """Returns a shape as the contract has it.

    >>> _shape_spec([None, 64, 312]), _shape_spec([1, None])
    (['batch', 64, 312], [1, 'sequence'])
    """
    free = ("batch", "sequence")
    return [free[min(axis, 1)] if size is None else size for axis, size in enumerate(shape)]


def describe_outputs(outputs: Sequence[TensorSpec]) -> list[str]:
    """Returns messages about the outputs: their roles, and a notice if a role seems missing."""
    known = set(OUTPUT_NAMES)
    shown = [
        f"{spec.name} {spec.dtype}{spec.shape}".replace("'", "")
        + (f" is {spec.role}" if spec.role in known else " has no role")
        for spec in outputs
    ]
    lines = ["outputs: " + "; ".join(shown)]
    if "sequence_output" not in {spec.role for spec in outputs}:
        alike = [
            s.name
            for s in outputs
            if len(s.shape) == 3 and s.dtype == "float32" and s.role not in known
        ]
        how = " or ".join(f"--output sequence_output={name}" for name in alike)
        lines.append(
            "notice: no output is sequence_output, which a classifier is trained on; "
            + (f"if that is what it is, export again with {how}; " if how else "")
            + f"the names that tell it are {', '.join(OUTPUT_NAMES['sequence_output'])}"
        )
    return lines
