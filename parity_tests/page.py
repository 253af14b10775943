"""The result as one HTML file that needs nothing else: no network, no script."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from parity_tests import plot
from parity_tests.tokenizer.proof import told

WORST = 8
FAILURES = 30


def write_page(path: Path, result: dict[str, Any]) -> None:
    """Writes `report.html`."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html.j2")
    page = template.render(
        result=result,
        backends=list(dict.fromkeys(row["backend"] for row in result["rows"])),
        counts=counts(result),
        panels=plot.panels(result),
        equal_marks=any(p["max_abs"] == 0 and p["stage"] != "ids" for p in result["points"]),
        size={"w": plot.WIDTH, "h": plot.HEIGHT, "left": plot.LEFT, "right": plot.RIGHT}
        | {"top": plot.TOP, "bottom": plot.BOTTOM},
        worst=worst_texts(result),
        failures=result["failures"][:FAILURES],
        told=told,
        tokenizers=by_tokenizer(result["tokenizers"]),
        origins=origins(result),
    )
    path.write_text(page + "\n", encoding="utf-8")


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
        if point["stage"] == "ids":
            continue
        used = point["max_abs"] / atol[point["stage"]]
        if used > share.get(point["case"], {"used": -1.0})["used"]:
            share[point["case"]] = point | {"used": used}
    texts = {text["case"]: text for text in result["cases"]["texts"]}
    ranked = sorted(share.values(), key=lambda point: (-point["used"], point["case"]))
    return [point | texts[point["case"]] for point in ranked[:WORST]]


def origins(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Where each budget comes from: stages and the reason, each reason once."""
    stages: dict[str, list[str]] = {}
    for row in result["rows"]:
        names = stages.setdefault(row["budget"]["from"], [])
        if row["stage"] not in names:
            names.append(row["stage"])
    return [(", ".join(names), reason) for reason, names in stages.items()]
