"""What every benchmark is told: where things lie, how thorough to be, which rows are wanted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.errors import EnvironmentProblem
from bench.row import Row


@dataclass(frozen=True)
class Setting:
    """One run of the benchmarks.

    `root` has the embedded default, `scratch` goes away with the run, `say` tells of progress.
    """

    root: Path
    scratch: Path
    quick: bool
    names: list[str]
    say: Callable[[str], None]

    @property
    def rounds(self) -> int:
        """How often each side is measured."""
        return 2 if self.quick else 9

    @property
    def at_least(self) -> float:
        """Seconds that one measurement lasts; a short pass is repeated until then."""
        return 0.0 if self.quick else 0.5

    def wants(self, name: str) -> bool:
        """Whether a row was asked for, by its name or by a beginning of it that ends at a dot."""
        return not self.names or any(f"{name}.".startswith(f"{wanted}.") for wanted in self.names)

    def lacks(self, what: str, reason: str) -> None:
        """Says loudly that some rows are not measured.

        Raises:
            EnvironmentProblem: rows were asked for by name, so that going on would leave them out.
        """
        if self.names:
            raise EnvironmentProblem(reason)
        self.say(f"{what}: NOT MEASURED: {reason}")


class Family(Protocol):
    """A file of benchmarks: the names of its rows, and the rows that are wanted, one by one."""

    NAMES: tuple[str, ...]

    def rows(self, setting: Setting) -> Iterator[Row]:
        """Measures; each row is kept as soon as it is there."""
