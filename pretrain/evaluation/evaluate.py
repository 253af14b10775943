"""Runs all experiments for several seeds, and saves each result, so that a stopped run goes on."""

import tempfile
from pathlib import Path
from typing import Any

from export.demo import DemoPaths, DemoSizes, export_embedded
from export.trained_weights import FILE, find_weights
from pretrain.evaluation.experiments import (
    SEEDED,
    TRAINED,
    EvaluationSetting,
    Experiment,
    all_experiments,
    read_labels,
)
from pretrain.evaluation.rows import EvaluationRow, markdown_table
from support.atomic import write_json
from support.errors import UserError
from support.input_files import read_object
from support.printing import Say
from support.sha256 import file_sha256

RESULT = "evaluation.json"


def evaluate(
    out: Path, weights: Path, seeds: int, regression_python: Path, say: Say
) -> list[EvaluationRow]:
    """Returns the rows of the table, and writes OUT/evaluation.json after each experiment.

    Args:
        out: the directory of the training; gets both embedded defaults too.
        weights: the directory of the trained weights.
        seeds: how many.
        regression_python: a Python with scikit-learn.
        say: prints a line.

    Raises:
        UserError: there are no trained weights.
        EnvironmentProblem: a process fails.
    """
    if find_weights(weights) is None:
        raise UserError(f"{weights}: there are no weights; `nox -s pretrain` makes them")
    roots = {name: out / "evaluation" / name for name in (SEEDED, TRAINED)}
    export_embedded(roots[SEEDED], DemoSizes(), say, out / "no weights")
    export_embedded(roots[TRAINED], DemoSizes(), say, weights)
    made_with = _hashes(roots, weights)
    runs = _read_runs(out / RESULT, made_with)
    texts = len(read_labels(DemoPaths(roots[SEEDED]).dev))
    rows: list[EvaluationRow] = []
    with tempfile.TemporaryDirectory(prefix="pretrain-") as scratch:
        setting = EvaluationSetting(roots, regression_python, Path(scratch))
        for experiment in all_experiments():
            accuracies = _run_seeds(experiment, setting, seeds, runs, say)
            rows.append(EvaluationRow(experiment.encoder, experiment.classifier, accuracies, texts))
            document = {"made_with": made_with, "runs": runs, "texts": texts}
            write_json(out / RESULT, document | {"rows": [row.document() for row in rows]})
    return rows


def _run_seeds(
    experiment: Experiment,
    setting: EvaluationSetting,
    seeds: int,
    runs: dict[str, dict[str, float]],
    say: Say,
) -> list[float]:
    """Runs an experiment for each seed that `runs` lacks; adds the results to it.

    Args:
        experiment: to run.
        setting: of the evaluation.
        seeds: how many, counted from 1.
        runs: results by the experiment's key and the seed.
        say: prints a line.
    """
    done = runs.setdefault(experiment.key, {})
    wanted = [str(seed) for seed in range(1, (seeds if experiment.seeded else 1) + 1)]
    for seed in wanted:
        if seed not in done:
            done[seed] = experiment.run(setting, int(seed))
            say(f"{experiment.key}, seed {seed}: {100 * done[seed]:.1f} %")
    return [done[seed] for seed in wanted]


def _hashes(roots: dict[str, Path], weights: Path) -> dict[str, str]:
    """Returns the sha256 of everything that decides a result, but for the code and versions."""
    seeded = DemoPaths(roots[SEEDED])
    files = {"weights": weights / FILE, "vocab": DemoPaths(roots[TRAINED]).vocab}
    files |= {"train": seeded.train, "dev": seeded.dev, "seeded vocab": seeded.vocab}
    return {name: file_sha256(file) for name, file in files.items()}


def _read_runs(file: Path, made_with: dict[str, str]) -> dict[str, dict[str, float]]:
    """Returns the results of an earlier run with the same weights and texts."""
    if not file.is_file():
        return {}
    found: dict[str, Any] = read_object(file)
    runs: dict[str, dict[str, float]] = found["runs"] if found["made_with"] == made_with else {}
    return runs


def format_report(rows: list[EvaluationRow]) -> str:
    """Returns the table, and what its columns mean."""
    return (
        f"{markdown_table(rows)}\n\n{rows[0].texts:,} dev texts. The interval is that of the mean, "
        "over seeds and over dev texts. Encoders: the best epoch on the dev texts."
    )
