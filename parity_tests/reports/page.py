"""Writes the report as one HTML file, without network or scripts."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from parity_tests.checks.head import GOLDEN
from parity_tests.checks.invariances import CLAIM_TEXTS, STAGE
from parity_tests.checks.long_texts import LONG
from parity_tests.checks.stages import ON_TEXTS
from parity_tests.reports import plots
from parity_tests.reports.matrix import Matrix, backend_cells
from parity_tests.reports.report import CaseEntry, ParityReport, PointEntry
from parity_tests.reports.terminal import UNITS, count_holding
from parity_tests.tokenizer.explain import Difference
from parity_tests.tokenizer.proof import ProofResult
from support.printing import printable

MAX_WORST_TEXTS = 8
OTHER_TEXTS = {
    GOLDEN: "the answers that the classifier was saved with",
    LONG: "texts that are longer than the classifier's positions",
}
"""What else than the texts of the case file is compared at the stages."""
MAX_FAILURES = 30


def write_report_page(path: Path, report: ParityReport) -> None:
    """Writes `report.html`."""
    taps = [row for row in report.rows if row.is_tap]
    charts = {
        "layers": plots.layer_chart(report),
        "ulps": plots.ulp_chart(report),
        "training": plots.training_chart(report.training),
    }
    page = (
        template_environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            counts=_texts_per_backend(report),
            units=UNITS,
            claim_texts=CLAIM_TEXTS,
            on_texts=ON_TEXTS,
            other_texts=OTHER_TEXTS,
            shares=backend_cells(report),
            plain=[row for row in report.rows if not row.is_tap and row.stage != STAGE],
            taps=taps,
            taps_off=any(row.status == "drift" for row in taps),
            taps_summary=count_holding([row.status for row in taps], "taps"),
            invariance_rows=[row for row in report.rows if row.stage == STAGE],
            # support/charts.py has escaped the texts in them.
            charts={name: Markup(svg) for name, svg in charts.items()},
            stage_charts=[Markup(svg) for svg in plots.stage_charts(report)],
            worst=_worst_texts(report),
            failures=sorted(report.failures, key=lambda f: f.status != "drift")[:MAX_FAILURES],
            tokenizers=_summarize_tokenizers(report.tokenizers),
            origins=_budget_origins(report),
        )
    )
    path.write_text(page + "\n", encoding="utf-8")


def write_matrix_page(path: Path, matrix: Matrix) -> None:
    """Writes `index.html`, the table of several bundles."""
    backends = list(dict.fromkeys(name for row in matrix.rows for name in row.backends))
    page = (
        template_environment()
        .get_template("matrix.html.j2")
        .render(matrix=matrix, backends=backends)
    )
    path.write_text(page + "\n", encoding="utf-8")


def template_environment() -> Environment:
    """Returns the templates of the pages; every text in them is escaped."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        finalize=_escape_controls,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _escape_controls(value: Any) -> Any:
    """Escapes control characters and changes of direction in a text from outside."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return "\n".join(printable(line, longest=None) for line in value.split("\n"))


def _texts_per_backend(report: ParityReport) -> list[tuple[str, int]]:
    """Returns how many texts each backend was compared on."""
    return [
        (backend, max(row.texts for row in report.rows if row.backend == backend))
        for backend in report.backends()
    ]


@dataclass
class TokenizerSummary:
    """The result of one tokenizer over all groups of texts."""

    name: str
    texts: int = 0
    different: int = 0
    differences: list[Difference] = field(default_factory=list)


def _summarize_tokenizers(tokenizers: ProofResult | None) -> Iterable[TokenizerSummary]:
    """Returns one summary for each tokenizer."""
    summaries: dict[str, TokenizerSummary] = {}
    for row in tokenizers.rows if tokenizers else []:
        summary = summaries.setdefault(row.tokenizer, TokenizerSummary(row.tokenizer))
        summary.texts += row.texts
        summary.different += row.different
        summary.differences += row.differences
    return summaries.values()


def _worst_texts(report: ParityReport) -> list[tuple[PointEntry, CaseEntry]]:
    """Returns the texts that used most of their budget, each once, with their largest point."""
    atol = {row.stage: row.budget.atol for row in report.rows}
    largest: dict[int, tuple[float, PointEntry]] = {}
    for point in report.points:
        if point.stage == STAGE or not atol[point.stage]:
            continue
        used = point.max_abs / atol[point.stage]
        if point.case not in largest or used > largest[point.case][0]:
            largest[point.case] = (used, point)
    texts = {text.case: text for text in report.cases}
    ranked = sorted(largest.values(), key=lambda pair: (-pair[0], pair[1].case))
    return [(point, texts[point.case]) for _, point in ranked[:MAX_WORST_TEXTS]]


def _budget_origins(report: ParityReport) -> list[tuple[str, str]]:
    """Returns the stages and the origin of their budget, each origin once.

    Taps have theirs in the table, as the title of the budget.
    """
    stages: dict[str, list[str]] = {}
    for row in (row for row in report.rows if not row.is_tap):
        names = stages.setdefault(row.budget.origin, [])
        if row.stage not in names:
            names.append(row.stage)
    pairs = [(", ".join(names), reason) for reason, names in stages.items()]
    if report.training is not None and report.training.python is not None:
        pairs.append(("training", report.training.budget_origin))
    return pairs
