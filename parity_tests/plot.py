"""Where the marks of the plot stand; report.html.j2 draws them as SVG.

One panel for each stage: a text is a mark, its length in tokens to the right, its largest
difference up on a logarithmic axis, the budget a line.
"""

import math
from typing import Any

from parity_tests.invariances import STAGE

WIDTH, HEIGHT = 360, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 12, 40


def panels(result: dict[str, Any]) -> list[dict[str, Any]]:
    """What to draw for each stage that has a tolerance."""
    stages = dict.fromkeys(
        row["stage"]
        for row in result["rows"]
        if row["budget"]["atol"] > 0 and row["stage"] != STAGE and not row["inside"]
    )
    texts = {text["case"]: text for text in result["cases"]["texts"]}
    backends = list(dict.fromkeys(row["backend"] for row in result["rows"]))
    drawn = [panel(result, stage, texts, backends) for stage in stages]
    return [one for one in drawn if one["marks"]]


def panel(
    result: dict[str, Any], stage: str, texts: dict[int, Any], backends: list[str]
) -> dict[str, Any]:
    """Ticks, budget line and marks of one stage, in the panel's own units."""
    points = [point for point in result["points"] if point["stage"] == stage]
    budget = next(row["budget"]["atol"] for row in result["rows"] if row["stage"] == stage)
    values = [point["max_abs"] for point in points if point["max_abs"] > 0]
    low = math.floor(math.log10(min([*values, budget])))
    high = math.ceil(math.log10(max([*values, budget])) + 0.15)
    longest = max([text["tokens"] for text in texts.values()], default=1) or 1

    def across(tokens: float) -> float:
        return round(LEFT + 6 + (WIDTH - LEFT - RIGHT - 12) * tokens / longest, 1)

    def up(value: float) -> float:
        place = (math.log10(value) - low) / (high - low) if value > 0 else 0.0
        return round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * max(place, 0.0), 1)

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
        "columns": [{"x": across(t), "label": t} for t in ticks(longest)],
    }


def ticks(longest: int) -> list[int]:
    """Round numbers from 0 to at most `longest`.

    >>> ticks(510)
    [0, 200, 400]
    >>> ticks(7)
    [0, 2, 4, 6]
    """
    power = 10 ** math.floor(math.log10(longest))
    step = next((power * m // 10 for m in (2, 5, 10, 20, 50) if longest * 10 <= 4 * power * m), 0)
    return list(range(0, longest + 1, max(step, 1)))
