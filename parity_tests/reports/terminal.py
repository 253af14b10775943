"""Formats the result as a short table for the terminal."""

from typing import Any

from parity_tests.checks.invariances import STAGE
from parity_tests.runners.runs import PROBABILITIES
from parity_tests.tokenizer.proof import describe_difference

WORDS = {"pass": "ok", "drift": "DRIFT", "downstream": "follows"}
HEAD = ("backend", "special tokens", "stage", "texts", "max |Δ|", "budget", "")
UNITS = {
    "contract": "claims, each as the source is",
    "weights": "tensors, each as the source's",
    "vocab": "lines, each as the source's",
    "tables": "characters, each as the runtime here has it",
}
EXACT = ("tokens", "ids", "label")


def format_report(result: dict[str, Any]) -> str:
    """Returns the stored parts, a line for each row, the first failures, then the verdict."""
    lines = [
        *_note_lines(result),
        *_stored_part_lines(result["still"]),
        *_storage_lines(result["storage"]),
        *_tokenizer_lines(result["tokenizers"]),
        *_training_lines(result["training"]),
        "",
        *align_columns([HEAD, *map(row_cells, _rows_to_show(result["rows"]))]),
        "",
        *_summary_lines(result["rows"]),
        *_left_out_lines(result["left_out"]),
    ]
    if result["problem"]:
        lines.append(f"not run to its end: {result['problem']}")
    firsts = [failure for failure in result["failures"] if failure["status"] == "drift"]
    lines += [failure["message"] for failure in firsts[:5]]
    if len(firsts) > 5:
        lines.append("… more in report.html")
    return "\n".join([*lines, _verdict_line(result)])


def _note_lines(result: dict[str, Any]) -> list[str]:
    """Returns what was compared, and the notes."""
    bundle, source = result["bundle"], result["source"]
    lines = [f"bundle {bundle['name']} ({bundle['sha256'][:12]}), {bundle['weight_dtype']}"]
    if bundle["trained"] is False:
        lines[0] += ", UNTRAINED weights"
    if source["same"] is False:
        lines.append(
            f"note: the bundle says it was made from another model ({source['bundle_made_from']}) "
            f"than {source['model']} ({source['sha256']})"
        )
    lines += [f"note: {note}" for note in source["notes"]]
    versions = ", ".join(f"{k} {v}" for k, v in source["tokenizer"]["versions"].items())
    lines.append(f"reference tokenizer: {source['tokenizer']['from']} ({versions})")
    lines.append(f"classifier: {result['classifier']['note']}")
    return lines


def _stored_part_lines(parts: dict[str, dict[str, Any]]) -> list[str]:
    """Returns the result of each stored part, with its first failures."""
    lines = []
    for stage, part in parts.items():
        if part["status"] == "none":
            why = part.get("note") or "the source has none"
            lines.append(f"{stage}: not compared, {why}")
        elif part["status"] == "pass":
            lines.append(f"{stage}: {part['compared']:,} {UNITS[stage]}")
        else:
            lines.append(f"{stage}: {part['failing']:,} of {part['compared']:,} DIFFER")
            lines += part["failures"]
    return lines


def _storage_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Returns what the weights' dtype costs."""
    measured = [row for row in rows if row["measures"]]
    if not measured:
        return []
    worst = max(measured, key=lambda row: row["measures"]["max_abs"])
    words = "within" if all(row["status"] == "pass" for row in rows) else "BEYOND"
    far, allowed = worst["measures"]["max_abs"], format_budget(worst["budget"])
    return [f"storage: the weights' dtype moves {worst['stage']} by {far:.2g}, {words} {allowed}"]


def _tokenizer_lines(tokenizers: dict[str, Any] | None) -> list[str]:
    """Returns the result of the tokenizer proof, in one line where all is equal."""
    if tokenizers is None:
        return ["tokenizers: not proven in this run"]
    count = len({row["tokenizer"] for row in tokenizers["rows"]})
    off = tokenizers["different"]
    size = "all of Unicode" if tokenizers["full"] else "a sample; `--tokenizer-proof full` for all"
    verdict = f"{off:,} DIFFER" if off else "equal ids"
    lines = [f"tokenizers: {count}, {tokenizers['texts']:,} texts ({size}): {verdict}"]
    return (
        lines
        + [describe_difference(d) for row in tokenizers["rows"] for d in row["differences"]][:5]
    )


def _training_lines(training: dict[str, Any] | None) -> list[str]:
    """Returns the result of the head's training, with its first failures."""
    if training is None:
        return ["training: not compared in this run"]
    if training["status"] == "none":
        return [f"training: not compared, {training['message']}"]
    return [f"training: {training['message']}", *training["failures"][:2]]


def _rows_to_show(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the rows with a line of their own: taps and invariances that hold have none."""
    quiet = [row for row in rows if row["inside"] or row["stage"] == STAGE]
    return [row for row in rows if row not in quiet or row["status"] == "drift"]


def _summary_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Returns a summary of taps and invariances for each backend."""
    lines = []
    for backend in dict.fromkeys(row["backend"] for row in rows):
        own = [row for row in rows if row["backend"] == backend]
        inside = [row for row in own if row["inside"]]
        claims = [row for row in own if row["stage"] == STAGE]
        words = [
            count_holding(part, name)
            for part, name in ((inside, "taps inside the model"), (claims, "invariances"))
            if part
        ]
        equal = _bit_equality([row for row in own if row not in inside and row not in claims])
        lines.append(f"{backend}: {', '.join([*words, *equal])}")
    return lines


def count_holding(rows: list[dict[str, Any]], name: str) -> str:
    """Says how many rows hold, drifted, or follow.

    >>> count_holding([{"status": "pass"}, {"status": "downstream"}], "taps")
    '1 of 2 taps hold, 1 follows'
    """
    count = {status: sum(row["status"] == status for row in rows) for status in WORDS}
    off, after = count["drift"], count["downstream"]
    words = [f"{count['pass']} of {len(rows)} {name} hold"]
    words += [f"{off} off"] if off else []
    words += [f"{after} {'follows' if after == 1 else 'follow'}"] if after else []
    return ", ".join(words)


def _left_out_lines(claims: dict[str, str]) -> list[str]:
    """Returns the invariances that were not tested, a line for each reason."""
    reasons: dict[str, list[str]] = {}
    for claim, why in claims.items():
        reasons.setdefault(why, []).append(claim)
    return [f"invariances left out: {', '.join(names)} ({why})" for why, names in reasons.items()]


def _bit_equality(rows: list[dict[str, Any]]) -> list[str]:
    """Says how many of the outputs' values are equal to the bit."""
    counts = [
        row["measures"]["ulps"]
        for row in rows
        if row["measures"] and row["measures"]["ulps"] and row["stage"] != PROBABILITIES
    ]
    total = sum(map(sum, counts))
    if not total:
        return []
    same = sum(count[0] for count in counts)
    share = "all" if same == total else f"{100 * same / total:.0f} %"
    return [f"{share} of {total:,} output values equal to the bit"]


def row_cells(row: dict[str, Any]) -> tuple[str, ...]:
    """Returns the cells of one row."""
    measures, budget = row["measures"], row["budget"]
    distance = "-" if measures is None else f"{measures['max_abs']:.2g}"
    allowed = format_budget(budget)
    if row["stage"] in EXACT:
        allowed = "equal"
        distance = "equal" if row["status"] == "pass" else "differ"
    return (
        row["backend"],
        row["special_tokens"],
        row["stage"],
        str(row["texts"]),
        distance,
        allowed,
        WORDS[row["status"]] + (f", {row['failing']} texts off" if row["failing"] else ""),
    )


def format_budget(budget: dict[str, Any]) -> str:
    """Formats the whole budget: a distance beyond it is never ok.

    >>> format_budget({"atol": 1.1e-05, "rtol": 2e-06})
    '1.1e-05 + 2e-06·|v|'
    """
    relative = f" + {budget['rtol']:g}·|v|" if budget["rtol"] else ""
    return f"{budget['atol']:g}{relative}"


def align_columns(rows: list[tuple[str, ...]]) -> list[str]:
    """Aligns the columns, with numbers to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    right = range(3, 6)
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _verdict_line(result: dict[str, Any]) -> str:
    """Returns the verdict in one line."""
    if result["verdict"] == "pass":
        return "parity holds: Node gives what Python gives"
    return f"DRIFT: the first stage that is off is {result['first_stage_off']}"
