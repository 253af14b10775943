"""Assembles the report of one bundle from what the checks found."""

from dataclasses import asdict, dataclass
from pathlib import Path

from parity_tests.cases import TextCase
from parity_tests.checks.invariances import STAGE
from parity_tests.checks.long_texts import LONG
from parity_tests.checks.stages import LABEL, TOKENS, StageRow
from parity_tests.checks.stored_parts import PartResult
from parity_tests.flow import FlowResult
from parity_tests.provenance import Contract
from parity_tests.reports.report import (
    BudgetEntry,
    BundleEntry,
    CaseEntry,
    ClassifierEntry,
    FailureEntry,
    MeasuresEntry,
    OwnProgramEntry,
    ParityReport,
    PointEntry,
    RowEntry,
    SourceEntry,
    TokensEntry,
)
from parity_tests.runners.runs import PROBABILITIES, TAPS, RunOutput
from parity_tests.runners.tokenizer_source import TokenizerSource
from parity_tests.tokenizer.proof import ProofResult
from parity_tests.training.judgement import TrainingResult
from support.sha256 import directory_sha256

MAX_FAILURES = 5
"""Failures of a row that the report has in full; `failing` counts all."""
TRAINING = "training"
"""The last stage: no output of a trained model depends on it."""
MAX_SIDE_BY_SIDE = 10
"""Texts whose tokens are shown on both sides."""


@dataclass(frozen=True)
class ReportInputs:
    """What was compared: the directories, and the reason where there is no classifier.

    `notes` are lines that a reader must know.
    """

    contract: Contract
    model: Path
    tokenizer: TokenizerSource
    classifier: Path | None = None
    classifier_note: str = ""
    notes: tuple[str, ...] = ()


def assemble_report(
    inputs: ReportInputs,
    picked: list[TextCase],
    flow: FlowResult,
    parts: dict[str, PartResult],
    tokenizers: ProofResult | None = None,
    training: TrainingResult | None = None,
) -> ParityReport:
    """Makes the report.

    Args:
        inputs: what was compared.
        picked: all cases.
        flow: the result of running both sides.
        parts: the results of the stored parts by stage.
        tokenizers: the result of the tokenizer proof, None without one.
        training: the comparison of the head's training, None without one.
    """
    proven = {} if tokenizers is None else {"tokenizers": tokenizers.verdict}
    off = _find_first_stage_off(parts, proven, flow)
    if off is None and training is not None and training.status == "drift":
        off = TRAINING
    node_versions = [_node_versions(run) for run in flow.nodes.values()]
    versions = dict(flow.python.versions)
    for found in node_versions:
        versions |= found
    return ParityReport(
        verdict="drift" if off or not flow.rows else "pass",
        first_stage_off=off,
        bundle=_bundle_entry(inputs.contract),
        source=_source_entry(inputs),
        classifier=ClassifierEntry(
            str(inputs.classifier) if inputs.classifier else None, inputs.classifier_note
        ),
        versions=versions,
        cases=_case_entries(picked, flow.python),
        stored_parts=parts,
        storage=[_row_entry(row) for row in flow.storage],
        tokenizers=tokenizers,
        rows=[_row_entry(row) for row in flow.rows],
        skipped_invariances=flow.skipped_invariances,
        problem=flow.problem,
        failures=[f for row in [*flow.storage, *flow.rows] for f in _failure_entries(row)],
        # The long texts are others than those of the case file, by whose numbers points are drawn.
        points=[p for row in flow.rows if row.comparison != LONG for p in _point_entries(row)],
        tokens=_side_by_side(picked, flow),
        training=training,
        own_programs=[
            OwnProgramEntry(
                name=one.program.name,
                command=list(one.program.command),
                answered=one.answered,
                not_answered=one.not_answered,
                skipped=one.skipped,
            )
            for one in flow.own_programs
        ],
    )


def _find_first_stage_off(
    parts: dict[str, PartResult], proven: dict[str, str], flow: FlowResult
) -> str | None:
    """Returns the first stage that drifted, in the order of the flow and not of the backends."""
    stored = {stage: part.status for stage, part in parts.items()} | proven
    early = next((stage for stage, status in stored.items() if status == "drift"), None)
    if early is not None or flow.problem:
        return early
    if any(row.status == "drift" for row in flow.storage):
        return "storage"
    order = list(dict.fromkeys(row.stage for row in flow.rows))
    if STAGE in order:
        # Invariances are judged last, but come before the head.
        last = [stage for stage in (PROBABILITIES, LABEL) if stage in order]
        order = [stage for stage in order if stage not in last] + last
    off = {row.stage for row in flow.rows if row.status == "drift"}
    first = next((stage for stage in order if stage in off), None)
    return None if first is None else first.removeprefix(TAPS)


def _bundle_entry(contract: Contract) -> BundleEntry:
    """Returns the entry `bundle`."""
    claims = contract.document
    return BundleEntry(
        path=str(contract.path),
        sha256=contract.sha256,
        name=claims["name"],
        architecture=claims.get("architecture"),
        trained=claims.get("trained"),
        weight_dtype=claims.get("weight_dtype"),
        padding=claims.get("padding"),
        max_length=claims.get("max_length"),
    )


def _source_entry(inputs: ReportInputs) -> SourceEntry:
    """Returns the entry `source`; whether the bundle is of this model is reported, not enforced."""
    here, promised = directory_sha256(inputs.model), inputs.contract.source_sha256()
    return SourceEntry(
        model=str(inputs.model),
        tokenizer=inputs.tokenizer.description(),
        notes=list(inputs.notes),
        sha256=here,
        bundle_made_from=promised,
        same=None if promised is None else promised == here,
    )


def _node_versions(run: RunOutput) -> dict[str, str]:
    """Returns the versions of a backend's run without the backend's name."""
    return {name: version for name, version in run.versions.items() if name != "backend"}


def _case_entries(picked: list[TextCase], python: RunOutput) -> list[CaseEntry]:
    """Returns each text with its number of tokens in Python, without special tokens."""
    starts: dict[int, int] = {}
    entries = []
    for case in picked:
        index = case.case - starts.setdefault(case.batch, case.case)
        tokens = python.tokens[("none", case.batch)][index]
        entries.append(CaseEntry(**asdict(case), tokens=len(tokens)))
    return entries


def _row_entry(row: StageRow) -> RowEntry:
    """Returns one row of the matrix."""
    measured = row.measures
    measures = MeasuresEntry(
        max_abs=measured.max_abs,
        max_rel=measured.max_rel,
        rms=measured.rms,
        cosine=measured.cosine,
        smallest_atol=measured.needed_atol,
        snr_db=measured.snr,
        ulps=list(measured.ulps),
    )
    return RowEntry(
        **_row_key(row),
        is_tap=row.stage.startswith(TAPS),
        status=row.status,
        texts=sum(measures.compared > 0 for measures in row.by_text.values()),
        failing=len(row.failing),
        compared=measured.compared,
        budget=BudgetEntry(row.budget.atol, row.budget.rtol, row.budget.origin),
        measures=measures if measured.compared else None,
        decisions=row.decisions,
        worst_case=row.worst_case,
    )


def _row_key(row: StageRow) -> dict[str, str]:
    """Returns the fields of `RowKey`."""
    return {
        "backend": row.backend,
        "special_tokens": row.special_tokens,
        "comparison": row.comparison,
        "stage": row.stage.removeprefix(TAPS),
    }


def _failure_entries(row: StageRow) -> list[FailureEntry]:
    """Returns the first failures of a row, in the order of the texts."""
    return [
        FailureEntry(
            **_row_key(row),
            status=row.status,
            check=problem.check,
            case=case,
            message=problem.message,
        )
        for case, problem in row.problems[:MAX_FAILURES]
    ]


def _point_entries(row: StageRow) -> list[PointEntry]:
    """Returns the largest difference of each text."""
    return [
        PointEntry(**_row_key(row), case=case, max_abs=measures.max_abs)
        for case, measures in sorted(row.by_text.items())
        if measures.compared
    ]


def _side_by_side(picked: list[TextCase], flow: FlowResult) -> list[TokensEntry]:
    """Returns both sides' tokens of the first texts whose tokens differ."""
    entries = []
    for row in flow.rows:
        if row.stage != TOKENS or not row.failing:
            continue
        for case in (case for case in picked if case.case in row.failing):
            index = [c.case for c in picked if c.batch == case.batch].index(case.case)
            sides = [
                run.tokens.get((row.special_tokens, case.batch), [])
                for run in (flow.nodes[row.backend], flow.python)
            ]
            node, python = (side[index] if index < len(side) else [] for side in sides)
            if node == python:
                continue  # only their offsets are wrong
            common = min(len(node), len(python))
            first = next((i for i in range(common) if node[i] != python[i]), common)
            entries.append(
                TokensEntry(
                    backend=row.backend,
                    special_tokens=row.special_tokens,
                    case=case.case,
                    node=node,
                    python=python,
                    first_difference=first,
                )
            )
    return entries[:MAX_SIDE_BY_SIDE]
