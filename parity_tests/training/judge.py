"""The judgement of a training: Keras against float64, then each backend against Keras."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from parity_tests.runs import Run
from parity_tests.training import told
from parity_tests.training.allowance import Allowance
from parity_tests.training.compare import Pair, Rule
from parity_tests.training.problem import Problem, vectors_of
from parity_tests.training.sides import Side, run_node, run_python

STEPS = 64
"""At most; a backend takes as many as it is given texts, so that a slow one takes fewer."""
LANES = 2
"""Runners at a time, beside the trainings by hand."""


def judge(
    python: Run, backends: dict[str, int], out: Path, sequence: str = "sequence_output"
) -> dict[str, Any]:
    """Trains on the vectors that Python gave for the texts; the part `training` of REPORT.md.

    Args:
        python: Python's run.
        backends: how many texts each backend gets.
        out: a directory for the problem and for what the sides make of it.
        sequence: the name of the output that the vectors are taken from.

    Raises:
        UserError, EnvironmentProblem: see `runners.finish`.
    """
    vectors = vectors_of(python, sequence)
    if vectors is None:
        return told.nothing("the model has no sequence_output, which the head stands on")
    steps = {backend: min(count, STEPS) for backend, count in backends.items()}
    kept = set(steps.values())
    problem = Problem.of(vectors, max(kept))
    file = out / "training.problem.safetensors"
    problem.write(file)
    with ThreadPoolExecutor(LANES) as pool:
        keras = pool.submit(run_python, file, kept, out / "training.python.safetensors")
        running = {
            name: pool.submit(run_node, file, name, count, out / f"training.{name}.safetensors")
            for name, count in steps.items()
        }
        allowance = Allowance.of(problem, kept)
        nodes = {name: side.result() for name, side in running.items()}
        return compared(problem, allowance, keras.result(), nodes, steps)


def compared(
    problem: Problem,
    allowance: Allowance,
    keras: Side,
    nodes: dict[str, Side],
    steps: dict[str, int],
) -> dict[str, Any]:
    """The same of sides that have trained.

    Args:
        problem: what they trained on.
        allowance: how far rounding takes one.
        keras: Python's side, of all steps.
        nodes: each backend's.
        steps: how many each backend was to take.
    """
    exact = Side.of(problem, allowance.exact)
    last = len(problem.batches)
    alone, both = (Rule(problem, allowance, sides) for sides in (1, 2))
    reference = alone.pair("Keras", keras.wide(), "float64", exact, last)
    pairs: list[Pair] = [
        both.pair(name, nodes[name], "Keras", keras, count) for name, count in steps.items()
    ]
    curves = told.curves(keras, nodes, both.sides * allowance.loss)
    return told.document(last, reference, pairs, curves)
