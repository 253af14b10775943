"""The result as one HTML file that needs nothing else: no network, no script."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from parity_tests import matrix, plot, profile
from parity_tests.invariances import SAID, STAGE
from parity_tests.terminal import UNITS, allowance, counted
from parity_tests.tokenizer.proof import told
from printing import printable

WORST = 8
FAILURES = 30


def write_page(path: Path, result: dict[str, Any]) -> None:
    """Writes `report.html`."""
    rows = result["rows"]
    inside = [row for row in rows if row["inside"]]
    held = [row for row in rows if row["stage"] == STAGE]
    training = result["training"]
    page = (
        templates()
        .get_template("report.html.j2")
        .render(
            result=result,
            backends=list(dict.fromkeys(row["backend"] for row in rows)),
            counts=counts(result),
            units=UNITS,
            said=SAID,
            shares=matrix.cells(result),
            plain=[row for row in rows if row not in inside and row not in held],
            inside=inside,
            inside_off=any(row["status"] == "drift" for row in inside),
            inside_said=counted(inside, "places"),
            held=held,
            layers=profile.layers(result),
            ulps=profile.ulps(result),
            training=training,
            # Drawn by this program, not by anybody's text.
            training_svg=Markup(training["svg"]) if training else "",
            training_sides=sides_of(training),
            panels=plot.panels(result),
            equal_marks=any(
                p["max_abs"] == 0 for panel in plot.panels(result) for p in panel["marks"]
            ),
            size={"w": plot.WIDTH, "h": plot.HEIGHT, "left": plot.LEFT, "right": plot.RIGHT}
            | {"top": plot.TOP, "bottom": plot.BOTTOM},
            worst=worst_texts(result),
            failures=sorted(result["failures"], key=lambda f: f["status"] != "drift")[:FAILURES],
            told=told,
            tokenizers=by_tokenizer(result["tokenizers"]),
            origins=origins(result),
        )
    )
    path.write_text(page + "\n", encoding="utf-8")


def write_matrix(path: Path, found: dict[str, Any]) -> None:
    """Writes `index.html`, the table of several bundles."""
    backends = list(dict.fromkeys(name for row in found["rows"] for name in row["backends"]))
    page = templates().get_template("matrix.html.j2").render(matrix=found, backends=backends)
    path.write_text(page + "\n", encoding="utf-8")


def templates() -> Environment:
    """Where the pages' templates are; every text in them is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        finalize=without_controls,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["allowance"] = allowance
    return environment


def without_controls(value: Any) -> Any:
    """A text of others, which is escaped next; what turns its direction would move on the page."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return "\n".join(printable(line, longest=None) for line in value.split("\n"))


def counts(result: dict[str, Any]) -> list[tuple[str, int]]:
    """How many texts each backend was compared on."""
    texts: dict[str, int] = {}
    for row in result["rows"]:
        texts[row["backend"]] = max(texts.get(row["backend"], 0), row["texts"])
    return list(texts.items())


def by_tokenizer(tokenizers: dict[str, Any] | None) -> list[dict[str, Any]]:
    """One line for each tokenizer: texts in all, texts off, and the differences that are told."""
    lines: dict[str, dict[str, Any]] = {}
    for row in tokenizers["rows"] if tokenizers else []:
        fresh = {"name": row["tokenizer"], "texts": 0, "different": 0, "differences": []}
        line = lines.setdefault(row["tokenizer"], fresh)
        line["texts"] += row["texts"]
        line["different"] += row["different"]
        line["differences"] += row["differences"]
    return list(lines.values())


def worst_texts(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The texts that came nearest to their budget, or furthest beyond it, each told once."""
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
    return [point | texts[point["case"]] for point in ranked[:WORST]]


def sides_of(training: dict[str, Any] | None) -> list[tuple[str, dict[str, Any]]]:
    """Each side of the head's training and what came of it, Keras's own last."""
    if training is None or training["python"] is None:
        return []
    return [*training["backends"].items(), ("Keras", training["python"])]


def origins(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Where each budget comes from: stages and the reason, each reason once.

    The places inside have theirs in the table, as the title of the budget.
    """
    stages: dict[str, list[str]] = {}
    for row in (row for row in result["rows"] if not row["inside"]):
        names = stages.setdefault(row["budget"]["from"], [])
        if row["stage"] not in names:
            names.append(row["stage"])
    told = [(", ".join(names), reason) for reason, names in stages.items()]
    if result["training"] is not None and result["training"]["python"] is not None:
        told.append(("training", result["training"]["budget"]["from"]))
    return told
