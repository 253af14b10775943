"""Runs both sides again, on a few texts and with a look inside."""

from dataclasses import dataclass, replace
from pathlib import Path

from parity_tests import cases, stages
from parity_tests.budgets import Budgets
from parity_tests.cases import Case
from parity_tests.head import Head
from parity_tests.provenance import Contract
from parity_tests.reference import Reference
from parity_tests.row import Row
from parity_tests.runners import NodeSide


@dataclass(frozen=True)
class Again:
    """Everything it takes; `stored` as in the judgement's flow, `budgets` of what Node ran.

    `out` is the directory for `case.jsonl`, `python.safetensors` and `node.safetensors`.
    """

    contract: Contract
    reference: Reference
    side: NodeSide
    stored: bool
    budgets: Budgets
    out: Path

    def judge(self, backend: str, wanted: list[Case], together: bool = False) -> list[Row]:
        """The rows of some cases, each in a batch by itself, or all in one.

        Rows name the cases by the numbers that they have.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        batches = [0 if together else i for i in range(len(wanted))]
        file = self.out / "case.jsonl"
        renumbered = [replace(c, case=i, batch=batches[i]) for i, c in enumerate(wanted)]
        cases.write(file, renumbered)
        bundle, tapped = self.contract.path, set(batches)
        node = self.side.run(backend, len(tapped), file, self.out / "node.safetensors", tapped)
        taps = [tap["name"] for tap in self.contract.document.get("taps", [])]
        stored = self.stored
        if node.kind == "saved_model":
            taps, tapped, stored = [], set(), False
        out = self.out / "python.safetensors"
        python = self.reference.run_again(file, bundle, stored, out, tapped)
        if self.side.classifier is not None:
            sequence = self.contract.output_of("sequence_output")
            python = Head.read(self.side.classifier).answering(python, sequence)
        picked = [replace(c, batch=batches[i]) for i, c in enumerate(wanted)]
        return stages.judge(backend, node, python, picked, self.budgets, taps)
