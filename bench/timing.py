"""Takes turns, so that what else the machine does in the meantime falls on both sides alike."""

from collections.abc import Callable

Measure = Callable[[], float]


def in_turns(
    ours: Measure, peer: Measure, rounds: int, say: Callable[[str], None]
) -> tuple[list[float], list[float]]:
    """Ours, the peer, ours, the peer …; a first round of each warms up and is thrown away.

    >>> values = iter(range(6))
    >>> in_turns(lambda: next(values), lambda: next(values), 2, say=lambda line: None)
    ([2, 4], [3, 5])
    """
    one, other = [], []
    for number in range(rounds + 1):
        times = (ours(), peer())
        if number == 0:
            continue
        one.append(times[0])
        other.append(times[1])
        say(f"round {number}/{rounds}: {brief(times[0])} against {brief(times[1])}")
    return one, other


def brief(seconds: float) -> str:
    """A time for people.

    >>> brief(2.345), brief(0.01234), brief(0.0000123)
    ('2.35 s', '12.3 ms', '12.3 µs')
    """
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs"
