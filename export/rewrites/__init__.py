"""Rewrites of a frozen graph that keep its meaning, so that it runs on every backend, and faster.

Each is a function of the graph in a file of its own that says why it is there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from export.errors import UserError
from export.golden import seen
from export.graph import Array, FrozenGraph
from export.rewrites.batch_norm import batch_norm_by_moments
from export.rewrites.constants import merge_equal_constants, merge_equal_weights
from export.rewrites.dense import fuse_biases
from export.rewrites.einsum import einsum_by_matmul
from export.rewrites.elementary import erfc_by_erf, power_by_products
from export.rewrites.embedding import gather_by_product
from export.rewrites.gelu import gelu_by_sigmoid
from export.rewrites.grappler import simplify
from export.rewrites.one_hot import one_hot_by_equal
from export.rewrites.scores import scale_queries
from export.rewrites.shapes import shapes_by_inputs
from export.rewrites.tfjs_faults import faulty_by_sound
from export.rewrites.weights import fold_weights

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
# Order of summation and constant folding move an output of unit scale by some 1e-6.
ALLOWED = 1e-5


@dataclass(frozen=True)
class Rewritten:
    """What a rewrite did: by how much it moved any output, and the number of nodes after it."""

    name: str
    max_abs: float
    nodes: int


def rewrite(
    frozen: FrozenGraph, feeds: Mapping[str, Array], visible: Array
) -> tuple[FrozenGraph, list[Rewritten]]:
    """Applies every rewrite and checks each on the model itself, with `feeds` as inputs by name.

    `visible` says which positions count: bool[batch, sequence].

    Raises:
        UserError: a rewrite changes an output by more than 1e-5; the message names it.
    """
    before = frozen.run(feeds)
    frozen = simplify(frozen)
    done = []
    for step in REWRITES:
        changed = step(frozen)
        if changed is frozen:
            continue
        frozen = changed.pruned()
        after = frozen.run(feeds)
        moved = max(
            distance(seen(before[name], visible), seen(after[name], visible)) for name in before
        )
        if not moved <= ALLOWED:
            raise UserError(
                f"rewrite {step.__name__} moves an output by {moved:.2g}, expected at most "
                f"{ALLOWED:g}; please report the model"
            )
        done.append(Rewritten(step.__name__, float(f"{moved:.1e}"), len(frozen.graph_def.node)))
        before = after
    return simplify(frozen), done


def distance(one: Array, other: Array) -> float:
    """The largest difference; NaN where one side has a NaN or the shapes differ."""
    if one.shape != other.shape:
        return float("nan")
    return float(np.max(np.abs(one.astype(np.float64) - other), initial=0.0))
