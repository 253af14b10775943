"""Computes the positions of the plots' marks; the templates draw them as SVG.

There is one panel for each stage: a text is a mark, with its length in tokens on the x axis and its
largest difference on a logarithmic y axis; the budget is a line.
"""

import math
from typing import Any

from parity_tests.checks.invariances import STAGE
from parity_tests.runners.runs import PROBABILITIES

WIDTH, HEIGHT = 360, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 12, 40


def stage_panels(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the panel of each stage that has a tolerance."""
    stages = dict.fromkeys(
        row["stage"]
        for row in result["rows"]
        if row["budget"]["atol"] > 0 and row["stage"] != STAGE and not row["inside"]
    )
    texts = {text["case"]: text for text in result["cases"]["texts"]}
    backends = list(dict.fromkeys(row["backend"] for row in result["rows"]))
    drawn = [_stage_panel(result, stage, texts, backends) for stage in stages]
    return [one for one in drawn if one["marks"]]


def _stage_panel(
    result: dict[str, Any], stage: str, texts: dict[int, Any], backends: list[str]
) -> dict[str, Any]:
    """Computes ticks, budget line and marks of one stage, in the panel's units.

    Args:
        result: the document of REPORT.md.
        stage: its name.
        texts: of the document, by case.
        backends: in the order of their colours.
    """
    points = [point for point in result["points"] if point["stage"] == stage]
    budget = next(row["budget"]["atol"] for row in result["rows"] if row["stage"] == stage)
    values = [point["max_abs"] for point in points if point["max_abs"] > 0]
    low = math.floor(math.log10(min([*values, budget])))
    high = math.ceil(math.log10(max([*values, budget])) + 0.15)
    longest = max([text["tokens"] for text in texts.values()], default=1) or 1

    def across(tokens: float) -> float:
        return round(LEFT + 6 + (WIDTH - LEFT - RIGHT - 12) * tokens / longest, 1)

    def up(value: float) -> float:
        share = (math.log10(value) - low) / (high - low) if value > 0 else 0.0
        return round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * max(share, 0.0), 1)

    marks = [
        {
            "max_abs": point["max_abs"],
            "x": across(texts[point["case"]]["tokens"]),
            "y": up(point["max_abs"]),
            "series": backends.index(point["backend"]) % 4,
            "hollow": point["special_tokens"] == "none",
            "title": f"{point['backend']}, special tokens {point['special_tokens']}, "
            f"text {point['case']}: {point['max_abs']:.3g}",
        }
        for point in points
    ]
    step = max(1, math.ceil((high - low) / 6))
    return {
        "stage": stage,
        "marks": marks,
        "budget": {"y": up(budget), "label": f"budget {budget:g} and what is relative"},
        "rows": [{"y": up(10.0**e), "exponent": e} for e in range(low, high + 1, step)],
        "columns": [{"x": across(t), "label": t} for t in axis_ticks(longest)],
    }


def axis_ticks(longest: int) -> list[int]:
    """Returns round numbers from 0 to at most `longest`.

    >>> axis_ticks(510)
    [0, 200, 400]
    >>> axis_ticks(7)
    [0, 2, 4, 6]
    """
    power = 10 ** math.floor(math.log10(longest))
    step = next((power * m // 10 for m in (2, 5, 10, 20, 50) if longest * 10 <= 4 * power * m), 0)
    return list(range(0, longest + 1, max(step, 1)))


# Two plots of how differences arise on the way through a model: the share of its budget that each
# tap and output used, and the number of output values by their distance in ulps.

PROFILE_WIDTH, PROFILE_HEIGHT = 760, 260
PROFILE_LEFT, PROFILE_RIGHT, PROFILE_TOP, PROFILE_BOTTOM = 46, 10, 14, 40
LOWEST_POWER = -4
"""Shares below a ten-thousandth of the budget are drawn on the lowest line."""
MAX_LABELS = 12

Plot = dict[str, Any]


def _plot_frame() -> Plot:
    """Returns the size of a plot and its edges."""
    return {
        "w": PROFILE_WIDTH,
        "h": PROFILE_HEIGHT,
        "left": PROFILE_LEFT,
        "right": PROFILE_WIDTH - PROFILE_RIGHT,
    } | {
        "top": PROFILE_TOP,
        "bottom": PROFILE_HEIGHT - PROFILE_BOTTOM,
    }


def layer_plot(result: dict[str, Any]) -> Plot | None:
    """Computes the share of the budget by tap and output; None without taps."""
    rows = [
        row
        for row in result["rows"]
        if row["special_tokens"] == "added"
        and row["budget"]["atol"] > 0
        and row["stage"] not in (STAGE, PROBABILITIES)
        and row["measures"]
    ]
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    if not any(row["inside"] for row in rows):
        return None
    backends = list(dict.fromkeys(row["backend"] for row in result["rows"]))
    highest = max([1.0, *(math.log10(budget_share(row) or 1) for row in rows)])
    top = math.ceil(highest)

    def across(index: int) -> float:
        return round(
            PROFILE_LEFT
            + (PROFILE_WIDTH - PROFILE_LEFT - PROFILE_RIGHT) * (index + 0.5) / len(stages),
            1,
        )

    def up(value: float) -> float:
        power = max(math.log10(value), LOWEST_POWER) if value > 0 else LOWEST_POWER
        return round(
            PROFILE_HEIGHT
            - PROFILE_BOTTOM
            - (PROFILE_HEIGHT - PROFILE_BOTTOM - PROFILE_TOP)
            * (power - LOWEST_POWER)
            / (top - LOWEST_POWER),
            1,
        )

    marks = [
        {
            "x": across(stages.index(row["stage"])),
            "y": up(budget_share(row)),
            "series": backends.index(row["backend"]) % 4,
            "title": f"{row['backend']}, {row['stage']}: {budget_share(row):.2g} of its budget, "
            f"max |Δ| {row['measures']['max_abs']:.2g}",
        }
        for row in rows
    ]
    firsts = {_axis_group(stage): i for i, stage in reversed(list(enumerate(stages)))}
    step = math.ceil(len(firsts) / MAX_LABELS)
    ordered = sorted(firsts.items(), key=lambda item: item[1])
    return _plot_frame() | {
        "marks": marks,
        "limit": up(1.0),
        "rows": [{"y": up(10.0**e), "label": f"{10.0**e:g}"} for e in range(LOWEST_POWER, top + 1)],
        "columns": [
            {"x": round(across(i) - (across(1) - across(0)) / 2, 1), "label": name}
            for number, (name, i) in enumerate(ordered)
            if number % step == 0
        ],
    }


def budget_share(row: dict[str, Any]) -> float:
    """Returns how much of its budget a row used: the tolerance it needs over the one it has."""
    return float(row["measures"]["smallest_atol"] / row["budget"]["atol"])


def _axis_group(stage: str) -> str:
    """Returns the label that a tap or output shares with its neighbours.

    >>> [_axis_group(stage) for stage in ("embeddings", "layer_3/context", "pooled_output")]
    ['input', 'layer 3', 'outputs']
    """
    if stage == "embeddings":
        return "input"
    layer, slash, _ = stage.partition("/")
    return layer.replace("_", " ") if slash else "outputs"


def ulp_plot(result: dict[str, Any]) -> Plot | None:
    """Computes the bars of the outputs' distances by backend; None without distances."""
    backends = list(dict.fromkeys(row["backend"] for row in result["rows"]))
    counts = {backend: _output_ulp_counts(result, backend) for backend in backends}
    totals = {backend: sum(classes) for backend, classes in counts.items()}
    if not any(totals.values()):
        return None
    last = max(i for classes in counts.values() for i, n in enumerate(classes) if n)
    bar_width = (PROFILE_WIDTH - PROFILE_LEFT - PROFILE_RIGHT) / (last + 1)
    thick = bar_width * 0.8 / len(backends)
    shares = [n / totals[b] for b, classes in counts.items() if totals[b] for n in classes]
    top = math.ceil(max(shares) * 10) / 10

    def up(value: float) -> float:
        return round((PROFILE_HEIGHT - PROFILE_BOTTOM - PROFILE_TOP) * value / top, 1)

    bars = []
    for number, (backend, classes) in enumerate(counts.items()):
        for i, count in enumerate(classes[: last + 1]):
            height = up(count / totals[backend]) if totals[backend] else 0.0
            title = (
                f"{backend}, {_ulp_class_label(i)} apart: {count:,} of {totals[backend]:,} values"
            )
            x = round(PROFILE_LEFT + i * bar_width + bar_width * 0.1 + number * thick, 1)
            bars.append(
                {
                    "x": x,
                    "y": round(PROFILE_HEIGHT - PROFILE_BOTTOM - height, 1),
                    "w": round(thick, 1),
                }
                | {"h": height, "series": number % 4, "title": title}
            )
    steps = [top * i / 4 for i in range(5)]
    return _plot_frame() | {
        "bars": bars,
        "rows": [
            {"y": PROFILE_HEIGHT - PROFILE_BOTTOM - up(s), "label": f"{100 * s:.3g} %"}
            for s in steps
        ],
        "columns": [
            {"x": round(PROFILE_LEFT + (i + 0.5) * bar_width, 1), "label": _ulp_class_label(i)}
            for i in range(last + 1)
            if last < 16 or i % 2 == 0
        ],
    }


def _output_ulp_counts(result: dict[str, Any], backend: str) -> list[int]:
    """Returns the counts of a backend's outputs, summed."""
    histograms = [
        row["measures"]["ulps"]
        for row in result["rows"]
        if row["backend"] == backend
        and not row["inside"]
        and row["stage"] not in (STAGE, PROBABILITIES)
        and row["measures"]
        and row["measures"]["ulps"]
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
