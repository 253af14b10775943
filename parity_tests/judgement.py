"""The judgement of one bundle: the still parts first, then the flow, then what must not vary."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numerics.budgets import Budget
from parity_tests import cases
from parity_tests.cases import Case
from parity_tests.checks import head, invariances, stages, stored_parts, weights
from parity_tests.checks.budgets import Budgets
from parity_tests.checks.head import Head
from parity_tests.checks.stages import Row
from parity_tests.provenance import Contract
from parity_tests.reference import Again, Reference, prepare
from parity_tests.reports import report
from parity_tests.reports.report import Inputs
from parity_tests.runners.runners import NodeSide
from parity_tests.runners.runs import TAPS, Run
from parity_tests.runners.variants import unclaimed
from support.contracts import read_bundle
from support.errors import EnvironmentProblem, UserError

__all__ = ["Flow", "Inputs", "Judgement", "judge", "judge_bundle", "prepare"]

LANES = 2
"""Backends that run at a time."""
INNER = (TAPS, stages.TOKENS, stages.IDS_STAGE)


@dataclass
class Flow:
    """What came of running both sides: Node's run by backend, and the rows of all.

    `python` had the bundle's own weights where `stored`, else `dtype` is that of the bundle's.
    `storage` has what the weights' dtype costs, Python against Python; `problem` says why a backend
    gave nothing, where the still parts had been off already. `left_out` has the claims that the
    model itself does not make, and why.
    """

    python: Run
    dtype: str
    stored: bool = False
    nodes: dict[str, Run] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    storage: list[Row] = field(default_factory=list)
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
    flow: Flow
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
    """The report document (REPORT.md) of one bundle; errors as of `judge`.

    Args:
        bundle: what Node runs.
        reference: Python's side.
        backends: how many texts each backend gets.
        out: a directory for Node's runs.
        classifier: what train.js wrote for the bundle.
        runner: another program than run_node.js.
    """
    contract = Contract.read(bundle)
    inputs = Inputs(contract, reference.model, reference.tokenizer_source, classifier)
    side = NodeSide(bundle, classifier, *([runner] if runner else []))
    return judge(inputs, reference, side, backends, out).document


def judge(
    inputs: Inputs,
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
    parts = still_parts(contract, reference)
    out.mkdir(parents=True, exist_ok=True)
    flow = run_flow(contract, reference, parts, side, backends, out)
    picked = cases.read(reference.cases)
    document = report.document(inputs, picked, flow, parts, tokenizers, training)
    return Judgement(document, flow, parts, side)


def still_parts(contract: Contract, reference: Reference) -> dict[str, dict[str, Any]]:
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
        else stored_parts.unknown(note),
    }


def run_flow(
    contract: Contract,
    reference: Reference,
    parts: dict[str, dict[str, Any]],
    side: NodeSide,
    backends: dict[str, int],
    out: Path,
) -> Flow:
    """Runs Node on each backend and compares.

    Where the weights hold but are stored in fewer bits, Python is given them as they are stored:
    Node then has to be as near as with float32, and what the bits cost is told apart from it.
    """
    flow = Flow(reference.run, contract.weight_dtype or "none")
    if flow.dtype != "float32" and parts["weights"]["status"] == "pass":
        stored = reference.with_weights_of(contract.path)
        if stored is not None:
            flow.storage = storage(stored, reference.run, flow.budgets)
            flow.python, flow.dtype, flow.stored = stored, "float32", True
    if side.classifier is not None:
        sequence = contract.output_of("sequence_output")
        flow.python = Head.read(side.classifier).answering(flow.python, sequence)
    try:
        for ran in run_node(reference, side, backends, out):
            judge_backend(flow, contract, reference, side, ran, out)
    except (UserError, EnvironmentProblem) as error:
        if all(part["status"] != "drift" for part in parts.values()):
            raise
        flow.problem = str(error)
    return flow


def run_node(
    reference: Reference, side: NodeSide, backends: dict[str, int], out: Path
) -> Iterator[tuple[str, int, Run]]:
    """Each backend's run of its texts, in order; two at a time, since most have one thread."""
    picked = cases.read(reference.cases)

    def run(backend: str, count: int) -> Run:
        batches = cases.first_batches(picked, count)
        place = out / f"node.{backend}.safetensors"
        return side.run(backend, batches, reference.cases, place, cases.looked_into(picked))

    with ThreadPoolExecutor(LANES) as pool:
        started = [(*wanted, pool.submit(run, *wanted)) for wanted in backends.items()]
        for backend, count, running in started:
            yield backend, count, running.result()


def judge_backend(
    flow: Flow,
    contract: Contract,
    reference: Reference,
    side: NodeSide,
    ran: tuple[str, int, Run],
    out: Path,
) -> None:
    """One backend; where an output is off and the taps were not, looks into its batch too."""
    backend, count, node = ran
    every = cases.read(reference.cases)
    picked = [c for c in every if c.batch < cases.first_batches(every, count)]
    taps = [tap["name"] for tap in contract.document.get("taps", [])]
    python, budgets = flow.python, flow.budgets
    if node.kind == "saved_model":
        # It has the source's own weights, whatever the bundle stores, and shows nothing inside.
        taps, python = [], reference.run.outputs_alone()
        if side.classifier is not None:
            sequence = contract.output_of("sequence_output")
            python = Head.read(side.classifier).answering(python, sequence)
        budgets = Budgets(python.costs)
    rows = stages.judge(backend, node, python, picked, budgets, taps)
    batch = unexplained(rows, picked)
    if taps and batch:
        again = Again(contract, reference, side, flow.stored, budgets, out / "inside")
        inner = again.judge(backend, batch, True)
        seen = {(r.special, r.stage): r for r in inner if r.stage.startswith(TAPS)}
        rows = [seen.get((row.special, row.stage), row) for row in rows]
    flow.nodes[backend] = node
    flow.rows += rows
    assert reference.run.facts is not None, "Python's runner always tells them"
    widest = invariances.widest(budgets, python.outputs())
    flow.left_out |= not_promised(reference.run.facts, widest)
    kept = invariances.judge(backend, node, python, budgets)
    flow.rows += [row for row in kept if row.special not in flow.left_out]
    if side.classifier is not None:
        flow.rows += head.judge(backend, count, side, out, budgets)


def not_promised(facts: dict[str, Any], budget: Budget) -> dict[str, str]:
    """The claims that are not asked of Node, since the model does not make them, and why.

    Either it lacks the input that the claim is about, or its own outputs move in Python by more
    than the budget.
    """
    found = unclaimed(facts)
    for claim, far in facts["moved"].items():
        if far > budget.atol:
            found.setdefault(claim, f"the model's own outputs move by {far:.2g} in Python too")
    return found


def unexplained(rows: list[Row], picked: list[Case]) -> list[Case]:
    """The first batch with an output that is off where no tap was looked at; else nothing."""
    off = {c for row in rows if row.status == "drift" for c in row.failing}
    if any(row.status == "drift" and row.stage.startswith(INNER) for row in rows) or not off:
        return []
    batch = next(case.batch for case in picked if case.case in off)
    return [case for case in picked if case.batch == batch] if batch else []


def storage(stored: Run, python: Run, budgets: Budgets) -> list[Row]:
    """How far Python's outputs move when it has the weights as they are stored."""
    rows = []
    for special in ("added", "none"):
        for name in python.outputs():
            row = Row("python", special, name, budgets.of(name))
            for (kind, number), batch in python.batches.items():
                if kind == special:
                    mask = batch["attention_mask"]
                    texts = [Case(i, number, "") for i in range(len(mask))]
                    got = stored.batches[kind, number][name]
                    stages.compare_output(row, got, batch[name], texts, mask)
            row.status = "drift" if row.problems else "pass"
            rows.append(row)
    return rows
