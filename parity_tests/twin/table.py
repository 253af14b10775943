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
    return "\n".join([*shown, *map(note, filter(has_note, rows))])


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


def has_note(row: Row) -> bool:
    """Whether there is something to say of a row beside its figures."""
    return bool(row.missing) or row.equal_steps is not None


def note(row: Row) -> str:
    """It, as a line."""
    if row.missing:
        return f"\n{row.runtime}, {row.encoder}: none; {row.missing}."
    equal = f"{row.equal_steps} of {len(row.losses)}"
    return (
        f"\n{row.runtime}, {row.encoder}: trains what Python prepared, ids and a SavedModel; "
        f"the loss is Python's to the last bit in {equal} steps."
    )
