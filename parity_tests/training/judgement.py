"""Judges a training: Keras against float64, then each backend against Keras."""

import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from parity_tests.runners.runs import RunOutput
from parity_tests.training import picture
from parity_tests.training.compare import ORIGIN, Allowance, ComparisonRule, SidePair
from parity_tests.training.problem import TrainingProblem, first_position_vectors
from parity_tests.training.sides import TrainingSide, run_node, run_python

STAGE = "training"


def not_compared(why: str) -> dict[str, Any]:
    """Makes the document where nothing could be compared, with the reason."""
    empty: dict[str, Any] = {"backends": {}, "python": None, "failures": [], "curves": None}
    return {"status": "none", "steps": 0, "message": why, "svg": ""} | empty


def training_document(
    steps: int, reference: SidePair, pairs: list[SidePair], curves: dict[str, Any]
) -> dict[str, Any]:
    """Makes the document of a comparison (`training` in REPORT.md); without a pair it is a drift.

    Args:
        steps: the most that were taken.
        reference: Keras against float64.
        pairs: each backend against Keras.
        curves: see `loss_curves`.
    """
    failures = [message for pair in (reference, *pairs) for message in pair.problems]
    if not pairs:
        failures.append("got nothing to compare, but should be at least one backend [training]")
    return {
        "status": "drift" if failures else "pass",
        "steps": steps,
        "message": _summary_message(pairs, failures),
        "failures": failures,
        "budget": {"from": ORIGIN},
        "python": _side_entry(reference),
        "backends": {pair.name: _side_entry(pair) for pair in pairs},
        "curves": curves,
        "svg": picture.draw_training(curves),
    }


def _side_entry(pair: SidePair) -> dict[str, Any]:
    """Makes the entry of one side."""
    return {
        "against": pair.against,
        "status": "drift" if pair.problems else "pass",
        "steps": pair.steps,
        "share": _finite_or_none(max(one.share for one in pair.quantities)),
        "quantities": [
            {
                "quantity": one.name,
                "status": "pass" if one.problem is None else "drift",
                "compared": one.compared,
                "far": one.far,
                "allowed": one.allowed,
                "share": _finite_or_none(one.share),
                "message": one.problem.message if one.problem is not None else "",
            }
            for one in pair.quantities
        ],
    }


def _summary_message(pairs: list[SidePair], failures: list[str]) -> str:
    """Returns what was compared, and the result, in one line."""
    steps = ", ".join(f"{pair.steps} on {pair.name}" for pair in pairs)
    words = f"steps as in Keras: {steps}"
    if failures:
        return f"{words}: DIFFERENT"
    shares = {pair.name: max(one.share for one in pair.quantities) for pair in pairs}
    used = ", ".join(f"{name} {share:.2g}" for name, share in shares.items())
    return f"{words}; of what rounding may do by then they used {used}"


def loss_curves(
    keras: TrainingSide, nodes: dict[str, TrainingSide], allowed: Iterable[float]
) -> dict[str, Any]:
    """Returns the loss of each step by side, and Node's budget against Keras; null: no number."""
    loss = {"Keras": keras.loss} | {name: node.loss for name, node in nodes.items()}
    return {
        "loss": {
            name: [_finite_or_none(value) for value in values] for name, values in loss.items()
        },
        "allowed": [_finite_or_none(value) for value in allowed],
    }


def _finite_or_none(value: float) -> float | None:
    """Returns a number, or None for NaN and infinity, which JSON does not have."""
    return float(value) if math.isfinite(value) else None


STEPS = 64
"""The most steps; a backend takes as many as it has texts, so that a slow one takes fewer."""
LANES = 2
"""Runners at a time, in parallel with the trainings by hand."""


def judge_training(
    python: RunOutput, backends: dict[str, int], out: Path, sequence: str = "sequence_output"
) -> dict[str, Any]:
    """Trains on Python's vectors of the texts; returns the part `training` of REPORT.md.

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
) -> dict[str, Any]:
    """Compares sides that have trained; returns the part `training` of REPORT.md.

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
    curves = loss_curves(keras, nodes, both_rounded.sides * allowance.loss)
    return training_document(last, reference, pairs, curves)
