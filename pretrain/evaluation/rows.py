"""One row of the table: a way to classify the dev texts, and its accuracy for each seed."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from support.tables import format_markdown

NORMAL_95 = 1.959964
"""The two-sided 95 % quantile of the normal distribution."""
STUDENT_95 = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622)
"""The same of Student's distribution, with 1, 2, … degrees of freedom."""
HEAD = ("encoder", "classifier", "dev accuracy", "95 % interval", "seeds")


@dataclass(frozen=True)
class EvaluationRow:
    """The accuracies of one way to classify.

    `encoder` says what was done with which weights; `accuracies` has one value for each seed, or a
    single one where no seed decides. `texts` is the number of dev texts.
    """

    encoder: str
    classifier: str
    accuracies: Sequence[float]
    texts: int

    @property
    def mean(self) -> float:
        """The mean of all seeds."""
        return statistics.fmean(self.accuracies)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the mean, for other seeds and other dev texts.

        Both kinds of chance are independent, so the squares of their half widths add up: Student's
        for the seeds, the binomial one for the texts.
        """
        seeds = 0.0
        if (count := len(self.accuracies)) > 1:
            deviation = statistics.stdev(self.accuracies)
            seeds = _student(count - 1) * deviation / math.sqrt(count)
        texts = NORMAL_95 * math.sqrt(self.mean * (1 - self.mean) / self.texts)
        half = math.hypot(seeds, texts)
        return max(0.0, self.mean - half), min(1.0, self.mean + half)

    def document(self) -> dict[str, Any]:
        """Returns the row for evaluation.json."""
        return {
            "encoder": self.encoder,
            "classifier": self.classifier,
            "dev_accuracy": self.mean,
            "interval95": list(self.interval),
            "accuracies": list(self.accuracies),
        }

    def cells(self) -> tuple[str, ...]:
        """Returns the row's cells of the table."""
        low, high = (100 * limit for limit in self.interval)
        count = str(len(self.accuracies)) if len(self.accuracies) > 1 else "–"
        mean = f"{100 * self.mean:.1f} %"
        return self.encoder, self.classifier, mean, f"{low:.1f} to {high:.1f}", count


def _student(freedom: int) -> float:
    """Returns the quantile for some degrees of freedom; beyond the table the normal one is near."""
    return STUDENT_95[freedom - 1] if freedom <= len(STUDENT_95) else NORMAL_95


def markdown_table(rows: Sequence[EvaluationRow]) -> str:
    """Returns the table in Markdown."""
    return format_markdown(HEAD, [row.cells() for row in rows], numeric=(2, 3, 4))
