"""Rows of ids of different lengths as two arrays: as TensorFlow's ragged tensors, and as fast."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FlatIds:
    """Row i is `values[splits[i]:splits[i + 1]]`.

    values: int32[total], splits: int64[rows + 1]
    """

    values: NDArray[np.int32]
    splits: NDArray[np.int64]

    @classmethod
    def of_arrays(cls, values: Any, splits: Any) -> "FlatIds":
        """From sequences of integers: arrays, or lists that came from another interpreter."""
        return cls(np.asarray(values, np.int32), np.asarray(splits, np.int64))

    @classmethod
    def of_ragged(cls, ragged: Any) -> "FlatIds":
        """From a `tf.RaggedTensor` [rows, (ids)] or [rows, (words), (ids)]."""
        if ragged.ragged_rank == 2:
            ragged = ragged.merge_dims(1, 2)
        return cls(ragged.values.numpy().astype(np.int32), ragged.row_splits.numpy())

    @classmethod
    def of_rows(cls, rows: list[list[int]]) -> "FlatIds":
        """From lists."""
        splits = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=splits[1:])
        values = np.fromiter((i for row in rows for i in row), np.int32, count=int(splits[-1]))
        return cls(values, splits)

    def rows(self) -> list[list[int]]:
        """As lists, one a text."""
        flat, ends = self.values.tolist(), self.splits.tolist()
        return [flat[a:b] for a, b in zip(ends, ends[1:], strict=False)]
