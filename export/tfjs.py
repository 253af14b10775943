"""Writes a frozen graph as a TF.js GraphModel. Only this file imports `tensorflowjs`.

The SavedModel converter uses neither decision forests nor JAX, yet imports both; the environment
leaves those packages out, so empty modules stand in for them.
"""

import json
import sys
from pathlib import Path
from types import ModuleType

import keras  # noqa: F401  before the stand-ins: it looks for JAX by itself
import tensorflow as tf
import tf_keras  # noqa: F401  likewise
from google.protobuf.json_format import MessageToDict

from export.errors import UserError
from export.graph import FrozenGraph, signature_def

LEFT_OUT = (
    "tensorflow_decision_forests",
    "jax",
    "jax.experimental",
    "jax.experimental.jax2tf",
)
for _name in LEFT_OUT:
    sys.modules.setdefault(_name, ModuleType(_name))

import tensorflowjs  # noqa: E402
from tensorflowjs.converters import tf_saved_model_conversion_v2 as converter  # noqa: E402

VERSION: str = tensorflowjs.__version__


def write(frozen: FrozenGraph, directory: Path) -> None:
    """Writes `model.json` and its weight shards, float32.

    Raises:
        UserError: the graph has ops that TF.js does not know.
    """
    unknown = converter.validate(frozen.graph_def, False, False)
    if unknown:
        raise UserError(f"TF.js has no {', '.join(sorted(unknown))}: this model cannot run there")
    weights = converter.extract_weights(frozen.graph_def)
    model = directory / "model.json"
    converter.write_artifacts(
        MessageToDict(frozen.graph_def),
        weights,
        str(model),
        tf.__version__,
        signature_def(frozen),
        # With these `predict()` answers with a dict of names in any TF.js program.
        metadata={"structuredOutputKeys": sorted(endpoint.name for endpoint in frozen.outputs)},
    )
    # Protobuf's maps come in the order of a seeded hash: equal inputs must make equal bytes.
    document = json.loads(model.read_text(encoding="utf-8"))
    model.write_text(json.dumps(document, sort_keys=True), encoding="utf-8")
