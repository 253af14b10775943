"""Rewrites a frozen graph so that it runs on every backend, and faster, with the same results.

Each rewrite is a function of the graph; its docstring has the reason for it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from export.golden import MeasuredCosts, measure_costs, run_in_float64, visible_values
from export.graph.graph import Array, FrozenGraph
from export.rewrites.elementary import erfc_by_erf, gelu_by_sigmoid, power_by_products
from export.rewrites.embedding import gather_by_product, one_hot_by_equal
from export.rewrites.folding import fold_weights, shapes_by_inputs, simplify
from export.rewrites.matmul import einsum_by_matmul, fuse_biases, scale_queries
from export.rewrites.splice import merge_equal_constants, merge_equal_weights
from export.rewrites.tfjs_faults import batch_norm_by_moments, faulty_by_sound
from numerics.budgets import MULTIPLE, Cost
from numerics.float64 import NoFloat64
from support.errors import UserError
from support.printing import Say
from support.progress import track

REWRITES: tuple[Callable[[FrozenGraph], FrozenGraph], ...] = (
    merge_equal_weights,
    einsum_by_matmul,
    one_hot_by_equal,
    batch_norm_by_moments,
    faulty_by_sound,
    erfc_by_erf,
    gelu_by_sigmoid,
    power_by_products,
    scale_queries,
    gather_by_product,
    shapes_by_inputs,
    fold_weights,
    fuse_biases,
    merge_equal_constants,
)
# The largest allowed shift of an output, relative to its scale. A weight that is computed in
# float32 is off by 6e-8 of itself.
MAX_SHIFT = 3e-7
# The allowed shift as a share of the cost of float32, if that is larger: the cost is the sum of
# many such roundings.
COST_SHARE = 0.125
# A shift below this comes from TensorFlow's order of float64 sums.
FLOAT64_NOISE = 1e-10


@dataclass(frozen=True)
class Rewritten:
    """The effect of a rewrite: the largest shift of any output, and the number of nodes after it.

    `max_abs` is measured in float64 if the model can run in it.
    """

    name: str
    max_abs: float
    nodes: int


def rewrite(
    frozen: FrozenGraph,
    feeds: Mapping[str, Array],
    visible: Array,
    measured: MeasuredCosts | None = None,
    say: Say = lambda line: None,
) -> tuple[FrozenGraph, list[Rewritten]]:
    """Applies all rewrites and checks each on the model itself, in float64.

    In float64, rounding noise neither hides a wrong rewrite nor refuses a correct one: a rewrite
    may shift an output by 3e-7 of its scale, or by an eighth of the cost of float32, if that is
    larger.

    Args:
        frozen: the source's graph.
        feeds: the golden cases, by input.
        visible: which positions count: bool[batch, sequence].
        measured: the cost of float32; None: it is measured here.
        say: prints a line from time to time. A model of 2,048 units and 24 layers takes minutes,
            and a process without output for `--time-limit` seconds is stopped.

    Raises:
        UserError: a rewrite shifts an output by more; the message names both.
    """
    measured = measured or measure_costs(frozen, feeds, visible)
    truth = frozen.run(feeds) if measured.exact is None else measured.exact
    before = truth
    frozen = simplify(frozen)
    done = []
    for step in track("rewriting the graph", REWRITES, unit="steps", say=say):
        changed = step(frozen)
        if changed is frozen:
            continue
        frozen = changed.pruned()
        after = _run_rewritten(frozen, feeds, step.__name__, exact=measured.exact is not None)
        most = 0.0
        for name, old in before.items():
            cost = measured.costs[name] if name in measured.costs else Cost()
            lost = (COST_SHARE if measured.exact is not None else MULTIPLE) * cost.largest
            allowed = max(MAX_SHIFT * cost.rms, lost)
            # Compare with the source too: many small shifts may not add up to a large one.
            for other in (old, truth[name]):
                moved = largest_difference(
                    visible_values(other, visible), visible_values(after[name], visible)
                )
                if not moved <= allowed:
                    raise UserError(
                        f"rewrite {step.__name__} moves {name} by {moved:.2g}, expected at most "
                        f"{allowed:.2g}; please report the model"
                    )
            most = max(
                most,
                largest_difference(
                    visible_values(old, visible), visible_values(after[name], visible)
                ),
            )
        most = 0.0 if most < FLOAT64_NOISE else float(f"{most:.1e}")
        done.append(Rewritten(step.__name__, most, len(frozen.graph_def.node)))
        before = after
    return simplify(frozen), done


def _run_rewritten(
    frozen: FrozenGraph, feeds: Mapping[str, Array], step: str, exact: bool
) -> dict[str, Array]:
    """Computes the outputs after a rewrite.

    Args:
        frozen: the graph after the rewrite.
        feeds: the golden cases, by input.
        step: the name of the rewrite, for messages.
        exact: whether to run in float64; else in float32.

    Raises:
        UserError: the rewrite added an op that cannot run in float64.
    """
    if not exact:
        return frozen.run(feeds)
    try:
        values = run_in_float64(frozen, feeds)
    except NoFloat64 as error:
        raise UserError(f"rewrite {step}: {error}; please report the model") from None
    return {endpoint.name: values[endpoint.name] for endpoint in frozen.outputs}


def largest_difference(one: Array, other: Array) -> float:
    """Returns the largest difference; NaN if one side has a NaN or the shapes differ."""
    if one.shape != other.shape:
        return float("nan")
    return float(np.max(np.abs(one.astype(np.float64) - other), initial=0.0))
