"""The weights of a bundle against a source's variables, by a manifest written here by hand."""

import json
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from parity_tests.checks.weights import (
    compare_weights,
    read_bundle_weights,
    stored_dtype,
    stored_variables,
)
from support.errors import UserError

pytestmark = pytest.mark.quick

Tensors = dict[str, tuple[Any, Any]]
TABLE = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
BIAS = np.array([0.5, -0.25, 3.0], np.float32)


def write(directory, tensors: Tensors, tail=b""):
    """`tensors`: name → (raw array, quantization or None)."""
    specs, whole = [], b""
    for name, (raw, scheme) in tensors.items():
        spec: dict[str, Any] = {"name": name, "shape": list(raw.shape), "dtype": "float32"}
        if raw.dtype.name == "int32":
            spec["dtype"] = "int32"
        if scheme is not None:
            spec["quantization"] = {"dtype": raw.dtype.name, **scheme}
        specs.append(spec)
        whole += raw.tobytes()
    (directory / "one.bin").write_bytes(whole[:7])
    (directory / "two.bin").write_bytes(whole[7:] + tail)
    manifest = [{"paths": ["one.bin", "two.bin"], "weights": specs}]
    (directory / "model.json").write_text(json.dumps({"weightsManifest": manifest}))


def compared(directory, tensors: Tensors, variables=None):
    write(directory, {"shapes/x": (np.array([1, 2], np.int32), None), **tensors})
    source = {"table": TABLE, "bias": BIAS} if variables is None else variables
    save_file(source, directory / "source.safetensors")
    return compare_weights(directory, directory / "source.safetensors")


def plain(table=TABLE, bias=BIAS):
    return {"weights/table": (table, None), "weights/bias": (bias, None)}


def test_equal_weights_pass(tmp_path):
    result = compared(tmp_path, plain())
    assert (result.status, result.compared, result.not_compared) == ("pass", 2, [])


def test_one_changed_bit_is_found_with_its_index(tmp_path):
    table = TABLE.copy()
    table.view(np.uint32)[2, 1] ^= 1
    result = compared(tmp_path, plain(table))
    assert (result.status, result.failing) == ("drift", 1)
    assert f"should be {TABLE[2, 1]} [weight table at [2, 1], 1 of 12" in result.failures[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_found(tmp_path, bad):
    bias = BIAS.copy()
    bias[1] = bad
    result = compared(tmp_path, plain(bias=bias))
    assert result.status == "drift"
    assert f"got {bad}, but should be -0.25 [weight bias at [1]" in result.failures[0]


def test_another_shape_is_found(tmp_path):
    result = compared(tmp_path, plain(TABLE.T.copy()))
    assert result.failures == ["got [3, 4], but should be [4, 3] [weight table, shape]"]


def test_narrow_weights_may_be_off_by_at_most_half_a_step(tmp_path):
    rounded = TABLE.astype(np.float16)
    half: Tensors = {"weights/table": (rounded, {}), "weights/bias": (BIAS, None)}
    assert compared(tmp_path, half).status == "pass"
    rounded[0, 0] = np.float16(-0.999)
    assert compared(tmp_path, half).status == "drift"

    scale = 2 / 255
    steps = np.round((TABLE.astype(np.float64) + 1) / scale).astype(np.uint8)
    bytes_ = {
        "weights/table": (steps, {"scale": scale, "min": -1.0}),
        "weights/bias": (BIAS, None),
    }
    assert compared(tmp_path, bytes_).status == "pass"
    steps[3, 2] -= 1
    result = compared(tmp_path, bytes_)
    assert result.status == "drift" and "stored as uint8" in result.failures[0]


def test_nothing_compared_fails_except_for_a_source_without_variables(tmp_path):
    renamed = {"weights/other": (TABLE, None)}
    assert compared(tmp_path, renamed).status == "drift"
    assert compared(tmp_path, plain(), variables={}).status == "none"


def test_weights_without_a_counterpart_are_reported(tmp_path):
    extra = plain() | {"weights/folded": (BIAS, None)}
    variables = {"table": TABLE, "bias": BIAS, "unused": BIAS}
    result = compared(tmp_path, extra, variables)
    assert (result.status, result.not_compared) == ("pass", ["folded", "unused"])


def test_stored_weights_replace_the_variables_unless_one_is_folded(tmp_path):
    rounded = TABLE.astype(np.float16)
    half: Tensors = {"weights/table": (rounded, {}), "weights/bias": (BIAS, None)}
    assert compared(tmp_path, half).status == "pass"
    assert stored_dtype(tmp_path) == "float16"
    stored = stored_variables(tmp_path, tmp_path / "source.safetensors")
    assert stored is not None and sorted(stored) == ["bias", "table"]
    assert stored["table"].dtype == np.float32
    # Half a step of float16 between 1/2 and 1 is 2^-12.
    assert 0 < np.abs(stored["table"] - TABLE).max() <= 2.0**-12
    assert (stored["bias"] == BIAS).all()

    assert compared(tmp_path, plain() | {"weights/folded": (BIAS, None)}).status == "pass"
    assert stored_dtype(tmp_path) == "float32"
    assert stored_variables(tmp_path, tmp_path / "source.safetensors") is None


def test_the_stored_dtype_is_the_narrowest(tmp_path):
    """With uint8 the embeddings are stored as uint16, and vectors as float32."""
    steps = {"scale": 1 / 64, "min": -1.0}
    tensors: Tensors = {
        "weights/table": (np.zeros((4, 3), np.uint16), steps),
        "weights/kernel": (np.zeros((3, 3), np.uint8), steps),
        "weights/bias": (BIAS, None),
    }
    write(tmp_path, tensors)
    assert stored_dtype(tmp_path) == "uint8"
    write(tmp_path, tensors, tail=b"\0")
    assert stored_dtype(tmp_path) is None


def test_shards_of_another_length_are_refused(tmp_path):
    write(tmp_path, plain(), tail=b"\0")
    with pytest.raises(UserError, match="1 bytes of weights too many"):
        read_bundle_weights(tmp_path)
    write(tmp_path, plain())
    (tmp_path / "two.bin").write_bytes((tmp_path / "two.bin").read_bytes()[:-1])
    with pytest.raises(UserError, match="the weights end within weights/bias"):
        read_bundle_weights(tmp_path)
