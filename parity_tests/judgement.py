"""The judgement of one bundle: the still parts first, then the flow, then what must not vary."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numerics.budgets import Budget
from parity_tests import cases
from parity_tests.cases import TextCase
from parity_tests.checks import head, invariances, stages, stored_parts, weights
from parity_tests.checks.budgets import Budgets
from parity_tests.checks.head import Head
from parity_tests.checks.stages import StageRow
from parity_tests.provenance import Contract
from parity_tests.reference import Reference, Rerun
from parity_tests.reports import report
from parity_tests.reports.report import ReportInputs
from parity_tests.runners.runners import NodeSide
from parity_tests.runners.runs import TAPS, RunOutput
from parity_tests.runners.variants import unclaimed_reasons
from support.contracts import read_bundle
from support.errors import EnvironmentProblem, UserError

LANES = 2
"""Backends that run at a time."""
EARLY_STAGES = (TAPS, stages.TOKENS, stages.IDS_STAGE)


@dataclass
class FlowResult:
    """What came of running both sides: Node's run by backend, and the rows of all.

    `python` had the bundle's own weights where `stored`, else `dtype` is that of the bundle's.
    `storage` has what the weights' dtype costs, Python against Python; `problem` says why a backend
    gave nothing, where the still parts had been off already. `left_out` has the claims that the
    model itself does not make, and why.
    """

    python: RunOutput
    dtype: str
    stored: bool = False
    nodes: dict[str, RunOutput] = field(default_factory=dict)
    rows: list[StageRow] = field(default_factory=list)
    storage: list[StageRow] = field(default_factory=list)
    problem: str = ""
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def budgets(self) -> Budgets:
        """What Node may be off from `python`."""
        return Budgets(self.python.costs, self.dtype)


@dataclass(frozen=True)
class Judgement:
    """One bundle's, and what it takes to run its failures again."""

    document: dict[str, Any]
    flow: FlowResult
    parts: dict[str, dict[str, Any]]
    side: NodeSide


def judge_bundle(
    bundle: Path,
    reference: Reference,
    backends: dict[str, int],
    out: Path,
    *,
    classifier: Path | None = None,
    runner: Path | None = None,
) -> dict[str, Any]:
    """The report document (REPORT.md) of one bundle; errors as of `judge_sides`.

    Args:
        bundle: what Node runs.
        reference: Python's side.
        backends: how many texts each backend gets.
        out: a directory for Node's runs.
        classifier: what train.js wrote for the bundle.
        runner: another program than run_node.js.
    """
    contract = Contract.read(bundle)
    inputs = ReportInputs(contract, reference.model, reference.tokenizer_source, classifier)
    side = NodeSide(bundle, classifier, *([runner] if runner else []))
    return judge_sides(inputs, reference, side, backends, out).document


def judge_sides(
    inputs: ReportInputs,
    reference: Reference,
    side: NodeSide,
    backends: dict[str, int],
    out: Path,
    tokenizers: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
) -> Judgement:
    """Judges one bundle.

    Args:
        inputs: what is compared.
        reference: Python's side.
        side: Node's.
        backends: how many texts each backend gets.
        out: a directory for Node's runs.
        tokenizers: the result of the tokenizer proof.
        training: the comparison of the head's training.

    Raises:
        UserError, EnvironmentProblem: nothing could be judged.
    """
    contract = inputs.contract
    Budgets({}, contract.weight_dtype or "none")
    parts = compare_stored_parts(contract, reference)
    out.mkdir(parents=True, exist_ok=True)
    flow = run_flow(contract, reference, parts, side, backends, out)
    picked = cases.read_cases(reference.cases)
    document = report.report_document(inputs, picked, flow, parts, tokenizers, training)
    return Judgement(document, flow, parts, side)


def compare_stored_parts(contract: Contract, reference: Reference) -> dict[str, dict[str, Any]]:
    """Each stored part by its stage: contract, weights, vocab, tables."""
    fresh, note = reference.tokenizer, reference.tokenizer_note
    about = read_bundle(fresh) if fresh else None
    assert reference.run.facts is not None, "Python's runner always tells them"
    claimed = contract.weight_dtype
    facts = reference.run.facts | {"weight_dtype": weights.stored_dtype(contract.path) or claimed}
    return {
        "contract": stored_parts.compare_contract(
            contract.document, facts, about, reference.run.costs
        ),
        "weights": weights.compare_weights(contract.path, reference.weights),
        "vocab": stored_parts.compare_vocab(contract.path, reference.vocab),
        "tables": stored_parts.compare_tables(contract.path, fresh)
        if fresh
        else stored_parts.not_compared(note),
    }


def run_flow(
    contract: Contract,
    reference: Reference,
    parts: dict[str, dict[str, Any]],
    side: NodeSide,
    backends: dict[str, int],
    out: Path,
) -> FlowResult:
    """Runs Node on each backend and compares.

    Where the weights hold but are stored in fewer bits, Python is given them as they are stored:
    Node then has to be as near as with float32, and what the bits cost is told apart from it.
    """
    flow = FlowResult(reference.run, contract.weight_dtype or "none")
    if flow.dtype != "float32" and parts["weights"]["status"] == "pass":
        stored = reference.with_weights_of(contract.path)
        if stored is not None:
            flow.storage = compare_storage(stored, reference.run, flow.budgets)
            flow.python, flow.dtype, flow.stored = stored, "float32", True
    if side.classifier is not None:
        sequence = contract.output_of("sequence_output")
        flow.python = Head.read(side.classifier).answering(flow.python, sequence)
    try:
        for ran in run_backends(reference, side, backends, out):
            judge_backend(flow, contract, reference, side, ran, out)
    except (UserError, EnvironmentProblem) as error:
        if all(part["status"] != "drift" for part in parts.values()):
            raise
        flow.problem = str(error)
    return flow


def run_backends(
    reference: Reference, side: NodeSide, backends: dict[str, int], out: Path
) -> Iterator[tuple[str, int, RunOutput]]:
    """Each backend's run of its texts, in order; two at a time, since most have one thread."""
    picked = cases.read_cases(reference.cases)

    def run(backend: str, count: int) -> RunOutput:
        batches = cases.count_batches_with_pairs(picked, count)
        place = out / f"node.{backend}.safetensors"
        return side.run(backend, batches, reference.cases, place, cases.tapped_batches(picked))

    with ThreadPoolExecutor(LANES) as pool:
        started = [(*wanted, pool.submit(run, *wanted)) for wanted in backends.items()]
        for backend, count, running in started:
            yield backend, count, running.result()


def judge_backend(
    flow: FlowResult,
    contract: Contract,
    reference: Reference,
    side: NodeSide,
    ran: tuple[str, int, RunOutput],
    out: Path,
) -> None:
    """One backend; where an output is off and the taps were not, looks into its batch too."""
    backend, count, node = ran
    every = cases.read_cases(reference.cases)
    picked = [c for c in every if c.batch < cases.count_batches_with_pairs(every, count)]
    taps = [tap["name"] for tap in contract.document.get("taps", [])]
    python, budgets = flow.python, flow.budgets
    if node.kind == "saved_model":
        # It has the source's own weights, whatever the bundle stores, and shows nothing inside.
        taps, python = [], reference.run.outputs_alone()
        if side.classifier is not None:
            sequence = contract.output_of("sequence_output")
            python = Head.read(side.classifier).answering(python, sequence)
        budgets = Budgets(python.costs)
    rows = stages.judge_stages(backend, node, python, picked, budgets, taps)
    batch = unexplained_batch(rows, picked)
    if taps and batch:
        again = Rerun(contract, reference, side, flow.stored, budgets, out / "inside")
        inner = again.judge(backend, batch, True)
        seen = {(r.special, r.stage): r for r in inner if r.stage.startswith(TAPS)}
        rows = [seen.get((row.special, row.stage), row) for row in rows]
    flow.nodes[backend] = node
    flow.rows += rows
    assert reference.run.facts is not None, "Python's runner always tells them"
    widest = invariances.widest_budget(budgets, python.outputs())
    flow.left_out |= unpromised_claims(reference.run.facts, widest)
    kept = invariances.judge_invariances(backend, node, python, budgets)
    flow.rows += [row for row in kept if row.special not in flow.left_out]
    if side.classifier is not None:
        flow.rows += head.judge_golden_answers(backend, count, side, out, budgets)


def unpromised_claims(facts: dict[str, Any], budget: Budget) -> dict[str, str]:
    """The claims that are not asked of Node, since the model does not make them, and why.

    Either it lacks the input that the claim is about, or its own outputs move in Python by more
    than the budget.
    """
    found = unclaimed_reasons(facts)
    for claim, far in facts["moved"].items():
        if far > budget.atol:
            found.setdefault(claim, f"the model's own outputs move by {far:.2g} in Python too")
    return found


def unexplained_batch(rows: list[StageRow], picked: list[TextCase]) -> list[TextCase]:
    """The first batch with an output that is off where no tap was looked at; else nothing."""
    off = {c for row in rows if row.status == "drift" for c in row.failing}
    if any(row.status == "drift" and row.stage.startswith(EARLY_STAGES) for row in rows) or not off:
        return []
    batch = next(case.batch for case in picked if case.case in off)
    return [case for case in picked if case.batch == batch] if batch else []


def compare_storage(stored: RunOutput, python: RunOutput, budgets: Budgets) -> list[StageRow]:
    """How far Python's outputs move when it has the weights as they are stored."""
    rows = []
    for special in ("added", "none"):
        for name in python.outputs():
            row = StageRow("python", special, name, budgets.of(name))
            for (kind, number), batch in python.batches.items():
                if kind == special:
                    mask = batch["attention_mask"]
                    texts = [TextCase(i, number, "") for i in range(len(mask))]
                    got = stored.batches[kind, number][name]
                    stages.compare_output(row, got, batch[name], texts, mask)
            row.status = "drift" if row.problems else "pass"
            rows.append(row)
    return rows
