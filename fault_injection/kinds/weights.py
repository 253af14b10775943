"""Faults in the weights: wrong values, bits, positions and files."""

from random import Random
from typing import Any

import numpy as np

from fault_injection.copies import SHARD, SealedCopy, Weights, short_name
from fault_injection.registry import kind
from fault_injection.sources import CleanBundle
from fault_injection.target import Target
from support.contracts import CONTRACT
from support.tfjs_weights import Array


def _is_float32(clean: CleanBundle) -> bool:
    """Returns whether weights are stored in float32."""
    return clean.dtype == "float32"


@kind("bundle", stages="weights", fits=lambda clean: clean.dtype in ("float32", "float16"))
def nan_weight(target: Target, choose: Random) -> str:
    """One weight of a matrix is not a number."""
    name = choose.choice(target.weights.names(dims=2))
    flat = target.weights.arrays[name].reshape(-1)
    index = choose.randrange(flat.size)
    flat[index] = np.nan
    target.weights.write()
    return f"{short_name(name)}[{index}] became NaN, stored as {flat.dtype.name}"


@kind("bundle", stages="weights", fits=lambda clean: clean.name == "outlier.float16", times=1)
def float16_overflow(target: Target, choose: Random) -> str:
    """A matrix with a value beyond float16's range is stored as float16: the value is infinite."""
    (name,) = target.weights.names("/word_embeddings")
    target.weights.arrays[name] = narrowed = _to_float16(target.weights.arrays[name])
    entry = {"quantization": {"dtype": "float16", "original_dtype": "float32"}}
    target.weights.spec(name).update(entry)
    target.weights.write()
    return f"{short_name(name)} stored as float16, {int(np.isinf(narrowed).sum())} value infinite"


@kind("bundle", stages="weights", fits=lambda clean: clean.dtype == "float16")
def infinite_weight(target: Target, choose: Random) -> str:
    """A matrix was scaled before it became float16: its largest value is infinite."""
    name = choose.choice(target.weights.names("/kernel", dims=2))
    values = target.weights.arrays[name]
    index = int(np.argmax(np.abs(values)))
    values.reshape(-1)[index] = _to_float16(np.float32(70000.0))
    target.weights.write()
    return f"{short_name(name)}[{index}] became infinite"


def _to_float16(value: "np.typing.ArrayLike") -> np.typing.NDArray[np.float16]:
    """Converts to float16, without a warning for values that overflow."""
    with np.errstate(over="ignore"):
        return np.asarray(value).astype("<f2")


@kind("bundle", stages="weights")
def bias_lost(target: Target, choose: Random) -> str:
    """A bias is all zeros."""
    name = choose.choice(target.weights.names("/bias", dims=1))
    target.weights.arrays[name][:] = 0
    target.weights.write()
    return f"{short_name(name)} became zeros"


@kind("bundle", stages="weights")
def norm_weights_lost(target: Target, choose: Random) -> str:
    """A normalisation's scale is all ones."""
    name = choose.choice(target.weights.names("/gamma", dims=1))
    target.weights.arrays[name][:] = 1
    target.weights.write()
    return f"{short_name(name)} became ones"


@kind("bundle", stages="weights", fits=_is_float32)
def rounded_to_bfloat16(target: Target, choose: Random) -> str:
    """Every float32 is rounded to its upper 16 bits, to nearest even."""
    for name in target.weights.names():
        bits = target.weights.arrays[name].view("<u4")
        bits += 0x7FFF + ((bits >> 16) & 1)
        bits &= 0xFFFF0000
    target.weights.write()
    return "all weights rounded to bfloat16"


@kind("bundle", stages="weights")
def type_row_lost(target: Target, choose: Random) -> str:
    """The embedding of the second text's type is that of the first."""
    (name,) = target.weights.names("/token_type_embeddings")
    values = target.weights.arrays[name]
    values[1] = values[0]
    target.weights.write()
    return f"{short_name(name)}[1] became row 0"


# Single bits.

FLOATS = {"float32": (np.uint32, 23, 8), "float16": (np.uint16, 10, 5)}
"""By dtype: the integer dtype of its bits, and the bits of mantissa and exponent."""


def _is_float(clean: CleanBundle) -> bool:
    """Returns whether the matrices are stored as floats."""
    return clean.dtype in FLOATS


def _is_code(clean: CleanBundle) -> bool:
    """Returns whether the matrices are stored as quantised codes."""
    return not _is_float(clean)


@kind("bundle", stages="weights", fits=_is_float)
def exponent_bit(target: Target, choose: Random) -> str:
    """One bit of a weight's exponent is flipped."""
    _, mantissa, exponent = FLOATS[target.clean.dtype]
    return _flip_matrix_bit(target, choose, mantissa + choose.randrange(exponent))


@kind("bundle", stages="weights", fits=_is_float)
def sign_bit(target: Target, choose: Random) -> str:
    """A weight has the other sign."""
    _, mantissa, exponent = FLOATS[target.clean.dtype]
    return _flip_matrix_bit(target, choose, mantissa + exponent)


@kind("bundle", stages="weights", fits=_is_float)
def mantissa_bit(target: Target, choose: Random) -> str:
    """The highest bit of a weight's mantissa is flipped."""
    _, mantissa, _ = FLOATS[target.clean.dtype]
    return _flip_matrix_bit(target, choose, mantissa - 1)


@kind("bundle", stages="weights", fits=_is_code)
def code_bit(target: Target, choose: Random) -> str:
    """The highest bit of a quantised weight's code is flipped."""
    name = _choose_matrix(target, choose, codes=True)
    bits = target.weights.arrays[name].dtype.itemsize * 8
    return _flip_value_bit(target, name, choose, bits - 1)


def _flip_matrix_bit(target: Target, choose: Random, bit: int) -> str:
    """Flips a bit of a random matrix that is stored in the bundle's own dtype."""
    return _flip_value_bit(target, _choose_matrix(target, choose, codes=False), choose, bit)


def _choose_matrix(target: Target, choose: Random, codes: bool) -> str:
    """Chooses a matrix, of codes or of the bundle's own dtype."""
    arrays = target.weights.arrays
    names = target.weights.names(dims=2)
    wanted = [
        n
        for n in names
        if codes == (arrays[n].dtype.kind == "u")
        and (codes or arrays[n].dtype.name == target.clean.dtype)
    ]
    return choose.choice(wanted)


def _flip_value_bit(target: Target, name: str, choose: Random, bit: int) -> str:
    """Flips a bit of one value that is not 0, so that its sign matters.

    Args:
        target: to change.
        name: of the weight.
        choose: picks the value.
        bit: its number, from 0.
    """
    values = target.weights.arrays[name]
    flat: Array = values.reshape(-1)
    index = choose.choice(np.flatnonzero(flat).tolist())
    before = float(flat[index])
    whole = flat.view(np.dtype(f"u{values.itemsize}"))
    whole[index] ^= 1 << bit
    target.weights.write()
    return f"bit {bit} of {short_name(name)}[{index}]: {before:g} became {float(flat[index]):g}"


# Swapped and moved weights.


@kind(
    "bundle",
    stages="weights",
    times=5,
    fits=lambda clean: clean.source.layers > 1 and not clean.source.shared,
)
def layers_swapped(target: Target, choose: Random) -> str:
    """All weights of two layers are swapped."""
    first, second = choose.sample(range(target.clean.source.layers), 2)
    for name in target.weights.names(f"/layer_{first}/"):
        _swap_weights(target.weights, name, name.replace(f"/layer_{first}/", f"/layer_{second}/"))
    target.weights.write()
    return f"layers {first} and {second} swapped"


@kind("bundle", stages="weights", times=5)
def matrices_swapped(target: Target, choose: Random) -> str:
    """Two of query, key and value are swapped in a layer."""
    first, second = choose.sample(("query", "key", "value"), 2)
    name = choose.choice(target.weights.names(f"/{first}/kernel"))
    _swap_weights(target.weights, name, name.replace(first, second))
    target.weights.write()
    return f"{short_name(name)} and {second}'s swapped"


@kind("bundle", stages="weights", times=5)
def matrix_transposed(target: Target, choose: Random) -> str:
    """A square matrix is transposed."""
    arrays = target.weights.arrays
    square = [n for n in target.weights.names(dims=2) if len(set(arrays[n].shape)) == 1]
    name = choose.choice(square)
    arrays[name] = np.ascontiguousarray(arrays[name].T)
    target.weights.write()
    return f"{short_name(name)} transposed"


@kind("bundle", stages="weights", times=5)
def positions_rolled(target: Target, choose: Random) -> str:
    """Every position has the embedding of the next."""
    (name,) = target.weights.names("/position_embeddings")
    target.weights.arrays[name] = np.roll(target.weights.arrays[name], -1, axis=0)
    target.weights.write()
    return f"{short_name(name)} rolled by one row"


@kind("bundle", stages="weights")
def words_shifted(target: Target, choose: Random) -> str:
    """From some id on, every word has its neighbour's embedding, as if a line had been added."""
    (name,) = target.weights.names("/word_embeddings")
    table = target.weights.arrays[name]
    start = choose.randrange(5, len(table) // 2)
    table[start:] = np.roll(table[start:], 1, axis=0)
    target.weights.write()
    return f"{short_name(name)} shifted by one row from row {start} on"


@kind("bundle", stages="weights")
def scale_and_shift_swapped(target: Target, choose: Random) -> str:
    """A normalisation's scale and shift are swapped."""
    name = choose.choice(target.weights.names("/gamma"))
    _swap_weights(target.weights, name, name.replace("/gamma", "/beta"))
    target.weights.write()
    return f"{short_name(name)} and beta swapped"


@kind("bundle", stages="weights", fits=lambda clean: clean.sibling is not None, times=6)
def stale_bundle(target: Target, choose: Random) -> str:
    """The weights are of an earlier state of the model; all else, provenance too, is current."""
    assert target.clean.sibling is not None
    other = target.clean.sibling
    stale = Weights(SealedCopy(other.path, target.directory / "stale", CONTRACT))
    for name in target.weights.names():
        old = name.replace(target.clean.source.name, other.source.name, 1)
        target.weights.arrays[name] = stale.arrays[old]
        scheme = stale.spec(old).get("quantization")
        if scheme is not None:
            target.weights.spec(name)["quantization"] = scheme
    target.weights.write()
    return f"weights of {other.name}"


def _swap_weights(weights: Weights, first: str, second: str) -> None:
    """Swaps two weights of equal shape, with their scales."""
    assert first != second
    arrays = weights.arrays
    arrays[first], arrays[second] = arrays[second], arrays[first]
    one, other = weights.spec(first), weights.spec(second)
    schemes = one.pop("quantization", None), other.pop("quantization", None)
    for spec, scheme in ((other, schemes[0]), (one, schemes[1])):
        if scheme is not None:
            spec["quantization"] = scheme


# Files: scales, shards, byte order.


def _is_quantised(clean: CleanBundle) -> bool:
    """Returns whether the matrices are quantised."""
    return clean.dtype in ("uint16", "uint8")


@kind("bundle", stages="weights", fits=_is_quantised)
def scale_off(target: Target, choose: Random) -> str:
    """A quantised matrix has a scale for one step less, as if its codes went to 256 and not 255."""
    spec = _choose_quantised_weight(target, choose)
    scheme = spec["quantization"]
    steps = 2 ** (8 if scheme["dtype"] == "uint8" else 16)
    before, scheme["scale"] = scheme["scale"], scheme["scale"] * (steps - 1) / steps
    target.weights.write()
    return f"scale of {short_name(spec['name'])}: {before:g} became {scheme['scale']:g}"


@kind("bundle", stages="weights", fits=_is_quantised)
def minimum_off(target: Target, choose: Random) -> str:
    """A quantised matrix begins one step too high."""
    spec = _choose_quantised_weight(target, choose)
    scheme = spec["quantization"]
    before, scheme["min"] = scheme["min"], scheme["min"] + scheme["scale"]
    target.weights.write()
    return f"minimum of {short_name(spec['name'])}: {before:g} became {scheme['min']:g}"


def _choose_quantised_weight(target: Target, choose: Random) -> dict[str, Any]:
    """Chooses a quantised weight; returns its entry in the manifest."""
    found = [spec for spec in target.weights.specs if "scale" in spec.get("quantization", {})]
    return choose.choice(found)


def _has_shards(clean: CleanBundle) -> bool:
    """Returns whether the weights are in more than one file."""
    return len(list(clean.path.glob("group1-shard*.bin"))) > 1


@kind("bundle", stages="weights", fits=_has_shards, times=2)
def shards_swapped(target: Target, choose: Random) -> str:
    """The shards are in the wrong order."""
    paths = target.weights.group["paths"]
    whole = b"".join(target.bundle.read(path) for path in reversed(paths))
    target.weights.write_bytes(whole)
    return f"{' and '.join(paths)}: the second's bytes before the first's"


@kind("bundle", stages="weights")
def shard_truncated(target: Target, choose: Random) -> str:
    """The last shard ends early, and the contract has the size of this file."""
    path = target.weights.group["paths"][-1]
    data = target.bundle.read(path)
    lost = choose.randrange(1, len(data) // 2)
    target.bundle.write(path, data[:-lost])
    return f"{path} is {lost} bytes shorter"


@kind("bundle", stages="weights")
def bytes_shifted(target: Target, choose: Random) -> str:
    """A byte inside the weights is lost, and one is added at the end."""
    paths = target.weights.group["paths"]
    whole = b"".join(target.bundle.read(path) for path in paths)
    index = choose.randrange(len(whole) // 8, len(whole) // 2)
    target.weights.write_bytes(whole[:index] + whole[index + 1 :] + b"\0")
    return f"byte {index} of {len(whole)} is lost ({-(-len(whole) // SHARD)} shards)"


@kind("bundle", stages="weights", fits=lambda clean: clean.dtype != "uint8")
def big_endian(target: Target, choose: Random) -> str:
    """A matrix is stored big-endian."""
    weights = target.weights
    name = choose.choice([n for n in weights.names(dims=2) if weights.arrays[n].itemsize > 1])
    weights.arrays[name] = weights.arrays[name].byteswap()
    weights.write()
    return f"{short_name(name)} stored big-endian"
