"""Where the marks and bars stand that show how differences arise on the way through a model.

One plot has the places inside and the outputs from left to right, and the share of its budget that
each used; the other counts the outputs' values by their distance in units in the last place.
"""

import math
from typing import Any

from parity_tests.invariances import STAGE
from parity_tests.runs import PROBABILITIES

WIDTH, HEIGHT = 760, 260
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 14, 40
LOWEST = -4
"""Shares under a ten-thousandth of the budget stand on the lowest line."""
LABELS = 12

Plot = dict[str, Any]


def frame() -> Plot:
    """The size of a plot and its edges."""
    return {"w": WIDTH, "h": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT} | {
        "top": TOP,
        "bottom": HEIGHT - BOTTOM,
    }


def layers(result: dict[str, Any]) -> Plot | None:
    """Share of the budget by place, special tokens added; None where nothing inside was seen."""
    rows = [
        row
        for row in result["rows"]
        if row["special_tokens"] == "added"
        and row["budget"]["atol"] > 0
        and row["stage"] not in (STAGE, PROBABILITIES)
        and row["measures"]
    ]
    places = list(dict.fromkeys(row["stage"] for row in rows))
    if not any(row["inside"] for row in rows):
        return None
    backends = list(dict.fromkeys(row["backend"] for row in result["rows"]))
    highest = max([1.0, *(math.log10(share(row) or 1) for row in rows)])
    top = math.ceil(highest)

    def across(place: int) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (place + 0.5) / len(places), 1)

    def up(value: float) -> float:
        power = max(math.log10(value), LOWEST) if value > 0 else LOWEST
        return round(
            HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (power - LOWEST) / (top - LOWEST), 1
        )

    marks = [
        {
            "x": across(places.index(row["stage"])),
            "y": up(share(row)),
            "series": backends.index(row["backend"]) % 4,
            "title": f"{row['backend']}, {row['stage']}: {share(row):.2g} of its budget, "
            f"max |Δ| {row['measures']['max_abs']:.2g}",
        }
        for row in rows
    ]
    firsts = {group(place): i for i, place in reversed(list(enumerate(places)))}
    step = math.ceil(len(firsts) / LABELS)
    ordered = sorted(firsts.items(), key=lambda item: item[1])
    return frame() | {
        "marks": marks,
        "limit": up(1.0),
        "rows": [{"y": up(10.0**e), "label": f"{10.0**e:g}"} for e in range(LOWEST, top + 1)],
        "columns": [
            {"x": round(across(i) - (across(1) - across(0)) / 2, 1), "label": name}
            for number, (name, i) in enumerate(ordered)
            if number % step == 0
        ],
    }


def share(row: dict[str, Any]) -> float:
    """How much of its budget a row used: the tolerance it needs over the one it has."""
    return float(row["measures"]["smallest_atol"] / row["budget"]["atol"])


def group(place: str) -> str:
    """What places stand under one label.

    >>> [group(place) for place in ("embeddings", "layer_3/context", "pooled_output")]
    ['input', 'layer 3', 'outputs']
    """
    if place == "embeddings":
        return "input"
    layer, slash, _ = place.partition("/")
    return layer.replace("_", " ") if slash else "outputs"


def ulps(result: dict[str, Any]) -> Plot | None:
    """Counts of the outputs' distances by backend; None where there are none."""
    backends = list(dict.fromkeys(row["backend"] for row in result["rows"]))
    counts = {backend: outputs_of(result, backend) for backend in backends}
    totals = {backend: sum(classes) for backend, classes in counts.items()}
    if not any(totals.values()):
        return None
    last = max(i for classes in counts.values() for i, n in enumerate(classes) if n)
    slot = (WIDTH - LEFT - RIGHT) / (last + 1)
    thick = slot * 0.8 / len(backends)
    shares = [n / totals[b] for b, classes in counts.items() if totals[b] for n in classes]
    top = math.ceil(max(shares) * 10) / 10

    def up(value: float) -> float:
        return round((HEIGHT - BOTTOM - TOP) * value / top, 1)

    bars = []
    for number, (backend, classes) in enumerate(counts.items()):
        for i, count in enumerate(classes[: last + 1]):
            height = up(count / totals[backend]) if totals[backend] else 0.0
            title = f"{backend}, {span(i)} apart: {count:,} of {totals[backend]:,} values"
            x = round(LEFT + i * slot + slot * 0.1 + number * thick, 1)
            bars.append(
                {"x": x, "y": round(HEIGHT - BOTTOM - height, 1), "w": round(thick, 1)}
                | {"h": height, "series": number % 4, "title": title}
            )
    steps = [top * i / 4 for i in range(5)]
    return frame() | {
        "bars": bars,
        "rows": [{"y": HEIGHT - BOTTOM - up(s), "label": f"{100 * s:.3g} %"} for s in steps],
        "columns": [
            {"x": round(LEFT + (i + 0.5) * slot, 1), "label": span(i)}
            for i in range(last + 1)
            if last < 16 or i % 2 == 0
        ],
    }


def outputs_of(result: dict[str, Any], backend: str) -> list[int]:
    """The counts of a backend's outputs, all of them together."""
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


def span(number: int) -> str:
    """The distances of a class.

    >>> [span(number) for number in (0, 1, 2, 4, 11)]
    ['0', '1', '2–3', '8–15', '≥2¹⁰']
    """
    if number < 2:
        return str(number)
    if number > 5:
        return "≥2" + str(number - 1).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{2 ** (number - 1)}–{2**number - 1}"
