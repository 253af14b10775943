"""Weights of other values: lost, overflown, rounded, not a number."""

from random import Random

import numpy as np

from trial.patient import Patient
from trial.places import Clean
from trial.registry import kind
from trial.weights import short


def is_float32(clean: Clean) -> bool:
    """Whether weights are stored as they are."""
    return clean.dtype == "float32"


@kind("bundle", stages="weights", fits=lambda clean: clean.dtype in ("float32", "float16"))
def nan_weight(patient: Patient, choose: Random) -> str:
    """One weight of a matrix is not a number."""
    name = choose.choice(patient.weights.names(dims=2))
    flat = patient.weights.arrays[name].reshape(-1)
    place = choose.randrange(flat.size)
    flat[place] = np.nan
    patient.weights.write()
    return f"{short(name)}[{place}] became NaN, stored as {flat.dtype.name}"


@kind("bundle", stages="weights", fits=lambda clean: clean.name == "outlier.float16", times=1)
def float16_overflow(patient: Patient, choose: Random) -> str:
    """A matrix with a value beyond float16's range is stored as float16: the value is infinite."""
    (name,) = patient.weights.names("/word_embeddings")
    patient.weights.arrays[name] = narrowed = overflown(patient.weights.arrays[name])
    entry = {"quantization": {"dtype": "float16", "original_dtype": "float32"}}
    patient.weights.spec(name).update(entry)
    patient.weights.write()
    return f"{short(name)} stored as float16, {int(np.isinf(narrowed).sum())} value infinite"


@kind("bundle", stages="weights", fits=lambda clean: clean.dtype == "float16")
def infinite_weight(patient: Patient, choose: Random) -> str:
    """A matrix was scaled before it became float16: its largest value is infinite."""
    name = choose.choice(patient.weights.names("/kernel", dims=2))
    values = patient.weights.arrays[name]
    place = int(np.argmax(np.abs(values)))
    values.reshape(-1)[place] = overflown(np.float32(70000.0))
    patient.weights.write()
    return f"{short(name)}[{place}] became infinite"


def overflown(value: "np.typing.ArrayLike") -> np.typing.NDArray[np.float16]:
    """As float16, without a warning for what no longer fits."""
    with np.errstate(over="ignore"):
        return np.asarray(value).astype("<f2")


@kind("bundle", stages="weights")
def bias_lost(patient: Patient, choose: Random) -> str:
    """A bias is all zeros."""
    name = choose.choice(patient.weights.names("/bias", dims=1))
    patient.weights.arrays[name][:] = 0
    patient.weights.write()
    return f"{short(name)} became zeros"


@kind("bundle", stages="weights")
def norm_weights_lost(patient: Patient, choose: Random) -> str:
    """A normalisation's scale is all ones."""
    name = choose.choice(patient.weights.names("/gamma", dims=1))
    patient.weights.arrays[name][:] = 1
    patient.weights.write()
    return f"{short(name)} became ones"


@kind("bundle", stages="weights", fits=is_float32)
def rounded_to_bfloat16(patient: Patient, choose: Random) -> str:
    """The upper 16 bits of every float32 are kept, rounded to nearest even."""
    for name in patient.weights.names():
        bits = patient.weights.arrays[name].view("<u4")
        bits += 0x7FFF + ((bits >> 16) & 1)
        bits &= 0xFFFF0000
    patient.weights.write()
    return "all weights rounded to bfloat16"


@kind("bundle", stages="weights")
def type_row_lost(patient: Patient, choose: Random) -> str:
    """The embedding of the second text's type is that of the first."""
    (name,) = patient.weights.names("/token_type_embeddings")
    values = patient.weights.arrays[name]
    values[1] = values[0]
    patient.weights.write()
    return f"{short(name)}[1] became row 0"
