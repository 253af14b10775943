"""The rows as a table in Markdown, and beneath it what has to be said of them."""

from parity_tests.twin.row import MIB, Row

HEAD = (
    "runtime",
    "encoder",
    "dev accuracy",
    "best epoch",
    "epoch s",
    "start and encoding s",
    "peak MiB",
    "texts/s",
)
TEXT_COLUMNS = 2


def table(rows: list[Row]) -> str:
    """A line for each row; of a missing one, dashes, and the reason beneath."""
    lines = [HEAD, *map(cells, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    rule = tuple(("-" if i < TEXT_COLUMNS else "-:").rjust(w, "-") for i, w in enumerate(widths))
    shown = [f"| {' | '.join(aligned(line, widths))} |" for line in (HEAD, rule, *lines[1:])]
    return "\n".join([*shown, *filter(None, map(note, rows))])


def cells(row: Row) -> tuple[str, ...]:
    """One row as text."""
    if row.missing:
        return (row.runtime, row.encoder, *"–" * (len(HEAD) - TEXT_COLUMNS))
    each = row.epoch_seconds
    return (
        row.runtime,
        row.encoder,
        f"{100 * row.best['dev_accuracy']:.1f} %",
        str(row.best["epoch"]),
        "–" if each is None else f"{each:.1f}",
        f"{row.other_seconds:.1f}",
        f"{row.peak_bytes / MIB:,.0f}",
        f"{row.texts_per_second:,.0f}",
    )


def aligned(line: tuple[str, ...], widths: list[int]) -> list[str]:
    """Text to the left, numbers to the right."""
    pairs = enumerate(zip(line, widths, strict=True))
    return [c.ljust(w) if i < TEXT_COLUMNS else c.rjust(w) for i, (c, w) in pairs]


def note(row: Row) -> str:
    """What is to be said of a row beside its figures; nothing of some."""
    said = ""
    if row.missing:
        said = f"none; {row.missing}"
    elif row.equal_steps is not None:
        equal = f"{row.equal_steps} of {len(row.losses)}"
        said = (
            f"Python prepares ids and graph; the loss is Python's to the last bit in {equal} steps"
        )
    elif row.weights is not None:
        moved, dropout = row.weights["moved"], "" if row.dropout else "no "
        said = (
            f"{moved} of the encoder's {row.weights['all']} weights moved, {dropout}dropout in it"
        )
    return f"\n{row.runtime}, {row.encoder}: {said}." if said else ""
