"""What float32 costs the source at each place, on the very cases that are compared.

The source runs again in float64, with TensorFlow's own kernels, and at each output and each tap
its float32 answers are compared with that. A large model does so on its first batch alone: that
takes twice the time of float32. One that does not run in float64 runs in float32 a few times more,
with randomly rounded weights.
"""

import sys
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

# Looks inside a SavedModel: any tensor of its signature's graph, without a change to the model.
#
# Tensors have the names they get when TensorFlow writes out every function that the signature
# calls, which is also how a bundle's contract names its taps.

Array = NDArray[Any]


class TapReader:
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


Batch = dict[str, NDArray[Any]]
LARGE_MODEL = 50_000_000
"""Weights of a model that runs its first batch alone in float64."""


def measure_costs(
    source: SourceModel, taps: dict[str, str], inside: TapReader | None, tensors: Batch, head: str
) -> Batch:
    """Measures the costs; returns tensors to be written beside the answers.

    Args:
        source: the model.
        taps: tensors of the source by the names of the taps.
        inside: looks at them in float32.
        tensors: the answers of a run, by their names in its file.
        head: the output that a classifier takes.

    Returns:
        `float32_cost.b000.<place>`: float64[4], the largest, the sum of squares, the count, and 1
        where it was measured in float64; and `float64.b<batch>.<special>`, float32: what has to be
        added to the output `head` to make it that of float64.
    """
    batches = group_by_batch(tensors)
    variables = [v for v in source.signature.graph.variables if v.dtype.is_floating]
    if sum(int(np.prod(v.shape)) for v in variables) > LARGE_MODEL:
        batches = {place: batch for place, batch in batches.items() if place.endswith(".b000")}
        print("python: float64 on the first batch alone, the model is large", file=sys.stderr)
    costs: dict[str, Cost] = {}
    found: Batch = {}
    try:
        exact = Float64Function(source.signature, taps)
    except NoFloat64 as error:
        print(f"python: {error}: weights are randomly rounded instead", file=sys.stderr)
        run_with_rounded_weights(
            variables, lambda: add_rounded_costs(costs, source, inside, batches)
        )
        return costs_as_tensors(costs)
    for place, batch in batches.items():
        truth = source.run_with(exact.run, model_inputs(batch))
        add_batch_costs(costs, batch, truth, FLOAT64)
        special, number = place.split(".")
        if special in runs.SPECIALS and head in truth:
            found[f"float64.{number}.{special}"] = (truth[head] - batch[head]).astype(np.float32)
    return found | costs_as_tensors(costs)


def group_by_batch(tensors: Batch) -> dict[str, Batch]:
    """The tensors of a run by `<special>.b<batch>` and name."""
    batches: dict[str, Batch] = {}
    for name, value in tensors.items():
        special, number, inner = name.split(".", 2)
        batches.setdefault(f"{special}.{number}", {})[inner] = value
    return batches


def model_inputs(batch: Batch) -> Batch:
    """What the model was given of a batch: ids, mask and types."""
    return {name: batch[name] for name in runs.IDS}


def add_batch_costs(costs: dict[str, Cost], batch: Batch, truth: Batch, how: str) -> None:
    """Adds a batch's costs, at every place that it has."""
    for name, value in batch.items():
        if name in truth:
            own = Cost.of(name, value, truth[name], batch["attention_mask"], how)
            costs[name] = costs[name] + own if name in costs else own


def add_rounded_costs(
    costs: dict[str, Cost], source: SourceModel, inside: TapReader | None, batches: dict[str, Batch]
) -> None:
    """Adds how far the answers move with the weights as they now are."""
    for batch in batches.values():
        truth = source.run(model_inputs(batch))
        if inside is not None and any(name.startswith(runs.TAPS) for name in batch):
            truth |= source.run_with(inside.run, model_inputs(batch))
        add_batch_costs(costs, batch, truth, ROUNDED_WEIGHTS)


def run_with_rounded_weights(variables: list[Any], run: Callable[[], None]) -> None:
    """Runs something a few times with the variables randomly rounded, and puts them back."""
    before = {str(i): variable.numpy() for i, variable in enumerate(variables)}
    for drawn in [*round_weights_randomly(before), None]:
        for i, variable in enumerate(variables):
            variable.assign((drawn or before)[str(i)])
        if drawn is not None:
            run()


def costs_as_tensors(costs: Mapping[str, Cost]) -> Batch:
    """Costs by the names that they have in a run's file."""
    return {f"float32_cost.b000.{name}": value for name, value in pack_costs(costs).items()}
