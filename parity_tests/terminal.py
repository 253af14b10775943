"""The result as a short table for the terminal."""

from typing import Any

from parity_tests.tokenizer.proof import told

WORDS = {"pass": "ok", "drift": "DRIFT", "downstream": "follows"}
HEAD = ("backend", "special tokens", "stage", "texts", "max |Δ|", "budget", "")


def table(result: dict[str, Any]) -> str:
    """A line for each row, then the first failures, then the verdict."""
    lines = [
        *notes(result),
        *weight_lines(result["weights"]),
        *tokenizer_lines(result["tokenizers"]),
        "",
        *aligned([HEAD, *map(cells, result["rows"])]),
        "",
    ]
    firsts = [failure for failure in result["failures"] if failure["status"] == "drift"]
    lines += [failure["message"] for failure in firsts[:5]]
    if len(firsts) > 5:
        lines.append("… more in report.html")
    return "\n".join([*lines, verdict(result)])


def notes(result: dict[str, Any]) -> list[str]:
    """What was compared, and what a reader must know of it."""
    bundle, source = result["bundle"], result["source"]
    lines = [f"bundle {bundle['name']} ({bundle['sha256'][:12]}), {bundle['weight_dtype']}"]
    if bundle["trained"] is False:
        lines[0] += ", UNTRAINED weights"
    if source["same"] is False:
        lines.append(
            f"note: the bundle says it was made from another model ({source['bundle_made_from']}) "
            f"than {source['model']} ({source['sha256']})"
        )
    lines.append(f"classifier: {result['classifier']['note']}")
    return lines


def weight_lines(weights: dict[str, Any]) -> list[str]:
    """What came of the weights, and the first that are off."""
    if weights["status"] == "none":
        return ["weights: the source keeps no variables, so none were compared"]
    if weights["status"] == "pass":
        return [f"weights: {weights['compared']} tensors, each as the source's"]
    off = weights["failing"]
    return [f"weights: {off} of {weights['compared']} tensors DIFFER", *weights["failures"]]


def tokenizer_lines(tokenizers: dict[str, Any] | None) -> list[str]:
    """What the tokenizer proof found, in one line where all is equal."""
    if tokenizers is None:
        return ["tokenizers: not proven in this run"]
    count = len({row["tokenizer"] for row in tokenizers["rows"]})
    off = tokenizers["different"]
    size = "all of Unicode" if tokenizers["full"] else "a sample; `--tokenizer full` for all"
    verdict = f"{off:,} DIFFER" if off else "equal ids"
    lines = [f"tokenizers: {count}, {tokenizers['texts']:,} texts ({size}): {verdict}"]
    return lines + [told(d) for row in tokenizers["rows"] for d in row["differences"]][:5]


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """One row as text."""
    measures, budget = row["measures"], row["budget"]
    distance = "-" if measures is None else f"{measures['max_abs']:.2g}"
    allowed = f"{budget['atol']:g}"
    if row["stage"] == "ids":
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


def aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Columns of equal width; numbers stand to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    right = range(3, 6)
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def verdict(result: dict[str, Any]) -> str:
    """One line."""
    if result["verdict"] == "pass":
        return "parity holds: Node gives what Python gives"
    return f"DRIFT: the first stage that is off is {result['first_stage_off']}"
