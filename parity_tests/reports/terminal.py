"""Formats the result as a short table for the terminal."""

from collections.abc import Sequence

from parity_tests.checks.invariances import STAGE
from parity_tests.checks.long_texts import VECTORS
from parity_tests.checks.stages import ON_TEXTS
from parity_tests.checks.stored_parts import PartResult
from parity_tests.reports.report import OwnProgramEntry, ParityReport, RowEntry
from parity_tests.runners.runs import PROBABILITIES
from parity_tests.tokenizer.proof import ProofResult
from parity_tests.training.judgement import TrainingResult
from support.tables import format_table

WORDS = {"pass": "ok", "drift": "DRIFT", "downstream": "follows"}
HEAD = ("backend", "special tokens", "stage", "texts", "max |Δ|", "budget", "")
NUMERIC = (3, 4, 5)
"""Columns of numbers."""
UNITS = {
    "contract": "claims, each as the source is",
    "weights": "tensors, each as the source's",
    "vocab": "lines, each as the source's",
    "tables": "characters, each as the runtime here has it",
}
EXACT = ("tokens", "ids", "label")


def format_report(report: ParityReport) -> str:
    """Returns the stored parts, a line for each row, the first failures, then the verdict."""
    lines = [
        *_note_lines(report),
        *_stored_part_lines(report.stored_parts),
        *_storage_lines(report.storage),
        *_tokenizer_lines(report.tokenizers),
        *_training_lines(report.training),
        "",
        format_table(HEAD, map(row_cells, _rows_to_show(report.rows)), NUMERIC),
        "",
        *_summary_lines(report),
        *_own_program_lines(report.own_programs),
        *_skipped_lines(report.skipped_invariances),
    ]
    if report.problem:
        lines.append(f"not run to its end: {report.problem}")
    firsts = [failure for failure in report.failures if failure.status == "drift"]
    lines += [failure.message for failure in firsts[:5]]
    if len(firsts) > 5:
        lines.append("… more in report.html")
    return "\n".join([*lines, _verdict_line(report)])


def _note_lines(report: ParityReport) -> list[str]:
    """Returns what was compared, and the notes."""
    bundle, source = report.bundle, report.source
    lines = [f"bundle {bundle.name} ({bundle.sha256[:12]}), {bundle.weight_dtype}"]
    if bundle.trained is False:
        lines[0] += ", UNTRAINED weights"
    if source.same is False:
        lines.append(
            f"note: the bundle says it was made from another model ({source.bundle_made_from}) "
            f"than {source.model} ({source.sha256})"
        )
    lines += [f"note: {note}" for note in source.notes]
    versions = ", ".join(f"{k} {v}" for k, v in source.tokenizer.versions.items())
    lines.append(f"reference tokenizer: {source.tokenizer.origin} ({versions})")
    lines.append(f"classifier: {report.classifier.note}")
    return lines


def _stored_part_lines(parts: dict[str, PartResult]) -> list[str]:
    """Returns the result of each stored part, with its first failures."""
    lines = []
    for stage, part in parts.items():
        if part.status == "none":
            lines.append(f"{stage}: not compared, {part.note or 'the source has none'}")
        elif part.status == "pass":
            lines.append(f"{stage}: {part.compared:,} {UNITS[stage]}")
        else:
            lines.append(f"{stage}: {part.failing:,} of {part.compared:,} DIFFER")
            lines += part.failures
    return lines


def _storage_lines(rows: list[RowEntry]) -> list[str]:
    """Returns what the weights' dtype costs."""
    distances = {row.measures.max_abs: row for row in rows if row.measures}
    if not distances:
        return []
    far, worst = max(distances.items(), key=lambda pair: pair[0])
    words = "within" if all(row.status == "pass" for row in rows) else "BEYOND"
    return [f"storage: the weights' dtype moves {worst.stage} by {far:.2g}, {words} {worst.budget}"]


def _tokenizer_lines(tokenizers: ProofResult | None) -> list[str]:
    """Returns the result of the tokenizer proof, in one line where all is equal."""
    if tokenizers is None:
        return ["tokenizers: not proven in this run"]
    count = len({row.tokenizer for row in tokenizers.rows})
    off = tokenizers.different
    size = "all of Unicode" if tokenizers.full else "a sample; `--tokenizer-proof full` for all"
    verdict = f"{off:,} DIFFER" if off else "equal ids"
    lines = [f"tokenizers: {count}, {tokenizers.texts:,} texts ({size}): {verdict}"]
    return lines + [str(d) for row in tokenizers.rows for d in row.differences][:5]


def _training_lines(training: TrainingResult | None) -> list[str]:
    """Returns the result of the head's training, with its first failures."""
    if training is None:
        return ["training: not compared in this run"]
    if training.status == "none":
        return [f"training: not compared, {training.message}"]
    return [f"training: {training.message}", *training.failures[:2]]


def _rows_to_show(rows: list[RowEntry]) -> list[RowEntry]:
    """Returns the rows with a line of their own: taps and invariances that hold have none."""
    return [row for row in rows if row.status == "drift" or not (row.is_tap or row.stage == STAGE)]


def _summary_lines(report: ParityReport) -> list[str]:
    """Returns a summary of taps and invariances for each backend."""
    lines = []
    for backend in report.backends():
        own = [row for row in report.rows if row.backend == backend]
        taps = [row for row in own if row.is_tap]
        claims = [row for row in own if row.stage == STAGE]
        words = [
            count_holding([row.status for row in part], name)
            for part, name in ((taps, "taps inside the model"), (claims, "invariances"))
            if part
        ]
        equal = _bit_equality([row for row in own if not row.is_tap and row.stage != STAGE])
        lines.append(f"{backend}: {', '.join([*words, *equal])}")
    return lines


def _own_program_lines(programs: list[OwnProgramEntry]) -> list[str]:
    """Returns what each program of the user's did not answer, and which texts it does not take."""
    lines = []
    for one in programs:
        if one.not_answered:
            stages = ", ".join(one.not_answered)
            lines.append(f"{one.name}: NOT COMPARED, since it did not answer: {stages}")
        for reason in dict.fromkeys(one.skipped.values()):
            count = list(one.skipped.values()).count(reason)
            lines.append(f"{one.name}: {count} texts NOT COMPARED, it says: {reason}")
    return lines


def count_holding(statuses: Sequence[str], name: str) -> str:
    """Says how many rows with these statuses hold, drifted, or follow.

    >>> count_holding(["pass", "downstream"], "taps")
    '1 of 2 taps hold, 1 follows'
    """
    off, after = statuses.count("drift"), statuses.count("downstream")
    words = [f"{statuses.count('pass')} of {len(statuses)} {name} hold"]
    words += [f"{off} off"] if off else []
    words += [f"{after} {'follows' if after == 1 else 'follow'}"] if after else []
    return ", ".join(words)


def _skipped_lines(claims: dict[str, str]) -> list[str]:
    """Returns the invariances that were not tested, a line for each reason."""
    reasons: dict[str, list[str]] = {}
    for claim, why in claims.items():
        reasons.setdefault(why, []).append(claim)
    return [f"invariances skipped: {', '.join(names)} ({why})" for why, names in reasons.items()]


def _bit_equality(rows: list[RowEntry]) -> list[str]:
    """Says how many of the outputs' values are equal to the bit."""
    counts = [
        row.measures.ulps
        for row in rows
        if row.measures and row.measures.ulps and row.stage not in (PROBABILITIES, VECTORS)
    ]
    total = sum(map(sum, counts))
    if not total:
        return []
    same = sum(count[0] for count in counts)
    share = "all" if same == total else f"{100 * same / total:.0f} %"
    return [f"{share} of {total:,} output values equal to the bit"]


def row_cells(row: RowEntry) -> tuple[str, ...]:
    """Returns the cells of one row."""
    distance = "-" if row.measures is None else f"{row.measures.max_abs:.2g}"
    allowed = str(row.budget)
    if row.stage in EXACT:
        allowed = "equal"
        distance = "equal" if row.status == "pass" else "differ"
    return (
        row.backend,
        row.special_tokens if row.comparison == ON_TEXTS else row.comparison,
        row.stage,
        str(row.texts),
        distance,
        allowed,
        WORDS[row.status] + (f", {row.failing} texts off" if row.failing else ""),
    )


def _verdict_line(report: ParityReport) -> str:
    """Returns the verdict in one line."""
    if report.verdict == "pass":
        return "parity holds: Node gives what Python gives"
    return f"DRIFT: the first stage that is off is {report.first_stage_off}"
