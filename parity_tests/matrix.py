"""Several bundles' results as one table: model × weight dtype × backend."""

import json
from pathlib import Path
from typing import Any

from parity_tests.profile import share

SCHEMA = "bert-bridge/parity-matrix"
SCHEMA_VERSION = 1


def cells(result: dict[str, Any]) -> list[dict[str, Any]]:
    """For each backend of one result: `backend`, `status`, and `share`, in words.

    The share is the largest part of its budget that any row used; off where a row must be equal
    and is not.
    """
    found = []
    for backend in dict.fromkeys(row["backend"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["backend"] == backend]
        shares = [share(row) for row in rows if row["budget"]["atol"] > 0 and row["measures"]]
        status = "pass" if all(row["status"] == "pass" for row in rows) else "drift"
        worst = f"{max(shares):.2g} of it" if shares else "no numbers"
        found.append({"backend": backend, "status": status, "share": worst})
    return found


def document(results: list[tuple[dict[str, Any], str]]) -> dict[str, Any]:
    """The matrix of several results, each with the path of its report."""
    rows = [
        {
            "model": result["bundle"]["name"],
            "weight_dtype": result["bundle"]["weight_dtype"],
            "verdict": result["verdict"],
            "first_stage_off": result["first_stage_off"],
            "backends": {cell["backend"]: cell for cell in cells(result)},
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


def write_json(path: Path, matrix: dict[str, Any]) -> None:
    """Writes `matrix.json`."""
    text = json.dumps(matrix, ensure_ascii=False, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def table(matrix: dict[str, Any]) -> str:
    """A line for each bundle."""
    return "\n".join(
        f"{row['model']}, {row['weight_dtype']}: {row['verdict']}"
        + (f", first stage off {row['first_stage_off']}" if row["first_stage_off"] else "")
        + "".join(f"; {name} {cell['share']}" for name, cell in row["backends"].items())
        for row in matrix["rows"]
    )
