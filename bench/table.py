"""The rows as a table for the terminal."""

from typing import Any

from bench.timing import brief

HEAD = ("", "ours", "peer", "ratio", "of the rounds", "target", "", "against")
RIGHT = range(1, 6)
WORDS = {True: "met", False: "MISSED", None: ""}


def table(rows: list[dict[str, Any]], code: str) -> str:
    """A line for each row of `bench.json`, then what has to be said of them."""
    if not rows:
        return "no rows"
    lines = aligned([HEAD, *(cells(row, code) for row in rows)])
    notes = list(dict.fromkeys(row["note"] for row in rows if row["note"]))
    lines += [f"{names_of(rows, note)}: {note}" for note in notes]
    if any(row["code"] != code for row in rows):
        lines.append("* measured with other code than today's")
    machine = rows[0]["machine"]
    lines.append(f"{machine['cpus']} × {machine['cpu']}, Node {machine['node']}")
    judged = [row["met"] for row in rows if row["met"] is not None]
    lines.append(f"{sum(judged)} of {len(judged)} targets met")
    return "\n".join(lines)


def names_of(rows: list[dict[str, Any]], note: str) -> str:
    """The rows that a note is about."""
    return ", ".join(row["name"] for row in rows if row["note"] == note)


def cells(row: dict[str, Any], code: str) -> tuple[str, ...]:
    """One row as text."""
    return (
        row["name"] + ("" if row["code"] == code else " *"),
        amount(row, "ours"),
        amount(row, "peer"),
        f"{row['ratio']:.3g}×",
        f"{row['ratio_low']:.3g}–{row['ratio_high']:.3g}",
        "" if row["target"] is None else f"{row['target']:g}×",
        WORDS[row["met"]],
        row["peer"],
    )


def amount(row: dict[str, Any], side: str) -> str:
    """What one side took, or did in a second where the row says how much work it was.

    >>> amount({"unit": "s", "work": "10 reviews", "ours_s": 0.01, "ours_per_s": 1000}, "ours")
    '1,000 reviews/s'
    >>> amount({"unit": "bytes", "ours_bytes": 1048576}, "ours")
    '1.00 MiB'
    """
    value: float = row[f"{side}_{row['unit']}"]
    if "work" in row:
        pace = row[f"{side}_per_s"]
        number = f"{pace:,.0f}" if pace >= 100 else f"{pace:.3g}"
        return f"{number} {row['work'].split(' ', 1)[1]}/s"
    return brief(value) if row["unit"] == "s" else f"{value / 2**20:.2f} MiB"


def aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Columns of equal width; numbers stand to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    return [
        "  ".join(
            cell.rjust(width) if i in RIGHT else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
