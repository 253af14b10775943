"""The table of the evaluation: intervals, saved results, and which seeds are run."""

import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from pretrain.evaluation import evaluate, experiments
from pretrain.evaluation.experiments import EvaluationSetting, Experiment, all_experiments
from pretrain.evaluation.rows import EvaluationRow, markdown_table
from support import ROOT
from support.errors import EnvironmentProblem, UserError
from support.printing import say

pytestmark = pytest.mark.quick
REGRESSION_PYTHON = ROOT / ".nox" / "regression" / "bin" / "python"


def test_an_interval_without_seeds_is_that_of_the_texts():
    # √(0.5 · 0.5 / 1000) = 0.015811; 1.96 of it are 0.030990.
    low, high = EvaluationRow("none", "majority", [0.5], 1000).interval
    assert (low, high) == pytest.approx((0.5 - 0.030990, 0.5 + 0.030990), abs=1e-5)


def test_an_interval_with_seeds_adds_student_s():
    # Mean 0.82, deviation 0.02; Student's quantile with 2 degrees of freedom is 4.3027.
    row = EvaluationRow("seeded", "dense", [0.80, 0.82, 0.84], 10**12)
    low, high = row.interval
    half = 4.3027 * 0.02 / math.sqrt(3)
    assert (low, high) == pytest.approx((0.82 - half, 0.82 + half), abs=1e-5)
    narrow = EvaluationRow("seeded", "dense", [0.80, 0.82, 0.84], 1000)
    texts = 1.959964 * math.sqrt(0.82 * 0.18 / 1000)
    assert narrow.interval[1] - 0.82 == pytest.approx(math.sqrt(half**2 + texts**2), abs=1e-5)


def test_95_of_100_intervals_hold_the_truth():
    """Simulated: each seed has its own true accuracy, and all share the same dev texts."""
    source = random.Random(5)
    held = 0
    for _ in range(1000):
        texts = source.gauss(0.0, math.sqrt(0.8 * 0.2 / 1000))
        found = [0.8 + texts + source.gauss(0.0, 0.01) for _ in range(3)]
        low, high = EvaluationRow("seeded", "dense", found, 1000).interval
        held += low <= 0.8 <= high
    assert held >= 950


def test_the_interval_of_everything_right_ends_at_1():
    assert EvaluationRow("none", "x", [1.0, 0.99], 10).interval[1] == 1.0


def test_the_table_has_a_line_for_each_row():
    rows = [
        EvaluationRow("none", "majority", [0.512], 1000),
        EvaluationRow("trained, frozen", "dense", [0.80, 0.82, 0.84], 1000),
    ]
    first, second = markdown_table(rows).split("\n")[2:]
    assert [cell.strip() for cell in first.split("|")[1:-1]] == [
        "none", "majority", "51.2 %", "48.1 to 54.3", "–",
    ]  # fmt: skip
    assert "82.0 %" in second and second.split("|")[-2].strip() == "3"


def test_the_experiments_are_those_of_the_table():
    keys = [experiment.key for experiment in all_experiments()]
    assert len(set(keys)) == len(keys) == 12
    heads = (ROOT / "node_bridge" / "classifier" / "head_layers.js").read_text("utf-8")
    assert all(f"  {head}: {{" in heads for head in experiments.HEADS)


def setting(tmp_path: Path, python: Path = Path(sys.executable)) -> EvaluationSetting:
    root = tmp_path / "seeded"
    (root / "data").mkdir(parents=True)
    for name, labels in (("train", [1, 1, 1, 0, 0]), ("dev", [1, 0, 0, 1])):
        rows = [{"text": "好坏"[1 - n] * 3 + "。", "label": n} for n in labels]
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (root / "data" / f"{name}.jsonl").write_text("".join(lines), "utf-8")
    return EvaluationSetting({"seeded": root, "trained": tmp_path / "trained"}, python, tmp_path)


def by_name(part: str) -> Experiment:
    return next(one for one in all_experiments() if part in one.classifier)


def test_the_majority_is_that_of_the_training_texts(tmp_path: Path):
    assert by_name("most frequent").run(setting(tmp_path), 1) == 0.5


def test_a_python_without_scikit_learn_is_an_environment_problem(tmp_path: Path):
    program = tmp_path / "python"
    program.write_text(
        "#!/bin/sh\necho 'ModuleNotFoundError: No module named sklearn' >&2\nexit 1\n"
    )
    program.chmod(0o755)
    with pytest.raises(EnvironmentProblem, match=r"No module named sklearn; run this as `nox -s"):
        by_name("logistic").run(setting(tmp_path, program), 1)


def test_the_regression_learns_characters(tmp_path: Path):
    if not REGRESSION_PYTHON.exists():
        pytest.skip("`nox -s pretrain -- --evaluate` makes the environment with scikit-learn")
    assert by_name("logistic").run(setting(tmp_path, REGRESSION_PYTHON), 1) == 1.0


def test_finished_seeds_are_not_run_again(tmp_path: Path):
    asked: list[int] = []

    def run(_: EvaluationSetting, seed: int) -> float:
        asked.append(seed)
        return seed / 10

    runs = {"seeded, frozen: dense": {"2": 0.5}}
    one = Experiment("seeded, frozen", "dense", True, run)
    found = evaluate._run_seeds(one, setting(tmp_path), 3, runs, say)
    assert (found, asked) == ([0.1, 0.5, 0.3], [1, 3])
    assert runs["seeded, frozen: dense"] == {"1": 0.1, "2": 0.5, "3": 0.3}
    without_seed = Experiment("none", "majority", False, run)
    assert evaluate._run_seeds(without_seed, setting(tmp_path / "b"), 3, runs, say) == [0.1]


def test_results_of_other_weights_do_not_count(tmp_path: Path):
    file = tmp_path / evaluate.RESULT
    runs = {"none: majority": {"1": 0.5}}
    file.write_text(json.dumps({"made_with": {"weights": "a"}, "runs": runs}))
    assert evaluate._read_runs(file, {"weights": "a"}) == runs
    assert evaluate._read_runs(file, {"weights": "b"}) == {}
    assert evaluate._read_runs(tmp_path / "none.json", {}) == {}


def test_there_must_be_weights(tmp_path: Path):
    with pytest.raises(UserError, match="there are no weights; `nox -s pretrain` makes them"):
        evaluate.evaluate(tmp_path, tmp_path / "weights", 3, Path(sys.executable), say)


def test_the_command_says_so_in_one_line(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "pretrain", "--evaluate", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
