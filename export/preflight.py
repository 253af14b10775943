"""What a graph needs of a TF.js backend, against what each backend has.

`kernels.json` comes from Node: `node node_bridge/backends/kernels.js > export/kernels.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from export.errors import UserError

if TYPE_CHECKING:
    from export.graph import FrozenGraph

KERNELS = Path(__file__).with_name("kernels.json")
TARGETS = ("wasm", "cpu")

# Kernels of the ops that TF.js calls otherwise, or makes of several; others bear the op's name.
NEEDS: dict[str, tuple[str, ...]] = {
    "Add": ("Add",),
    "AddV2": ("Add",),
    "BatchMatMulV2": ("BatchMatMul",),
    "BiasAdd": ("Add",),
    "BroadcastTo": ("Tile",),
    "ConcatV2": ("Concat",),
    "Const": (),
    "DivNoNan": ("RealDiv", "Select"),
    "FloorMod": ("Mod",),
    "FusedBatchNormV3": ("FusedBatchNorm",),
    "Identity": ("Identity",),
    "MatMul": ("BatchMatMul",),
    "Mul": ("Multiply",),
    "NoOp": (),
    "OnesLike": ("Fill",),
    "Pack": ("Pack",),
    "Placeholder": (),
    "Rank": (),
    "SelectV2": ("Select",),
    "Shape": (),
    "Size": (),
    "Split": ("SplitV",),
    "Squeeze": ("Reshape",),
    "StopGradient": ("Identity",),
    "ZerosLike": ("Fill",),
}
# TF.js keeps int64 and double as int32 and float32; no kernel takes half or bfloat16.
DTYPES = {"float32", "float64", "int32", "int64", "bool"}
STRINGS = {"cpu"}


def check(frozen: FrozenGraph) -> None:
    """Stops at the first op that a target backend cannot run.

    Raises:
        UserError: names the op, its dtype, a node and the backends.
    """
    backends: dict[str, list[str]] = json.loads(KERNELS.read_text(encoding="utf-8"))["kernels"]
    for op, dtype, node in sorted(uses(frozen)):
        without = [name for name in TARGETS if not runs(op, dtype, name, backends[name])]
        if without:
            raise UserError(
                f"TF.js has no {op} of {dtype} on {' and '.join(without)} (node {node}); "
                "export the model without it, or report it: a rewrite may be missing"
            )


def runs(op: str, dtype: str, backend: str, kernels: list[str]) -> bool:
    """Whether a backend has every kernel of an op, for a dtype."""
    typed = dtype in DTYPES or (dtype == "string" and backend in STRINGS)
    return typed and all(kernel in kernels for kernel in NEEDS.get(op, (op,)))


def uses(frozen: FrozenGraph) -> set[tuple[str, str, str]]:
    """Each op with each dtype that it takes or gives, and one node that does."""
    # Imported here, since `inspect` reads the tables above without TensorFlow.
    import tensorflow as tf

    found: dict[tuple[str, str], str] = {}
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(frozen.graph_def, name="")
        for op in graph.get_operations():
            for tensor in [*op.inputs, *op.outputs]:
                found.setdefault((op.type, tensor.dtype.name), op.name)
    return {(op, dtype, node) for (op, dtype), node in found.items()}
