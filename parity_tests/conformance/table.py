"""The rows as a table in Markdown, which a terminal shows as well."""

from parity_tests.conformance.rows import Row

HEAD = (
    "model",
    "contract",
    "known",
    "weights MiB",
    "export s",
    "peak MiB",
    "load s",
    "Node peak MiB",
    "max \\|Δ\\|",
    "",
)
TEXT_COLUMNS = (0, 1, 2, 9)


def table(rows: list[Row]) -> str:
    """A line for each build, with the names that share it."""
    lines = [HEAD, *map(cells, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    rule = tuple(("-" if i in TEXT_COLUMNS else "-:").rjust(w, "-") for i, w in enumerate(widths))
    return "\n".join(shown(line, widths) for line in (lines[0], rule, *lines[1:]))


def shown(line: tuple[str, ...], widths: list[int]) -> str:
    """One line of the table."""
    padded = [align(cell, widths[i], i) for i, cell in enumerate(line)]
    return f"| {' | '.join(padded)} |"


def align(cell: str, width: int, column: int) -> str:
    """Text to the left, numbers to the right."""
    return cell.ljust(width) if column in TEXT_COLUMNS else cell.rjust(width)


def cells(row: Row) -> tuple[str, ...]:
    """One row as text."""
    worst = max(row.max_abs.values(), default=None)
    return (
        ", ".join([row.name, *row.same_build]),
        row.contract,
        row.known,
        number(row.parameters_mib, 0),
        number(row.export_s, 0),
        number(row.export_peak_mib, 0),
        number(row.load_s, 1),
        number(row.node_peak_mib, 0),
        "–" if worst is None else ("equal ids" if row.contract == "tokenizer" else f"{worst:.1e}"),
        "ok" if row.ok else row.said or "failed",
    )


def number(value: float | None, digits: int) -> str:
    """A number, or a dash."""
    return "–" if value is None else f"{value:.{digits}f}"
