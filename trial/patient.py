"""What a fault is put into: copies, made when they are first asked for, of one clean bundle."""

from functools import cached_property
from pathlib import Path

from trial.copies import BUNDLE, HEAD, Copy
from trial.graph import Graph
from trial.places import Clean
from trial.runner import Runner
from trial.weights import Weights


class Patient:
    """The bundle, its classifier and the program that runs them, in a directory of their own."""

    def __init__(self, clean: Clean, place: Path) -> None:
        self.clean = clean
        self.place = place

    @cached_property
    def bundle(self) -> Copy:
        """The bundle."""
        return Copy(self.clean.path, self.place / "bundle", BUNDLE)

    @cached_property
    def weights(self) -> Weights:
        """The bundle's weights."""
        return Weights(self.bundle)

    @cached_property
    def graph(self) -> Graph:
        """The bundle's graph."""
        return Graph(self.bundle)

    @cached_property
    def head(self) -> Copy:
        """The classifier."""
        assert self.clean.head is not None, f"{self.clean.name} has no classifier"
        return Copy(self.clean.head, self.place / "head", HEAD)

    @cached_property
    def runner(self) -> Runner:
        """Node's side."""
        return Runner(self.place / "runner")

    def has(self, part: str) -> bool:
        """Whether a part was asked for, and so was changed."""
        return part in self.__dict__

    def seal(self) -> None:
        """Seals what was changed."""
        for part in ("bundle", "head"):
            if self.has(part):
                copy: Copy = getattr(self, part)
                copy.seal()

    @property
    def bundle_path(self) -> Path:
        """The bundle to judge: the changed one, or the clean one."""
        return self.bundle.path if self.has("bundle") else self.clean.path

    @property
    def head_path(self) -> Path | None:
        """The classifier to judge with; None where the bundle is another than its own."""
        if self.has("head"):
            return self.head.path
        return None if self.has("bundle") else self.clean.head

    @property
    def program(self) -> Path | None:
        """The runner, where it was changed."""
        return self.runner.program if self.has("runner") else None
