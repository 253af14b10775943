"""The target of a fault: copies of one clean bundle, made on first use."""

import json
from functools import cached_property
from pathlib import Path

from fault_injection.copies import SealedCopy, Weights
from fault_injection.graph import Graph
from fault_injection.sources import CleanBundle
from support import ROOT
from support.contracts import CONTRACT, DESCRIPTION


class Target:
    """The bundle, its classifier and the program that runs them, in a directory of their own."""

    def __init__(self, clean: CleanBundle, directory: Path) -> None:
        self.clean = clean
        self.directory = directory
        self.program: Path | None = None
        """The program that the judge starts instead of its own; None where that is unchanged."""

    @cached_property
    def bundle(self) -> SealedCopy:
        """The copy of the bundle."""
        return SealedCopy(self.clean.path, self.directory / "bundle", CONTRACT)

    @cached_property
    def weights(self) -> Weights:
        """The copy's weights."""
        return Weights(self.bundle)

    @cached_property
    def graph(self) -> Graph:
        """The copy's graph."""
        return Graph(self.bundle)

    @cached_property
    def head(self) -> SealedCopy:
        """The copy of the classifier."""
        assert self.clean.head is not None, f"{self.clean.name} has no classifier"
        return SealedCopy(self.clean.head, self.directory / "head", DESCRIPTION)

    def run_with_fault(self, name: str) -> None:
        """Makes the judge start a program that injects a fault into itself, then runs the cases."""
        self.directory.mkdir(parents=True, exist_ok=True)
        faults, runner = (
            (ROOT / file).as_uri()
            for file in ("fault_injection/runner_faults.js", "parity_tests/runners/run_node.js")
        )
        self.program = self.directory / "run_with_fault.mjs"
        self.program.write_text(
            f"import {{ install }} from {json.dumps(faults)};\n"
            f"install({json.dumps(name)});\n"
            f"await import({json.dumps(runner)});\n",
            encoding="utf-8",
        )

    def has(self, part: str) -> bool:
        """Returns whether a part was used, and so was changed."""
        return part in self.__dict__

    def seal(self) -> None:
        """Seals the changed copies."""
        for part in ("bundle", "head"):
            if self.has(part):
                copy: SealedCopy = getattr(self, part)
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
