"""How a classifier reads a text that is longer than its positions, by the rule in docs/training.md.

Python computes its own rows of ids from its own tokens; Node's answer is nowhere used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parity_tests.cases import TextCase

if TYPE_CHECKING:
    # It imports TensorFlow at its top, which the commands of parity do only when they need it.
    from parity_tests.runners.python_tokenizer import Encoded, PythonTokenizer

Array = NDArray[Any]
HEAD_TAIL, WINDOWS = "head-tail", "windows"
NO_LIMIT = 2**30
"""A limit that cuts nothing."""


@dataclass(frozen=True)
class LongRule:
    """How texts of more than `max_length` positions are read.

    Attributes:
        max_length: of a row, special tokens counted.
        choice: `head-tail` or `windows`.
        stride: of windows: tokens from the start of a window to the start of the next.
        pooling: of windows: `mean` or `max`, what becomes of each number of their vectors.
    """

    max_length: int
    choice: str
    stride: int = 0
    pooling: str = "mean"

    @classmethod
    def of_classifier(cls, description: Mapping[str, Any]) -> LongRule | None:
        """Returns the rule of a `classifier.json`; None where it cuts long texts."""
        long = description.get("long")
        return None if long is None else cls(max_length=description["max_length"], **long)

    def to_json(self) -> str:
        """Returns it as JSON, for another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> LongRule:
        """Reads what `to_json` returns."""
        return cls(**json.loads(text))

    def pool(self, vectors: Array) -> Array:
        """Returns float32[hidden] of float32[rows, hidden]; one row stays as it is.

        >>> rows = np.float32([[0, 4], [1, 0], [2, 2]])
        >>> [LongRule(8, WINDOWS, 3, how).pool(rows).tolist() for how in ("mean", "max")]
        [[1.0, 2.0], [2.0, 4.0]]
        """
        exact = vectors.astype(np.float64)
        pooled = exact.max(axis=0) if self.pooling == "max" else exact.mean(axis=0)
        return np.asarray(pooled, np.float32)


def encode_rows(
    tokenizer: PythonTokenizer, cases: Sequence[TextCase], rule: LongRule
) -> list[list[Encoded]]:
    """Encodes each case to its rows, with special tokens."""
    cut = tokenizer.encode(cases, True, rule.max_length)
    whole = tokenizer.encode(cases, True, NO_LIMIT)
    return [
        [short] if len(short[0]) == len(long[0]) else split_long(long, short, rule)
        for short, long in zip(cut, whole, strict=True)
    ]


def split_long(whole: Encoded, cut: Encoded, rule: LongRule) -> list[Encoded]:
    """Splits a text or pair that is too long into its rows.

    Args:
        whole: its ids and types, with special tokens.
        cut: the same, cut as its library cuts it.
        rule: how it is read.

    >>> text = ([1, *range(10, 20), 2], [0] * 12)
    >>> [ids for ids, _ in split_long(text, ([0] * 6, [0] * 6), LongRule(6, WINDOWS, 3))]
    [[1, 10, 11, 12, 13, 2], [1, 13, 14, 15, 16, 2], [1, 16, 17, 18, 19, 2]]
    >>> split_long(text, ([0] * 7, [0] * 7), LongRule(7, HEAD_TAIL))
    [([1, 10, 11, 17, 18, 19, 2], [0, 0, 0, 0, 0, 0, 0])]
    >>> pair = ([1, 10, 11, 2, *range(20, 27), 2], [0] * 4 + [1] * 8)
    >>> [ids for ids, _ in split_long(pair, ([0] * 9, [0] * 9), LongRule(9, WINDOWS, 3))]
    [[1, 10, 11, 2, 20, 21, 22, 23, 2], [1, 10, 11, 2, 23, 24, 25, 26, 2]]
    """
    ids, types = whole
    cls, sep = ids[0], ids[-1]
    paired = 1 in types

    def frame(first: list[int], second: list[int]) -> Encoded:
        tail = [*second, sep] if paired else []
        row = [cls, *first, sep, *tail]
        return row, [0] * (len(row) - len(tail)) + [1] * len(tail)

    middle = types.index(1) - 1 if paired else len(ids) - 1
    parts = ids[1:middle], ids[middle + 1 : -1]
    if rule.choice == HEAD_TAIL:
        of_second = max(sum(cut[1]) - 1, 0)
        of_first = len(cut[0]) - of_second - (3 if paired else 2)
        return [frame(_head_tail(parts[0], of_first), _head_tail(parts[1], of_second))]
    if not paired:
        room = rule.max_length - 2
        return [frame(part, []) for part in _windows(parts[0], room, rule.stride)]
    places = rule.max_length - 3
    if len(parts[1]) >= len(parts[0]):
        short = parts[0][: places // 2]
        return [frame(short, part) for part in _windows(parts[1], places - len(short), rule.stride)]
    short = parts[1][: places // 2]
    return [frame(part, short) for part in _windows(parts[0], places - len(short), rule.stride)]


def _head_tail(tokens: list[int], keep: int) -> list[int]:
    """Returns the first quarter of `keep`, rounded up, and the others from the end."""
    head = -(-keep // 4)
    return tokens[:head] + tokens[len(tokens) - (keep - head) :]


def _windows(tokens: list[int], room: int, stride: int) -> list[list[int]]:
    """Returns full windows; the last one ends with the text."""
    last = max(len(tokens) - room, 0)
    starts = [*range(0, last, min(stride, room)), last]
    return [tokens[start : start + room] for start in starts]
