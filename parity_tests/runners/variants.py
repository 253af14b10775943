"""Makes unusual inputs that tell a model's inputs apart, and measures what the model promises.

Both sides make the variants from their own ids: run_node.js with invariances.js, run_python.py with
this module. Node need not keep an invariance that the model does not keep in Python: an LSTM, for
example, reads the padding whatever the mask says.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

TYPES, MASKED_INSIDE, REVERSED = "types", "masked_inside", "reversed"
"""Names of the variants in runs and reports."""
INVARIANCE_TEXTS = 4
"""Texts of the first batch that are used: few, for the slow backends."""
EXTRA_POSITIONS = 3
"""Positions of extra padding."""
VARIANTS = (TYPES, MASKED_INSIDE, REVERSED)

Batch = dict[str, NDArray[Any]]
Answer = Callable[[Batch], Batch]


def make_variants(batch: Batch, inputs: set[str] | None = None) -> dict[str, Batch]:
    """Makes batches with other token types, with masked positions inside, and with reversed ids.

    Args:
        batch: `input_ids`, `attention_mask`, `token_type_ids`, int32[batch, sequence].
        inputs: the roles that the model takes, None for all; variants of other roles are left out.

    >>> ids, ones = np.int32([[5, 6, 7, 0]]), np.int32([[1, 1, 1, 0]])
    >>> batch = {"input_ids": ids, "attention_mask": ones, "token_type_ids": ones * 0}
    >>> found = make_variants(batch)
    >>> found[TYPES]["token_type_ids"].tolist(), found[MASKED_INSIDE]["attention_mask"].tolist()
    ([[0, 1, 0, 0]], [[1, 1, 0, 0]])
    >>> found[REVERSED]["input_ids"].tolist()
    [[7, 6, 5, 0]]
    >>> list(make_variants(batch, {"input_ids"}))
    ['reversed']
    """
    ids, mask = batch["input_ids"], batch["attention_mask"]
    position = np.arange(ids.shape[1], dtype=np.int32)
    reversed_ids = ids.copy()
    for row, length in zip(reversed_ids, mask.sum(axis=1), strict=True):
        row[:length] = row[:length][::-1]
    changed = {
        TYPES: ("token_type_ids", np.where(mask == 1, position % 2, 0).astype(np.int32)),
        MASKED_INSIDE: ("attention_mask", np.where(position % 3 == 2, 0, mask).astype(np.int32)),
        REVERSED: ("input_ids", reversed_ids),
    }
    return {
        name: batch | {role: value}
        for name, (role, value) in changed.items()
        if inputs is None or role in inputs
    }


def unclaimed_reasons(facts: Mapping[str, Any]) -> dict[str, str]:
    """Returns the invariances that cannot hold for a model with these facts, with the reason.

    `facts` are those of `SourceModel.facts`.

    >>> facts = {"inputs": {"ids": "input_ids"}, "padding": "masked", "length": 8}
    >>> unclaimed_reasons(facts)["types"]
    'the model takes no token types'
    """
    roles = set(facts["inputs"].values())
    reasons = {}
    if facts["length"] is not None:
        reasons["padded"] = f"the model's length is fixed at {facts['length']}"
    if facts["padding"] == "attended":
        reasons |= dict.fromkeys(("padded", "masked", "alone"), "the model attends to padding")
    if "attention_mask" not in roles:
        why = "the model takes no attention mask"
        names = ("padded", "masked", "alone", MASKED_INSIDE)
        reasons = dict.fromkeys(names, why) | reasons
    if "token_type_ids" not in roles:
        reasons[TYPES] = "the model takes no token types"
    return reasons


def measure_movement(run: Answer, batch: Batch, spare: int | None) -> dict[str, float]:
    """Measures how far a model's own outputs move where an invariance says that they do not.

    Args:
        run: computes the outputs of a padded batch by role.
        batch: a few texts.
        spare: positions that may be added; None where the model's length is fixed.

    Returns:
        the largest difference at positions that the mask shows, by claim: `reordered`, `masked`
        and `alone`, and `padded` where positions can be added.
    """
    ids, mask = batch["input_ids"], batch["attention_mask"]
    whole = run(batch)
    reordered = run({role: rows[::-1] for role, rows in batch.items()})
    found = {
        "reordered": largest_difference(
            {name: v[::-1] for name, v in reordered.items()}, whole, mask
        )
    }
    other = np.where(mask == 1, ids, ids + 1)
    found["masked"] = largest_difference(run(batch | {"input_ids": other}), whole, mask)
    if spare is not None and spare >= EXTRA_POSITIONS:
        pad = ids[mask == 0][0] if (mask == 0).any() else 0
        padding = {"input_ids": pad, "attention_mask": 0, "token_type_ids": 0}
        wider = {
            role: np.pad(rows, ((0, 0), (0, EXTRA_POSITIONS)), constant_values=padding[role])
            for role, rows in batch.items()
        }
        found["padded"] = largest_difference(run(wider), whole, mask)
    alone = 0.0
    for row, shown in enumerate(mask):
        width = ids.shape[1] if spare is None else max(int(shown.sum()), 1)
        one = {role: rows[row : row + 1, :width] for role, rows in batch.items()}
        text = {name: value[row : row + 1] for name, value in whole.items()}
        alone = max(alone, largest_difference(run(one), text, mask[row : row + 1]))
    return found | {"alone": alone}


def largest_difference(left: Batch, right: Batch, mask: NDArray[Any]) -> float:
    """Returns the largest difference of two answers at the positions that the mask shows.

    Their widths may differ.
    """
    largest = 0.0
    for name, value in right.items():
        other = left[name]
        for row, shown in enumerate(mask):
            if not shown.any():
                continue
            one, two = other[row].astype(np.float64), value[row].astype(np.float64)
            if two.ndim > 1 and len(two) == len(shown):
                length = int(shown.sum())
                one, two = one[:length], two[:length]
            largest = max(largest, float(np.abs(one - two).max(initial=0)))
    return largest
