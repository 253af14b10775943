"""Single ops with the inputs and attributes that BERT-like graphs have, hard ones among them."""

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
    """A function of some tensors; `mended` where TF.js is wrong and a rewrite makes it right.

    `alone` where TF.js writes over memory, so that no case may come after it in a process.
    """

    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    mended: bool = False
    alone: bool = False


CASES: dict[str, Case] = {}


def case(
    name: str,
    function: Callable[..., Any],
    *inputs: Any,
    mended: bool = False,
    alone: bool = False,
) -> None:
    """Adds one."""
    assert name not in CASES, name
    CASES[name] = Case(function, tuple(np.asarray(value) for value in inputs), mended, alone)


@cache
def graph_of(name: str) -> tuple[Any, list[tuple[str, Any]], str]:
    """The graph, its inputs by name, and its output."""
    one = CASES[name]
    inputs = [(f"in{i}", value) for i, value in enumerate(one.inputs)]
    with tf.Graph().as_default() as graph:
        given = [tf.compat.v1.placeholder(v.dtype, v.shape, key) for key, v in inputs]
        tf.identity(one.function(*given), "out")
    return graph.as_graph_def(), inputs, "out"


def expected_of(name: str) -> Any:
    """What TensorFlow gives."""
    graph_def, inputs, output = graph_of(name)
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
        mended = (dtype, axis) != ("int32", -1)
        case(f"one-hot {dtype} {axis}", one_hot(dtype, axis), IDS, mended=mended)
    case(f"one-hot {dtype}, ids outside", one_hot(dtype, -1), OUTSIDE, mended=True)
case("one-hot on and off", one_hot("float32", -1, 2.5, -1.0), OUTSIDE, mended=True)
case("one-hot false and true", one_hot("bool", 0, False, True), OUTSIDE, mended=True)
case("one-hot of a vector", one_hot("float32", -1), ints(3, 0, 2), mended=True)
case("one-hot int64", lambda x: tf.cast(one_hot("int64", 1)(x), tf.int32), IDS, mended=True)


def looked_up(ids: Any, table: Any) -> Any:
    """As TF Model Garden and Google's modeling.py look token types up."""
    flat = tf.one_hot(tf.reshape(ids, [-1]), table.shape[0], dtype=table.dtype)
    return tf.reshape(tf.matmul(flat, table), [*ids.shape, table.shape[1]])


def looked_up_in_3d(ids: Any, table: Any) -> Any:
    return raw.BatchMatMulV2(x=tf.one_hot(ids, table.shape[0]), y=table)


for rows in (2, 16, 40):
    for how in (looked_up, looked_up_in_3d):
        case(f"{how.__name__} of {rows}", how, i(0, rows, 2, 3), f(rows, 5), mended=True)
case("looked up outside", looked_up, ints([-1, 0, 40], [39, 99, 7]), f(40, 5), mended=True)


def batch_norm(op: str, training: bool, layout: str) -> Callable[..., Any]:
    return lambda x, *more: getattr(raw, op)(
        **dict(zip(("x", "scale", "offset", "mean", "variance"), (x, *more), strict=True)),
        epsilon=1e-3, data_format=layout, is_training=training,
    )[0]  # fmt: skip


for op in ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"):
    for training in (True, False):
        for layout in ("NHWC", "NCHW"):
            n = 5 if layout == "NHWC" else 3
            given = (floats(), floats()) if training else (f(n), np.abs(f(n)) + np.float32(0.1))
            mended = training or layout == "NCHW"
            case(f"{op} {training} {layout}", batch_norm(op, training, layout),
                 f(2, 3, 4, 5), f(n), f(n), *given, mended=mended)  # fmt: skip


def keras_layer_norm(x: Any) -> Any:
    """As tf_keras computes a layer norm with an epsilon of 1e-3: a row is a channel."""
    rows = tf.reduce_prod(tf.shape(x)[:-1])
    flat = tf.reshape(x, tf.stack([1, rows, tf.shape(x)[-1], 1]))
    scale, offset = tf.ones([rows]), tf.zeros([rows])
    norm = tf.compat.v1.nn.fused_batch_norm(flat, scale, offset, epsilon=1e-3, data_format="NCHW")
    return tf.reshape(norm[0], tf.shape(x))


case("keras layer norm", keras_layer_norm, f(2, 3, 8), mended=True)
case("batch norm's mean", lambda x, s: raw.FusedBatchNormV3(
    x=x, scale=s, offset=s, mean=floats(), variance=floats())[1], f(2, 3, 4, 5), f(5))  # fmt: skip

A, B = f(3, 4), f(3, 4)
INTEGERS, DIVISORS = i(-9, 10, 3, 4), ints([2, -3, 4, -1], [1, 3, -2, 5], [-4, 2, 3, -3])
for op in ("Add", "AddV2", "Sub", "Mul", "Maximum", "Minimum", "SquaredDifference", "FloorDiv",
           "FloorMod", "Mod", "Div"):  # fmt: skip
    call = getattr(raw, op)
    case(f"{op} int32", lambda x, y, c=call: c(x=x, y=y), INTEGERS, DIVISORS)
    case(f"{op} float", lambda x, y, c=call: c(x=x, y=y), A * 5, B, mended=op == "FloorDiv")
    case(f"{op} broadcast", lambda x, y, c=call: c(x=x, y=y), f(2, 1, 3), f(4, 1))
case("Mul large", tf.multiply, ints(46341, 12345, -99999), ints(46340, 6789, 21000))
case("RealDiv", lambda x, y: x / y, floats(1, -1, 0, 3), floats(0, 0, 0, 2))
case("DivNoNan", tf.math.divide_no_nan, floats(1, -1, 0, 4), floats(0, 0, 0, 2))
case("AddN", lambda x, y: tf.add_n([x, y, x]), A, B)
case("Pow", tf.pow, floats(-2, -2, -0.5, 0, 4), floats(2, 3, 3, 0, 0.5))
EXTREME = floats(-1e30, -100, -50, -20, -9, -3, -1, -0.5, -1e-3, -1e-8, 0, 1e-8, 1e-3, 0.5, 1, 3,
                 9, 20, 50, 100, 1e30, INF, -INF)  # fmt: skip
for op in ("Tanh", "Sigmoid", "Erf", "Exp", "Expm1", "Abs", "Neg", "Square", "IsNan", "IsInf",
           "IsFinite", "Floor", "Ceil", "Atan", "Sinh", "Cosh", "Sign"):  # fmt: skip
    # A sign that is put together from comparisons has none for NaN.
    values = EXTREME if op == "Sign" else np.append(EXTREME, np.float32(NAN))
    case(op, taking(op, "x"), values, mended=op == "Sign")
for op in ("Softplus", "Elu", "Selu", "Relu", "Relu6", "LeakyRelu"):
    case(op, taking(op, "features"), EXTREME)
POSITIVE = floats(1e-30, 1e-12, 1e-3, 0.5, 1, 2, 1e3, 1e30, 0, INF, NAN)
for op in ("Sqrt", "Rsqrt", "Log", "Log1p", "Reciprocal"):
    case(op, taking(op, "x"), POSITIVE)
for op in ("Sin", "Cos", "Tan", "Asin", "Acos"):
    case(op, taking(op, "x"), floats(-1, -0.5, 0, 0.3, 1))
case("Atan2", tf.atan2, A, B)
case("Round", tf.round, floats(-3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 0.49999997, -0.2))
for op in ("Abs", "Neg", "Sign", "Square"):
    case(f"{op} int32", taking(op, "x"), INTEGERS)
case("ClipByValue", lambda x: raw.ClipByValue(t=x, clip_value_min=-1, clip_value_max=1), EXTREME)
case("GELU", tf.nn.gelu, A * 3)

case("to int", lambda x: tf.cast(x, tf.int32), floats(-3.7, -0.5, 0.5, 2.9, 1e9))
case("float to bool", lambda x: tf.cast(x, tf.bool), floats(0, 0.3, -0.2, 1, 2, NAN), mended=True)
case("int to bool", lambda x: tf.cast(x, tf.bool), ints(0, 1, 2, -1, 256), mended=True)
case("mask of floats", lambda x: tf.where(tf.cast(x, tf.bool), 1.0, 0.0), floats(0, 0.3, 1),
     mended=True)  # fmt: skip
case("bool to float", lambda x: tf.cast(x, tf.float32), np.array([True, False]))
case("bool to int", lambda x: tf.cast(x, tf.int32), np.array([True, False]))
case("int to float", lambda x: tf.cast(x, tf.float32), ints(16777217, -5, 2147483647))

for kind, values in (("float", f(2, 3, 4)), ("int32", i(-5, 6, 2, 3, 4))):
    for axis in (0, 1, 2):
        for exclusive, reverse in ((False, False), (True, False), (False, True), (True, True)):
            case(f"Cumsum {kind} {axis} {exclusive} {reverse}",
                 lambda x, a=axis, e=exclusive, r=reverse: tf.cumsum(x, a, e, r),
                 values)  # fmt: skip
    case(f"Cumsum {kind} -2", lambda x: tf.cumsum(x, -2, True, True), values, mended=True)
case("Cumprod", lambda x: tf.math.cumprod(x, 1), f(2, 3, 4))
case("Cumprod -1", lambda x: tf.math.cumprod(x, -1), f(2, 3, 4), mended=True)

TABLE, STACK = f(5, 4), f(3, 5, 4)
case("gather", tf.gather, TABLE, i(0, 5, 2, 3))
case("gather ints", tf.gather, i(0, 99, 5, 4), i(0, 5, 2, 3))
case("gather axis 1", lambda t, x: tf.gather(t, x, axis=1), STACK, i(0, 5, 2))
case("gather axis -1", lambda t, x: tf.gather(t, x, axis=-1), STACK, i(0, 4, 2, 2))
case("gather in batches", lambda t, x: tf.gather(t, x, batch_dims=1), STACK, i(0, 5, 3, 2),
     mended=True)  # fmt: skip
case("gather in batches of two axes", lambda t, x: tf.gather(t, x, batch_dims=2),
     f(2, 3, 4, 5), i(0, 4, 2, 3, 6), mended=True)  # fmt: skip
case("gather in batches, another axis",
     lambda t, x: tf.gather(t, x, batch_dims=1, axis=2), STACK, i(0, 4, 3, 2))  # fmt: skip
case("GatherNd", tf.gather_nd, STACK, i(0, 3, 2, 3))
TIES = floats([1, 3, 3, 2], [5, 5, 5, 5], [-1, -2, -1, 0])
for port in (0, 1):
    case(f"TopKV2 {port}", lambda x, p=port: tf.math.top_k(x, 3)[p], TIES)
for op in ("ArgMax", "ArgMin"):
    for axis in (0, -1):
        call = getattr(raw, op)
        case(f"{op} {axis}",
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
    case(f"slice {name}", function, f(2, 3, 4, 5))
    case(f"slice of ints {name}", function, i(-9, 9, 2, 3, 4, 5))
case("slice of bools", lambda x: (x > 0)[:, tf.newaxis, 1:], A)
case("slice of six axes", lambda x: x[:, 0, :, :, 1:, ::2], f(2, 2, 2, 3, 2, 3))
case("slice of five axes", lambda x: x[:, 0, :, 1:, ::2], f(2, 2, 2, 3, 3))
case("plain slice of six axes", lambda x: x[:, 0, :, 1:, :, 1:], f(2, 2, 2, 3, 2, 3))
case("Slice -1", lambda x: tf.slice(x, [0, 1, 0], [-1, -1, 2]), f(2, 3, 4))
case("Softmax", tf.nn.softmax, f(2, 3, 4) * 9)
case("Softmax axis 1", lambda x: tf.nn.softmax(x, 1), f(2, 3, 4))
case("Softmax all masked", lambda x: tf.nn.softmax(x - 1e9), f(2, 4))
case("Softmax -inf", tf.nn.softmax, floats([0, -INF, 1], [-INF, -INF, -INF]))
case("Softmax least", tf.nn.softmax, floats([-3.4028235e38] * 3, [0, -3.4028235e38, 1]))
case("LogSoftmax", tf.nn.log_softmax, f(2, 3, 4) * 9)
for op in ("Sum", "Mean", "Max", "Min", "Prod"):
    for axes in ([0], [1], [-1], [0, 2], [0, 1, 2], []):
        call = reducing(op, axes)
        case(f"{op} {axes}", call, f(2, 3, 4))
        case(f"{op} int32 {axes}", call, i(-9, 10, 2, 3, 4))
case("EuclideanNorm", lambda x: tf.math.reduce_euclidean_norm(x, -1), A)
for op in ("All", "Any"):
    call = getattr(raw, op)
    case(op, lambda x, c=call: c(input=x > 0, axis=1), f(2, 3, 4))
for op in ("Equal", "NotEqual", "Greater", "GreaterEqual", "Less", "LessEqual"):
    call = getattr(raw, op)
    case(
        op,
        lambda x, y, c=call: c(x=x, y=y),
        floats(1, 2, NAN, INF, 0),
        floats(1, 3, NAN, INF, -0.0),
    )
    case(f"{op} int32", lambda x, y, c=call: c(x=x, y=y), ints(16777217, 5, 2**31 - 1),
         ints(16777216, 5, 2**31 - 2))  # fmt: skip
case("LogicalAnd", lambda x, y: (x > 0) & (y > 0), A, f(4))
case("LogicalOr", lambda x, y: (x > 0) | (y > 0), A, f(4))
case("LogicalNot", lambda x: ~(x > 0), A)
case("BitwiseAnd", tf.bitwise.bitwise_and, INTEGERS, DIVISORS)
case("SelectV2", lambda m, x, y: tf.where(m > 0, x, y), A, B, f(3, 4))
case("SelectV2 broadcast", lambda m, x, y: tf.where(m > 0, x, y), f(2, 1, 1, 3), f(2, 4, 3, 1),
     np.float32(-1e9))  # fmt: skip
case("SelectV2 ints", lambda m, x, y: tf.where(m > 0, x, y), A, INTEGERS, DIVISORS)
case(
    "SelectV2 bools",
    lambda m, x, y: tf.where(m > 0, x > 0, y > 0),
    f(65),
    f(64, 65),
    f(64, 65),
    mended=True,
    alone=True,
)
case("Select", lambda m, x, y: raw.Select(condition=m > 0, x=x, y=y), A, B, f(3, 4))
case("Select by row", lambda m, x, y: raw.Select(condition=m > 0, x=x, y=y), f(3), B, f(3, 4),
     mended=True)  # fmt: skip
case("Where floats", lambda m: raw.Where(condition=m), floats(0, 0.3, -1))
case("Range", lambda n: tf.range(5, n, -2), ints(-2)[0])
case("LinSpace", lambda x: raw.LinSpace(start=x, stop=2.0, num=5), np.float32(0))
case("Tile", lambda x: tf.tile(x, [2, 3]), f(2, 2))
case("Fill", lambda n: tf.fill([n, 2], 1.5), ints(3)[0])
case("ZerosLike", lambda x: raw.ZerosLike(x=x), A)
case("OnesLike", lambda x: raw.OnesLike(x=x), INTEGERS)

PRODUCTS = {
    "same": ((2, 3), (2, 3)), "of one": ((2, 3), (1, 3)), "of another rank": ((2, 3), (3,)),
    "of a matrix": ((2,), ()), "in the middle": ((2, 1), (2, 3)), "both": ((2, 1), (1, 3)),
    "both, crossed": ((1, 3), (2, 1)), "front of two": ((3, 1), (3, 2)),
}  # fmt: skip
MIXED = {"in the middle", "both", "both, crossed", "front of two"}
for name, (one, other) in PRODUCTS.items():
    for adjoint in (False, True):
        case(f"matrices {name} {adjoint}",
             lambda x, y, t=adjoint: raw.BatchMatMulV2(x=x, y=y, adj_y=t),
             f(*one, 4, 5), f(*other, *((6, 5) if adjoint else (5, 6))),
             mended=name in MIXED)  # fmt: skip
case("matrices of ints", tf.matmul, i(-5, 6, 2, 3, 4), i(-5, 6, 2, 4, 3))
case("a matrix of ints", tf.matmul, i(-5, 6, 3, 4), i(-5, 6, 4, 3))
for flags in ((False, False), (True, False), (False, True), (True, True)):
    one, other = ((4, 3) if flags[0] else (3, 4)), ((5, 4) if flags[1] else (4, 5))
    case(f"MatMul {flags}", lambda x, y, t=flags: tf.matmul(x, y, *t), f(*one), f(*other))
case("BiasAdd", tf.nn.bias_add, f(2, 3, 4), f(4))
case("BiasAdd NCHW", lambda x, y: tf.nn.bias_add(x, y, "NCHW"), f(2, 4, 3, 4), f(4), mended=True)
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
    case(f"einsum {equation}", lambda *x, e=equation: tf.einsum(e, *x), *(f(*s) for s in shapes),
         mended=True)  # fmt: skip
case("einsum of a diagonal", lambda x: raw.Einsum(inputs=[x], equation="ii->i"), f(3, 3))
case("Pad", lambda x: tf.pad(x, [[0, 0], [1, 2], [0, 3]]), f(2, 3, 4))
case("PadV2", lambda x: tf.pad(x, [[1, 0], [1, 2]], constant_values=-3), i(0, 9, 2, 3))
case("MirrorPad", lambda x: tf.pad(x, [[0, 0], [1, 2]], mode="REFLECT"), f(2, 4))
for port in (0, 1):
    case(f"Split {port}", lambda x, p=port: tf.split(x, 2, -1)[p], f(2, 3, 4))
    case(f"SplitV {port}", lambda x, p=port: tf.split(x, [1, -1], 1)[p], f(2, 3, 4))
    case(f"Unpack {port}", lambda x, p=port: tf.unstack(x, axis=1)[p], f(2, 2, 4))
case("Pack", lambda x, y: tf.stack([x, y], -1), A, B)
case("ConcatV2", lambda x, y: tf.concat([x, y], 1), A, B)
case("Squeeze", lambda x: tf.squeeze(x, [-1]), f(1, 3, 1))
case("ExpandDims", lambda x: tf.expand_dims(x, -2), A)
for order in ([1, 0], [2, 0, 1], [0, 2, 1, 3], [4, 2, 0, 1, 3], [5, 0, 3, 1, 4, 2]):
    case(f"Transpose {order}", lambda x, p=order: tf.transpose(x, p), f(2, 3, 2, 3, 2, 3)[
        (0,) * (6 - len(order))])  # fmt: skip
case("Reshape", lambda x: tf.reshape(x, [-1, 2]), A)
case("ReverseV2", lambda x: tf.reverse(x, [1]), f(2, 3, 4))
case("ReverseV2 bools", lambda x: tf.reverse(x > 0, [1]), f(64, 65), alone=True)
case("BroadcastTo", lambda x: tf.broadcast_to(x, [2, 3, 4]), f(3, 1))
for bounds in ((-1, 0), (0, -1), (1, 2), (-1, -1)):
    case(f"MatrixBandPart {bounds}", lambda x, b=bounds: tf.linalg.band_part(x, *b), f(2, 4, 5),
         mended=True)  # fmt: skip
case("Shape", lambda x: raw.Shape(input=x), A)
case("ShapeN", lambda x, y: raw.ShapeN(input=[x, y])[1], A, f(2, 7))
case("Size and Rank", lambda x: tf.raw_ops.Size(input=x) + tf.raw_ops.Rank(input=x), A)
case("IdentityN", lambda x, y: tf.identity_n([x, y])[1], A, B)
case("StopGradient", tf.stop_gradient, A)
case("EnsureShape", lambda x: tf.ensure_shape(x, [None, 4]), A, mended=True)
case("PlaceholderWithDefault", lambda x: x + tf.compat.v1.placeholder_with_default(2.0, []), A)

# Attributes beside their defaults.
for op in ("Sum", "Mean", "Max", "Min", "Prod"):
    call = getattr(raw, op)
    case(f"{op} keeping", lambda x, c=call: c(input=x, axis=[1], keep_dims=True), f(2, 3, 4))
for op in ("All", "Any"):
    call = getattr(raw, op)
    case(f"{op} keeping", lambda x, c=call: c(input=x > 0, axis=[1], keep_dims=True), f(2, 3, 4))
case("LeakyRelu 0.3", lambda x: raw.LeakyRelu(features=x, alpha=0.3), EXTREME)
case("MirrorPad symmetric", lambda x: tf.pad(x, [[0, 0], [1, 2]], mode="SYMMETRIC"), f(2, 4))
case("ArgMax int64", lambda x: tf.cast(raw.ArgMax(input=x, dimension=1), tf.int32), TIES)
case("Shape int64", lambda x: tf.cast(raw.Shape(input=x, out_type=tf.int64), tf.int32), A)
case("matrices, the first transposed", lambda x, y: raw.BatchMatMulV2(x=x, y=y, adj_x=True),
     f(2, 4, 3), f(2, 4, 5))  # fmt: skip
case("GatherNd beyond", lambda x, i: raw.GatherNd(params=x, indices=i, bad_indices_policy="IGNORE"),
     f(3, 4), ints([1], [99]), alone=True)  # fmt: skip
