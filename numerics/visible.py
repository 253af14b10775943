"""What of an output means anything: its values at positions that the mask shows.

What a model gives at a masked position is of no use to anyone, and in trained models it is ten
times more sensitive to rounding than the rest.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def seen(name: str, value: Array, mask: Array) -> Array:
    """An output or tap of one text, without its masked positions.

    Args:
        name: of the output or tap.
        value: without the batch axis: float32[sequence, …], or one that has no axis of positions;
            attention scores are float32[heads, query, key], and stay whole along the keys, where
            the mask itself shows in them.
        mask: the text's `attention_mask`, int32[sequence].
    """
    shown = mask == 1
    if shown.all():
        return value
    if name.endswith("/attention_scores"):
        return value[..., shown, :]
    if name.endswith("/context"):
        return per_head(value, shown)
    by_position = value.ndim > 1 and value.shape[0] == len(mask)
    return value[shown] if by_position else value


def per_head(value: Array, shown: Array) -> Array:
    """What the mask shows of float32[heads, sequence, size] or float32[sequence, heads, size].

    Which it is, is unknown where both are of one length; then what both readings show is left.
    """
    for axis in range(value.ndim - 1):
        if value.shape[axis] == len(shown):
            value = np.compress(shown, value, axis)
    return value


def scaled_by(name: str, value: Array, mask: Array) -> Array:
    """The values that say how large a place's are: as `seen`, of scores without masked keys.

    A masked key's score is -10,000 or less, and says nothing of the others.
    """
    shown = mask == 1
    if name.endswith("/attention_scores") and value.shape[-2:] == (len(shown), len(shown)):
        return value[..., shown, :][..., shown]
    return seen(name, value, mask)
