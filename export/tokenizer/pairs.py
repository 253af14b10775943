"""Special tokens around one or two texts, and the ways to cut them that no library decides.

How `bert`, `tf-text` and `tf-text-fast` cut a pair is asked of their libraries themselves (see
`libraries.py`). `chars`, the collection's simple tokenizer, has no rule of its own for pairs; it
keeps the rule of Hugging Face, whose scripts prepared the pairs in the collection's examples.
"""

from collections.abc import Callable

Ids = list[int]
Frame = Callable[[Ids, Ids | None], Ids]
Cut = Callable[[Ids, Ids | None, int | None, Frame], Ids]


def with_special_tokens(cls: int, sep: int, last: int | None = None) -> Frame:
    """A function that makes `[CLS] a [SEP]`, or `[CLS] a [SEP] b [SEP]`.

    `last` stands in the place of a pair's second [SEP].
    """

    def frame(first: Ids, second: Ids | None) -> Ids:
        end = sep if last is None else last
        return [cls, *first, sep] + ([] if second is None else [*second, end])

    return frame


def bare(first: Ids, second: Ids | None) -> Ids:
    """Both texts in a row, nothing added."""
    return first + (second or [])


def longest_first(first: Ids, second: Ids | None, limit: int | None, frame: Frame) -> Ids:
    """Cuts the longer text down to the shorter, then both alike, as Hugging Face does.

    Of an odd place left over, the longer text gets it, the second where they are equal. Special
    tokens are never cut: a limit that is smaller than their number leaves them alone.

    >>> longest_first([1, 2, 3], [4, 5, 6, 7, 8], 5, bare)
    [1, 2, 4, 5, 6]
    """
    if limit is None:
        return frame(first, second)
    room = max(0, limit - len(frame([], None if second is None else [])))
    if second is None:
        return frame(first[:room], None)
    short, long = sorted((len(first), len(second)))
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short = room // 2
        long = room - short
    a, b = (short, long) if len(first) <= len(second) else (long, short)
    return frame(first[:a], second[:b])


def joined(first: Ids, second: Ids | None, limit: int | None, frame: Frame) -> Ids:
    """All tokens in a row, cut at the end; a pair's last [SEP] may fall away."""
    return frame(first, second)[:limit]
