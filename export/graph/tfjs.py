"""Writes a frozen graph as a TF.js GraphModel. Only this file imports `tensorflowjs`.

The SavedModel converter imports decision forests and JAX but does not use them. The environment
does not have these packages, so empty modules replace them.
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
from support.contracts import MODEL_FILE
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

    Returns the sha256 of each weight's bytes as they are stored, by name.

    `dtypes` has the dtypes of weights that are stored in another dtype: float16, uint16 or uint8.

    Raises:
        UserError: the graph has ops that TF.js does not know.
    """
    graph_def = _drop_weight_placeholders(frozen)
    unknown = unknown_ops(graph_def)
    if unknown:
        raise UserError(f"TF.js has no {', '.join(sorted(unknown))}: this model cannot run there")
    # One group, so that all shards but the last have the same size: from a small and a large file
    # TF.js 4.22 reads only zeros, without an error.
    (group,) = converter.extract_weights(graph_def)
    for entry in group:
        if entry["data"].dtype == np.int64:
            # TF.js has only int32: the largest int64, as the end of a slice, becomes the largest
            # int32.
            limits = np.iinfo(np.int32)
            entry["data"] = np.asarray(np.clip(entry["data"], limits.min, limits.max), np.int32)
    group += [{"name": name, "data": value} for name, value in sorted(frozen.weights.items())]
    checksums = {
        entry["name"]: hashlib.sha256(
            _stored_bytes(entry["data"], dtypes.get(entry["name"]))
        ).hexdigest()
        for entry in group
    }
    by_dtype: dict[str, list[str]] = {}
    for name, dtype in dtypes.items():
        by_dtype.setdefault(dtype, []).append(name)
    model = directory / MODEL_FILE
    converter.write_artifacts(
        MessageToDict(_add_weight_constants(graph_def, frozen.weights)),
        [group],
        str(model),
        tf.__version__,
        make_signature_def(frozen),
        quantization_dtype_map=by_dtype or None,
        # With these, `predict()` returns a dict of names in any TF.js program.
        metadata={"structuredOutputKeys": sorted(endpoint.name for endpoint in frozen.outputs)},
    )
    # Protobuf's maps have a random order, and equal inputs must make equal bytes.
    document = json.loads(model.read_text(encoding="utf-8"))
    model.write_text(json.dumps(document, sort_keys=True), encoding="utf-8")
    return checksums


def _stored_bytes(value: Array, dtype: str | None) -> bytes:
    """Returns a weight's bytes in a shard; `dtype` is its stored dtype, None for its own."""
    # In the converter's order: first dtypes that TF.js lacks, then quantisation.
    own = {"float64": np.float32, "float16": np.float32, "int64": np.int32}.get(value.dtype.name)
    if own is not None:
        value = value.astype(own)
    if dtype is not None and value.dtype == np.float32:
        value, _ = quantization.quantize_weights(value, np.dtype(dtype).type)
    return value.tobytes()


def unknown_ops(graph_def: graph_pb2.GraphDef) -> set[str]:
    """Returns the ops that TF.js's converter does not know."""
    unknown: set[str] = converter.validate(graph_def, False, False)
    return unknown


def round_to_stored(value: Array, dtype: str) -> Array:
    """Returns a float32 weight as TF.js reads it after storing as float16, uint16 or uint8."""
    quantized, scheme = quantization.quantize_weights(value, np.dtype(dtype).type)
    widened: Array = quantization.dequantize_weights(quantized, scheme, np.float32)
    return widened


def _drop_weight_placeholders(frozen: FrozenGraph) -> graph_pb2.GraphDef:
    """Returns the graph without the weights' placeholders, which become constants later."""
    result = graph_pb2.GraphDef(versions=frozen.graph_def.versions)
    for node in frozen.graph_def.node:
        if node.name not in frozen.weights:
            result.node.add().CopyFrom(node)
    return result


def _add_weight_constants(
    graph_def: graph_pb2.GraphDef, weights: Mapping[str, Array]
) -> graph_pb2.GraphDef:
    """Adds a constant for each weight to the graph; the values are in the shards."""
    for name, value in weights.items():
        dtype = tf.int32 if value.dtype.kind == "i" else tf.as_dtype(value.dtype)
        node = graph_def.node.add(op="Const", name=name)
        node.attr["dtype"].type = dtype.as_datatype_enum
        node.attr["value"].tensor.dtype = dtype.as_datatype_enum
        node.attr["value"].tensor.tensor_shape.CopyFrom(tf.TensorShape(value.shape).as_proto())
    return graph_def
