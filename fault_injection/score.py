"""Counts the verdicts, and writes them as a table and as artifacts/faults.json."""

from collections import Counter
from typing import Any

from fault_injection.registry import Kind
from support.tables import format_table

VerdictRow = dict[str, Any]
ATTRIBUTED = 0.95
MAX_SHOWN = 12
"""Wrong verdicts that are printed one by one."""


def score_verdicts(faults: list[VerdictRow], cleans: list[VerdictRow]) -> dict[str, Any]:
    """Makes the document."""
    counted = [row for row in faults if row["without_effect"] is None]
    return {
        "injected": len(counted),
        "detected": sum(row["detected"] for row in counted),
        "attributed": sum(row["attributed"] for row in counted),
        "kinds": len({row["kind"] for row in counted}),
        "clean": len(cleans),
        "false_alarms": sum(row["detected"] for row in cleans),
        "without_effect": len(faults) - len(counted),
        "faults": faults,
        "clean_bundles": cleans,
    }


def judge_holds(document: dict[str, Any]) -> bool:
    """Returns whether all faults are found, 95 % at their stage, without a false alarm."""
    detected = document["injected"] == document["detected"]
    attributed = document["attributed"] >= ATTRIBUTED * document["injected"]
    return bool(detected and attributed and document["false_alarms"] == 0)


def score_table(document: dict[str, Any], kinds: dict[str, Kind]) -> str:
    """Returns a line for each kind, the wrong verdicts, and the totals."""
    columns: dict[str, Counter[str]] = {
        n: Counter() for n in ("injected", "detected", "attributed")
    }
    for row in document["faults"]:
        if row["without_effect"] is None:
            columns["injected"][row["kind"]] += 1
            columns["detected"][row["kind"]] += row["detected"]
            columns["attributed"][row["kind"]] += row["attributed"]
    rows = [
        [name, kinds[name].target, *(str(counts[name]) for counts in columns.values())]
        for name in columns["injected"]
    ]
    return "\n".join(
        [
            format_table(["kind", "target", *columns], rows, numeric=range(2, 5)),
            "",
            *_wrong_verdict_lines(document),
            *_without_effect_lines(document),
            _totals_line(document),
        ]
    )


def _wrong_verdict_lines(document: dict[str, Any]) -> list[str]:
    """Returns the first wrong verdicts."""
    lines = []
    for row in document["faults"]:
        if row["without_effect"] is None and not row["attributed"]:
            stages = " or ".join(row["stages"])
            got = row["got"] if row["detected"] else "nothing"
            lines.append(f"{row['id']}: {row['what']}: got {got}, but should be {stages}")
    for row in document["clean_bundles"]:
        if row["detected"]:
            lines.append(f"false alarm on {row['bundle']}: {row['got']}: {row['message']}")
    more = len(lines) - MAX_SHOWN
    return [
        *lines[:MAX_SHOWN],
        *([f"… and {more} more"] if more > 0 else []),
        *([""] if lines else []),
    ]


def _without_effect_lines(document: dict[str, Any]) -> list[str]:
    """Returns the faults that are not counted, with the reasons."""
    rows = [row for row in document["faults"] if row["without_effect"] is not None]
    return [f"without effect: {row['id']}: {row['without_effect']}" for row in rows]


def _totals_line(document: dict[str, Any]) -> str:
    """Returns the totals in one line."""
    injected = document["injected"]

    def share(name: str) -> str:
        return f"{document[name]} {name} ({document[name] / max(injected, 1):.1%})"

    return (
        f"{injected} faults in {document['kinds']} kinds: {share('detected')}, "
        f"{share('attributed')}; {document['false_alarms']} false alarms on {document['clean']} "
        f"clean bundles; {document['without_effect']} without effect, not counted"
    )
