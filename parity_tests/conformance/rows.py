"""Builds, exports and compares one row of the catalog in Node, and formats the table."""

import json
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from export.source import catalog
from parity_tests.checks.decisions import LabelDecisions
from parity_tests.runners.measure import run_measured
from support.node import find_node
from support.tables import format_markdown

LONG_TIME_LIMIT = ("--time-limit", "7200")
"""The largest models have steps of minutes, and a machine may be busy with other work."""
MIB = 1 << 20


@dataclass
class ConformanceRow:
    """The result of a row. Sizes are in MiB, times in seconds, `max_abs` over all values.

    `reference` has the packages whose forward pass it was compared with, and their versions;
    `known` is then the first of them. `said` is what went wrong, or "". `decisions` are those of a
    fine-tuned classifier, by the backend.
    """

    name: str
    same_build: list[str]
    contract: str
    known: str
    ok: bool = False
    said: str = ""
    parameters_mib: float | None = None
    export_s: float | None = None
    export_peak_mib: float | None = None
    load_s: float | None = None
    node_peak_mib: float | None = None
    max_abs: dict[str, float] = field(default_factory=dict)
    budget: float | None = None
    reference: str = ""
    decisions: dict[str, LabelDecisions] = field(default_factory=dict)


def conform_catalog_rows(entries: list[catalog.Entry], vocab: Path, work: Path) -> ConformanceRow:
    """Builds, exports and compares the first of some rows that share a build."""
    first, *others = entries
    row = ConformanceRow(first.name, [entry.name for entry in others], first.contract, first.mark)
    model, bundle = work / "model", work / "bundle"
    try:
        built = run_module(work, "parity_tests.conformance.fixtures", first.name, vocab, model)
        if built.code != 0:
            row.said = f"build: {built.last_error_line}"
            return row
        arguments = _export_arguments(first, model, vocab)
        exported = run_module(work, "export", *arguments, "--out", bundle)
        row.export_s, row.export_peak_mib = exported.seconds, exported.peak_bytes / MIB
        if exported.code != 0:
            row.said = f"export: {exported.last_error_line}"
            return row
        _check_bundle(row, bundle, work, first)
    finally:
        shutil.rmtree(model, ignore_errors=True)
        shutil.rmtree(bundle, ignore_errors=True)
    return row


def _export_arguments(entry: catalog.Entry, model: Path, vocab: Path) -> list[Any]:
    """Returns the arguments with which a person would export a row of this contract."""
    if entry.contract == "tokenizer":
        # The export finds out by itself which tokenizer the model is.
        return ["vocab", "--tokenizer-model", model]
    if entry.contract == "named":
        return [
            "model",
            model,
            *LONG_TIME_LIMIT,
            "--vocab",
            vocab,
            "--tokenizer",
            "tf-text",
            "--uncased",
        ]
    return ["model", model, *LONG_TIME_LIMIT, "--tokenizer", "bert", "--uncased"]


def _check_bundle(row: ConformanceRow, bundle: Path, work: Path, entry: catalog.Entry) -> None:
    """Loads the bundle in Node and compares with Python; adds the result to the row.

    Args:
        row: gets the result.
        bundle: to check.
        work: a directory to work in.
        entry: of the catalog.
    """
    if entry.contract == "tokenizer":
        script = "parity_tests.tokenizer"
        proven = run_module(work, script, "--bundle", bundle)
        row.ok, row.said = proven.code == 0, "" if proven.code == 0 else proven.last_error_line
        row.max_abs = {"ids": 0.0} if row.ok else {}
        return
    verify_in_node(row, bundle, work)


def verify_in_node(row: ConformanceRow, bundle: Path, work: Path) -> None:
    """Runs verify.js on wasm; adds size, load time, memory, differences and verdict to the row."""
    row.parameters_mib = sum(f.stat().st_size for f in bundle.glob("*.bin")) / MIB
    verify = Path(__file__).parents[2] / "node_bridge" / "verify.js"
    done = run_measured(
        [find_node(), str(verify), "--bundle", str(bundle), "--backend", "wasm", "--json"],
        work / "node",
    )
    if not done.stdout.strip():
        row.said = f"node: {done.last_error_line}"
        return
    answer = json.loads(done.stdout)
    row.load_s, row.node_peak_mib = answer["load_ms"] / 1000, done.peak_bytes / MIB
    row.ok = done.code == 0 and answer["passed"] and len(answer["checks"]) > 1
    row.max_abs = {c["name"]: c["maxAbs"] for c in answer["checks"] if c["name"] != "ids"}
    row.budget = max(c["budget"] for c in answer["checks"])
    row.said = "; ".join(f"{c['name']}: {c['said']}" for c in answer["checks"] if not c["passed"])


def run_module(work: Path, module: str, *arguments: Any) -> Any:
    """Runs a module of this project in a process of its own."""
    return run_measured([sys.executable, "-m", module, *map(str, arguments)], work / "python")


# The table in Markdown, which is readable in a terminal too.

HEAD = (
    "model",
    "contract",
    "known",
    "weights MiB",
    "export s",
    "peak MiB",
    "load s",
    "Node peak MiB",
    "max |Δ|",
    "",
)
NUMERIC_COLUMNS = range(3, 9)


def markdown_table(rows: list[ConformanceRow]) -> str:
    """Returns a line for each build, with the names that share it."""
    return format_markdown(HEAD, map(row_cells, rows), NUMERIC_COLUMNS)


def row_cells(row: ConformanceRow) -> tuple[str, ...]:
    """Returns the cells of one row."""
    worst = max(row.max_abs.values(), default=None)
    return (
        ", ".join([row.name, *row.same_build]),
        row.contract,
        row.known,
        _format_number(row.parameters_mib, 0),
        _format_number(row.export_s, 0),
        _format_number(row.export_peak_mib, 0),
        _format_number(row.load_s, 1),
        _format_number(row.node_peak_mib, 0),
        "–" if worst is None else ("equal ids" if row.contract == "tokenizer" else f"{worst:.1e}"),
        _format_verdict(row),
    )


def _format_verdict(row: ConformanceRow) -> str:
    """Returns `ok` with what a classifier decided, or what went wrong."""
    if not row.ok:
        return row.said or "failed"
    counts = row.decisions.values()
    decided, flipped = sum(c.texts for c in counts), sum(c.flipped for c in counts)
    return f"ok, {flipped} of {decided:,} labels differ" if decided else "ok"


def _format_number(value: float | None, digits: int) -> str:
    """Formats a number, or a dash for None."""
    return "–" if value is None else f"{value:.{digits}f}"
