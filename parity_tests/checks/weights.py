"""Compares each weight of a bundle with the source's variable of the same name.

So a changed weight is named, and need not be guessed from its effect on an output.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from parity_tests.checks.stored_parts import PartResult
from support.contracts import WEIGHT_DTYPES
from support.errors import UserError
from support.tfjs_weights import WEIGHT_PREFIX, Array, TfjsWeight, read_weights


@dataclass(frozen=True)
class StoredWeight:
    """A weight as TF.js has it after loading, float32, and the rounding of its storage.

    `step` is half a unit of the stored numbers: absolute for uint8 and uint16, relative for
    float16.
    """

    values: Array
    dtype: str
    step: float

    def tolerance(self, source: Array) -> Array:
        """Returns the tolerance of each value; 0 for float32, where a weight is equal or wrong."""
        if self.dtype == "float16":
            # Half a unit in the last place, and half of the least subnormal.
            return np.abs(source.astype(np.float64)) * self.step + 2.0**-25
        # The scale is float64 and the result float32: one more rounding, of the largest value.
        slack = (
            0.0 if self.dtype == "float32" else float(np.max(np.abs(source), initial=0)) * 2**-22
        )
        return np.full(source.shape, self.step + slack)


def read_bundle_weights(bundle: Path) -> dict[str, StoredWeight]:
    """Reads every weight of `model.json`'s manifest, by the name of the source's variable.

    Raises:
        UserError: the shards are shorter or longer than the manifest says.
    """
    return {
        weight.name.removeprefix(WEIGHT_PREFIX): _widen_weight(weight)
        for weight in read_weights(bundle, "export it again")
        if weight.name.startswith(WEIGHT_PREFIX)
    }


def _widen_weight(weight: TfjsWeight) -> StoredWeight:
    """Widens one weight to float32 as TF.js does."""
    kind = weight.numbers.dtype.name
    if "scale" in weight.quantization:
        return StoredWeight(weight.widened(), kind, weight.quantization["scale"] / 2)
    return StoredWeight(weight.widened(), kind, 2.0**-11 if kind == "float16" else 0.0)


def compare_weights(bundle: Path, source: Path) -> PartResult:
    """Compares all weights; `source` is a safetensors file of the variables."""
    variables = load_file(source)
    try:
        weights = read_bundle_weights(bundle)
    except UserError as error:
        return PartResult.of(0, [str(error)], sorted(variables))
    common = sorted(set(weights) & set(variables))
    differences = (describe_difference(name, weights[name], variables[name]) for name in common)
    messages = [message for message in differences if message is not None]
    if variables and not common:
        messages = ["got no weight with the name of a variable, but should be all [weights]"]
    if not variables:
        return PartResult("none", not_compared=sorted(weights))
    return PartResult.of(len(common), messages, sorted(set(weights) ^ set(variables)))


def stored_dtype(bundle: Path) -> str | None:
    """Returns the weight dtype of the shards: the narrowest, since vectors stay in float32.

    Returns None where the shards cannot be read.
    """
    try:
        kinds = {weight.dtype for weight in read_bundle_weights(bundle).values()}
    except UserError:
        return None
    return next((dtype for dtype in reversed(WEIGHT_DTYPES) if dtype in kinds), None)


def stored_variables(bundle: Path, source: Path) -> dict[str, Array] | None:
    """Returns the source's variables with the values that a bundle stores, float32 by name.

    Returns None where a weight of the bundle was computed from several variables.
    """
    variables = load_file(source)
    weights = read_bundle_weights(bundle)
    if not set(weights) <= set(variables):
        return None
    return {name: np.ascontiguousarray(weights[name].values) for name in sorted(weights)}


def describe_difference(name: str, weight: StoredWeight, source: Array) -> str | None:
    """Returns the message about a weight that differs, or None."""
    where = f"[weight {name}"
    if weight.values.shape != source.shape:
        return (
            f"got {list(weight.values.shape)}, but should be {list(source.shape)} {where}, shape]"
        )
    moved = np.abs(weight.values.astype(np.float64) - source.astype(np.float64))
    over = moved - weight.tolerance(source)
    bad = ~(over <= 0)
    if not bad.any():
        return None
    # NaN counts as the largest distance.
    furthest = int(np.argmax(np.where(np.isnan(over), np.inf, over)))
    at = tuple(int(i) for i in np.unravel_index(furthest, over.shape))
    return (
        f"got {weight.values[at]}, but should be {source[at]} {where} at {list(at)}, "
        f"{int(bad.sum())} of {bad.size} values, stored as {weight.dtype}]"
    )
