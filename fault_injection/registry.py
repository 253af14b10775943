"""The registry of fault kinds. A kind is a function with `@kind` in any file of kinds/.

    @kind("bundle", stages="weights", fits=lambda clean: clean.dtype == "float32")
    def sign_bit(target, choose):
        '''One weight of the other sign.'''
        …change target.bundle…
        return "what was changed exactly"

The function's name is the kind's name. It is called once for each fault, with a random generator of
its own that has the same numbers every time.
"""

import importlib
import pkgutil
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random

from fault_injection import kinds
from fault_injection.sources import CleanBundle
from fault_injection.target import Target

TARGETS = ("bundle", "tokenizer", "graph", "runner", "head")
TIMES = 2
"""Faults of a kind by default."""


@dataclass(frozen=True)
class Change:
    """A change, and the stages at which a perfect judge may report it.

    `without_effect` says why no input can show it; such a fault is listed, but not counted.
    """

    what: str
    stages: tuple[str, ...]
    without_effect: str = ""


PutFault = Callable[[Target, Random], "str | Change"]


@dataclass(frozen=True)
class Kind:
    """A kind of fault: what it changes, which bundles it fits, and how often it is used."""

    name: str
    about: str
    target: str
    stages: tuple[str, ...]
    fits: Callable[[CleanBundle], bool]
    times: int
    put: PutFault

    def inject(self, target: Target, choose: Random) -> Change:
        """Injects the fault and seals the copies."""
        result = self.put(target, choose)
        change = Change(result, self.stages) if isinstance(result, str) else result
        assert change.stages, f"{self.name} names no stage"
        target.seal()
        return change


KINDS: dict[str, Kind] = {}


def kind(
    target: str,
    *,
    stages: str | tuple[str, ...] = (),
    fits: Callable[[CleanBundle], bool] = lambda clean: True,
    times: int = TIMES,
) -> Callable[[PutFault], PutFault]:
    """Registers the function below it as a kind of fault.

    Args:
        target: one of `TARGETS`.
        stages: at which a perfect judge reports it; omitted where the function returns them.
        fits: whether it can be injected into a clean bundle.
        times: how many faults of this kind to inject.
    """
    assert target in TARGETS, target

    def register(put: PutFault) -> PutFault:
        name = put.__name__
        assert name not in KINDS, f"two kinds are called {name}"
        about = (put.__doc__ or "").strip().split("\n")[0]
        named = (stages,) if isinstance(stages, str) else stages
        KINDS[name] = Kind(name, about, target, named, fits, times, put)
        return put

    return register


def every_kind() -> dict[str, Kind]:
    """Returns all kinds of all files in kinds/, by name."""
    for module in pkgutil.iter_modules(kinds.__path__):
        importlib.import_module(f"{kinds.__name__}.{module.name}")
    return KINDS


# The assignment of faults to bundles: the same every time.

CPU_EVERY = 3
"""Of a kind, each fault with this stride is judged on the backend cpu, the others on wasm."""


@dataclass(frozen=True)
class Task:
    """One fault to inject: its kind, its bundle, and its number within the kind."""

    kind: Kind
    clean: CleanBundle
    number: int

    @property
    def id(self) -> str:
        """The fault's name, and the seed of its random choices."""
        return f"{self.kind.name}/{self.number}/{self.clean.name}"

    @property
    def backend(self) -> str:
        """The backend on which it is judged."""
        return "cpu" if self.number % CPU_EVERY == CPU_EVERY - 1 else "wasm"

    def chooser(self) -> Random:
        """Returns the fault's random generator."""
        return Random(self.id)


def plan_tasks(kinds: Iterable[Kind], cleans: list[CleanBundle], quick: bool) -> list[Task]:
    """Returns all faults, spread over sources and dtypes; one of each kind if `quick`."""
    tasks = []
    for kind in kinds:
        fitting = [clean for clean in cleans if kind.fits(clean)]
        assert fitting, f"{kind.name} fits no bundle"
        times = 1 if quick else kind.times
        tasks += [
            Task(kind, clean, i)
            for i, clean in enumerate(_spread_over_sources(kind.name, fitting, times))
        ]
    return tasks


def _spread_over_sources(name: str, fitting: list[CleanBundle], times: int) -> list[CleanBundle]:
    """Picks `times` bundles, of as many sources and dtypes as possible."""
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
