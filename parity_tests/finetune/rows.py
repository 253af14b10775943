"""One row of the table: an experiment in one runtime, or the reason why it is missing."""

from dataclasses import dataclass, field
from statistics import median
from typing import Any

from support.tables import format_markdown

MIB = 1 << 20


@dataclass(frozen=True)
class FinetuneRow:
    """The measurements of an experiment.

    `history` has `seconds` and `dev_accuracy` of each epoch; `seconds` is the whole process, from
    start to end. Where a runner reports them: `losses` of every step; `weights`, how many the
    encoder has and how many `moved`; `dropout`, whether the encoder has any. `equal_steps` counts
    the losses that equal Python's to the last bit, where they were compared.
    """

    runtime: str
    encoder: str
    missing: str = ""
    texts: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    peak_bytes: int = 0
    losses: list[float] = field(default_factory=list)
    equal_steps: int | None = None
    weights: dict[str, int] | None = None
    dropout: bool | None = None

    @property
    def best(self) -> dict[str, Any]:
        """The epoch with the highest accuracy on the dev texts; the first of several."""
        return max(self.history, key=lambda epoch: float(epoch["dev_accuracy"]))

    @property
    def epoch_seconds(self) -> float | None:
        """The median of all epochs but the first, in which a runtime prepares itself."""
        later = [float(epoch["seconds"]) for epoch in self.history[1:]]
        return median(later) if later else None

    @property
    def other_seconds(self) -> float:
        """The seconds outside of the epochs: start, loading, encoding, saving."""
        return self.seconds - float(sum(epoch["seconds"] for epoch in self.history))

    @property
    def texts_per_second(self) -> float:
        """The training texts of all epochs divided by the whole run."""
        return self.texts * len(self.history) / self.seconds

    def document(self) -> dict[str, Any]:
        """Returns the row for finetune.json; for a missing one only the reason."""
        name = {"runtime": self.runtime, "encoder": self.encoder}
        if self.missing:
            return name | {"missing": self.missing}
        optional: dict[str, Any] = {"weights": self.weights, "dropout": self.dropout}
        if self.equal_steps is not None:
            optional |= {"steps": len(self.losses), "equal_steps": self.equal_steps}
        return name | {
            "dev_accuracy": self.best["dev_accuracy"],
            "best_epoch": self.best["epoch"],
            "epoch_seconds": self.epoch_seconds,
            "other_seconds": self.other_seconds,
            "peak_mib": self.peak_bytes / MIB,
            "texts_per_second": self.texts_per_second,
            "history": self.history,
            **{key: value for key, value in optional.items() if value is not None},
        }


# The table in Markdown, with notes below it.

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


def markdown_table(rows: list[FinetuneRow]) -> str:
    """Returns a line for each row; a missing one has dashes, and the reason below the table."""
    numeric = range(TEXT_COLUMNS, len(HEAD))
    table = format_markdown(HEAD, map(row_cells, rows), numeric)
    return "\n".join([table, *filter(None, map(_row_note, rows))])


def row_cells(row: FinetuneRow) -> tuple[str, ...]:
    """Returns the cells of one row."""
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


def _row_note(row: FinetuneRow) -> str:
    """Returns the note of a row, or ""."""
    text = ""
    if row.missing:
        text = f"none; {row.missing}"
    elif row.equal_steps is not None:
        equal = f"{row.equal_steps} of {len(row.losses)}"
        text = (
            f"Python prepares ids and graph; the loss is Python's to the last bit in {equal} steps"
        )
    elif row.weights is not None:
        moved, dropout = row.weights["moved"], "" if row.dropout else "no "
        text = (
            f"{moved} of the encoder's {row.weights['all']} weights moved, {dropout}dropout in it"
        )
    return f"\n{row.runtime}, {row.encoder}: {text}." if text else ""
