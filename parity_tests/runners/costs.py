"""Measures what float32 costs the source at each output and tap, on the compared cases.

The source runs again in float64, with TensorFlow's own kernels, and its float32 answers are
compared with that. A large model does so on its first batch only, since float64 takes twice the
time. A model that does not run in float64 runs in float32 a few more times, with randomly rounded
weights.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework import convert_to_constants, ops

from numerics.budgets import FLOAT64, ROUNDED_WEIGHTS, Cost, pack_costs, round_weights_randomly
from numerics.float64 import Float64Function, NoFloat64
from parity_tests.runners import runs
from parity_tests.runners.source import SourceModel
from support.errors import UserError
from support.printing import say

Array = NDArray[Any]
Batch = dict[str, NDArray[Any]]
LARGE_MODEL = 50_000_000
"""A model with more weights runs only its first batch in float64."""


class TapReader:
    """Reads any tensor of a signature's graph, without changing the model.

    Tensors have the names that they get when TensorFlow inlines every function of the signature;
    a bundle's contract names its taps in the same way.
    """

    def __init__(self, function: Any, taps: Mapping[str, str]) -> None:
        """Builds the function that reads the tensors.

        Args:
            function: the signature's concrete function.
            taps: tensors of its graph, by the names for the results.

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

        def fetch(*inputs: tf.Tensor) -> list[tf.Tensor]:
            feeds = {tensor.name: value for tensor, value in zip(free, inputs, strict=True)}
            for outer, inner in function.graph.captures:
                feeds[inner.name] = ops.get_default_graph().capture(outer)
            wanted = list(taps.values())
            fetched: list[tf.Tensor] = tf.import_graph_def(graph_def, feeds, wanted, name="")
            return fetched

        specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in free]
        self._run = tf.compat.v1.wrap_function(fetch, specs)

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Array]:
        """Returns the tensors by name, from the signature's inputs by name."""
        answers = self._run(*(tf.constant(feeds[key]) for key in self._keys))
        return {n: np.asarray(a) for n, a in zip(self._names, answers, strict=True)}


def measure_costs(
    source: SourceModel,
    taps: dict[str, str],
    tap_reader: TapReader | None,
    tensors: Batch,
    head: str,
) -> Batch:
    """Measures the costs; returns tensors for the file of the run.

    Args:
        source: the model.
        taps: tensors of the source by the names of the taps.
        tap_reader: reads the taps in float32.
        tensors: the answers of a run, by their names in its file.
        head: the output that a classifier takes.

    Returns:
        `float32_cost.b000.<output or tap>`: float64[4], the largest, the sum of squares, the count,
        and 1 where it was measured in float64; and `float64.b<batch>.<special>`, float32: the
        float64 output `head` minus the float32 one.
    """
    batches = _group_by_batch(tensors)
    variables = [v for v in source.signature.graph.variables if v.dtype.is_floating]
    if sum(int(np.prod(v.shape)) for v in variables) > LARGE_MODEL:
        batches = {key: batch for key, batch in batches.items() if key.endswith(".b000")}
        say("python: float64 on the first batch only, the model is large")
    costs: dict[str, Cost] = {}
    corrections: Batch = {}
    try:
        exact = Float64Function(source.signature, taps)
    except NoFloat64 as error:
        say(f"python: {error}: weights are randomly rounded instead")
        _run_with_rounded_weights(
            variables, lambda: _add_rounded_costs(costs, source, tap_reader, batches)
        )
        return _costs_as_tensors(costs)
    for key, batch in batches.items():
        truth = source.run_with(exact.run, _model_inputs(batch))
        _add_batch_costs(costs, batch, truth, FLOAT64)
        special, number = key.split(".")
        if special in runs.SPECIALS and head in truth:
            corrections[f"float64.{number}.{special}"] = (truth[head] - batch[head]).astype(
                np.float32
            )
    return corrections | _costs_as_tensors(costs)


def _group_by_batch(tensors: Batch) -> dict[str, Batch]:
    """Groups the tensors of a run by `<special>.b<batch>` and name."""
    batches: dict[str, Batch] = {}
    for name, value in tensors.items():
        special, number, inner = name.split(".", 2)
        batches.setdefault(f"{special}.{number}", {})[inner] = value
    return batches


def _model_inputs(batch: Batch) -> Batch:
    """Returns the model's inputs of a batch: ids, mask and types."""
    return {name: batch[name] for name in runs.IDS}


def _add_batch_costs(costs: dict[str, Cost], batch: Batch, truth: Batch, how: str) -> None:
    """Adds a batch's costs at every output and tap.

    Args:
        costs: by output or tap; is changed.
        batch: float32 answers.
        truth: the more exact answers.
        how: how they were computed, see `Cost`.
    """
    for name, value in batch.items():
        if name in truth:
            own = Cost.measure(name, value, truth[name], batch["attention_mask"], how)
            costs[name] = costs[name] + own if name in costs else own


def _add_rounded_costs(
    costs: dict[str, Cost],
    source: SourceModel,
    tap_reader: TapReader | None,
    batches: dict[str, Batch],
) -> None:
    """Adds how far the answers move with the current weights.

    Args:
        costs: by output or tap; is changed.
        source: the model, with rounded weights.
        tap_reader: reads its taps.
        batches: the answers with the original weights.
    """
    for batch in batches.values():
        truth = source.run(_model_inputs(batch))
        if tap_reader is not None and any(name.startswith(runs.TAPS) for name in batch):
            truth |= source.run_with(tap_reader.run, _model_inputs(batch))
        _add_batch_costs(costs, batch, truth, ROUNDED_WEIGHTS)


def _run_with_rounded_weights(variables: list[Any], run: Callable[[], None]) -> None:
    """Calls `run` a few times with the variables randomly rounded, then restores them."""
    before = {str(i): variable.numpy() for i, variable in enumerate(variables)}
    for rounded in [*round_weights_randomly(before), None]:
        for i, variable in enumerate(variables):
            variable.assign((rounded or before)[str(i)])
        if rounded is not None:
            run()


def _costs_as_tensors(costs: Mapping[str, Cost]) -> Batch:
    """Returns the costs by their names in a run's file."""
    return {f"float32_cost.b000.{name}": value for name, value in pack_costs(costs).items()}
