"""The rows as a picture: a bar for each ratio, a mark for its target; chart.svg.j2 draws it."""

import math
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 800, 300, 60, 46, 30
LINE, GAP = 24, 8
# A ratio that a target would strike through stands behind it.
LABEL = 48


def svg(rows: list[dict[str, Any]]) -> str:
    """The picture, which needs nothing else and suits light and dark pages."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    height = TOP + LINE * len(rows) + BOTTOM + (GAP * gaps_above(rows)[-1] if rows else 0)
    size = {"w": WIDTH, "h": height, "left": LEFT, "top": TOP, "bottom": height - BOTTOM}
    template = environment.get_template("chart.svg.j2")
    machine = rows[0]["machine"] if rows else {"cpus": 0, "cpu": "", "node": ""}
    return template.render(size=size, machine=machine, **marks(rows)) + "\n"


def marks(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Where the bars, targets and grid lines stand, on a logarithmic axis that has 1 on it."""
    values = [1.0, *(row["ratio"] for row in rows)]
    values += [row["target"] for row in rows if row["target"] is not None]
    low = math.floor(math.log10(min(values)))
    high = max(math.ceil(math.log10(max(values))), low + 1)

    def across(value: float) -> float:
        share = (math.log10(value) - low) / (high - low)
        return round(LEFT + (WIDTH - LEFT - RIGHT) * share, 1)

    bars = []
    for i, (row, gaps) in enumerate(zip(rows, gaps_above(rows), strict=True)):
        end = max(across(1), across(row["ratio"]))
        target = None if row["target"] is None else across(row["target"])
        hides = target is not None and end <= target <= end + LABEL
        bars.append(
            {
                "y": TOP + LINE * i + GAP * gaps,
                "from": min(across(1), across(row["ratio"])),
                "width": round(abs(across(row["ratio"]) - across(1)), 1),
                "label": target if hides else end,
                "name": row["name"],
                "ratio": f"{row['ratio']:.3g}×",
                "target": target,
                "judged": {True: "met", False: "missed", None: "open"}[row["met"]],
                "title": f"{row['what']}, against {row['peer']}",
            }
        )
    grid = [{"x": across(10.0**e), "label": f"{10.0**e:g}×"} for e in range(low, high + 1)]
    return {"bars": bars, "grid": grid, "one": across(1)}


def gaps_above(rows: list[dict[str, Any]]) -> list[int]:
    """How many gaps stand above each row: one wherever another family of names begins.

    >>> gaps_above([{"name": "a.b"}, {"name": "a.c"}, {"name": "d"}])
    [0, 0, 1]
    """
    families = [row["name"].split(".")[0] for row in rows]
    return [len(set(families[: i + 1])) - 1 for i in range(len(rows))]
