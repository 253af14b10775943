"""Draws the charts of the page; each is an SVG element, or "" where there is nothing to draw.

Each mark has the class `mark`, each line of a budget the class `limit`, and each bar the class
`bar`; a pointer shows what it stands for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from parity_tests.checks.invariances import STAGE
from parity_tests.reports.report import ParityReport
from parity_tests.runners.runs import PROBABILITIES
from parity_tests.training.judgement import TrainingResult
from support.charts import BAD, INK, SERIES, SOFT, Chart, set_log_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 760, 280
PANEL_WIDTH, PANEL_HEIGHT = 380, 270
LOWEST_POWER = -4
"""Shares below this power of ten of the budget, and 0, are drawn there."""
MAX_LABELS = 12
Curve = Sequence[float | None]


def layer_chart(report: ParityReport) -> str:
    """Draws the share of its budget that each tap and output used."""
    rows = [
        row
        for row in report.rows
        if row.special_tokens == "added"
        and row.budget_share is not None
        and row.stage not in (STAGE, PROBABILITIES)
    ]
    stages = list(dict.fromkeys(row.stage for row in rows))
    if not any(row.is_tap for row in rows):
        return ""
    title = "Share of the budget used by each tap and output of the model"
    with Chart(WIDTH, HEIGHT, title) as chart:
        axes = _subplots(chart, 1)[0]
        highest = max(row.budget_share or 0.0 for row in rows)
        set_log_axis(axes, "y", LOWEST_POWER, max(1, _power_above(highest)))
        for number, backend in enumerate(report.backends()):
            own = [row for row in rows if row.backend == backend]
            shares = [row.budget_share or 0.0 for row in own]
            _draw_marks(
                chart,
                axes,
                [stages.index(row.stage) for row in own],
                [max(share, 10.0**LOWEST_POWER) for share in shares],
                [
                    f"{backend}, {row.stage}: {share:.2g} of its budget"
                    for row, share in zip(own, shares, strict=True)
                ],
                name=backend,
                series=number,
            )
        _draw_limit(chart, axes, 1.0, "budget")
        axes.set_ylabel("share of the budget", color=SOFT)
        _label_groups(axes, [_axis_group(stage) for stage in stages])
        _draw_legend(axes)
        return chart.svg()


def _label_groups(axes: Axes, groups: Sequence[str]) -> None:
    """Labels the x axis at the first position of each group, with lines between the groups."""
    firsts = [i for i, name in enumerate(groups) if i == 0 or groups[i - 1] != name]
    step = math.ceil(len(firsts) / MAX_LABELS)
    shown = firsts[::step]
    labels = [groups[first] for first in shown]
    axes.set_xticks([first - 0.5 for first in shown], labels, ha="left")
    axes.set_xlim(-0.5, len(groups) - 0.5)
    axes.grid(axis="x")


def _axis_group(stage: str) -> str:
    """Returns the label that a tap or output shares with its neighbours.

    >>> [_axis_group(stage) for stage in ("embeddings", "layer_3/context", "pooled_output")]
    ['input', 'layer 3', 'outputs']
    """
    if stage == "embeddings":
        return "input"
    layer, slash, _ = stage.partition("/")
    return layer.replace("_", " ") if slash else "outputs"


def ulp_chart(report: ParityReport) -> str:
    """Draws how many of the outputs' values are how many ulps apart, as bars for each backend."""
    counts = {backend: _output_ulp_counts(report, backend) for backend in report.backends()}
    counts = {backend: classes for backend, classes in counts.items() if sum(classes)}
    if not counts:
        return ""
    last = max(i for classes in counts.values() for i, count in enumerate(classes) if count)
    labels = [_ulp_class_label(i) for i in range(last + 1)]
    title = "Number of output values by their distance in units in the last place"
    with Chart(WIDTH, HEIGHT, title) as chart:
        axes = _subplots(chart, 1)[0]
        width = 0.8 / len(counts)
        for number, (backend, classes) in enumerate(counts.items()):
            total = sum(classes)
            bars = axes.bar(
                [i - 0.4 + (number + 0.5) * width for i in range(last + 1)],
                [100 * count / total for count in classes[: last + 1]],
                width,
                color=SERIES[number % len(SERIES)],
                label=backend,
            )
            for bar, label, count in zip(bars, labels, classes, strict=False):
                text = f"{backend}, {label} apart: {count:,} of {total:,} values"
                chart.mark(bar, "bar", [text])
        step = 1 if last < 16 else 2
        axes.set_xticks(range(0, last + 1, step), labels[::step])
        axes.set_xlabel("ULPs apart", color=SOFT)
        axes.set_ylabel("% of all values", color=SOFT)
        _draw_legend(axes)
        return chart.svg()


def _output_ulp_counts(report: ParityReport, backend: str) -> list[int]:
    """Returns the counts of a backend's outputs, summed."""
    histograms = [
        row.measures.ulps
        for row in report.rows
        if row.backend == backend
        and not row.is_tap
        and row.stage not in (STAGE, PROBABILITIES)
        and row.measures
        and row.measures.ulps
    ]
    return [sum(column) for column in zip(*histograms, strict=True)] or [0]


def _ulp_class_label(number: int) -> str:
    """Returns the distances of a class.

    >>> [_ulp_class_label(number) for number in (0, 1, 2, 4, 11)]
    ['0', '1', '2–3', '8–15', '≥2¹⁰']
    """
    if number < 2:
        return str(number)
    if number > 5:
        return "≥2" + str(number - 1).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{2 ** (number - 1)}–{2**number - 1}"


def stage_charts(report: ParityReport) -> list[str]:
    """Draws a chart for each stage with a tolerance: a mark for each text, and the budget."""
    drawn = {point.stage for point in report.points}
    budgets: dict[str, float] = {}
    for row in report.rows:
        if row.budget.atol > 0 and row.stage != STAGE and not row.is_tap and row.stage in drawn:
            budgets.setdefault(row.stage, row.budget.atol)
    return [_stage_chart(report, stage, budget) for stage, budget in budgets.items()]


def _stage_chart(report: ParityReport, stage: str, budget: float) -> str:
    """Draws the largest difference of each text over its length in tokens."""
    points = [point for point in report.points if point.stage == stage]
    tokens = {text.case: text.tokens for text in report.cases}
    values = [*(point.max_abs for point in points), budget]
    lowest = _power_below(values)
    title = f"Largest difference of each text in {stage}, against the budget"
    with Chart(PANEL_WIDTH, PANEL_HEIGHT, title) as chart:
        axes = _subplots(chart, 1)[0]
        set_log_axis(axes, "y", lowest, _power_above(max(values)))
        for number, backend in enumerate(report.backends()):
            for special_tokens in ("added", "none"):
                key = (backend, special_tokens)
                own = [p for p in points if (p.backend, p.special_tokens) == key]
                _draw_marks(
                    chart,
                    axes,
                    [tokens[point.case] for point in own],
                    [max(point.max_abs, 10.0**lowest) for point in own],
                    [
                        f"{backend}, special tokens {special_tokens}, text {point.case}: "
                        f"{point.max_abs:.3g}"
                        for point in own
                    ],
                    name=backend,
                    series=number,
                    hollow=special_tokens == "none",
                )
        _draw_limit(chart, axes, budget, f"budget {budget:g} and what is relative")
        axes.set_title(stage)
        axes.set_xlim(left=0)
        axes.locator_params(axis="x", integer=True)
        axes.set_xlabel("tokens in the text", color=SOFT)
        axes.set_ylabel("largest |Δ|", color=SOFT)
        chart.figure.legend(loc="outside lower left", ncols=2)
        return chart.svg()


def _power_below(values: Sequence[float]) -> int:
    """Returns the power of ten at or below the smallest positive value; 0 is drawn there.

    >>> _power_below([0.0, 3e-6, 0.5])
    -6
    """
    return math.floor(math.log10(min(value for value in values if value > 0)))


def _power_above(value: float) -> int:
    """Returns a power of ten that is at least 1.5 times the value, 0 for 0.

    >>> [_power_above(value) for value in (0.0, 0.05, 0.09)]
    [0, -1, 0]
    """
    return math.ceil(math.log10(1.5 * value)) if value > 0 else 0


def training_chart(training: TrainingResult | None) -> str:
    """Draws the loss of both sides, and below it how far they are apart."""
    if training is None or training.curves is None:
        return ""
    curves = training.curves
    (_, keras), *nodes = curves.loss.items()
    apart = {
        name: [
            None if ours is None or theirs is None else abs(ours - theirs)
            for ours, theirs in zip(curve, keras, strict=False)
        ]
        for name, curve in nodes
    }
    known = [value for curve in (curves.allowed, *apart.values()) for value in curve if value]
    lowest = _power_below(known)
    title = "The loss of each step in Keras and in TF.js, and how far they are apart"
    with Chart(WIDTH, 2 * HEIGHT - 60, title) as chart:
        upper, lower = _subplots(chart, 2)
        _draw_course(chart, upper, keras, "Keras", INK)
        set_log_axis(lower, "y", lowest, _power_above(max(known)))
        _draw_course(chart, lower, curves.allowed, "what rounding may do by then", BAD)
        for number, (name, curve) in enumerate(nodes):
            _draw_steps(chart, upper, curve, name, number, 0.0)
            _draw_steps(chart, lower, apart[name], name, number, 10.0**lowest)
        upper.set_ylim(bottom=0)
        upper.set_ylabel("loss", color=SOFT)
        lower.set_ylabel("|Δ| of the loss", color=SOFT)
        lower.set_xlabel("step", color=SOFT)
        for axes in (upper, lower):
            axes.locator_params(axis="x", integer=True)
            _draw_legend(axes)
        return chart.svg()


def _subplots(chart: Chart, count: int) -> list[Axes]:
    """Makes axes below each other, with horizontal lines behind the marks."""
    made = chart.figure.subplots(count, 1, squeeze=False)
    chart.figure.set_layout_engine("constrained")
    for axes in made.flat:
        axes.grid(axis="y")
    return list(made.flat)


def _draw_marks(
    chart: Chart,
    axes: Axes,
    across: Sequence[float],
    up: Sequence[float],
    tooltips: Sequence[str],
    *,
    name: str,
    series: int,
    hollow: bool = False,
) -> None:
    """Draws a circle for each pair of coordinates.

    Args:
        chart: gets the tooltips.
        axes: to draw on.
        across: the x coordinates.
        up: the y coordinates.
        tooltips: one for each circle.
        name: of the backend, for the legend.
        series: the number of its colour.
        hollow: whether the circles are not filled; for texts without special tokens.
    """
    colour = SERIES[series % len(SERIES)]
    label = f"{name}, without [CLS]" if hollow else name
    filled = "none" if hollow else colour
    marks = axes.scatter(across, up, 22, facecolors=filled, edgecolors=colour, label=label)
    chart.mark(marks, "mark", tooltips)


def _draw_limit(chart: Chart, axes: Axes, height: float, name: str) -> None:
    """Draws a budget as a dashed line with its name."""
    chart.mark(axes.axhline(height, color=BAD, linestyle=(0, (5, 3)), linewidth=1.5), "limit")
    axes.annotate(
        name,
        (1, height),
        xycoords=("axes fraction", "data"),
        xytext=(-2, 4),
        textcoords="offset points",
        ha="right",
        color=BAD,
    )


def _draw_course(chart: Chart, axes: Axes, curve: Curve, name: str, colour: str) -> None:
    """Draws a number for each step as a line, without the steps that have no number.

    Args:
        chart: gets the line's class.
        axes: to draw on.
        curve: a number for each step, or None.
        name: for the legend.
        colour: of the line.
    """
    known = _known_steps(curve)
    steps, values = [step for step, _ in known], [value for _, value in known]
    [line] = axes.plot(steps, values, color=colour, linewidth=1.2, label=name)
    chart.mark(line, "limit" if colour == BAD else "course")


def _known_steps(curve: Curve) -> list[tuple[int, float]]:
    """Returns the steps, from 1, that have a number, with their number."""
    return [(step, value) for step, value in enumerate(curve, start=1) if value is not None]


def _draw_steps(
    chart: Chart, axes: Axes, curve: Curve, name: str, series: int, lowest: float
) -> None:
    """Draws a mark for each step that has a number.

    Args:
        chart: gets the tooltips.
        axes: to draw on.
        curve: a number for each step, or None.
        name: of the backend.
        series: the number of its colour.
        lowest: where smaller numbers are drawn.
    """
    known = _known_steps(curve)
    _draw_marks(
        chart,
        axes,
        [step for step, _ in known],
        [max(value, lowest) for _, value in known],
        [f"{name}, step {step}: {value:.3g}" for step, value in known],
        name=name,
        series=series,
    )


def _draw_legend(axes: Axes) -> None:
    """Draws the legend above the axes, so that it hides no mark."""
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, borderaxespad=0.2)
