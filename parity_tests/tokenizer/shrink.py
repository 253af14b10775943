"""Makes a failing text as short as it gets."""

from collections.abc import Callable, Sequence

# Texts to the places of those that fail.
Failing = Callable[[Sequence[str]], list[int]]


def shrink(text: str, failing: Failing) -> str:
    """Takes away ever smaller stretches for as long as what is left still fails.

    >>> shrink("what is wrong here", lambda texts: [i for i, t in enumerate(texts) if "wr" in t])
    'wr'
    """
    size = max(1, len(text) // 2)
    while True:
        candidates = [text[:i] + text[i + size :] for i in range(0, len(text), size)]
        failed = failing(candidates) if candidates else []
        if failed:
            text = candidates[failed[0]]
            size = min(size, max(1, len(text) // 2))
        elif size > 1:
            size //= 2
        else:
            return text
