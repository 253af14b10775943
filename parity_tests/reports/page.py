"""Writes the result as one HTML file, without network or scripts."""

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from parity_tests.checks.invariances import CLAIM_TEXTS, STAGE
from parity_tests.reports import plots
from parity_tests.reports.plots import budget_share
from parity_tests.reports.terminal import UNITS, count_holding, format_budget
from parity_tests.tokenizer.proof import describe_difference
from support.printing import printable

SCHEMA = "bert-bridge/parity-matrix"
SCHEMA_VERSION = 1


def _share_cells(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns `backend`, `status` and `share` (a phrase) for each backend of one result.

    The share is the largest part of its budget that any row used.
    """
    cells = []
    for backend in dict.fromkeys(row["backend"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["backend"] == backend]
        shares = [
            budget_share(row) for row in rows if row["budget"]["atol"] > 0 and row["measures"]
        ]
        status = "pass" if all(row["status"] == "pass" for row in rows) else "drift"
        worst = f"{max(shares):.2g} of it" if shares else "no numbers"
        cells.append({"backend": backend, "status": status, "share": worst})
    return cells


def matrix_document(results: list[tuple[dict[str, Any], str]]) -> dict[str, Any]:
    """Makes the matrix of several results (model × weight dtype × backend).

    `results` has each document of REPORT.md with the path of its report.
    """
    rows = [
        {
            "model": result["bundle"]["name"],
            "weight_dtype": result["bundle"]["weight_dtype"],
            "verdict": result["verdict"],
            "first_stage_off": result["first_stage_off"],
            "backends": {cell["backend"]: cell for cell in _share_cells(result)},
            "report": path,
        }
        for result, path in results
    ]
    verdict = "pass" if rows and all(row["verdict"] == "pass" for row in rows) else "drift"
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "verdict": verdict,
        "rows": rows,
    }


def write_matrix_json(path: Path, matrix: dict[str, Any]) -> None:
    """Writes `matrix.json`."""
    text = json.dumps(matrix, ensure_ascii=False, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def format_matrix(matrix: dict[str, Any]) -> str:
    """Returns a line for each bundle."""
    return "\n".join(
        f"{row['model']}, {row['weight_dtype']}: {row['verdict']}"
        + (f", first stage off {row['first_stage_off']}" if row["first_stage_off"] else "")
        + "".join(f"; {name} {cell['share']}" for name, cell in row["backends"].items())
        for row in matrix["rows"]
    )


MAX_WORST_TEXTS = 8
MAX_FAILURES = 30


def write_report_page(path: Path, result: dict[str, Any]) -> None:
    """Writes `report.html`."""
    rows = result["rows"]
    inside = [row for row in rows if row["inside"]]
    invariance_rows = [row for row in rows if row["stage"] == STAGE]
    training = result["training"]
    page = (
        template_environment()
        .get_template("report.html.j2")
        .render(
            result=result,
            backends=list(dict.fromkeys(row["backend"] for row in rows)),
            counts=_texts_per_backend(result),
            units=UNITS,
            claim_texts=CLAIM_TEXTS,
            shares=_share_cells(result),
            plain=[row for row in rows if row not in inside and row not in invariance_rows],
            inside=inside,
            inside_off=any(row["status"] == "drift" for row in inside),
            inside_summary=count_holding(inside, "taps"),
            invariance_rows=invariance_rows,
            layers=plots.layer_plot(result),
            ulps=plots.ulp_plot(result),
            training=training,
            # Made by this program: it has no text from outside.
            training_svg=Markup(training["svg"]) if training else "",
            training_sides=_training_sides(training),
            panels=plots.stage_panels(result),
            equal_marks=any(
                p["max_abs"] == 0 for panel in plots.stage_panels(result) for p in panel["marks"]
            ),
            size={"w": plots.WIDTH, "h": plots.HEIGHT, "left": plots.LEFT, "right": plots.RIGHT}
            | {"top": plots.TOP, "bottom": plots.BOTTOM},
            worst=_worst_texts(result),
            failures=sorted(result["failures"], key=lambda f: f["status"] != "drift")[
                :MAX_FAILURES
            ],
            describe_difference=describe_difference,
            tokenizers=_lines_by_tokenizer(result["tokenizers"]),
            origins=_budget_origins(result),
        )
    )
    path.write_text(page + "\n", encoding="utf-8")


def write_matrix_page(path: Path, matrix: dict[str, Any]) -> None:
    """Writes `index.html`, the table of several bundles."""
    backends = list(dict.fromkeys(name for row in matrix["rows"] for name in row["backends"]))
    page = (
        template_environment()
        .get_template("matrix.html.j2")
        .render(matrix=matrix, backends=backends)
    )
    path.write_text(page + "\n", encoding="utf-8")


def template_environment() -> Environment:
    """Returns the templates of the pages; every text in them is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        finalize=_escape_controls,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["allowance"] = format_budget
    return environment


def _escape_controls(value: Any) -> Any:
    """Escapes control characters and changes of direction in a text from outside."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return "\n".join(printable(line, longest=None) for line in value.split("\n"))


def _texts_per_backend(result: dict[str, Any]) -> list[tuple[str, int]]:
    """Returns how many texts each backend was compared on."""
    texts: dict[str, int] = {}
    for row in result["rows"]:
        texts[row["backend"]] = max(texts.get(row["backend"], 0), row["texts"])
    return list(texts.items())


def _lines_by_tokenizer(tokenizers: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Returns one line for each tokenizer: texts, texts that differ, and differences."""
    lines: dict[str, dict[str, Any]] = {}
    for row in tokenizers["rows"] if tokenizers else []:
        fresh = {"name": row["tokenizer"], "texts": 0, "different": 0, "differences": []}
        line = lines.setdefault(row["tokenizer"], fresh)
        line["texts"] += row["texts"]
        line["different"] += row["different"]
        line["differences"] += row["differences"]
    return list(lines.values())


def _worst_texts(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the texts that used most of their budget, each once."""
    atol = {row["stage"]: row["budget"]["atol"] for row in result["rows"]}
    share: dict[int, dict[str, Any]] = {}
    for point in result["points"]:
        if point["stage"] == STAGE or not atol[point["stage"]]:
            continue
        used = point["max_abs"] / atol[point["stage"]]
        if used > share.get(point["case"], {"used": -1.0})["used"]:
            share[point["case"]] = point | {"used": used}
    texts = {text["case"]: text for text in result["cases"]["texts"]}
    ranked = sorted(share.values(), key=lambda point: (-point["used"], point["case"]))
    return [point | texts[point["case"]] for point in ranked[:MAX_WORST_TEXTS]]


def _training_sides(training: dict[str, Any] | None) -> list[tuple[str, dict[str, Any]]]:
    """Returns each side of the head's training with its result, Keras last."""
    if training is None or training["python"] is None:
        return []
    return [*training["backends"].items(), ("Keras", training["python"])]


def _budget_origins(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns the stages and the origin of their budget, each origin once.

    Taps have theirs in the table, as the title of the budget.
    """
    stages: dict[str, list[str]] = {}
    for row in (row for row in result["rows"] if not row["inside"]):
        names = stages.setdefault(row["budget"]["from"], [])
        if row["stage"] not in names:
            names.append(row["stage"])
    pairs = [(", ".join(names), reason) for reason, names in stages.items()]
    if result["training"] is not None and result["training"]["python"] is not None:
        pairs.append(("training", result["training"]["budget"]["from"]))
    return pairs
