"""Which faults are put into which bundles: the same ones every time."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from trial.places import Clean
from trial.registry import Kind

SLOW_EVERY = 3
"""Every so many faults of a kind are judged on plain JavaScript, the others on wasm."""


@dataclass(frozen=True)
class Task:
    """One fault to come: which kind, into which bundle, the how-manieth of its kind."""

    kind: Kind
    clean: Clean
    number: int

    @property
    def id(self) -> str:
        """The fault's name, and the seed of its random choices."""
        return f"{self.kind.name}/{self.number}/{self.clean.name}"

    @property
    def backend(self) -> str:
        """Where it is judged."""
        return "cpu" if self.number % SLOW_EVERY == SLOW_EVERY - 1 else "wasm"

    def chooser(self) -> Random:
        """The fault's random generator."""
        return Random(self.id)


def planned(kinds: Iterable[Kind], cleans: list[Clean], quick: bool) -> list[Task]:
    """All faults, those of a kind spread over sources and dtypes; one of each kind if `quick`."""
    tasks = []
    for kind in kinds:
        fitting = [clean for clean in cleans if kind.fits(clean)]
        assert fitting, f"{kind.name} fits no bundle"
        times = 1 if quick else kind.times
        tasks += [Task(kind, clean, i) for i, clean in enumerate(spread(kind.name, fitting, times))]
    return tasks


def spread(name: str, fitting: list[Clean], times: int) -> list[Clean]:
    """So many bundles, of as many sources and dtypes as there are."""
    left = list(fitting)
    Random(name).shuffle(left)
    sources: Counter[str] = Counter()
    dtypes: Counter[str] = Counter()
    chosen = []
    for _ in range(times):
        best = min(left, key=lambda clean: (sources[clean.source.name], dtypes[clean.dtype]))
        chosen.append(best)
        sources[best.source.name] += 1
        dtypes[best.dtype] += 1
        left = [clean for clean in left if clean is not best] or list(fitting)
    return chosen
