"""Lists where TF.js computes other numbers than TensorFlow without an error, or crashes (measured).

`tests/python/test_kernels.py` runs each entry in Node and compares it with TensorFlow, so that an
upstream fix is noticed. Rewrites remove some of these ops; the preflight refuses the others.
"""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

BOTH = ("wasm", "cpu")
BATCH_NORMS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")


@dataclass(frozen=True)
class WrongKernel:
    """One fault: the ops, the condition, the backends, and the effect."""

    ops: tuple[str, ...]
    when: Callable[[tf.Operation], bool]
    backends: tuple[str, ...]
    what: str


def always(op: tf.Operation) -> bool:
    """Holds for every op: the kernel is always wrong."""
    return op is not None


def _takes_dtype(*kinds: str) -> Callable[[tf.Operation], bool]:
    """Returns a condition: the first input's dtype is one of `float`, `int`, `bool`."""

    def when(op: tf.Operation) -> bool:
        dtype = op.inputs[0].dtype
        kind = "bool" if dtype == tf.bool else "int" if dtype.is_integer else "float"
        return kind in kinds

    return when


def mixed_batches(one: tf.TensorShape, other: tf.TensorShape) -> bool:
    """Whether a batched product broadcasts more than the leading axes of one operand.

    TF.js takes matrix i modulo the number of matrices of an operand. That is correct only if a
    single operand is repeated, and only along its leading axes. A free length counts as more than
    1.

    >>> shape = tf.TensorShape
    >>> mixed_batches(shape([2, 3, 4, 5]), shape([1, 3, 5, 6]))
    False
    >>> mixed_batches(shape([2, 1, 4, 5]), shape([2, 3, 5, 6]))
    True
    """
    if one.rank is None or other.rank is None:
        return True
    lead = max(one.rank, other.rank) - 2
    first, second = ([1] * (lead + 2 - s.rank) + s.as_list()[:-2] for s in (one, other))
    repeated = [
        [n for n in range(lead) if a[n] == 1 != b[n]] for a, b in _both_orders(first, second)
    ]
    if all(repeated):
        return True
    for axes, (a, _) in zip(repeated, _both_orders(first, second), strict=True):
        if axes and any(size != 1 for size in a[: max(axes)]):
            return True
    return False


def _both_orders(a: list[int], b: list[int]) -> list[tuple[list[int], list[int]]]:
    """Returns both orders of a pair."""
    return [(a, b), (b, a)]


def _strides_over_integers(op: tf.Operation) -> bool:
    """Whether a slice has steps other than 1 and its input is no float."""
    steps = tf.get_static_value(op.inputs[3])
    return op.inputs[0].dtype != tf.float32 and (steps is None or bool((steps != 1).any()))


def _steps_of_many_axes(op: tf.Operation) -> bool:
    """Whether a slice has steps other than 1 and its input has five or more axes."""
    steps = tf.get_static_value(op.inputs[3])
    many = op.inputs[0].shape.rank is None or op.inputs[0].shape.rank > 4
    return many and (steps is None or bool((steps != 1).any()))


def _uses_later_output(op: tf.Operation) -> bool:
    """Whether an output other than the first is used."""
    return any(output.consumers() for output in op.outputs[1:])


def _has_negative_axis(op: tf.Operation) -> bool:
    """Whether the axis counts from the end, or is unknown."""
    axis = tf.get_static_value(op.inputs[1])
    return axis is None or int(axis) < 0


def _selects_rows(op: tf.Operation) -> bool:
    """Whether a selection chooses between rows."""
    return bool(op.inputs[0].shape.rank == 1 != op.inputs[1].shape.rank)


def _has_attribute(name: str, *values: object) -> Callable[[tf.Operation], bool]:
    """Returns a condition: an attribute has one of some values."""
    return lambda op: op.get_attr(name) in values


WRONG_KERNELS: tuple[WrongKernel, ...] = (
    WrongKernel(("OneHot",), _takes_dtype("int"), BOTH,
                "int bits under a float label; ignores the axis"),
    WrongKernel(BATCH_NORMS, _has_attribute("is_training", True), BOTH,
                "NaN: is_training is ignored"),
    WrongKernel(BATCH_NORMS, _has_attribute("data_format", b"NCHW"), BOTH, "NCHW is read as NHWC"),
    WrongKernel(BATCH_NORMS, _uses_later_output, BOTH, "no outputs but the first"),
    WrongKernel(
        ("Cast",),
        lambda op: op.outputs[0].dtype == tf.bool != op.inputs[0].dtype,
        ("wasm",),
        "0.3 becomes false and 2 stays 2",
    ),
    WrongKernel(("Cumsum", "Cumprod"), _has_negative_axis, BOTH, "a negative axis: out of bounds"),
    WrongKernel(
        ("GatherV2",),
        lambda op: op.get_attr("batch_dims") > 0,
        ("wasm",),
        "other rows with batch_dims, or out of bounds",
    ),
    WrongKernel(
        ("BatchMatMul", "BatchMatMulV2"),
        lambda op: mixed_batches(op.inputs[0].shape, op.inputs[1].shape),
        BOTH,
        "other matrices where more than leading axes are broadcast",
    ),
    WrongKernel(
        ("MatMul", "_FusedMatMul", "BatchMatMul", "BatchMatMulV2"),
        _takes_dtype("int"),
        ("wasm",),
        "only float32 is multiplied",
    ),
    WrongKernel(("MatrixBandPart",), always, BOTH, "other elements for a negative bound"),
    WrongKernel(("BiasAdd",), _has_attribute("data_format", b"NCHW"), BOTH, "NCHW is read as NHWC"),
    WrongKernel(("Sign",), _takes_dtype("float"), ("wasm",), "0 for small numbers"),
    WrongKernel(("Select", "SelectV2"), lambda op: op.inputs[1].dtype == tf.bool, ("wasm",),
                "writes four bytes for a bool"),
    WrongKernel(("Select",), _selects_rows, BOTH, "an error: a condition of rows is no broadcast"),
    WrongKernel(("ReverseV2",), _takes_dtype("bool"), ("wasm",), "writes four bytes for a bool"),
    WrongKernel(("StridedSlice",), _strides_over_integers, ("wasm",), "int bits as float32"),
    WrongKernel(("StridedSlice",), _steps_of_many_axes, BOTH, "other elements of five axes"),
    WrongKernel(("Mean",), _takes_dtype("int"), BOTH, "a fraction where TensorFlow has an integer"),
    WrongKernel(("Mod",), always, BOTH, "the sign of the divisor, TensorFlow has the dividend's"),
    WrongKernel(("Div",), _takes_dtype("int"), BOTH, "rounds down, TensorFlow to zero"),
    WrongKernel(("FloorDiv",), _takes_dtype("float"), ("cpu",),
                "int32 where TensorFlow has float32"),
    WrongKernel(("ShapeN",), always, BOTH, "float32 where TensorFlow has int32"),
    WrongKernel(("BitwiseAnd",), always, BOTH, "an error: the converter reads other inputs"),
    WrongKernel(("EnsureShape",), always, BOTH, "an error: the converter reads no shape"),
    WrongKernel(("GatherNd", "ScatterNd", "TensorScatterUpdate"),
                _has_attribute("bad_indices_policy", b"IGNORE"), ("cpu",),
                "an error where TensorFlow has 0; wasm reads what lies beyond"),
    WrongKernel(("Where",), _takes_dtype("float", "int"), ("wasm",),
                "bytes of numbers as booleans"),
)  # fmt: skip

# Attributes that TF.js's converter does not read, except dtypes, which its tensors have;
# `tests/python/test_kernels.py` compares the list with TF.js. None of these changes a number:
IGNORED_HARMLESSLY = {
    "exponential_avg_factor": "a batch norm's other outputs alone depend on it; those are refused",
    "grad_a": "a note for gradients",
    "grad_b": "a note for gradients",
    "grad_x": "a note for gradients",
    "grad_y": "a note for gradients",
    "incompatible_shape_error": "TF.js always has an error there",
    "num_split": "the sizes say it too",
    "sparse_gradient": "a note for gradients",
    "Truncate": "of casts to dtypes narrower than float32, which no backend has",
    "use_cudnn_on_gpu": "a choice of library",
    "value": "a constant's, which is a weight in the bundle",
}
# These change numbers; entries of `WRONG_KERNELS` check them.
IGNORED_AND_REFUSED = {"is_training", "bad_indices_policy"}


def find_wrong_kernel(op: tf.Operation, backend: str) -> str | None:
    """Returns what a backend computes wrongly for an op in a graph; None if nothing is known."""
    found = (f for f in WRONG_KERNELS if op.type in f.ops and backend in f.backends and f.when(op))
    return next((fault.what for fault in found), None)
