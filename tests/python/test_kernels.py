"""Compares each single op in Node with TensorFlow: ops that the preflight allows are correct.

The kernels in `export/graph/wrong_kernels.py` are wrong, and the rewrites fix them.
"""

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.node import find_node
from support.quiet_tensorflow import tensorflow
from tests.python.conftest import ROOT

tf, _ = tensorflow()
from tests.python.op_cases import CASES, case_graph, tensorflow_result  # noqa: E402

BACKENDS = ("wasm", "cpu")
BROKEN = 7
# The tolerance of a result; a wrong kernel is off by far more.
ATOL, RTOL = 1e-6, 5e-6


def frozen_case(name: str) -> Any:
    from export.graph.graph import Endpoint, FrozenGraph

    graph_def, inputs, output = case_graph(name)
    return FrozenGraph(
        graph_def,
        {},
        [Endpoint(key, tf.as_dtype(value.dtype), list(value.shape)) for key, value in inputs],
        [Endpoint(output, tf.float32, [])],
    )


def rewrite_graph(frozen: Any) -> Any:
    from export.rewrites.embedding import one_hot_by_equal
    from export.rewrites.matmul import einsum_by_matmul
    from export.rewrites.tfjs_faults import batch_norm_by_moments, faulty_by_sound

    steps = (einsum_by_matmul, one_hot_by_equal, batch_norm_by_moments, faulty_by_sound)
    for step in steps:
        frozen = step(frozen).pruned()
    return frozen


def is_refused(frozen: Any) -> bool:
    from export.graph import preflight
    from support.errors import UserError

    try:
        preflight.check_kernels(frozen)
    except UserError:
        return True
    return False


class Results:
    """Expected results, and Node's results for the plain and the rewritten graphs, by case."""

    def __init__(self, folder: Path) -> None:
        from export.graph import tfjs

        self.expected = {name: tensorflow_result(name) for name in CASES}
        self.plain = {name: frozen_case(name) for name in CASES}
        self.fixed = {name: rewrite_graph(frozen) for name, frozen in self.plain.items()}
        whole, cases = tf.compat.v1.GraphDef(), []
        graphs = [("plain", self.plain), ("fixed", self.fixed)]
        for kind, name, frozen in [
            (k, n, f) for k, graphs_of in graphs for n, f in graphs_of.items()
        ]:
            prefix = f"{kind}/{list(CASES).index(name)}"
            if not all(is_known_op(one.op, tfjs) for one in frozen.graph_def.node):
                continue
            self.folder(whole, frozen.graph_def, prefix)
            inputs = [
                {"name": f"{prefix}/{key}", "dtype": DTYPES[value.dtype.kind],
                 "shape": list(value.shape), "values": as_json(value)}
                for key, value in case_graph(name)[1]
                if key in {one.name for one in frozen.graph_def.node}
            ]  # fmt: skip
            alone = kind == "plain" and CASES[name].alone
            cases.append({"output": f"{prefix}/out", "inputs": inputs, "alone": alone})
        self.write(whole, cases, folder)
        self.got = {backend: run_in_node(folder, backend) for backend in BACKENDS}

    def folder(self, whole: Any, part: Any, prefix: str) -> None:
        """Adds a graph under a prefix, with free axes: a model file has no axis of length 0."""
        whole.versions.CopyFrom(part.versions)
        for one in part.node:
            new = whole.node.add()
            new.CopyFrom(one)
            new.name = f"{prefix}/{one.name}"
            new.input[:] = [f"{prefix}/{name}" for name in one.input if not name.startswith("^")]
            if one.op == "Placeholder":
                for dim in new.attr["shape"].shape.dim:
                    dim.size = -1

    def write(self, whole: Any, cases: list[Any], folder: Path) -> None:
        """Writes the model file and the cases."""
        from export.graph import tfjs
        from export.graph.graph import Endpoint, FrozenGraph

        outputs = [Endpoint(case["output"], tf.float32, []) for case in cases]
        tfjs.write_model(FrozenGraph(whole, {}, [], outputs), {}, folder)
        (folder / "cases.json").write_text(json.dumps(cases), encoding="utf-8")

    def good(self, kind: str, name: str, backend: str) -> bool:
        """Whether Node computed TensorFlow's numbers, in its dtype."""
        got = self.got[backend].get(f"{kind}/{list(CASES).index(name)}/out", {"error": "unknown"})
        wanted = self.expected[name]
        if "error" in got or got["dtype"] != DTYPES[wanted.dtype.kind]:
            return False
        if got["shape"] != list(wanted.shape):
            return False
        special = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf}
        values = np.array([special.get(v, v) for v in got["values"]], np.float64)
        if values.size != wanted.size:
            return False
        values, exact = values.reshape(wanted.shape), wanted.astype(np.float64)
        with np.errstate(invalid="ignore"):
            return bool(np.allclose(values, exact, RTOL, ATOL, equal_nan=True))


DTYPES = {"f": "float32", "i": "int32", "b": "bool"}


def as_json(value: Any) -> list[Any]:
    """Converts a tensor's values to JSON, which has no NaN and no infinities."""
    return [
        str(v) if isinstance(v, float) and not np.isfinite(v) else v for v in value.ravel().tolist()
    ]


def run_in_node(folder: Path, backend: str) -> Any:
    """Runs the cases in Node; after a case that crashes WebAssembly a new process starts."""
    file = folder / f"{backend}.json"
    command = [find_node(), str(ROOT / "tests/python/run_ops.js"), str(folder), backend, str(file)]
    for _ in CASES:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != BROKEN:
            break
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return Results(tmp_path_factory.mktemp("ops"))


def test_ops_that_preflight_allows_are_correct_in_node(results: Results) -> None:
    wrong = [
        (kind, name, backend)
        for kind, graphs in (("plain", results.plain), ("fixed", results.fixed))
        for name, frozen in graphs.items()
        if not is_refused(frozen)
        for backend in BACKENDS
        if not results.good(kind, name, backend)
    ]
    assert wrong == []


def test_kernels_that_are_listed_as_wrong_still_give_wrong_values(results: Results) -> None:
    """If this fails, TF.js was fixed: the entry and its rewrite can be removed."""
    from export.graph.wrong_kernels import WRONG_KERNELS

    shown = set()
    for name, frozen in results.plain.items():
        with tf.Graph().as_default() as graph:
            tf.import_graph_def(frozen.graph_def, name="")
        for op in graph.get_operations():
            for folder, fault in enumerate(WRONG_KERNELS):
                if op.type in fault.ops and fault.when(op):
                    shown |= {(folder, b) for b in BACKENDS if not results.good("plain", name, b)}
    listed = {
        (folder, backend)
        for folder, fault in enumerate(WRONG_KERNELS)
        for backend in fault.backends
    }
    assert [
        (WRONG_KERNELS[folder].ops, backend) for folder, backend in sorted(listed - shown)
    ] == []


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.fixed])
def test_rewrites_make_wrong_ops_correct(results: Results, name: str) -> None:
    assert not is_refused(results.fixed[name])
    assert all(results.good("fixed", name, backend) for backend in BACKENDS)


def test_every_op_that_the_preflight_knows_has_a_case() -> None:
    """Checks the ops that vetting allows and TF.js's converter has."""
    from export.graph import preflight, tfjs
    from export.source.vetting import allowed_ops

    kernels = json.loads(preflight.KERNELS_FILE.read_text(encoding="utf-8"))["kernels"]
    tried = {one.op for name in CASES for one in case_graph(name)[0].node}
    runnable = {
        op
        for op in allowed_ops()
        if all(
            preflight.has_kernels(op, "float32", backend, kernels[backend]) for backend in BACKENDS
        )
    }
    unknown = {op for op in runnable if not is_known_op(op, tfjs)}
    assert sorted(runnable - tried - unknown - NOT_FOR_NUMBERS) == []


def test_every_attribute_that_tfjs_does_not_read_is_known() -> None:
    """TF.js silently ignored `is_training`: a layer norm became NaN."""
    from tensorflow.python.framework import op_def_registry

    from export.graph import preflight
    from export.graph.wrong_kernels import IGNORED_AND_REFUSED, IGNORED_HARMLESSLY
    from export.source.vetting import allowed_ops

    command = [find_node(), str(ROOT / "tests/python/tfjs_attributes.js")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    read = json.loads(done.stdout)
    kernels = json.loads(preflight.KERNELS_FILE.read_text(encoding="utf-8"))["kernels"]
    ignored = {
        attribute.name
        for op in allowed_ops() & set(read)
        if all(
            preflight.has_kernels(op, "float32", backend, kernels[backend]) for backend in BACKENDS
        )
        for attribute in op_def_registry.get(op).attr
        if attribute.name not in read[op] and attribute.type not in ("type", "list(type)")
    }
    assert {"is_training"} < ignored
    assert ignored - {"N", "num", "_output_shapes"} == {*IGNORED_HARMLESSLY, *IGNORED_AND_REFUSED}


# Strings, which wasm lacks; sparse tensors, images and random numbers, which no encoder has.
NOT_FOR_NUMBERS = {
    "StringNGrams", "StringSplit", "StringToHashBucketFast", "SparseFillEmptyRows",
    "SparseReshape", "SparseSegmentMean", "SparseSegmentSum", "SparseToDense", "Multinomial",
    "AvgPool", "MaxPool", "BatchToSpaceND", "SpaceToBatchND", "DepthToSpace", "Conv2D",
    "Bincount", "DenseBincount", "Unique", "Reverse", "BatchMatMul", "Concat", "Gather", "NoOp",
    "ScatterNd", "TensorScatterUpdate", "BroadcastArgs",
}  # fmt: skip


@cache
def is_known_op(op: str, tfjs: Any) -> bool:
    """Whether TF.js's converter has an op."""
    graph_def = tf.compat.v1.GraphDef()
    graph_def.node.add(op=op, name="one")
    return not tfjs.unknown_ops(graph_def)
