"""The loss curve: a line of JSON for each stretch of steps, and a chart of them."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from pretrain.checkpoint import Progress
from pretrain.recipe import FOUND, LOSSES
from support.atomic import write_file
from support.charts import SERIES, SOFT, Chart

FILE, CHART = "loss.jsonl", "curve.svg"
STRETCH = 20
"""Steps of which the curve has the mean."""


@dataclass(frozen=True)
class Point:
    """The means of the last STRETCH steps; `seconds` are those of all pieces of the training."""

    step: int
    seconds: float
    masked: float
    bag: float
    pooled: float
    found: float

    def line(self) -> str:
        """Returns it as a line of the file."""
        return json.dumps(asdict(self)) + "\n"


def read_curve(directory: Path, steps: int) -> list[Point]:
    """Returns the points of the first `steps` steps: what a killed piece wrote later is void."""
    file = directory / FILE
    lines = file.read_text("utf-8").split("\n") if file.is_file() else []
    # The last line is empty, or the part of one that a killed process was writing.
    points = [Point(**json.loads(line)) for line in lines[:-1]]
    return [point for point in points if point.step <= steps]


class Curve:
    """Collects steps; appends a point to the file after each stretch and after the last step."""

    def __init__(self, directory: Path, progress: Progress, last_step: int) -> None:
        self.file = directory / FILE
        self.last_step = last_step
        self.points = read_curve(directory, progress.steps)
        self.pending = list(progress.pending)
        write_file(self.file, "".join(point.line() for point in self.points))

    def add(self, step: int, seconds: float, losses: dict[str, float]) -> Point | None:
        """Adds a finished step; returns the point that it completes, if any.

        Args:
            step: its number, from 1.
            seconds: of the training so far.
            losses: what the step returned.
        """
        self.pending.append(losses)
        if step % STRETCH and step != self.last_step:
            return None
        means = {
            name: sum(one[name] for one in self.pending) / len(self.pending)
            for name in (*LOSSES, FOUND)
        }
        point = Point(step, round(seconds, 1), **means)
        self.pending.clear()
        self.points.append(point)
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(point.line())
        return point


def draw_curve(points: Iterable[Point]) -> str:
    """Draws the losses, and the share of the masked tokens that were found."""
    drawn = list(points)
    steps = [point.step for point in drawn]
    with Chart(640, 320, "Losses and share of masked tokens found, by training step") as chart:
        left, right = chart.figure.subplots(1, 2)
        for name, colour, label in zip(
            LOSSES, SERIES, ("masked tokens", "bag, [CLS]", "bag, pooled"), strict=False
        ):
            line = left.plot(steps, [getattr(p, name) for p in drawn], color=colour, label=label)
            chart.mark(line[0], name)
        found = right.plot(steps, [100 * point.found for point in drawn], color=SERIES[0])
        chart.mark(found[0], FOUND)
        left.set(title="Loss", xlabel="step")
        left.legend(labelcolor=SOFT)
        right.set(title="Masked tokens found, %", xlabel="step")
        for axes in (left, right):
            axes.grid(axis="y")
        chart.figure.tight_layout()
        return chart.svg()
