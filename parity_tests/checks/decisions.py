"""What a model decides from its probabilities, and when a decision may differ between both sides.

Two sides whose probabilities are within their budget may still decide differently where a text is
nearly undecided. So each decision has its margin, and a label may differ only where the margin is
within what the probabilities may be off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerics.budgets import Cost
from parity_tests.runners.runs import PROBABILITIES, SPECIALS, Decision, RunOutput
from support.errors import UserError

Array = NDArray[Any]
ROUNDING = 2.0**-22
"""What softmax or sigmoid in float32 may add to a probability: two units in its last place."""
STEEPEST = {"softmax": 0.5, "sigmoid": 0.25}
"""How far a probability moves at most where each score moves by 1.

The derivative of a sigmoid is p · (1 - p), at most 1/4. Of softmax p · (1 - p) is the derivative by
the label's own score, and by the others in sum as much in the other direction: 2 · 1/4.
"""


def decide_label(probabilities: Array, labels: Sequence[str]) -> Decision:
    """Decides for the most probable label, the first of equals.

    >>> decide_label(np.array([0.125, 0.75, 0.125]), "abc")
    Decision(label='b', margin=0.625, largest=0.75, movable=2)
    """
    label = labels[int(np.argmax(probabilities))]
    if probabilities.size < 2:
        return Decision(label, 1.0, float(probabilities[0]))
    second, first = np.sort(probabilities.astype(np.float64))[-2:]
    return Decision(label, float(first - second), float(first))


def decide_each(probabilities: Array, labels: Sequence[str], threshold: float) -> list[Decision]:
    """Decides for each label whether the text has it; "" stands for a label that it has not.

    >>> decide_each(np.array([0.75, 0.25]), "ab", 0.5)[1]
    Decision(label='', margin=0.25, largest=0.25, movable=1)
    """
    return [
        Decision(
            label=label if probability >= threshold else "",
            margin=abs(float(probability) - threshold),
            largest=float(probability),
            movable=1,
        )
        for label, probability in zip(labels, probabilities, strict=True)
    ]


@dataclass
class LabelDecisions:
    """How both sides decided: of `texts` decisions `flipped` are not Python's.

    A margin is by how much Python preferred its label to the next, or its distance from the
    threshold.
    """

    texts: int = 0
    flipped: int = 0
    margins_of_flipped: list[float] = field(default_factory=list)
    smallest_margin: float | None = None

    def add(self, margin: float, flipped: bool) -> None:
        """Adds one decision."""
        self.texts += 1
        least = self.smallest_margin
        self.smallest_margin = margin if least is None else min(margin, least)
        if flipped:
            self.flipped += 1
            self.margins_of_flipped.append(margin)


@dataclass(frozen=True)
class OwnClassifier:
    """The classifier that a bundle has in itself, by its contract's `classifier` (docs/bundle.md).

    Attributes:
        task: `single_label`, `multi_label`, `regression` or `token_labels`.
        output: the name of the output with the scores.
        activation: `softmax`, `sigmoid` or `none`.
        labels: in the order of the scores.
        threshold: of `multi_label`.
    """

    task: str
    output: str
    activation: str
    labels: tuple[str, ...]
    threshold: float = 0.5

    @classmethod
    def of_contract(cls, contract: dict[str, Any]) -> OwnClassifier | None:
        """Returns a contract's classifier, None if it has none."""
        entry = contract.get("classifier")
        if entry is None:
            return None
        return cls(
            task=entry["task"],
            output=entry["output"],
            activation=entry["activation"],
            labels=tuple(entry["labels"]),
            threshold=entry.get("threshold", 0.5),
        )

    def probabilities(self, scores: Array) -> Array:
        """Computes probabilities of scores float[..., labels] in float64; returns float32."""
        exact = scores.astype(np.float64)
        if self.activation == "softmax":
            powers = np.exp(exact - exact.max(axis=-1, keepdims=True))
            exact = powers / powers.sum(axis=-1, keepdims=True)
        elif self.activation == "sigmoid":
            # 1 / (1 + e⁻ˣ) without overflow.
            exact = 0.5 * (1 + np.tanh(0.5 * exact))
        return exact.astype(np.float32)

    def decide(self, probabilities: Array, mask: Array) -> list[Decision]:
        """Decides for one text.

        Args:
            probabilities: float32[labels], or of `token_labels` float32[sequence, labels].
            mask: int32[sequence]; of `token_labels` each position with a 1 gets a label.
        """
        if self.task == "token_labels":
            return [decide_label(row, self.labels) for row in probabilities[mask == 1]]
        if self.task == "multi_label":
            return decide_each(probabilities, self.labels, self.threshold)
        if self.task == "regression":
            return []
        return [decide_label(probabilities, self.labels)]

    def cost(self, scores: Cost, probabilities: Sequence[Array]) -> Cost:
        """Bounds what float32 costs the probabilities, from what it costs the scores."""
        if self.activation == "none":
            return scores
        values = np.concatenate([value.ravel() for value in probabilities]).astype(np.float64)
        return Cost(
            largest=STEEPEST[self.activation] * scores.largest + ROUNDING,
            squares=float(values @ values),
            count=values.size,
            how=scores.how,
        )

    def add_probabilities(self, run: RunOutput) -> RunOutput:
        """Returns Python's run with the probabilities and decisions.

        Raises:
            UserError: the model has no such output.
        """
        return with_answers(
            run,
            self.output,
            lambda scores, _: self.probabilities(scores),
            self.decide,
            self.cost,
            missing=f"the model has no output {self.output}, from which the bundle's classifier "
            "decides; export the bundle again",
        )


def with_answers(
    run: RunOutput,
    output: str,
    probabilities: Callable[[Array, Array], Array],
    decide: Callable[[Array, Array], list[Decision]],
    cost: Callable[[Cost, Sequence[Array]], Cost],
    *,
    missing: str,
) -> RunOutput:
    """Returns a run with the probabilities and decisions that follow from one of its outputs.

    Args:
        run: of Python.
        output: the name of the output.
        probabilities: computes those of a batch, from the output and the mask.
        decide: decides for one text, from its probabilities and its mask.
        cost: what float32 costs all probabilities, from the output's cost and the probabilities.
        missing: the message where the run lacks the output.

    Raises:
        UserError: the run lacks the output.
    """
    batches = {key: dict(batch) for key, batch in run.batches.items()}
    decisions = {}
    answered = []
    for key, batch in batches.items():
        if key[0] in SPECIALS:
            if output not in batch:
                raise UserError(missing)
            mask = batch["attention_mask"]
            batch[PROBABILITIES] = found = probabilities(batch[output], mask)
            decisions[key] = [decide(*pair) for pair in zip(found, mask, strict=True)]
            answered.append(found)
    costs = dict(run.costs)
    if output in costs:
        costs[PROBABILITIES] = cost(costs[output], answered)
    return replace(run, batches=batches, decisions=decisions, costs=costs)
