"""Single ops with the inputs and attributes of BERT-like graphs, including difficult ones."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from support.quiet_tensorflow import tensorflow

tf, _ = tensorflow()
raw = tf.raw_ops
GENERATOR = np.random.default_rng(5)
INF, NAN = np.inf, np.nan


@dataclass(frozen=True)
class Case:
    """A function of some tensors; `fixed` if TF.js is wrong and a rewrite fixes it.

    `alone` if TF.js overwrites memory, so that no other case may follow in the same process.
    """

    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    fixed: bool = False
    alone: bool = False


CASES: dict[str, Case] = {}


def add_case(
    name: str,
    function: Callable[..., Any],
    *inputs: Any,
    fixed: bool = False,
    alone: bool = False,
) -> None:
    """Adds a case.

    Args:
        name: its name.
        function: the function.
        *inputs: its inputs.
        fixed: see `Case`.
        alone: see `Case`.
    """
    assert name not in CASES, name
    CASES[name] = Case(function, tuple(np.asarray(value) for value in inputs), fixed, alone)


@cache
def case_graph(name: str) -> tuple[Any, list[tuple[str, Any]], str]:
    """Returns the graph of a case, its inputs by name, and the name of its output."""
    one = CASES[name]
    inputs = [(f"in{i}", value) for i, value in enumerate(one.inputs)]
    with tf.Graph().as_default() as graph:
        arguments = [tf.compat.v1.placeholder(v.dtype, v.shape, key) for key, v in inputs]
        tf.identity(one.function(*arguments), "out")
    return graph.as_graph_def(), inputs, "out"


def tensorflow_result(name: str) -> Any:
    """Runs a case in TensorFlow."""
    graph_def, inputs, output = case_graph(name)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.import_graph_def(graph_def, name="")
        return session.run(f"{output}:0", {f"{key}:0": value for key, value in inputs})


def f(*shape: int) -> Any:
    return GENERATOR.normal(size=shape).astype(np.float32)


def i(low: int, high: int, *shape: int) -> Any:
    return GENERATOR.integers(low, high, shape).astype(np.int32)


def floats(*values: Any) -> Any:
    return np.array(values, np.float32)


def ints(*values: Any) -> Any:
    return np.array(values, np.int32)


def taking(op: str, name: str) -> Callable[..., Any]:
    """An op of one tensor."""
    return lambda x: getattr(raw, op)(**{name: x})


def reducing(op: str, axes: list[int]) -> Callable[..., Any]:
    """A reduction along some axes."""
    return lambda x: getattr(raw, op)(input=x, axis=axes)


IDS, OUTSIDE = i(0, 4, 2, 3), ints([-1, 0, 5], [3, 2, 7])


def one_hot(dtype: str, axis: int, on: Any = None, off: Any = None) -> Callable[..., Any]:
    values = {"bool": (True, False)}.get(dtype, (1, 0)) if on is None else (on, off)
    return lambda ids: tf.one_hot(ids, 4, *values, axis=axis, dtype=dtype)


for dtype in ("float32", "int32", "bool"):
    for axis in (-1, 0, 1):
        fixed = (dtype, axis) != ("int32", -1)
        add_case(f"one-hot {dtype} {axis}", one_hot(dtype, axis), IDS, fixed=fixed)
    add_case(f"one-hot {dtype}, ids outside", one_hot(dtype, -1), OUTSIDE, fixed=True)
add_case("one-hot on and off", one_hot("float32", -1, 2.5, -1.0), OUTSIDE, fixed=True)
add_case("one-hot false and true", one_hot("bool", 0, False, True), OUTSIDE, fixed=True)
add_case("one-hot of a vector", one_hot("float32", -1), ints(3, 0, 2), fixed=True)
add_case("one-hot int64", lambda x: tf.cast(one_hot("int64", 1)(x), tf.int32), IDS, fixed=True)


def looked_up(ids: Any, table: Any) -> Any:
    """Looks token types up as TF Model Garden and Google's modeling.py do."""
    flat = tf.one_hot(tf.reshape(ids, [-1]), table.shape[0], dtype=table.dtype)
    return tf.reshape(tf.matmul(flat, table), [*ids.shape, table.shape[1]])


def looked_up_in_3d(ids: Any, table: Any) -> Any:
    return raw.BatchMatMulV2(x=tf.one_hot(ids, table.shape[0]), y=table)


for rows in (2, 16, 40):
    for how in (looked_up, looked_up_in_3d):
        add_case(f"{how.__name__} of {rows}", how, i(0, rows, 2, 3), f(rows, 5), fixed=True)
add_case("looked up outside", looked_up, ints([-1, 0, 40], [39, 99, 7]), f(40, 5), fixed=True)


def batch_norm(op: str, training: bool, layout: str) -> Callable[..., Any]:
    return lambda x, *more: getattr(raw, op)(
        **dict(zip(("x", "scale", "offset", "mean", "variance"), (x, *more), strict=True)),
        epsilon=1e-3, data_format=layout, is_training=training,
    )[0]  # fmt: skip


for op in ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"):
    for training in (True, False):
        for layout in ("NHWC", "NCHW"):
            n = 5 if layout == "NHWC" else 3
            arguments = (floats(), floats()) if training else (f(n), np.abs(f(n)) + np.float32(0.1))
            fixed = training or layout == "NCHW"
            add_case(f"{op} {training} {layout}", batch_norm(op, training, layout),
                 f(2, 3, 4, 5), f(n), f(n), *arguments, fixed=fixed)  # fmt: skip


def keras_layer_norm(x: Any) -> Any:
    """Computes a layer norm with an epsilon of 1e-3 as tf_keras does: a row is a channel."""
    rows = tf.reduce_prod(tf.shape(x)[:-1])
    flat = tf.reshape(x, tf.stack([1, rows, tf.shape(x)[-1], 1]))
    scale, offset = tf.ones([rows]), tf.zeros([rows])
    norm = tf.compat.v1.nn.fused_batch_norm(flat, scale, offset, epsilon=1e-3, data_format="NCHW")
    return tf.reshape(norm[0], tf.shape(x))


add_case("keras layer norm", keras_layer_norm, f(2, 3, 8), fixed=True)
add_case("batch norm's mean", lambda x, s: raw.FusedBatchNormV3(
    x=x, scale=s, offset=s, mean=floats(), variance=floats())[1], f(2, 3, 4, 5), f(5))  # fmt: skip

A, B = f(3, 4), f(3, 4)
INTEGERS, DIVISORS = i(-9, 10, 3, 4), ints([2, -3, 4, -1], [1, 3, -2, 5], [-4, 2, 3, -3])
for op in ("Add", "AddV2", "Sub", "Mul", "Maximum", "Minimum", "SquaredDifference", "FloorDiv",
           "FloorMod", "Mod", "Div"):  # fmt: skip
    call = getattr(raw, op)
    add_case(f"{op} int32", lambda x, y, c=call: c(x=x, y=y), INTEGERS, DIVISORS)
    add_case(f"{op} float", lambda x, y, c=call: c(x=x, y=y), A * 5, B, fixed=op == "FloorDiv")
    add_case(f"{op} broadcast", lambda x, y, c=call: c(x=x, y=y), f(2, 1, 3), f(4, 1))
add_case("Mul large", tf.multiply, ints(46341, 12345, -99999), ints(46340, 6789, 21000))
add_case("RealDiv", lambda x, y: x / y, floats(1, -1, 0, 3), floats(0, 0, 0, 2))
add_case("DivNoNan", tf.math.divide_no_nan, floats(1, -1, 0, 4), floats(0, 0, 0, 2))
add_case("AddN", lambda x, y: tf.add_n([x, y, x]), A, B)
add_case("Pow", tf.pow, floats(-2, -2, -0.5, 0, 4), floats(2, 3, 3, 0, 0.5))
EXTREME = floats(-1e30, -100, -50, -20, -9, -3, -1, -0.5, -1e-3, -1e-8, 0, 1e-8, 1e-3, 0.5, 1, 3,
                 9, 20, 50, 100, 1e30, INF, -INF)  # fmt: skip
for op in ("Tanh", "Sigmoid", "Erf", "Exp", "Expm1", "Abs", "Neg", "Square", "IsNan", "IsInf",
           "IsFinite", "Floor", "Ceil", "Atan", "Sinh", "Cosh", "Sign"):  # fmt: skip
    # A sign that is computed from comparisons is 0 for NaN.
    values = EXTREME if op == "Sign" else np.append(EXTREME, np.float32(NAN))
    add_case(op, taking(op, "x"), values, fixed=op == "Sign")
for op in ("Softplus", "Elu", "Selu", "Relu", "Relu6", "LeakyRelu"):
    add_case(op, taking(op, "features"), EXTREME)
POSITIVE = floats(1e-30, 1e-12, 1e-3, 0.5, 1, 2, 1e3, 1e30, 0, INF, NAN)
for op in ("Sqrt", "Rsqrt", "Log", "Log1p", "Reciprocal"):
    add_case(op, taking(op, "x"), POSITIVE)
for op in ("Sin", "Cos", "Tan", "Asin", "Acos"):
    add_case(op, taking(op, "x"), floats(-1, -0.5, 0, 0.3, 1))
add_case("Atan2", tf.atan2, A, B)
add_case("Round", tf.round, floats(-3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 0.49999997, -0.2))
for op in ("Abs", "Neg", "Sign", "Square"):
    add_case(f"{op} int32", taking(op, "x"), INTEGERS)
add_case(
    "ClipByValue", lambda x: raw.ClipByValue(t=x, clip_value_min=-1, clip_value_max=1), EXTREME
)
add_case("GELU", tf.nn.gelu, A * 3)

add_case("to int", lambda x: tf.cast(x, tf.int32), floats(-3.7, -0.5, 0.5, 2.9, 1e9))
add_case(
    "float to bool", lambda x: tf.cast(x, tf.bool), floats(0, 0.3, -0.2, 1, 2, NAN), fixed=True
)
add_case("int to bool", lambda x: tf.cast(x, tf.bool), ints(0, 1, 2, -1, 256), fixed=True)
add_case("mask of floats", lambda x: tf.where(tf.cast(x, tf.bool), 1.0, 0.0), floats(0, 0.3, 1),
     fixed=True)  # fmt: skip
add_case("bool to float", lambda x: tf.cast(x, tf.float32), np.array([True, False]))
add_case("bool to int", lambda x: tf.cast(x, tf.int32), np.array([True, False]))
add_case("int to float", lambda x: tf.cast(x, tf.float32), ints(16777217, -5, 2147483647))

for kind, values in (("float", f(2, 3, 4)), ("int32", i(-5, 6, 2, 3, 4))):
    for axis in (0, 1, 2):
        for exclusive, reverse in ((False, False), (True, False), (False, True), (True, True)):
            add_case(f"Cumsum {kind} {axis} {exclusive} {reverse}",
                 lambda x, a=axis, e=exclusive, r=reverse: tf.cumsum(x, a, e, r),
                 values)  # fmt: skip
    add_case(f"Cumsum {kind} -2", lambda x: tf.cumsum(x, -2, True, True), values, fixed=True)
add_case("Cumprod", lambda x: tf.math.cumprod(x, 1), f(2, 3, 4))
add_case("Cumprod -1", lambda x: tf.math.cumprod(x, -1), f(2, 3, 4), fixed=True)

TABLE, STACK = f(5, 4), f(3, 5, 4)
add_case("gather", tf.gather, TABLE, i(0, 5, 2, 3))
add_case("gather ints", tf.gather, i(0, 99, 5, 4), i(0, 5, 2, 3))
add_case("gather axis 1", lambda t, x: tf.gather(t, x, axis=1), STACK, i(0, 5, 2))
add_case("gather axis -1", lambda t, x: tf.gather(t, x, axis=-1), STACK, i(0, 4, 2, 2))
add_case("gather in batches", lambda t, x: tf.gather(t, x, batch_dims=1), STACK, i(0, 5, 3, 2),
     fixed=True)  # fmt: skip
add_case("gather in batches of two axes", lambda t, x: tf.gather(t, x, batch_dims=2),
     f(2, 3, 4, 5), i(0, 4, 2, 3, 6), fixed=True)  # fmt: skip
add_case("gather in batches, another axis",
     lambda t, x: tf.gather(t, x, batch_dims=1, axis=2), STACK, i(0, 4, 3, 2))  # fmt: skip
add_case("GatherNd", tf.gather_nd, STACK, i(0, 3, 2, 3))
TIES = floats([1, 3, 3, 2], [5, 5, 5, 5], [-1, -2, -1, 0])
for port in (0, 1):
    add_case(f"TopKV2 {port}", lambda x, p=port: tf.math.top_k(x, 3)[p], TIES)
for op in ("ArgMax", "ArgMin"):
    for axis in (0, -1):
        call = getattr(raw, op)
        add_case(f"{op} {axis}",
             lambda x, c=call, a=axis: c(input=x, dimension=a, output_type=tf.int32),
             TIES)  # fmt: skip

SLICES: dict[str, Callable[[Any], Any]] = {
    "ellipsis": lambda x: x[..., 1],
    "ellipsis in the middle": lambda x: x[1, ..., 2:4],
    "new axis": lambda x: x[:, tf.newaxis, 1],
    "new axes": lambda x: x[tf.newaxis, ..., tf.newaxis, 0],
    "one": lambda x: x[1, 2],
    "negative": lambda x: x[-1, :-1, -3:-1],
    "beyond": lambda x: x[:, 1:99, -99:2],
    "the first position": lambda x: x[:, 0, ...],
}
STEPS: dict[str, Callable[[Any], Any]] = {
    "backwards": lambda x: x[::-1, :, ::-2],
    "backwards from": lambda x: x[:, 2:0:-1],
    "steps": lambda x: x[:, :, ::2, 1::3],
}
for name, function in (SLICES | STEPS).items():
    add_case(f"slice {name}", function, f(2, 3, 4, 5))
    add_case(f"slice of ints {name}", function, i(-9, 9, 2, 3, 4, 5))
add_case("slice of bools", lambda x: (x > 0)[:, tf.newaxis, 1:], A)
add_case("slice of six axes", lambda x: x[:, 0, :, :, 1:, ::2], f(2, 2, 2, 3, 2, 3))
add_case("slice of five axes", lambda x: x[:, 0, :, 1:, ::2], f(2, 2, 2, 3, 3))
add_case("plain slice of six axes", lambda x: x[:, 0, :, 1:, :, 1:], f(2, 2, 2, 3, 2, 3))
add_case("Slice -1", lambda x: tf.slice(x, [0, 1, 0], [-1, -1, 2]), f(2, 3, 4))
add_case("Softmax", tf.nn.softmax, f(2, 3, 4) * 9)
add_case("Softmax axis 1", lambda x: tf.nn.softmax(x, 1), f(2, 3, 4))
add_case("Softmax all masked", lambda x: tf.nn.softmax(x - 1e9), f(2, 4))
add_case("Softmax -inf", tf.nn.softmax, floats([0, -INF, 1], [-INF, -INF, -INF]))
add_case("Softmax least", tf.nn.softmax, floats([-3.4028235e38] * 3, [0, -3.4028235e38, 1]))
add_case("LogSoftmax", tf.nn.log_softmax, f(2, 3, 4) * 9)
for op in ("Sum", "Mean", "Max", "Min", "Prod"):
    for axes in ([0], [1], [-1], [0, 2], [0, 1, 2], []):
        call = reducing(op, axes)
        add_case(f"{op} {axes}", call, f(2, 3, 4))
        add_case(f"{op} int32 {axes}", call, i(-9, 10, 2, 3, 4))
add_case("EuclideanNorm", lambda x: tf.math.reduce_euclidean_norm(x, -1), A)
for op in ("All", "Any"):
    call = getattr(raw, op)
    add_case(op, lambda x, c=call: c(input=x > 0, axis=1), f(2, 3, 4))
for op in ("Equal", "NotEqual", "Greater", "GreaterEqual", "Less", "LessEqual"):
    call = getattr(raw, op)
    add_case(
        op,
        lambda x, y, c=call: c(x=x, y=y),
        floats(1, 2, NAN, INF, 0),
        floats(1, 3, NAN, INF, -0.0),
    )
    add_case(f"{op} int32", lambda x, y, c=call: c(x=x, y=y), ints(16777217, 5, 2**31 - 1),
         ints(16777216, 5, 2**31 - 2))  # fmt: skip
add_case("LogicalAnd", lambda x, y: (x > 0) & (y > 0), A, f(4))
add_case("LogicalOr", lambda x, y: (x > 0) | (y > 0), A, f(4))
add_case("LogicalNot", lambda x: ~(x > 0), A)
add_case("BitwiseAnd", tf.bitwise.bitwise_and, INTEGERS, DIVISORS)
add_case("SelectV2", lambda m, x, y: tf.where(m > 0, x, y), A, B, f(3, 4))
add_case("SelectV2 broadcast", lambda m, x, y: tf.where(m > 0, x, y), f(2, 1, 1, 3), f(2, 4, 3, 1),
     np.float32(-1e9))  # fmt: skip
add_case("SelectV2 ints", lambda m, x, y: tf.where(m > 0, x, y), A, INTEGERS, DIVISORS)
add_case(
    "SelectV2 bools",
    lambda m, x, y: tf.where(m > 0, x > 0, y > 0),
    f(65),
    f(64, 65),
    f(64, 65),
    fixed=True,
    alone=True,
)
add_case("Select", lambda m, x, y: raw.Select(condition=m > 0, x=x, y=y), A, B, f(3, 4))
add_case("Select by row", lambda m, x, y: raw.Select(condition=m > 0, x=x, y=y), f(3), B, f(3, 4),
     fixed=True)  # fmt: skip
add_case("Where floats", lambda m: raw.Where(condition=m), floats(0, 0.3, -1))
add_case("Range", lambda n: tf.range(5, n, -2), ints(-2)[0])
add_case("LinSpace", lambda x: raw.LinSpace(start=x, stop=2.0, num=5), np.float32(0))
add_case("Tile", lambda x: tf.tile(x, [2, 3]), f(2, 2))
add_case("Fill", lambda n: tf.fill([n, 2], 1.5), ints(3)[0])
add_case("ZerosLike", lambda x: raw.ZerosLike(x=x), A)
add_case("OnesLike", lambda x: raw.OnesLike(x=x), INTEGERS)

PRODUCTS = {
    "same": ((2, 3), (2, 3)), "of one": ((2, 3), (1, 3)), "of another rank": ((2, 3), (3,)),
    "of a matrix": ((2,), ()), "in the middle": ((2, 1), (2, 3)), "both": ((2, 1), (1, 3)),
    "both, crossed": ((1, 3), (2, 1)), "front of two": ((3, 1), (3, 2)),
}  # fmt: skip
MIXED = {"in the middle", "both", "both, crossed", "front of two"}
for name, (one, other) in PRODUCTS.items():
    for adjoint in (False, True):
        add_case(f"matrices {name} {adjoint}",
             lambda x, y, t=adjoint: raw.BatchMatMulV2(x=x, y=y, adj_y=t),
             f(*one, 4, 5), f(*other, *((6, 5) if adjoint else (5, 6))),
             fixed=name in MIXED)  # fmt: skip
add_case("matrices of ints", tf.matmul, i(-5, 6, 2, 3, 4), i(-5, 6, 2, 4, 3))
add_case("a matrix of ints", tf.matmul, i(-5, 6, 3, 4), i(-5, 6, 4, 3))
for flags in ((False, False), (True, False), (False, True), (True, True)):
    one, other = ((4, 3) if flags[0] else (3, 4)), ((5, 4) if flags[1] else (4, 5))
    add_case(f"MatMul {flags}", lambda x, y, t=flags: tf.matmul(x, y, *t), f(*one), f(*other))
add_case("BiasAdd", tf.nn.bias_add, f(2, 3, 4), f(4))
add_case("BiasAdd NCHW", lambda x, y: tf.nn.bias_add(x, y, "NCHW"), f(2, 4, 3, 4), f(4), fixed=True)
EQUATIONS: dict[str, list[tuple[int, ...]]] = {
    "...x,xy->...y": [(2, 3, 4), (4, 5)], "bij,bjk->bik": [(2, 3, 4), (2, 4, 5)],
    "...ij,...jk->...ik": [(2, 3, 4, 5), (3, 5, 6)], "...ij,jk->i...k": [(2, 3, 4), (4, 5)],
    "bi,bi->b": [(3, 4), (3, 4)], "i,j->ij": [(3,), (4,)], "ij->ji": [(3, 4)], "ij->": [(3, 4)],
    "bij->jb": [(2, 3, 4)], "abc,cde->abde": [(2, 3, 4), (4, 5, 6)], "ij,jk->k": [(2, 3), (3, 4)],
    "aecd,abcd->acbe": [(2, 3, 4, 5), (2, 6, 4, 5)],
    "...ij,...jk->ik...": [(2, 1, 4, 5), (1, 3, 5, 6)],
    "...d,...d->...": [(2, 3, 4), (4,)],
}  # fmt: skip
for equation, shapes in EQUATIONS.items():
    add_case(f"einsum {equation}", lambda *x, e=equation: tf.einsum(e, *x),
             *(f(*s) for s in shapes),
         fixed=True)  # fmt: skip
add_case("einsum of a diagonal", lambda x: raw.Einsum(inputs=[x], equation="ii->i"), f(3, 3))
add_case("Pad", lambda x: tf.pad(x, [[0, 0], [1, 2], [0, 3]]), f(2, 3, 4))
add_case("PadV2", lambda x: tf.pad(x, [[1, 0], [1, 2]], constant_values=-3), i(0, 9, 2, 3))
add_case("MirrorPad", lambda x: tf.pad(x, [[0, 0], [1, 2]], mode="REFLECT"), f(2, 4))
for port in (0, 1):
    add_case(f"Split {port}", lambda x, p=port: tf.split(x, 2, -1)[p], f(2, 3, 4))
    add_case(f"SplitV {port}", lambda x, p=port: tf.split(x, [1, -1], 1)[p], f(2, 3, 4))
    add_case(f"Unpack {port}", lambda x, p=port: tf.unstack(x, axis=1)[p], f(2, 2, 4))
add_case("Pack", lambda x, y: tf.stack([x, y], -1), A, B)
add_case("ConcatV2", lambda x, y: tf.concat([x, y], 1), A, B)
add_case("Squeeze", lambda x: tf.squeeze(x, [-1]), f(1, 3, 1))
add_case("ExpandDims", lambda x: tf.expand_dims(x, -2), A)
for order in ([1, 0], [2, 0, 1], [0, 2, 1, 3], [4, 2, 0, 1, 3], [5, 0, 3, 1, 4, 2]):
    add_case(f"Transpose {order}", lambda x, p=order: tf.transpose(x, p), f(2, 3, 2, 3, 2, 3)[
        (0,) * (6 - len(order))])  # fmt: skip
add_case("Reshape", lambda x: tf.reshape(x, [-1, 2]), A)
add_case("ReverseV2", lambda x: tf.reverse(x, [1]), f(2, 3, 4))
add_case("ReverseV2 bools", lambda x: tf.reverse(x > 0, [1]), f(64, 65), alone=True)
add_case("BroadcastTo", lambda x: tf.broadcast_to(x, [2, 3, 4]), f(3, 1))
for bounds in ((-1, 0), (0, -1), (1, 2), (-1, -1)):
    add_case(f"MatrixBandPart {bounds}", lambda x, b=bounds: tf.linalg.band_part(x, *b), f(2, 4, 5),
         fixed=True)  # fmt: skip
add_case("Shape", lambda x: raw.Shape(input=x), A)
add_case("ShapeN", lambda x, y: raw.ShapeN(input=[x, y])[1], A, f(2, 7))
add_case("Size and Rank", lambda x: tf.raw_ops.Size(input=x) + tf.raw_ops.Rank(input=x), A)
add_case("IdentityN", lambda x, y: tf.identity_n([x, y])[1], A, B)
add_case("StopGradient", tf.stop_gradient, A)
add_case("EnsureShape", lambda x: tf.ensure_shape(x, [None, 4]), A, fixed=True)
add_case("PlaceholderWithDefault", lambda x: x + tf.compat.v1.placeholder_with_default(2.0, []), A)

# Attributes with other values than their defaults.
for op in ("Sum", "Mean", "Max", "Min", "Prod"):
    call = getattr(raw, op)
    add_case(f"{op} keeping", lambda x, c=call: c(input=x, axis=[1], keep_dims=True), f(2, 3, 4))
for op in ("All", "Any"):
    call = getattr(raw, op)
    add_case(
        f"{op} keeping", lambda x, c=call: c(input=x > 0, axis=[1], keep_dims=True), f(2, 3, 4)
    )
add_case("LeakyRelu 0.3", lambda x: raw.LeakyRelu(features=x, alpha=0.3), EXTREME)
add_case("MirrorPad symmetric", lambda x: tf.pad(x, [[0, 0], [1, 2]], mode="SYMMETRIC"), f(2, 4))
add_case("ArgMax int64", lambda x: tf.cast(raw.ArgMax(input=x, dimension=1), tf.int32), TIES)
add_case("Shape int64", lambda x: tf.cast(raw.Shape(input=x, out_type=tf.int64), tf.int32), A)
add_case("matrices, the first transposed", lambda x, y: raw.BatchMatMulV2(x=x, y=y, adj_x=True),
     f(2, 4, 3), f(2, 4, 5))  # fmt: skip
add_case("GatherNd beyond",
     lambda x, i: raw.GatherNd(params=x, indices=i, bad_indices_policy="IGNORE"),
     f(3, 4), ints([1], [99]), alone=True)  # fmt: skip
