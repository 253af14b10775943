"""One row of the matrix: a backend and a stage, over all texts."""

from dataclasses import dataclass, field
from typing import Any

from numerics.budgets import Budget
from parity_tests.compare import Problem
from parity_tests.measures import Measures


@dataclass
class Row:
    """One backend, one stage, with or without special tokens, over all texts.

    `decisions` counts, at the stage `label`, how often the label flipped, and by how much Python
    preferred its label where it did, and at the least.
    """

    backend: str
    special: str
    stage: str
    budget: Budget
    measures: Measures = field(default_factory=Measures)
    problems: list[tuple[int | None, Problem]] = field(default_factory=list)
    failing: set[int] = field(default_factory=set)
    by_text: dict[int, Measures] = field(default_factory=dict)
    status: str = "pass"
    decisions: dict[str, Any] | None = None

    @property
    def worst(self) -> int | None:
        """The text with the largest difference."""
        return max(self.by_text, key=lambda c: self.by_text[c].max_abs, default=None)

    def fail(self, problem: Problem, texts: set[int]) -> None:
        """Notes a problem of some texts; of one, it is that text's."""
        self.failing |= texts
        self.problems.append((next(iter(texts)) if len(texts) == 1 else None, problem))

    def take(self, case: int, measures: Measures) -> None:
        """Adds what was measured on one text."""
        self.measures += measures
        self.by_text[case] = self.by_text.get(case, Measures()) + measures

    def place(self) -> str:
        """Where the row stands, in words."""
        words = "with special tokens" if self.special == "added" else "without special tokens"
        return f"{self.backend}, {words}"


def short(text: str, limit: int = 24) -> str:
    """The start of a text, on one line."""
    line = " ".join(text.split()) or text
    return line if len(line) <= limit else line[: limit - 1] + "…"
