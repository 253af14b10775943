"""The kinds of faults, and how to add one: a function with `@kind` in any file of trial/kinds/.

    @kind("bundle", stages="weights", fits=lambda clean: clean.dtype == "float32")
    def sign_bit(patient, choose):
        '''One weight of the other sign.'''
        …change patient.bundle…
        return "what was changed exactly"

The function's name is the kind's. It is called once for each fault, with a random generator of its
own that gives the same numbers every time.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from trial import kinds
from trial.patient import Patient
from trial.places import Clean

TARGETS = ("bundle", "tokenizer", "graph", "runner", "head")
TIMES = 2
"""Faults of a kind, where it does not say otherwise."""


@dataclass(frozen=True)
class Change:
    """What was done, and the stages at which a perfect judge may put it.

    `without_effect` says why no input can show it; such a fault is listed, and not counted.
    """

    what: str
    stages: tuple[str, ...]
    without_effect: str = ""


Put = Callable[[Patient, Random], "str | Change"]


@dataclass(frozen=True)
class Kind:
    """A kind of fault: what it is put into, where it fits, and how often it is put."""

    name: str
    about: str
    target: str
    stages: tuple[str, ...]
    fits: Callable[[Clean], bool]
    times: int
    put: Put

    def inject(self, patient: Patient, choose: Random) -> Change:
        """Puts the fault in and seals."""
        told = self.put(patient, choose)
        change = Change(told, self.stages) if isinstance(told, str) else told
        assert change.stages, f"{self.name} names no stage"
        patient.seal()
        return change


KINDS: dict[str, Kind] = {}


def kind(
    target: str,
    *,
    stages: str | tuple[str, ...] = (),
    fits: Callable[[Clean], bool] = lambda clean: True,
    times: int = TIMES,
) -> Callable[[Put], Put]:
    """Registers the function below it as a kind of fault.

    Args:
        target: one of `TARGETS`.
        stages: where a perfect judge would put it; left out where the function says so itself.
        fits: the clean bundles that it can be put into.
        times: how many faults of it are put.
    """
    assert target in TARGETS, target

    def register(put: Put) -> Put:
        name = put.__name__
        assert name not in KINDS, f"two kinds are called {name}"
        about = (put.__doc__ or "").strip().split("\n")[0]
        named = (stages,) if isinstance(stages, str) else stages
        KINDS[name] = Kind(name, about, target, named, fits, times, put)
        return put

    return register


def every_kind() -> dict[str, Kind]:
    """All kinds of all files in trial/kinds/, by name."""
    for module in pkgutil.iter_modules(kinds.__path__):
        importlib.import_module(f"{kinds.__name__}.{module.name}")
    return KINDS
