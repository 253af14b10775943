"""Runs TF.js's own converter, as its users call it.

    python -m bench.conversion.stock SAVED_MODEL OUT

It imports packages that the conversion of a SavedModel never uses. The environment does not have
them, so empty modules replace them.
"""

import sys
from types import ModuleType

import keras  # noqa: F401  before the empty modules: it looks for JAX by itself
import tf_keras  # noqa: F401  likewise

for _name in ("tensorflow_decision_forests", "jax", "jax.experimental", "jax.experimental.jax2tf"):
    sys.modules.setdefault(_name, ModuleType(_name))

from tensorflowjs.converters import tf_saved_model_conversion_v2 as converter  # noqa: E402

if __name__ == "__main__":
    converter.convert_tf_saved_model(sys.argv[1], sys.argv[2])
