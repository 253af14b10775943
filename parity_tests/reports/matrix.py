"""The matrix of several bundles: model × weight dtype × backend."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from parity_tests.reports.report import ParityReport

SCHEMA = "bert-bridge/parity-matrix"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class BackendCell:
    """One backend's result for one bundle.

    `share` says in words the largest part of its budget that any row used.
    """

    backend: str
    status: str
    share: str


def backend_cells(report: ParityReport) -> list[BackendCell]:
    """Returns the cells of one report, in the order of the backends."""
    cells = []
    for backend in report.backends():
        rows = [row for row in report.rows if row.backend == backend]
        shares = [row.budget_share for row in rows if row.budget_share is not None]
        status = "pass" if all(row.status == "pass" for row in rows) else "drift"
        worst = f"{max(shares):.2g} of it" if shares else "no numbers"
        cells.append(BackendCell(backend, status, worst))
    return cells


@dataclass(frozen=True)
class MatrixRow:
    """One bundle's result; `report` is the path of its page."""

    model: str
    weight_dtype: str | None
    verdict: str
    first_stage_off: str | None
    backends: dict[str, BackendCell]
    report: str


@dataclass(frozen=True)
class Matrix:
    """The document `matrix.json`, see REPORT.md."""

    verdict: str
    rows: list[MatrixRow]
    schema: str = SCHEMA
    schema_version: int = SCHEMA_VERSION

    @classmethod
    def of(cls, reports: list[tuple[ParityReport, str]]) -> "Matrix":
        """Makes the matrix of several reports, each with the path of its page."""
        rows = [
            MatrixRow(
                model=report.bundle.name,
                weight_dtype=report.bundle.weight_dtype,
                verdict=report.verdict,
                first_stage_off=report.first_stage_off,
                backends={cell.backend: cell for cell in backend_cells(report)},
                report=path,
            )
            for report, path in reports
        ]
        holds = bool(rows) and all(row.verdict == "pass" for row in rows)
        return cls("pass" if holds else "drift", rows)

    def write(self, path: Path) -> None:
        """Writes `matrix.json`."""
        text = json.dumps(asdict(self), ensure_ascii=False, indent=1, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")

    def __str__(self) -> str:
        return "\n".join(
            f"{row.model}, {row.weight_dtype}: {row.verdict}"
            + (f", first stage off {row.first_stage_off}" if row.first_stage_off else "")
            + "".join(f"; {name} {cell.share}" for name, cell in row.backends.items())
            for row in self.rows
        )
