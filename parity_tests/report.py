"""The result as one document, versioned and described in REPORT.md; everything shown comes of it.

`report.json` is the document itself; page.py, junit.py and terminal.py show it.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from parity_tests.cases import Case
from parity_tests.provenance import Contract, digest
from parity_tests.runs import Run
from parity_tests.stages import Row

SCHEMA = "bert-bridge/parity"
SCHEMA_VERSION = 1
TOLD = 5
"""Failures told in full for each row; `failing` counts all."""


@dataclass(frozen=True)
class Inputs:
    """What was compared: the directories, and why there is no classifier where there is none."""

    contract: Contract
    model: Path
    tokenizer_model: Path
    classifier: Path | None
    classifier_note: str


def document(
    inputs: Inputs,
    picked: list[Case],
    python: Run,
    nodes: dict[str, Run],
    rows: list[Row],
    weights: dict[str, Any],
    tokenizers: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The whole result, ready for JSON.

    Args:
        inputs: what was compared.
        picked: all cases.
        python: the reference run.
        nodes: the run of each backend.
        rows: the judge's rows, stage after stage.
        weights: the result of comparing the bundle's weights with the source's variables.
        tokenizers: the result of the tokenizer proof, None where it was not asked for.
    """
    off = [row.stage for row in rows if row.status == "drift"]
    if tokenizers is not None and tokenizers["verdict"] != "pass":
        off.insert(0, "tokenizers")
    if weights["status"] == "drift":
        off.insert(0, "weights")
    passed = rows and not off and all(row.status == "pass" for row in rows)
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "verdict": "pass" if passed else "drift",
        "first_stage_off": off[0] if off else None,
        "bundle": bundle_of(inputs.contract),
        "source": source_of(inputs),
        "classifier": {
            "path": str(inputs.classifier) if inputs.classifier else None,
            "note": inputs.classifier_note,
        },
        "versions": python.versions | {k: v for run in nodes.values() for k, v in node_of(run)},
        "cases": {"count": len(picked), "texts": texts_of(picked, python)},
        "weights": weights,
        "tokenizers": tokenizers,
        "rows": [row_of(row) for row in rows],
        "failures": [failure for row in rows for failure in failures_of(row)],
        "points": [point for row in rows for point in points_of(row)],
    }


def bundle_of(contract: Contract) -> dict[str, Any]:
    """What the bundle is."""
    keys = ("name", "architecture", "trained", "weight_dtype", "padding", "max_length")
    return {"path": str(contract.path), "sha256": contract.sha256} | {
        key: contract.document.get(key) for key in keys
    }


def source_of(inputs: Inputs) -> dict[str, Any]:
    """Whether the bundle was made from the model it is compared with; told, not enforced."""
    here, promised = digest(inputs.model), inputs.contract.source_sha256()
    return {
        "model": str(inputs.model),
        "tokenizer_model": str(inputs.tokenizer_model),
        "sha256": here,
        "bundle_made_from": promised,
        "same": None if promised is None else promised == here,
    }


def node_of(run: Run) -> list[tuple[str, str]]:
    """Versions of a backend's run but for the backend's name."""
    return [(name, version) for name, version in run.versions.items() if name != "backend"]


def texts_of(picked: list[Case], python: Run) -> list[dict[str, Any]]:
    """Each text, and how many tokens Python sees in it, special ones not counted."""
    starts: dict[int, int] = {}
    rows = []
    for case in picked:
        place = case.case - starts.setdefault(case.batch, case.case)
        mask = python.batches[("none", case.batch)]["attention_mask"][place]
        rows.append(asdict(case) | {"tokens": int(mask.sum())})
    return rows


def row_of(row: Row) -> dict[str, Any]:
    """One row of the matrix."""
    measured = row.measures
    measures = {
        "max_abs": measured.max_abs,
        "max_rel": measured.max_rel,
        "rms": measured.rms,
        "cosine": measured.cosine,
        "smallest_atol": measured.needed_atol,
    }
    return {
        "backend": row.backend,
        "special_tokens": row.special,
        "stage": row.stage,
        "status": row.status,
        "texts": sum(measures.compared > 0 for measures in row.by_text.values()),
        "failing": len(row.failing),
        "compared": measured.compared,
        "budget": {"atol": row.budget.atol, "rtol": row.budget.rtol, "from": row.budget.origin},
        "measures": measures if measured.compared else None,
        "worst_case": row.worst,
    }


def failures_of(row: Row) -> list[dict[str, Any]]:
    """The first failures of a row, in the order of the texts."""
    return [
        {
            "backend": row.backend,
            "special_tokens": row.special,
            "stage": row.stage,
            "status": row.status,
            "check": problem.check,
            "case": case,
            "message": problem.message,
        }
        for case, problem in row.problems[:TOLD]
    ]


def points_of(row: Row) -> list[dict[str, Any]]:
    """The largest difference of each text, for the plot."""
    head = {"backend": row.backend, "special_tokens": row.special, "stage": row.stage}
    return [
        head | {"case": case, "max_abs": measures.max_abs}
        for case, measures in sorted(row.by_text.items())
        if measures.compared
    ]


def write_json(path: Path, result: dict[str, Any]) -> None:
    """Writes `report.json`; NaN and infinity cannot occur in it, since they are never measured."""
    text = json.dumps(result, ensure_ascii=False, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
