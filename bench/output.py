"""Draws the rows as a chart and as a table.

The chart has a bar for each ratio and a mark for its target; chart.svg.j2 is its template.
"""

import math
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bench.side import format_seconds
from support.tables import format_table

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 800, 300, 60, 46, 30
LINE, GAP = 24, 8
# A ratio is written behind the target's mark where the mark would cross it.
LABEL = 48


def draw_svg(rows: list[dict[str, Any]]) -> str:
    """Returns the chart as SVG, for light and dark pages."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    height = TOP + LINE * len(rows) + BOTTOM + (GAP * _gaps_above(rows)[-1] if rows else 0)
    size = {"w": WIDTH, "h": height, "left": LEFT, "top": TOP, "bottom": height - BOTTOM}
    template = environment.get_template("chart.svg.j2")
    machine = rows[0]["machine"] if rows else {"cpus": 0, "cpu": "", "node": ""}
    return template.render(size=size, machine=machine, **chart_marks(rows)) + "\n"


def chart_marks(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Computes bars, targets and grid lines, on a logarithmic axis that includes 1."""
    values = [1.0, *(row["ratio"] for row in rows)]
    values += [row["target"] for row in rows if row["target"] is not None]
    low = math.floor(math.log10(min(values)))
    high = max(math.ceil(math.log10(max(values))), low + 1)

    def across(value: float) -> float:
        share = (math.log10(value) - low) / (high - low)
        return round(LEFT + (WIDTH - LEFT - RIGHT) * share, 1)

    bars = []
    for i, (row, gaps) in enumerate(zip(rows, _gaps_above(rows), strict=True)):
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


def _gaps_above(rows: list[dict[str, Any]]) -> list[int]:
    """Returns the number of gaps above each row: one for each new family of names.

    >>> _gaps_above([{"name": "a.b"}, {"name": "a.c"}, {"name": "d"}])
    [0, 0, 1]
    """
    families = [row["name"].split(".")[0] for row in rows]
    return [len(set(families[: i + 1])) - 1 for i in range(len(rows))]


# The table for the terminal.

HEAD = ("", "ours", "peer", "ratio", "of the rounds", "target", "", "against")
NUMERIC_COLUMNS = range(1, 6)
WORDS = {True: "met", False: "MISSED", None: ""}


def format_rows(rows: list[dict[str, Any]], code: str) -> str:
    """Returns a line for each row of `bench.json`, then the notes."""
    if not rows:
        return "no rows"
    cells = [row_cells(row, code) for row in rows]
    lines = [format_table(HEAD, cells, NUMERIC_COLUMNS)]
    notes = list(dict.fromkeys(row["note"] for row in rows if row["note"]))
    lines += [f"{_rows_with_note(rows, note)}: {note}" for note in notes]
    if any(row["code"] != code for row in rows):
        lines.append("* measured with other code than today's")
    machine = rows[0]["machine"]
    lines.append(f"{machine['cpus']} × {machine['cpu']}, Node {machine['node']}")
    judged = [row["met"] for row in rows if row["met"] is not None]
    lines.append(f"{sum(judged)} of {len(judged)} targets met")
    return "\n".join(lines)


def _rows_with_note(rows: list[dict[str, Any]], note: str) -> str:
    """Returns the names of the rows with a note."""
    return ", ".join(row["name"] for row in rows if row["note"] == note)


def row_cells(row: dict[str, Any], code: str) -> tuple[str, ...]:
    """Returns the cells of one row."""
    return (
        row["name"] + ("" if row["code"] == code else " *"),
        _format_amount(row, "ours"),
        _format_amount(row, "peer"),
        f"{row['ratio']:.3g}×",
        f"{row['ratio_low']:.3g}–{row['ratio_high']:.3g}",
        "" if row["target"] is None else f"{row['target']:g}×",
        WORDS[row["met"]],
        row["peer"],
    )


def _format_amount(row: dict[str, Any], side: str) -> str:
    """Formats what one side took, or did in a second where the row has its work.

    >>> row = {"unit": "s", "work": "10 reviews", "ours_s": 0.01, "ours_per_s": 1000}
    >>> _format_amount(row, "ours")
    '1,000 reviews/s'
    >>> _format_amount({"unit": "bytes", "ours_bytes": 1048576}, "ours")
    '1.00 MiB'
    """
    value: float = row[f"{side}_{row['unit']}"]
    if "work" in row:
        pace = row[f"{side}_per_s"]
        number = f"{pace:,.0f}" if pace >= 100 else f"{pace:.3g}"
        return f"{number} {row['work'].split(' ', 1)[1]}/s"
    return format_seconds(value) if row["unit"] == "s" else f"{value / 2**20:.2f} MiB"
