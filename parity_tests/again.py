"""Runs both sides again, on a few texts and with a look inside."""

from dataclasses import dataclass
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

    def judge(
        self,
        backend: str,
        texts: list[str],
        together: bool = False,
        numbers: list[int] | None = None,
    ) -> list[Row]:
        """The rows of some texts, each in a batch by itself, or all in one.

        Texts are numbered from 0, or have `numbers`.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        batches = [0 if together else i for i in range(len(texts))]
        file = self.out / "case.jsonl"
        cases.write(file, [Case(i, batches[i], text) for i, text in enumerate(texts)])
        bundle, tapped = self.contract.path, set(batches)
        node = self.side.run(backend, len(tapped), file, self.out / "node.safetensors", tapped)
        taps = [tap["name"] for tap in self.contract.document.get("taps", [])]
        stored = self.stored
        if node.kind == "saved_model":
            taps, tapped, stored = [], set(), False
        out = self.out / "python.safetensors"
        python = self.reference.run_again(file, bundle, stored, out, tapped)
        if self.side.classifier is not None:
            python = Head.read(self.side.classifier).answering(python)
        named = numbers or list(range(len(texts)))
        picked = [Case(named[i], batches[i], text) for i, text in enumerate(texts)]
        return stages.judge(backend, node, python, picked, self.budgets, taps)
