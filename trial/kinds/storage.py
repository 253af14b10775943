"""How weights lie in the files: scales, shards, the order of bytes."""

from random import Random
from typing import Any

from trial.patient import Patient
from trial.places import Clean
from trial.registry import kind
from trial.weights import SHARD, short


def is_quantised(clean: Clean) -> bool:
    """Whether the matrices are codes of a scale."""
    return clean.dtype in ("uint16", "uint8")


@kind("bundle", stages="weights", fits=is_quantised)
def scale_off(patient: Patient, choose: Random) -> str:
    """A quantised matrix has a scale for one step less, as if its codes went to 256 and not 255."""
    spec = quantised(patient, choose)
    scheme = spec["quantization"]
    steps = 2 ** (8 if scheme["dtype"] == "uint8" else 16)
    before, scheme["scale"] = scheme["scale"], scheme["scale"] * (steps - 1) / steps
    patient.weights.write()
    return f"scale of {short(spec['name'])}: {before:g} became {scheme['scale']:g}"


@kind("bundle", stages="weights", fits=is_quantised)
def minimum_off(patient: Patient, choose: Random) -> str:
    """A quantised matrix begins one step too high."""
    spec = quantised(patient, choose)
    scheme = spec["quantization"]
    before, scheme["min"] = scheme["min"], scheme["min"] + scheme["scale"]
    patient.weights.write()
    return f"minimum of {short(spec['name'])}: {before:g} became {scheme['min']:g}"


def quantised(patient: Patient, choose: Random) -> dict[str, Any]:
    """The entry of a quantised weight."""
    found = [spec for spec in patient.weights.specs if "scale" in spec.get("quantization", {})]
    return choose.choice(found)


def has_shards(clean: Clean) -> bool:
    """Whether the weights lie in two files."""
    return len(list(clean.path.glob("group1-shard*.bin"))) > 1


@kind("bundle", stages="weights", fits=has_shards, times=2)
def shards_swapped(patient: Patient, choose: Random) -> str:
    """The two shards are read in the other order."""
    paths = patient.weights.group["paths"]
    whole = b"".join(patient.bundle.read(path) for path in reversed(paths))
    patient.weights.write_bytes(whole)
    return f"{' and '.join(paths)}: the second's bytes before the first's"


@kind("bundle", stages="weights")
def shard_truncated(patient: Patient, choose: Random) -> str:
    """The last shard ends early, and the contract knows it so."""
    path = patient.weights.group["paths"][-1]
    data = patient.bundle.read(path)
    lost = choose.randrange(1, len(data) // 2)
    patient.bundle.write(path, data[:-lost])
    return f"{path} is {lost} bytes shorter"


@kind("bundle", stages="weights")
def bytes_shifted(patient: Patient, choose: Random) -> str:
    """A byte is lost within the weights, and one added at their end."""
    paths = patient.weights.group["paths"]
    whole = b"".join(patient.bundle.read(path) for path in paths)
    place = choose.randrange(len(whole) // 8, len(whole) // 2)
    patient.weights.write_bytes(whole[:place] + whole[place + 1 :] + b"\0")
    return f"byte {place} of {len(whole)} is lost ({-(-len(whole) // SHARD)} shards)"


@kind("bundle", stages="weights", fits=lambda clean: clean.dtype != "uint8")
def big_endian(patient: Patient, choose: Random) -> str:
    """A matrix is stored with its bytes in the other order."""
    weights = patient.weights
    name = choose.choice([n for n in weights.names(dims=2) if weights.arrays[n].itemsize > 1])
    weights.arrays[name] = weights.arrays[name].byteswap()
    weights.write()
    return f"{short(name)} stored big-endian"
