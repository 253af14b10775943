"""Judges one bundle: first the stored parts, then both sides' outputs, then the invariances."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from export.classifier_task import read_task
from parity_tests import cases
from parity_tests.cases import TextCase
from parity_tests.checks import head, invariances, stages, stored_parts, weights
from parity_tests.checks.budgets import Budgets
from parity_tests.checks.head import add_decisions, decision_labels
from parity_tests.checks.own_program import judge_own_program
from parity_tests.checks.stages import StageRow
from parity_tests.checks.stored_parts import PartResult
from parity_tests.flow import FlowResult, compare_storage, unpromised_claims
from parity_tests.long_comparison import LongComparison
from parity_tests.provenance import Contract
from parity_tests.reference import Reference, Rerun
from parity_tests.reports import assemble
from parity_tests.reports.assemble import ReportInputs
from parity_tests.reports.report import ParityReport
from parity_tests.runners.own_answers import AnswerNames
from parity_tests.runners.own_program import OwnProgram, run_own_program
from parity_tests.runners.runners import NodeSide
from parity_tests.runners.runs import TAPS, RunOutput
from parity_tests.tokenizer.proof import ProofResult
from parity_tests.training.judgement import TrainingResult
from support import printing
from support.contracts import read_bundle
from support.errors import EnvironmentProblem, UserError

LANES = 2
"""Backends that run at a time."""
EARLY_STAGES = (TAPS, stages.TOKENS, stages.IDS_STAGE)


@dataclass(frozen=True)
class Judgement:
    """The judgement of one bundle, and what it takes to run its failures again."""

    report: ParityReport
    flow: FlowResult
    parts: dict[str, PartResult]
    side: NodeSide


def judge_bundle(
    bundle: Path,
    reference: Reference,
    backends: dict[str, int],
    out: Path,
    *,
    classifier: Path | None = None,
    runner: Path | None = None,
) -> ParityReport:
    """Judges one bundle. Raises as `judge_sides`.

    Args:
        bundle: what Node runs.
        reference: the Python side.
        backends: how many texts each backend gets.
        out: a directory for Node's runs.
        classifier: what train.js wrote for the bundle.
        runner: another program than run_node.js.
    """
    contract = Contract.read(bundle)
    inputs = ReportInputs(contract, reference.model, reference.tokenizer_source, classifier)
    side = NodeSide(bundle, classifier, *([runner] if runner else []))
    return judge_sides(inputs, reference, side, backends, out).report


def judge_sides(
    inputs: ReportInputs,
    reference: Reference,
    side: NodeSide,
    backends: dict[str, int],
    out: Path,
    tokenizers: ProofResult | None = None,
    training: TrainingResult | None = None,
    own_programs: Sequence[OwnProgram] = (),
) -> Judgement:
    """Judges one bundle.

    Args:
        inputs: what is compared.
        reference: the Python side.
        side: the Node side.
        backends: how many texts each backend gets.
        out: a directory for Node's runs.
        tokenizers: the result of the tokenizer proof.
        training: the comparison of the head's training.
        own_programs: programs of the user's that are compared too.

    Raises:
        UserError, EnvironmentProblem: nothing could be judged.
    """
    contract = inputs.contract
    Budgets({}, contract.weight_dtype or "none")
    parts = _compare_stored_parts(contract, reference)
    out.mkdir(parents=True, exist_ok=True)
    flow = _run_flow(contract, reference, parts, side, backends, out)
    for program in own_programs:
        _judge_own_program(flow, contract, reference, side, program)
    picked = cases.read_cases(reference.cases)
    made = assemble.assemble_report(inputs, picked, flow, parts, tokenizers, training)
    return Judgement(made, flow, parts, side)


def _compare_stored_parts(contract: Contract, reference: Reference) -> dict[str, PartResult]:
    """Compares the stored parts; returns the results by stage: contract, weights, vocab, tables."""
    fresh, note = reference.tokenizer, reference.tokenizer_note
    about = read_bundle(fresh) if fresh else None
    assert reference.run.facts is not None, "Python's runner always writes facts"
    claimed = contract.weight_dtype
    facts = reference.run.facts | {"weight_dtype": weights.stored_dtype(contract.path) or claimed}
    own = read_task(reference.model)
    facts["classifier"] = None if own is None else own.document()
    return {
        "contract": stored_parts.compare_contract(
            contract.document, facts, about, reference.run.costs
        ),
        "weights": weights.compare_weights(contract.path, reference.weights),
        "vocab": stored_parts.compare_vocab(contract.path, reference.vocab),
        "tables": stored_parts.compare_tables(contract.path, fresh)
        if fresh
        else PartResult("none", note=note),
    }


def _run_flow(
    contract: Contract,
    reference: Reference,
    parts: dict[str, PartResult],
    side: NodeSide,
    backends: dict[str, int],
    out: Path,
) -> FlowResult:
    """Runs Node on each backend and compares.

    Where the weights are right but stored in fewer bits, Python runs with the stored weights: Node
    then has to be as near as with float32, and what the bits cost is reported apart.

    Args:
        contract: the bundle's.
        reference: the Python side.
        parts: the results of the stored parts by stage.
        side: the Node side.
        backends: how many texts each backend gets.
        out: a directory for Node's runs.

    Raises:
        UserError, EnvironmentProblem: a backend did not run, although the stored parts hold.
    """
    flow = FlowResult(reference.run, contract.weight_dtype or "none")
    if flow.dtype != "float32" and parts["weights"].status == "pass":
        stored = reference.with_weights_of(contract.path)
        if stored is not None:
            picked = cases.read_cases(reference.cases)
            flow.storage = compare_storage(stored, reference.run, picked, flow.budgets)
            flow.python, flow.dtype, flow.stored = stored, "float32", True
    flow.python = add_decisions(flow.python, side.classifier, contract)
    flow.long = LongComparison.prepare(side.classifier, contract, reference, out)
    try:
        for run in _run_backends(reference, side, backends, out):
            _judge_backend(flow, contract, reference, side, run, out)
    except (UserError, EnvironmentProblem) as error:
        if all(part.status != "drift" for part in parts.values()):
            raise
        flow.problem = str(error)
    return flow


def _run_backends(
    reference: Reference, side: NodeSide, backends: dict[str, int], out: Path
) -> Iterator[tuple[str, int, RunOutput]]:
    """Runs the backends in order, two at a time, since most use one thread.

    Args:
        reference: the Python side, with the case file.
        side: the Node side.
        backends: how many texts each backend gets.
        out: a directory for the runs.

    Yields:
        the backend, its number of texts, and its run.
    """
    picked = cases.read_cases(reference.cases)

    def run(backend: str, count: int) -> RunOutput:
        batches = cases.count_batches_with_pairs(picked, count)
        file = out / f"node.{backend}.safetensors"
        return side.run(backend, batches, reference.cases, file, cases.tapped_batches(picked))

    with ThreadPoolExecutor(LANES) as pool:
        started = [(*wanted, pool.submit(run, *wanted)) for wanted in backends.items()]
        for backend, count, running in started:
            yield backend, count, running.result()


def _judge_backend(
    flow: FlowResult,
    contract: Contract,
    reference: Reference,
    side: NodeSide,
    run: tuple[str, int, RunOutput],
    out: Path,
) -> None:
    """Compares one backend and adds its rows to `flow`.

    Where an output has drifted in a batch without taps, that batch is run again with taps.

    Args:
        flow: gets the rows.
        contract: the bundle's.
        reference: the Python side.
        side: the Node side.
        run: the backend, its number of texts, and its run.
        out: a directory for further runs.
    """
    backend, count, node = run
    every = cases.read_cases(reference.cases)
    picked = [c for c in every if c.batch < cases.count_batches_with_pairs(every, count)]
    taps = [tap["name"] for tap in contract.document.get("taps", [])]
    python, budgets = flow.python, flow.budgets
    if node.kind == "saved_model":
        # A SavedModel has the source's own weights, whatever the bundle stores, and has no taps.
        taps, python = [], reference.run.without_taps()
        python = add_decisions(python, side.classifier, contract)
        budgets = Budgets(python.costs)
    rows = stages.judge_stages(backend, node, python, picked, budgets, taps)
    batch = _unexplained_batch(rows, picked)
    if taps and batch:
        rerun = Rerun(contract, reference, side, flow.stored, budgets, out / "inside")
        inner = rerun.judge(backend, batch, True)
        tapped = {(r.special_tokens, r.stage): r for r in inner if r.stage.startswith(TAPS)}
        rows = [tapped.get((row.special_tokens, row.stage), row) for row in rows]
    flow.nodes[backend] = node
    flow.rows += rows
    assert reference.run.facts is not None, "Python's runner always writes facts"
    widest = invariances.widest_budget(budgets, python.outputs())
    flow.skipped_invariances |= unpromised_claims(reference.run.facts, widest)
    claims = invariances.judge_invariances(backend, node, python, budgets)
    flow.rows += [row for row in claims if row.comparison not in flow.skipped_invariances]
    if side.classifier is not None:
        flow.rows += head.judge_golden_answers(backend, count, side, out, budgets)
    if flow.long is not None:
        stored = flow.stored and node.kind != "saved_model"
        flow.rows += flow.long.judge(side, backend, count, stored, budgets)


def _judge_own_program(
    flow: FlowResult,
    contract: Contract,
    reference: Reference,
    side: NodeSide,
    program: OwnProgram,
) -> None:
    """Runs a program of the user's on all cases and adds its rows to `flow`.

    Args:
        flow: gets the rows.
        contract: the bundle's.
        reference: the Python side.
        side: the Node side, for its classifier.
        program: to run.

    Raises:
        UserError: see `run_own_program` and `judge_own_program`.
    """
    picked = cases.read_cases(reference.cases)
    printing.say(f"{program.name}: {' '.join(program.command)}")
    own = {name: name for name in flow.python.outputs()}
    roles = {spec["role"]: spec["name"] for spec in contract.document.get("outputs", [])}
    labels, is_multi_label = decision_labels(side.classifier, contract)
    names = AnswerNames({role: name for role, name in roles.items() if name in own} | own, labels)
    answers = run_own_program(program, picked, contract.document["max_length"], names)
    several = labels if is_multi_label else ()
    result = judge_own_program(program, answers, flow.python, picked, flow.budgets, several)
    flow.own_programs.append(result)
    flow.nodes[program.name] = RunOutput({}, {}, tokens=result.tokens)
    flow.rows += result.rows


def _unexplained_batch(rows: list[StageRow], picked: list[TextCase]) -> list[TextCase]:
    """Returns the cases of the first batch with a drifted output but no taps; else nothing."""
    off = {c for row in rows if row.status == "drift" for c in row.failing}
    if any(row.status == "drift" and row.stage.startswith(EARLY_STAGES) for row in rows) or not off:
        return []
    batch = next(case.batch for case in picked if case.case in off)
    return [case for case in picked if case.batch == batch] if batch else []
