"""A SavedModel's signature in float64: the same inputs and variables, every value a double."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework import convert_to_constants, ops

from numerics.float64 import in_float64, widened

Array = NDArray[Any]


class Float64Function:
    """Places of a signature's graph, with every function that it calls written out."""

    def __init__(self, function: Any, places: Mapping[str, str]) -> None:
        """Takes the signature's concrete function, and tensors by the names to give them.

        The outputs of the signature are places too, by their own names.

        Raises:
            NoFloat64: an op has no float64 kernel.
        """
        results = sorted(function.structured_outputs)
        names = [tensor.name for tensor in function.outputs]
        tensors = dict(zip(results, names, strict=True)) | dict(places)
        self._names = list(tensors)
        self._keys = sorted(function.structured_input_signature[1])
        written = convert_to_constants._run_inline_graph_optimization(function, False, True)
        graph_def = in_float64(written)
        variables = {id(variable.handle): variable for variable in function.graph.variables}
        held = {}
        self._copies = []
        for outer, inner in function.graph.captures:
            variable = variables.get(id(outer))
            if variable is not None and variable.dtype.is_floating:
                self._copies.append(tf.Variable(widened(variable.numpy())))
                held[inner.name] = self._copies[-1].handle
            else:
                held[inner.name] = tf.cast(outer, tf.float64) if outer.dtype.is_floating else outer
        free = function.inputs[: len(self._keys)]

        def fetch(*given: tf.Tensor) -> list[tf.Tensor]:
            feeds = {tensor.name: value for tensor, value in zip(free, given, strict=True)}
            feeds |= {n: ops.get_default_graph().capture(outer) for n, outer in held.items()}
            wanted = list(tensors.values())
            fetched: list[tf.Tensor] = tf.import_graph_def(graph_def, feeds, wanted, name="")
            return fetched

        specs = [
            tf.TensorSpec(t.shape, tf.float64 if t.dtype.is_floating else t.dtype) for t in free
        ]
        self._run = tf.compat.v1.wrap_function(fetch, specs)

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Array]:
        """The values of all places, float64, from the signature's inputs by name."""
        given = [widened(np.asarray(feeds[key])) for key in self._keys]
        answers = self._run(*(tf.constant(value) for value in given))
        return {name: answer.numpy() for name, answer in zip(self._names, answers, strict=True)}
