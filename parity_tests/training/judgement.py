"""Judges a training: Keras against float64, then each backend against Keras."""

import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from parity_tests.runners.runs import RunOutput
from parity_tests.training.compare import ORIGIN, Allowance, ComparisonRule, SidePair
from parity_tests.training.problem import TrainingProblem, first_position_vectors
from parity_tests.training.sides import TrainingSide, run_node, run_python

STAGE = "training"


@dataclass(frozen=True)
class QuantityResult:
    """One compared quantity of two sides.

    Attributes:
        quantity: `loss`, `accuracy` or the name of a weight.
        status: `pass` or `drift`.
        compared: the number of values.
        distance: the largest difference of any step; for a weight the mean over the tensor.
        allowed: the budget after the last step.
        share: the largest part of a budget that was used; None: beyond a budget of 0.
        message: of the failure, or "".
    """

    quantity: str
    status: str
    compared: int
    distance: float
    allowed: float
    share: float | None
    message: str


@dataclass(frozen=True)
class SideResult:
    """One side of the training, compared with the side `against` over `steps` steps.

    `share` is the largest of its quantities.
    """

    against: str
    status: str
    steps: int
    share: float | None
    quantities: list[QuantityResult]

    @classmethod
    def of(cls, pair: SidePair) -> "SideResult":
        """Makes the result of a compared pair of sides."""
        quantities = [
            QuantityResult(
                quantity=one.name,
                status="pass" if one.problem is None else "drift",
                compared=one.compared,
                distance=one.far,
                allowed=one.allowed,
                share=_finite_or_none(one.share),
                message=one.problem.message if one.problem is not None else "",
            )
            for one in pair.quantities
        ]
        return cls(
            against=pair.against,
            status="drift" if pair.problems else "pass",
            steps=pair.steps,
            share=_finite_or_none(max(one.share for one in pair.quantities)),
            quantities=quantities,
        )


@dataclass(frozen=True)
class LossCurves:
    """The loss of each step by side (Keras first), and how far Node may be from Keras there.

    None stands for a value that is not finite, which JSON does not have.
    """

    loss: dict[str, list[float | None]]
    allowed: list[float | None]

    @classmethod
    def of(
        cls, keras: TrainingSide, nodes: dict[str, TrainingSide], allowed: Iterable[float]
    ) -> "LossCurves":
        """Collects the curves of all sides."""
        loss = {"Keras": keras.loss} | {name: node.loss for name, node in nodes.items()}
        return cls(
            {name: [_finite_or_none(value) for value in values] for name, values in loss.items()},
            [_finite_or_none(value) for value in allowed],
        )


@dataclass(frozen=True)
class TrainingResult:
    """The comparison of the head's training.

    Attributes:
        status: `pass`, `drift`, or `none` where nothing could be compared.
        message: the result in one line, or the reason for `none`.
        steps: the most that were taken.
        failures: messages.
        budget_origin: how the budgets were derived.
        python: Keras against float64; None where nothing was compared.
        backends: each against Keras.
        curves: None where nothing was compared.
    """

    status: str
    message: str
    steps: int = 0
    failures: list[str] = field(default_factory=list)
    budget_origin: str = ORIGIN
    python: SideResult | None = None
    backends: dict[str, SideResult] = field(default_factory=dict)
    curves: LossCurves | None = None

    def sides(self) -> dict[str, SideResult]:
        """Returns all compared sides, Keras last."""
        return self.backends | ({} if self.python is None else {"Keras": self.python})


def not_compared(why: str) -> TrainingResult:
    """Makes the result where nothing could be compared, with the reason."""
    return TrainingResult("none", why)


def training_result(
    steps: int, reference: SidePair, pairs: list[SidePair], curves: LossCurves
) -> TrainingResult:
    """Makes the result of a comparison; without a pair it is a drift.

    Args:
        steps: the most that were taken.
        reference: Keras against float64.
        pairs: each backend against Keras.
        curves: of all sides.
    """
    failures = [message for pair in (reference, *pairs) for message in pair.problems]
    if not pairs:
        failures.append("got nothing to compare, but should be at least one backend [training]")
    return TrainingResult(
        status="drift" if failures else "pass",
        message=_summary_message(pairs, failures),
        steps=steps,
        failures=failures,
        python=SideResult.of(reference),
        backends={pair.name: SideResult.of(pair) for pair in pairs},
        curves=curves,
    )


def _summary_message(pairs: list[SidePair], failures: list[str]) -> str:
    """Returns what was compared, and the result, in one line."""
    steps = ", ".join(f"{pair.steps} on {pair.name}" for pair in pairs)
    words = f"steps as in Keras: {steps}"
    if failures:
        return f"{words}: DIFFERENT"
    shares = {pair.name: max(one.share for one in pair.quantities) for pair in pairs}
    used = ", ".join(f"{name} {share:.2g}" for name, share in shares.items())
    return f"{words}; of what rounding may do by then they used {used}"


def _finite_or_none(value: float) -> float | None:
    """Returns a number, or None for NaN and infinity, which JSON does not have."""
    return float(value) if math.isfinite(value) else None


STEPS = 64
"""The most steps; a backend takes as many as it has texts, so that a slow one takes fewer."""
LANES = 2
"""Runners at a time, in parallel with the trainings by hand."""


def judge_training(
    python: RunOutput, backends: dict[str, int], out: Path, sequence: str = "sequence_output"
) -> TrainingResult:
    """Trains on Python's vectors of the texts and compares the sides.

    Args:
        python: Python's run.
        backends: how many texts each backend gets.
        out: a directory for the problem and for the runners' files.
        sequence: the name of the output with the vectors.

    Raises:
        UserError, EnvironmentProblem: see `runners.run_runner`.
    """
    vectors = first_position_vectors(python, sequence)
    if vectors is None:
        return not_compared("the model has no sequence_output, which the head needs")
    steps = {backend: min(count, STEPS) for backend, count in backends.items()}
    snapshots = set(steps.values())
    problem = TrainingProblem.from_vectors(vectors, max(snapshots))
    file = out / "training.problem.safetensors"
    problem.write(file)
    with ThreadPoolExecutor(LANES) as pool:
        keras = pool.submit(run_python, file, snapshots, out / "training.python.safetensors")
        running = {
            name: pool.submit(run_node, file, name, count, out / f"training.{name}.safetensors")
            for name, count in steps.items()
        }
        allowance = Allowance.derive(problem, snapshots)
        nodes = {name: side.result() for name, side in running.items()}
        return compare_sides(problem, allowance, keras.result(), nodes, steps)


def compare_sides(
    problem: TrainingProblem,
    allowance: Allowance,
    keras: TrainingSide,
    nodes: dict[str, TrainingSide],
    steps: dict[str, int],
) -> TrainingResult:
    """Compares sides that have trained.

    Args:
        problem: what they trained on.
        allowance: the budgets of one side.
        keras: Python's side, of all steps.
        nodes: Node's side by backend.
        steps: by backend.
    """
    exact = TrainingSide.from_course(problem, allowance.exact)
    last = len(problem.batches)
    one_rounded, both_rounded = (ComparisonRule(problem, allowance, sides) for sides in (1, 2))
    reference = one_rounded.pair("Keras", keras.in_float64(), "float64", exact, last)
    pairs: list[SidePair] = [
        both_rounded.pair(name, nodes[name], "Keras", keras, count) for name, count in steps.items()
    ]
    curves = LossCurves.of(keras, nodes, both_rounded.sides * allowance.loss)
    return training_result(last, reference, pairs, curves)
