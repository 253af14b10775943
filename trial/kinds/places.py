"""Weights in another's place."""

from random import Random

import numpy as np

from trial.copies import BUNDLE, Copy
from trial.patient import Patient
from trial.registry import kind
from trial.weights import Weights, short


@kind(
    "bundle",
    stages="weights",
    times=5,
    fits=lambda clean: clean.source.layers > 1 and not clean.source.shared,
)
def layers_swapped(patient: Patient, choose: Random) -> str:
    """All weights of two layers change places."""
    first, second = choose.sample(range(patient.clean.source.layers), 2)
    for name in patient.weights.names(f"/layer_{first}/"):
        exchange(patient.weights, name, name.replace(f"/layer_{first}/", f"/layer_{second}/"))
    patient.weights.write()
    return f"layers {first} and {second} swapped"


@kind("bundle", stages="weights", times=5)
def matrices_swapped(patient: Patient, choose: Random) -> str:
    """Two of query, key and value change places in a layer."""
    first, second = choose.sample(("query", "key", "value"), 2)
    name = choose.choice(patient.weights.names(f"/{first}/kernel"))
    exchange(patient.weights, name, name.replace(first, second))
    patient.weights.write()
    return f"{short(name)} and {second}'s swapped"


@kind("bundle", stages="weights", times=5)
def matrix_transposed(patient: Patient, choose: Random) -> str:
    """A square matrix is transposed."""
    arrays = patient.weights.arrays
    square = [n for n in patient.weights.names(dims=2) if len(set(arrays[n].shape)) == 1]
    name = choose.choice(square)
    arrays[name] = np.ascontiguousarray(arrays[name].T)
    patient.weights.write()
    return f"{short(name)} transposed"


@kind("bundle", stages="weights", times=5)
def positions_rolled(patient: Patient, choose: Random) -> str:
    """Every position has the embedding of the next."""
    (name,) = patient.weights.names("/position_embeddings")
    patient.weights.arrays[name] = np.roll(patient.weights.arrays[name], -1, axis=0)
    patient.weights.write()
    return f"{short(name)} rolled by one row"


@kind("bundle", stages="weights")
def words_shifted(patient: Patient, choose: Random) -> str:
    """From some id on every word has its neighbour's embedding, as if a line had been added."""
    (name,) = patient.weights.names("/word_embeddings")
    table = patient.weights.arrays[name]
    start = choose.randrange(5, len(table) // 2)
    table[start:] = np.roll(table[start:], 1, axis=0)
    patient.weights.write()
    return f"{short(name)} shifted by one row from row {start} on"


@kind("bundle", stages="weights")
def scale_and_shift_swapped(patient: Patient, choose: Random) -> str:
    """A normalisation's scale and shift change places."""
    name = choose.choice(patient.weights.names("/gamma"))
    exchange(patient.weights, name, name.replace("/gamma", "/beta"))
    patient.weights.write()
    return f"{short(name)} and beta swapped"


@kind("bundle", stages="weights", fits=lambda clean: clean.twin is not None, times=6)
def stale_bundle(patient: Patient, choose: Random) -> str:
    """The weights of an earlier state of the model; everything else, provenance too, as now."""
    assert patient.clean.twin is not None
    other = patient.clean.twin
    stale = Weights(Copy(other.path, patient.place / "stale", BUNDLE))
    for name in patient.weights.names():
        old = name.replace(patient.clean.source.name, other.source.name, 1)
        patient.weights.arrays[name] = stale.arrays[old]
        scheme = stale.spec(old).get("quantization")
        if scheme is not None:
            patient.weights.spec(name)["quantization"] = scheme
    patient.weights.write()
    return f"weights of {other.name}"


def exchange(weights: Weights, first: str, second: str) -> None:
    """Two weights of a shape change places, each with its scale."""
    assert first != second
    arrays = weights.arrays
    arrays[first], arrays[second] = arrays[second], arrays[first]
    one, other = weights.spec(first), weights.spec(second)
    schemes = one.pop("quantization", None), other.pop("quantization", None)
    for spec, scheme in ((other, schemes[0]), (one, schemes[1])):
        if scheme is not None:
            spec["quantization"] = scheme
