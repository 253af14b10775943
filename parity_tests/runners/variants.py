"""Inputs that no tokenizer gives, and that tell a model's inputs apart; and what a model promises.

Both sides make the variants, each of its own ids: run_node.js by way of invariances.js,
run_python.py here. A claim that the model itself does not keep in Python is nothing that Node
could keep: an LSTM, for one, reads the padding whatever the mask says.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

INVARIANCE_TEXTS = 4
"""Texts of the first batch that are asked: few, for the slow backends."""
EXTRA_POSITIONS = 3
"""Positions that are added to a padded batch."""
VARIANTS = ("types", "holes", "turned")

Batch = dict[str, NDArray[Any]]
Answer = Callable[[Batch], Batch]


def make_variants(batch: Batch, inputs: set[str] | None = None) -> dict[str, Batch]:
    """A batch with other token types, with holes in its mask, and with its ids turned round.

    Args:
        batch: `input_ids`, `attention_mask`, `token_type_ids`, int32[batch, sequence].
        inputs: the roles that the model takes, None for all; what changes another is left out.

    >>> ids, ones = np.int32([[5, 6, 7, 0]]), np.int32([[1, 1, 1, 0]])
    >>> batch = {"input_ids": ids, "attention_mask": ones, "token_type_ids": ones * 0}
    >>> found = make_variants(batch)
    >>> found["types"]["token_type_ids"].tolist(), found["holes"]["attention_mask"].tolist()
    ([[0, 1, 0, 0]], [[1, 1, 0, 0]])
    >>> found["turned"]["input_ids"].tolist()
    [[7, 6, 5, 0]]
    >>> list(make_variants(batch, {"input_ids"}))
    ['turned']
    """
    ids, mask = batch["input_ids"], batch["attention_mask"]
    place = np.arange(ids.shape[1], dtype=np.int32)
    turned = ids.copy()
    for row, length in zip(turned, mask.sum(axis=1), strict=True):
        row[:length] = row[:length][::-1]
    changed = {
        "types": ("token_type_ids", np.where(mask == 1, place % 2, 0).astype(np.int32)),
        "holes": ("attention_mask", np.where(place % 3 == 2, 0, mask).astype(np.int32)),
        "turned": ("input_ids", turned),
    }
    return {
        name: batch | {role: value}
        for name, (role, value) in changed.items()
        if inputs is None or role in inputs
    }


def unclaimed_reasons(facts: Mapping[str, Any]) -> dict[str, str]:
    """The claims that a model with these facts (see `Source.facts`) cannot be asked for, and why.

    >>> unclaimed_reasons({"inputs": {"ids": "input_ids"}, "padding": "masked", "length": 8})["types"]
    'the model takes no token types'
    """
    roles = set(facts["inputs"].values())
    found = {}
    if facts["length"] is not None:
        found["padded"] = f"the model's length is fixed at {facts['length']}"
    if facts["padding"] == "attended":
        found |= dict.fromkeys(("padded", "masked", "alone"), "the model attends to padding")
    if "attention_mask" not in roles:
        why = "the model takes no attention mask"
        found = dict.fromkeys(("padded", "masked", "alone", "holes"), why) | found
    if "token_type_ids" not in roles:
        found["types"] = "the model takes no token types"
    return found


def measure_movement(run: Answer, batch: Batch, room: int | None) -> dict[str, float]:
    """By how much a model's own outputs move where a claim says that they do not.

    Args:
        run: gives the outputs of a padded batch by role.
        batch: a few texts.
        room: positions that may be added to it; None where the model's length is fixed.

    Returns:
        the largest difference at positions that the mask shows, by claim: `reordered`, `masked`
        and `alone`, and `padded` where there is room.
    """
    ids, mask = batch["input_ids"], batch["attention_mask"]
    whole = run(batch)
    turned = run({role: rows[::-1] for role, rows in batch.items()})
    found = {
        "reordered": largest_difference({name: v[::-1] for name, v in turned.items()}, whole, mask)
    }
    other = np.where(mask == 1, ids, ids + 1)
    found["masked"] = largest_difference(run(batch | {"input_ids": other}), whole, mask)
    if room is not None and room >= EXTRA_POSITIONS:
        pad = ids[mask == 0][0] if (mask == 0).any() else 0
        fill = {"input_ids": pad, "attention_mask": 0, "token_type_ids": 0}
        wider = {
            role: np.pad(rows, ((0, 0), (0, EXTRA_POSITIONS)), constant_values=fill[role])
            for role, rows in batch.items()
        }
        found["padded"] = largest_difference(run(wider), whole, mask)
    alone = 0.0
    for row, shown in enumerate(mask):
        width = ids.shape[1] if room is None else max(int(shown.sum()), 1)
        one = {role: rows[row : row + 1, :width] for role, rows in batch.items()}
        text = {name: value[row : row + 1] for name, value in whole.items()}
        alone = max(alone, largest_difference(run(one), text, mask[row : row + 1]))
    return found | {"alone": alone}


def largest_difference(left: Batch, right: Batch, mask: NDArray[Any]) -> float:
    """The largest difference of two answers, whose widths may differ, where the mask shows it."""
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
