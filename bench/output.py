"""Draws the rows as a chart and as a table."""

import math
from typing import Any

from bench.side import format_seconds
from support.charts import BAD, GOOD, INK, OPEN, SOFT, Chart, set_log_axis
from support.tables import format_table

# The chart has a bar for each ratio, on a logarithmic axis, and a dashed mark for its target.

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 800, 300, 60, 46, 30
"""The size of the chart, and its margins, in pixels."""
LINE, GAP = 24, 8
"""The height of a row, and of the space between two families of rows."""
LABEL = 48
"""The width of a ratio: it is written behind the target's mark where the mark would cross it."""
COLOURS = {"met": GOOD, "missed": BAD, "open": OPEN}
VERDICTS = {True: "met", False: "missed", None: "open"}


def draw_svg(rows: list[dict[str, Any]]) -> str:
    """Returns the chart as SVG, for light and dark pages."""
    centers = [LINE * (i + 0.5) + GAP * gaps for i, gaps in enumerate(_gaps_above(rows))]
    inner = (centers[-1] if rows else 0) + LINE / 2
    height = TOP + round(inner) + BOTTOM
    with Chart(WIDTH, height, "How many times faster than each peer") as chart:
        axes = chart.figure.subplots()
        chart.figure.subplots_adjust(
            LEFT / WIDTH, BOTTOM / height, 1 - RIGHT / WIDTH, 1 - TOP / height
        )
        low, high = _axis_powers(rows)
        axes.set_ylim(inner, 0)
        set_log_axis(axes, "x", low, high, lambda power: f"{10.0**power:g}×")
        axes.set_yticks(centers, [row["name"] for row in rows], color=INK, size=12)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.grid(axis="x")
        chart.mark(axes.axvline(1, color=SOFT, linewidth=1), "one")
        factor = 10 ** ((high - low) * LABEL / (WIDTH - LEFT - RIGHT))
        for row, center in zip(rows, centers, strict=True):
            _draw_row(chart, axes, row, center, factor)
        chart.figure.text(10 / WIDTH, 1 - 18 / height, TITLE, weight=600, size=12)
        if rows:
            note = f"dashed: the target · {format_machine(rows[0]['machine'])}"
            chart.figure.text(10 / WIDTH, 1 - 34 / height, note, color=SOFT)
        return chart.svg()


TITLE = "Peer ÷ ours: longer is better"


def _draw_row(chart: Chart, axes: Any, row: dict[str, Any], center: float, factor: float) -> None:
    """Draws bar, ratio and target of one row.

    Args:
        chart: that gets them.
        axes: of the chart.
        row: of `bench.json`.
        center: of the row, in pixels from the top.
        factor: the width of a ratio's text on the logarithmic axis.
    """
    ratio, target, verdict = row["ratio"], row["target"], VERDICTS[row["met"]]
    [bar] = axes.barh(center, ratio - 1, 14, left=1, color=COLOURS[verdict])
    chart.mark(bar, verdict, [f"{row['what']}, against {row['peer']}"])
    end = max(1, ratio)
    if target is not None:
        ends = [center - 11, center + 11]
        [line] = axes.plot([target] * 2, ends, color=INK, linewidth=2, linestyle=(0, (2, 1)))
        chart.mark(line, "target", [f"the target: {target:g}×"])
        end = target if end <= target <= end * factor else end
    axes.annotate(
        f"{ratio:.3g}×", (end, center), (6, 0), textcoords="offset points", va="center", size=12
    )


def _axis_powers(rows: list[dict[str, Any]]) -> tuple[int, int]:
    """Returns the powers of 10 at which the axis begins and ends; 1 is always on it."""
    values = [1.0, *(row["ratio"] for row in rows)]
    values += [row["target"] for row in rows if row["target"] is not None]
    low = math.floor(math.log10(min(values)))
    return low, max(math.ceil(math.log10(max(values))), low + 1)


def format_machine(machine: dict[str, Any]) -> str:
    """Formats the machine of a row.

    >>> format_machine({"cpus": 2, "cpu": "Zen 4", "node": "20.1"})
    '2 × Zen 4, Node 20.1'
    """
    return f"{machine['cpus']} × {machine['cpu']}, Node {machine['node']}"


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
    lines.append(format_machine(rows[0]["machine"]))
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
