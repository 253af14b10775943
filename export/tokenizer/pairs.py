"""Special tokens around one or two texts, and the ways to cut them to a length."""

from collections.abc import Callable

from export.bundle import SpecialToken

Ids = list[int]
Frame = Callable[[Ids, Ids | None], Ids]


def with_special_tokens(special: dict[str, SpecialToken]) -> Frame:
    """A function that makes `[CLS] a [SEP]`, or `[CLS] a [SEP] b [SEP]`."""
    cls, sep = special["cls"].id, special["sep"].id

    def frame(first: Ids, second: Ids | None) -> Ids:
        return [cls, *first, sep] + ([] if second is None else [*second, sep])

    return frame


def bare(first: Ids, second: Ids | None) -> Ids:
    """Both texts in a row, nothing added."""
    return first + (second or [])


def longest_first(first: Ids, second: Ids | None, limit: int | None, frame: Frame | None) -> Ids:
    """Cuts the longer text down to the shorter, then both alike, as Hugging Face does.

    Of an odd place left over, the longer text gets it, the second where they are equal.

    >>> longest_first([1, 2, 3], [4, 5, 6, 7, 8], 5, None)
    [1, 2, 4, 5, 6]
    """
    frame = frame or bare
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


def joined(first: Ids, second: Ids | None, limit: int | None, frame: Frame | None) -> Ids:
    """All tokens in a row, cut at the end; a pair's last [SEP] may fall away."""
    return (frame or bare)(first, second)[:limit]
