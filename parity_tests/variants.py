"""Inputs that no tokenizer gives, and that tell a model's three inputs apart.

Both sides make them, each of its own ids: run_node.js by way of invariances.js, run_python.py here.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FEW = 4
"""Texts of the first batch that are asked: few, for the slow backends."""
VARIANTS = ("types", "holes", "turned")

Batch = dict[str, NDArray[Any]]


def variants(batch: Batch) -> dict[str, Batch]:
    """A batch with other token types, with holes in its mask, and with its ids turned round.

    >>> ids, ones = np.int32([[5, 6, 7, 0]]), np.int32([[1, 1, 1, 0]])
    >>> batch = {"input_ids": ids, "attention_mask": ones, "token_type_ids": ones * 0}
    >>> found = variants(batch)
    >>> found["types"]["token_type_ids"].tolist(), found["holes"]["attention_mask"].tolist()
    ([[0, 1, 0, 0]], [[1, 1, 0, 0]])
    >>> found["turned"]["input_ids"].tolist()
    [[7, 6, 5, 0]]
    """
    ids, mask = batch["input_ids"], batch["attention_mask"]
    place = np.arange(ids.shape[1], dtype=np.int32)
    turned = ids.copy()
    for row, length in zip(turned, mask.sum(axis=1), strict=True):
        row[:length] = row[:length][::-1]
    return {
        "types": batch | {"token_type_ids": np.where(mask == 1, place % 2, 0).astype(np.int32)},
        "holes": batch | {"attention_mask": np.where(place % 3 == 2, 0, mask).astype(np.int32)},
        "turned": batch | {"input_ids": turned},
    }
