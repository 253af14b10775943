"""Writes a frozen graph as a TF.js GraphModel. Only this file imports `tensorflowjs`.

The SavedModel converter uses neither decision forests nor JAX, yet imports both; the environment
leaves those packages out, so empty modules stand in for them.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import keras  # noqa: F401  before the stand-ins: it looks for JAX by itself
import numpy as np
import tensorflow as tf
import tf_keras  # noqa: F401  likewise
from google.protobuf.json_format import MessageToDict
from tensorflow.core.framework import graph_pb2

from export.graph.graph import Array, FrozenGraph, make_signature_def
from support.errors import UserError

STUB_MODULES = (
    "tensorflow_decision_forests",
    "jax",
    "jax.experimental",
    "jax.experimental.jax2tf",
)
for _name in STUB_MODULES:
    sys.modules.setdefault(_name, ModuleType(_name))

import tensorflowjs  # noqa: E402
from tensorflowjs import quantization  # noqa: E402
from tensorflowjs.converters import tf_saved_model_conversion_v2 as converter  # noqa: E402

VERSION: str = tensorflowjs.__version__


def write_model(frozen: FrozenGraph, dtypes: Mapping[str, str], directory: Path) -> dict[str, str]:
    """Writes `model.json` and its weight shards.

    Returns the sha256 of each weight's bytes as they are to be stored, by its name.

    `dtypes` has a weight's name and the dtype it is stored in, where that is not its own:
    float16, uint16 or uint8.

    Raises:
        UserError: the graph has ops that TF.js does not know.
    """
    graph_def = drop_weight_placeholders(frozen)
    unknown = unknown_ops(graph_def)
    if unknown:
        raise UserError(f"TF.js has no {', '.join(sorted(unknown))}: this model cannot run there")
    # One group, whose shards are of one size but for the last: of two files, a small and a large,
    # TF.js 4.22 reads nothing but zeros, without an error.
    (group,) = converter.extract_weights(graph_def)
    for entry in group:
        if entry["data"].dtype == np.int64:
            # TF.js has int32 alone; a slice that ends at the largest int64 ends at its largest.
            limits = np.iinfo(np.int32)
            entry["data"] = np.asarray(np.clip(entry["data"], limits.min, limits.max), np.int32)
    group += [{"name": name, "data": value} for name, value in sorted(frozen.weights.items())]
    checksums = {
        entry["name"]: hashlib.sha256(
            stored_bytes(entry["data"], dtypes.get(entry["name"]))
        ).hexdigest()
        for entry in group
    }
    by_dtype: dict[str, list[str]] = {}
    for name, dtype in dtypes.items():
        by_dtype.setdefault(dtype, []).append(name)
    model = directory / "model.json"
    converter.write_artifacts(
        MessageToDict(add_weight_constants(graph_def, frozen.weights)),
        [group],
        str(model),
        tf.__version__,
        make_signature_def(frozen),
        quantization_dtype_map=by_dtype or None,
        # With these `predict()` answers with a dict of names in any TF.js program.
        metadata={"structuredOutputKeys": sorted(endpoint.name for endpoint in frozen.outputs)},
    )
    # Protobuf's maps come in the order of a seeded hash: equal inputs must make equal bytes.
    document = json.loads(model.read_text(encoding="utf-8"))
    model.write_text(json.dumps(document, sort_keys=True), encoding="utf-8")
    return checksums


def stored_bytes(value: Array, dtype: str | None) -> bytes:
    """The bytes of a weight in a shard; `dtype` is the one it is stored in, None for its own."""
    # As the converter does: first what TF.js has no dtype for, then what is stored in fewer bits.
    own = {"float64": np.float32, "float16": np.float32, "int64": np.int32}.get(value.dtype.name)
    if own is not None:
        value = value.astype(own)
    if dtype is not None and value.dtype == np.float32:
        value, _ = quantization.quantize_weights(value, np.dtype(dtype).type)
    return value.tobytes()


def unknown_ops(graph_def: graph_pb2.GraphDef) -> set[str]:
    """The ops that TF.js's converter does not know."""
    unknown: set[str] = converter.validate(graph_def, False, False)
    return unknown


def round_to_stored(value: Array, dtype: str) -> Array:
    """A float32 weight as TF.js has it after storing it as float16, uint16 or uint8."""
    kept, scheme = quantization.quantize_weights(value, np.dtype(dtype).type)
    widened: Array = quantization.dequantize_weights(kept, scheme, np.float32)
    return widened


def drop_weight_placeholders(frozen: FrozenGraph) -> graph_pb2.GraphDef:
    """The graph without the weights' placeholders, which come back as constants."""
    result = graph_pb2.GraphDef(versions=frozen.graph_def.versions)
    for node in frozen.graph_def.node:
        if node.name not in frozen.weights:
            result.node.add().CopyFrom(node)
    return result


def add_weight_constants(
    graph_def: graph_pb2.GraphDef, weights: Mapping[str, Array]
) -> graph_pb2.GraphDef:
    """The graph with a constant for each weight, whose values are in the shards."""
    for name, value in weights.items():
        dtype = tf.int32 if value.dtype.kind == "i" else tf.as_dtype(value.dtype)
        node = graph_def.node.add(op="Const", name=name)
        node.attr["dtype"].type = dtype.as_datatype_enum
        node.attr["value"].tensor.dtype = dtype.as_datatype_enum
        node.attr["value"].tensor.tensor_shape.CopyFrom(tf.TensorShape(value.shape).as_proto())
    return graph_def
