"""Looks inside a SavedModel: any tensor of its signature's graph, without a change to the model.

Tensors have the names they get when TensorFlow writes out every function that the signature calls,
which is also how a bundle's contract names its taps.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework import convert_to_constants, ops

from parity_tests.errors import UserError

Array = NDArray[Any]


class Inside:
    """The tensors that `taps` names, of a loaded model's signature."""

    def __init__(self, function: Any, taps: Mapping[str, str]) -> None:
        """Takes the signature's concrete function, and tensors by the names to give them.

        Raises:
            UserError: the model has no such tensor.
        """
        self._names = list(taps)
        self._keys = sorted(function.structured_input_signature[1])
        graph_def = convert_to_constants._run_inline_graph_optimization(function, False, True)
        known = {node.name for node in graph_def.node}
        for name, tensor in taps.items():
            if tensor.split(":")[0] not in known:
                raise UserError(
                    f"the bundle's tap {name} is {tensor}, which the model does not have; "
                    "was the bundle made from another model?"
                )
        free = function.inputs[: len(self._keys)]

        def fetch(*given: tf.Tensor) -> list[tf.Tensor]:
            feeds = {tensor.name: value for tensor, value in zip(free, given, strict=True)}
            for outer, inner in function.graph.captures:
                feeds[inner.name] = ops.get_default_graph().capture(outer)
            wanted = list(taps.values())
            fetched: list[tf.Tensor] = tf.import_graph_def(graph_def, feeds, wanted, name="")
            return fetched

        specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in free]
        self._run = tf.compat.v1.wrap_function(fetch, specs)

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Array]:
        """The tensors by name, from the signature's inputs by name."""
        answers = self._run(*(tf.constant(feeds[key]) for key in self._keys))
        return {n: np.asarray(a) for n, a in zip(self._names, answers, strict=True)}
