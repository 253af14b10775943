"""Single bits of stored weights."""

from random import Random

import numpy as np

from trial.patient import Patient
from trial.places import Clean
from trial.registry import kind
from trial.weights import Array, short

FLOATS = {"float32": (np.uint32, 23, 8), "float16": (np.uint16, 10, 5)}
"""By dtype: as which integers, bits of the mantissa, bits of the exponent."""


def is_float(clean: Clean) -> bool:
    """Whether the matrices are stored as floats."""
    return clean.dtype in FLOATS


def is_code(clean: Clean) -> bool:
    """Whether the matrices are stored as codes of a scale."""
    return not is_float(clean)


@kind("bundle", stages="weights", fits=is_float)
def exponent_bit(patient: Patient, choose: Random) -> str:
    """One bit of a weight's exponent is flipped."""
    _, mantissa, exponent = FLOATS[patient.clean.dtype]
    return flip(patient, choose, mantissa + choose.randrange(exponent))


@kind("bundle", stages="weights", fits=is_float)
def sign_bit(patient: Patient, choose: Random) -> str:
    """A weight has the other sign."""
    _, mantissa, exponent = FLOATS[patient.clean.dtype]
    return flip(patient, choose, mantissa + exponent)


@kind("bundle", stages="weights", fits=is_float)
def mantissa_bit(patient: Patient, choose: Random) -> str:
    """The highest bit of a weight's mantissa is flipped."""
    _, mantissa, _ = FLOATS[patient.clean.dtype]
    return flip(patient, choose, mantissa - 1)


@kind("bundle", stages="weights", fits=is_code)
def code_bit(patient: Patient, choose: Random) -> str:
    """The highest bit of a quantised weight's code is flipped."""
    name = chosen(patient, choose, codes=True)
    bits = patient.weights.arrays[name].dtype.itemsize * 8
    return flip_in(patient, name, choose, bits - 1)


def flip(patient: Patient, choose: Random, bit: int) -> str:
    """Flips a bit of a matrix that is stored in the bundle's own dtype."""
    return flip_in(patient, chosen(patient, choose, codes=False), choose, bit)


def chosen(patient: Patient, choose: Random, codes: bool) -> str:
    """A matrix, of codes or of the bundle's own dtype."""
    arrays = patient.weights.arrays
    names = patient.weights.names(dims=2)
    wanted = [
        n
        for n in names
        if codes == (arrays[n].dtype.kind == "u")
        and (codes or arrays[n].dtype.name == patient.clean.dtype)
    ]
    return choose.choice(wanted)


def flip_in(patient: Patient, name: str, choose: Random, bit: int) -> str:
    """Flips a bit of one value that is not 0, so that a sign means something."""
    values = patient.weights.arrays[name]
    flat: Array = values.reshape(-1)
    place = choose.choice(np.flatnonzero(flat).tolist())
    before = float(flat[place])
    whole = flat.view(np.dtype(f"u{values.itemsize}"))
    whole[place] ^= 1 << bit
    patient.weights.write()
    return f"bit {bit} of {short(name)}[{place}]: {before:g} became {float(flat[place]):g}"
