"""Checks that each TF.js backend has the kernels of a graph, and computes them correctly.

`kernels.json` comes from Node: `node node_bridge/backends/kernels.js > export/graph/kernels.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from support.errors import UserError

if TYPE_CHECKING:
    from export.graph.graph import FrozenGraph

KERNELS_FILE = Path(__file__).with_name("kernels.json")
TARGET_BACKENDS = ("wasm", "cpu")

# The kernels of ops for which TF.js uses other names or several kernels, from its
# operations/executors and tfjs-core's ops. Other kernels have the op's name.
KERNELS_BY_OP: dict[str, tuple[str, ...]] = {
    "Add": ("Add",),
    "AddV2": ("Add",),
    "BatchMatMulV2": ("BatchMatMul",),
    "BiasAdd": ("Add",),
    "BroadcastTo": ("Tile",),
    "ConcatV2": ("Concat",),
    "Const": (),
    "Div": ("RealDiv",),
    "DivNoNan": ("RealDiv", "Select"),
    "EuclideanNorm": ("Abs", "Max", "Min", "Pow", "Sqrt", "Square", "Sum"),
    "FloorMod": ("Mod",),
    "FusedBatchNormV2": ("FusedBatchNorm",),
    "FusedBatchNormV3": ("FusedBatchNorm",),
    "Gather": ("GatherV2",),
    "Identity": ("Identity",),
    "IdentityN": ("Identity",),
    "LogSoftmax": ("Exp", "Log", "Max", "Sub", "Sum"),
    "MatMul": ("BatchMatMul",),
    "MatrixBandPart": ("GreaterEqual", "LessEqual", "LogicalAnd", "Range", "Select", "Sub"),
    "Mul": ("Multiply",),
    "NoOp": (),
    "OnesLike": ("Fill",),
    "Pad": ("PadV2",),
    "Placeholder": (),
    "PlaceholderWithDefault": (),
    "Rank": (),
    "ReverseV2": ("Reverse",),
    "SelectV2": ("Select",),
    "Shape": (),
    "ShapeN": (),
    "Size": (),
    "Split": ("SplitV",),
    "Squeeze": ("Reshape",),
    "StopGradient": ("Identity",),
    "TopKV2": ("TopK",),
    "ZerosLike": ("Fill",),
}
# TF.js stores int64 and double as int32 and float32; no kernel takes half or bfloat16.
DTYPES = {"float32", "float64", "int32", "int64", "bool"}
STRING_BACKENDS = {"cpu"}


def check_kernels(frozen: FrozenGraph) -> None:
    """Refuses a graph with an op that a target backend cannot run, or computes wrongly.

    Raises:
        UserError: the message names the op, its dtype, a node, the backends and a remedy.
    """
    # Imported here, since `inspect` reads the tables above without TensorFlow.
    import tensorflow as tf

    from export.graph.wrong_kernels import find_wrong_kernel

    backends: dict[str, list[str]] = json.loads(KERNELS_FILE.read_text(encoding="utf-8"))["kernels"]
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(frozen.graph_def, name="")
    operations = sorted(graph.get_operations(), key=lambda op: (op.type, op.name))
    for op in operations:
        for dtype in sorted({tensor.dtype.name for tensor in [*op.inputs, *op.outputs]}):
            without = [
                name
                for name in TARGET_BACKENDS
                if not has_kernels(op.type, dtype, name, backends[name])
            ]
            if without:
                raise UserError(
                    f"TF.js has no {op.type} of {dtype} on {' and '.join(without)} (node "
                    f"{op.name}); save the model without it, or report it: a rewrite may be missing"
                )
    for op in operations:
        found = {name: what for name in TARGET_BACKENDS if (what := find_wrong_kernel(op, name))}
        if found:
            dtype = (*op.inputs, *op.outputs)[0].dtype.name
            raise UserError(
                f"TF.js computes {op.type} of {dtype} wrongly on {' and '.join(found)} (node "
                f"{op.name}): {next(iter(found.values()))}; save the model without it, or report "
                "it: a rewrite may be missing"
            )


def has_kernels(op: str, dtype: str, backend: str, kernels: list[str]) -> bool:
    """Whether a backend has every kernel of an op, for a dtype.

    Args:
        op: the op.
        dtype: the dtype's name.
        backend: the backend.
        kernels: the names of the backend's kernels.
    """
    has_dtype = dtype in DTYPES or (dtype == "string" and backend in STRING_BACKENDS)
    return has_dtype and all(kernel in kernels for kernel in KERNELS_BY_OP.get(op, (op,)))
