"""Runs both sides on long texts, for a classifier that does not cut them."""

from dataclasses import dataclass, field
from pathlib import Path

from parity_tests import cases
from parity_tests.cases import TextCase
from parity_tests.checks.budgets import Budgets
from parity_tests.checks.head import Head
from parity_tests.checks.long_texts import few_cases, judge_long_texts, make_long_cases
from parity_tests.checks.stages import StageRow
from parity_tests.provenance import Contract
from parity_tests.reference import Reference
from parity_tests.runners.long_texts import LongRule
from parity_tests.runners.runners import NodeSide
from parity_tests.runners.runs import RunOutput
from support.contracts import read_classifier


@dataclass(frozen=True)
class LongComparison:
    """The long texts of a classifier, and Python's answers to them.

    `python` has them by whether Python ran with the weights as the bundle stores them.
    """

    rule: LongRule
    head: Head
    contract: Contract
    reference: Reference
    file: Path
    picked: list[TextCase]
    python: dict[bool, RunOutput] = field(default_factory=dict)

    @classmethod
    def prepare(
        cls, classifier: Path | None, contract: Contract, reference: Reference, out: Path
    ) -> "LongComparison | None":
        """Makes the long texts; None without a classifier, or where it cuts long texts.

        Args:
            classifier: what train.js wrote for the bundle.
            contract: the bundle's.
            reference: the Python side, whose texts are joined to long ones.
            out: a directory for the case file and the runs.
        """
        description = None if classifier is None else read_classifier(classifier)
        rule = None if description is None else LongRule.of_classifier(description)
        if classifier is None or description is None or rule is None:
            return None
        picked = make_long_cases(cases.read_cases(reference.cases), rule, description["task"])
        file = out / "long.jsonl"
        cases.write_cases(file, picked)
        return cls(rule, Head.read(classifier), contract, reference, file, picked)

    def judge(
        self, side: NodeSide, backend: str, count: int, stored: bool, budgets: Budgets
    ) -> list[StageRow]:
        """Runs Node on one backend and compares.

        Args:
            side: the Node side, with the classifier.
            backend: of TF.js.
            count: of texts that the backend gets.
            stored: whether Python runs with the weights as the bundle stores them.
            budgets: of the outputs and the probabilities.

        Raises:
            UserError, EnvironmentProblem: see `runners.run_runner`.
        """
        if stored not in self.python:
            self.python[stored] = self.reference.read_long_texts(
                self.file, self.contract.path, stored, self.rule
            )
        few = few_cases(self.picked, count)
        out = self.file.with_suffix(f".{backend}.safetensors")
        node = side.answers(backend, self.file, out, self.rule.max_length, len(few))
        sequence = self.contract.output_name("sequence_output")
        both = (node, self.python[stored])
        return judge_long_texts(backend, *both, few, self.head, self.rule, budgets, sequence)
