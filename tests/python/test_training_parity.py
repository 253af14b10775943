"""The head's training: equal steps in Keras and TF.js pass, and other ones fail."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity_tests.runners.runs import RunOutput
from parity_tests.training import sides
from parity_tests.training.by_hand import Adam, RandomFloat32Arithmetic, train_by_hand
from parity_tests.training.compare import Allowance
from parity_tests.training.judgement import TrainingResult, compare_sides, judge_training
from parity_tests.training.problem import (
    WEIGHTS,
    TrainingProblem,
    first_position_vectors,
    scale_features,
)
from parity_tests.training.sides import TrainingSide
from support.errors import EnvironmentProblem, UserError

STEPS = 12


def vectors(texts: int, hidden: int, seed: int) -> np.ndarray:
    """Makes vectors like an encoder's: similar, with features of different deviation."""
    drawn = np.random.default_rng(seed)
    spread = 0.05 * np.exp(drawn.standard_normal(hidden))
    rows = drawn.standard_normal(hidden) + spread * drawn.standard_normal((texts, hidden))
    return rows.astype(np.float32)


@pytest.fixture(scope="module")
def problem() -> TrainingProblem:
    return TrainingProblem.from_vectors(vectors(40, 24, 1), STEPS)


@pytest.fixture(scope="module")
def allowance(problem: TrainingProblem) -> Allowance:
    return Allowance.derive(problem, {STEPS})


def drawn(problem: TrainingProblem, seed: int, adam: Adam | None = None) -> TrainingSide:
    """Makes a side with a rounding that the allowance was not derived from."""
    trained = train_by_hand(
        problem, {len(problem.batches)}, RandomFloat32Arithmetic(seed), adam or Adam()
    )
    side = TrainingSide.from_course(problem, trained)
    return TrainingSide(
        side.loss.astype(np.float32), side.accuracy.astype(np.float32), side.weights
    )


def judged(problem: TrainingProblem, allowance: Allowance, node: TrainingSide) -> TrainingResult:
    return compare_sides(problem, allowance, drawn(problem, 100), {"wasm": node}, {"wasm": STEPS})


# The comparison, on sides that are trained by hand.


def test_a_training_with_other_rounding_passes(
    problem: TrainingProblem, allowance: Allowance
) -> None:
    for seed in range(200, 205):
        result = judged(problem, allowance, drawn(problem, seed))
        assert (result.status, result.failures) == ("pass", [])
        side = result.backends["wasm"]
        assert side.share is not None and 0 < side.share < 0.5
        assert [q.compared for q in side.quantities] == [12, 12, 24 * 512, 512, 512 * 3, 3]


@pytest.mark.parametrize("seed", range(12))
def test_two_roundings_of_any_training_problem_pass(seed: int) -> None:
    texts, hidden, steps = [(1, 5, 3), (2, 40, 1), (17, 8, 6), (33, 100, 4)][seed % 4]
    problem = TrainingProblem.from_vectors(vectors(texts, hidden, seed), steps, seed)
    allowance = Allowance.derive(problem, {steps})
    node, keras = drawn(problem, 300 + seed), drawn(problem, 400 + seed)
    result = compare_sides(problem, allowance, keras, {"wasm": node}, {"wasm": steps})
    assert result.failures == []


class Hat(Adam):
    """Keras's default: ε is added to √v."""

    def step(self, m: Any, v: Any, left_1: Any, left_2: Any) -> Any:
        return m * np.sqrt(left_2) / left_1 / (np.sqrt(v) + m.dtype.type(self.epsilon))


def relabelled(problem: TrainingProblem) -> TrainingProblem:
    return replace(problem, targets=((problem.targets + 1) % 3).astype(np.int32))


def swapped(problem: TrainingProblem) -> TrainingProblem:
    first, second, *rest = problem.batches
    return replace(problem, batches=(second, first, *rest))


def transposed(problem: TrainingProblem) -> TrainingProblem:
    """Reads the bytes of the kernel as its transpose."""
    kernel = problem.weights["hidden/kernel"]
    return reweighted(problem, np.ascontiguousarray(kernel.T).reshape(kernel.shape))


def one_weight(problem: TrainingProblem) -> TrainingProblem:
    kernel = problem.weights["hidden/kernel"].copy()
    kernel[3, 7] += np.float32(1e-3)
    return reweighted(problem, kernel)


def reweighted(problem: TrainingProblem, kernel: np.ndarray) -> TrainingProblem:
    return replace(problem, weights=problem.weights | {"hidden/kernel": kernel})


def faster(problem: TrainingProblem) -> TrainingProblem:
    return replace(problem, learning_rate=problem.learning_rate * 1.001)


Change = Callable[[TrainingProblem], TrainingProblem]
CHANGES: dict[str, Change] = {
    "labels": relabelled,
    "order": swapped,
    "transposed": transposed,
    "weight": one_weight,
    "rate": faster,
}
ADAMS = {
    "beta_1": Adam(beta_1=0.899),
    "beta_2": Adam(beta_2=0.998),
    "epsilon": Adam(epsilon=1e-6),
    "hat": Hat(),
}


@pytest.mark.parametrize("name", [*CHANGES, *ADAMS])
def test_a_training_with_another_rule_or_other_data_drifts(
    problem: TrainingProblem, allowance: Allowance, name: str
) -> None:
    change = CHANGES.get(name, lambda same: same)
    result = judged(problem, allowance, drawn(change(problem), 200, ADAMS.get(name)))
    assert result.status == "drift"
    assert all("but should be" in message for message in result.failures)
    assert "wasm" in result.failures[0]


def test_the_budget_grows_but_is_far_below_the_training_itself(
    problem: TrainingProblem, allowance: Allowance
) -> None:
    assert np.all(np.diff(allowance.loss) >= 0)
    assert 2 * allowance.loss[0] < allowance.loss[-1]
    several = Allowance.derive(problem, {1, 6, STEPS}).weights
    for name in WEIGHTS:
        far = [several[steps][name] for steps in (1, 6, STEPS)]
        assert far == sorted(far)
        moved = np.abs(allowance.exact.weights[STEPS][name] - problem.weights[name]).mean()
        assert 0 < allowance.weights[STEPS][name] < moved / 1000
    assert allowance.loss[-1] < allowance.exact.logs[0].std() / 1000


def test_the_first_step_is_a_learning_rate_against_the_gradient(problem: TrainingProblem) -> None:
    """In Adam's first step m̂ is g and √v̂ is |g|, so that with ε = 0 a weight moves by ±η."""
    one = replace(problem, batches=problem.batches[:1])
    indices = problem.batches[0]
    exact = Allowance.derive(one, {1}).exact
    before, after = problem.weights["probabilities/bias"], exact.weights[1]["probabilities/bias"]
    shares = np.exp(exact.logs[0]) - np.eye(3)[problem.targets[indices]]
    expected = -problem.learning_rate * np.sign(shares.mean(axis=0))
    np.testing.assert_allclose(after - before, expected, rtol=1e-4)


def test_an_accuracy_may_differ_where_a_text_is_undecided(
    problem: TrainingProblem, allowance: Allowance
) -> None:
    side = drawn(problem, 200)
    side.accuracy[4] += np.float32(1 / len(problem.batches[4]))
    [message] = judged(problem, allowance, side).failures
    assert "[accuracy of step 5, wasm" in message
    logs = [step.copy() for step in allowance.exact.logs]
    logs[4][0] = logs[4][0].mean()
    even = replace(allowance, exact=replace(allowance.exact, logs=logs))
    assert even.undecided(4, 2) == 1
    assert [m for m in judged(problem, even, side).failures if "wasm" in m] == []


# NaN and missing values.


def nan_loss(side: TrainingSide) -> TrainingSide:
    side.loss[3] = np.nan
    return side


def nan_weight(side: TrainingSide) -> TrainingSide:
    side.weights[STEPS]["hidden/kernel"][0, 0] = np.inf
    return side


def too_few(side: TrainingSide) -> TrainingSide:
    weights = {STEPS - 1: side.weights[STEPS]}
    return TrainingSide(side.loss[:-1], side.accuracy[:-1], weights)


def no_tensor(side: TrainingSide) -> TrainingSide:
    weights = {n: v for n, v in side.weights[STEPS].items() if n != "hidden/bias"}
    return TrainingSide(side.loss, side.accuracy, {STEPS: weights})


def no_steps(side: TrainingSide) -> TrainingSide:
    return TrainingSide(side.loss[:0], side.accuracy[:0], side.weights)


def doubles(side: TrainingSide) -> TrainingSide:
    return side.in_float64()


def changed_weight(side: TrainingSide) -> TrainingSide:
    """Changes one weight so that the mean of a large tensor does not show it."""
    side.weights[STEPS]["hidden/kernel"][0, 0] += np.float32(0.001)
    return side


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (nan_loss, "got nan, but should be a finite number [loss of step 4, wasm, Node's value"),
        (nan_weight, "got inf, but should be a finite number [hidden/kernel after 12 steps"),
        (too_few, "got [11], but should be [12] [loss of all steps, wasm]"),
        (no_tensor, "but should be hidden/bias, hidden/kernel, probabilities/bias"),
        (no_steps, "got [0], but should be [12]"),
        (doubles, "got float64, but should be float32"),
        (changed_weight, "± 0.0006 [hidden/kernel after 12 steps, wasm at [0, 0]]"),
    ],
)
def test_damaged_results_of_a_training_drift(
    problem: TrainingProblem,
    allowance: Allowance,
    spoil: Callable[[TrainingSide], TrainingSide],
    message: str,
) -> None:
    result = judged(problem, allowance, spoil(drawn(problem, 200)))
    assert result.status == "drift"
    assert any(message in failure for failure in result.failures), result.failures


def test_keras_itself_is_compared_with_float64(
    problem: TrainingProblem, allowance: Allowance
) -> None:
    wrong = drawn(problem, 100, Hat())
    result = compare_sides(problem, allowance, wrong, {"wasm": wrong}, {"wasm": STEPS})
    assert result.status == "drift"
    assert result.backends["wasm"].status == "pass"
    assert "Keras" in result.failures[0]


def test_nothing_compared_does_not_pass(problem: TrainingProblem, allowance: Allowance) -> None:
    result = compare_sides(problem, allowance, drawn(problem, 100), {}, {})
    assert result.status == "drift"
    empty: RunOutput = RunOutput(
        {("added", 0): {"pooled_output": np.zeros((2, 3), np.float32)}}, {}
    )
    assert judge_training(empty, {"wasm": 8}, Path()).status == "none"


def test_vectors_are_position_0_with_special_tokens() -> None:
    batch = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    batches = {
        ("added", 1): {"sequence_output": batch + 100},
        ("none", 0): {"sequence_output": batch + 50},
        ("added", 0): {"sequence_output": batch},
    }
    found = first_position_vectors(RunOutput(batches, {}))
    assert found is not None
    assert found[:, 0].tolist() == [0, 12, 100, 112]


def test_features_are_scaled_as_for_training() -> None:
    found = scale_features(np.array([[1, 5, 0], [3, 5, 0.001]], np.float32))
    np.testing.assert_allclose(found[:, 0], [-1, 1], rtol=1e-6)
    assert found[:, 1].tolist() == [0, 0], "what does not vary"
    usual = math.sqrt((1 + 0 + 0.0005**2) / 3)
    np.testing.assert_allclose(found[:, 2], [-0.005 / usual, 0.005 / usual], rtol=1e-3)


def test_a_problem_is_read_as_written(problem: TrainingProblem, tmp_path: Path) -> None:
    problem.write(tmp_path / "problem")
    again = TrainingProblem.read(tmp_path / "problem")
    assert again.learning_rate == problem.learning_rate
    assert [b.tolist() for b in again.batches] == [b.tolist() for b in problem.batches]
    assert sum(map(len, problem.batches[:3])) == 40, "three batches are an epoch of 40 texts"
    assert sorted(np.concatenate(problem.batches[:3])) == list(range(40))
    (tmp_path / "problem").write_bytes(b"\x08")
    with pytest.raises(UserError, match="no training problem"):
        TrainingProblem.read(tmp_path / "problem")


# The runners.


@dataclass(frozen=True)
class Trained:
    """A small problem, and Keras's side of it."""

    problem: TrainingProblem
    allowance: Allowance
    keras: TrainingSide
    place: Path

    def node(self, problem: TrainingProblem, backend: str = "wasm") -> TrainingResult:
        """Compares a backend that trained on another problem."""
        file = self.place / "problem.safetensors"
        problem.write(file)
        side = sides.run_node(file, backend, STEPS, self.place / "node.safetensors")
        return compare_sides(
            self.problem, self.allowance, self.keras, {backend: side}, {backend: STEPS}
        )


@pytest.fixture(scope="module")
def trained(
    problem: TrainingProblem, allowance: Allowance, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    place = tmp_path_factory.mktemp("training")
    problem.write(place / "problem.safetensors")
    keras = sides.run_python(place / "problem.safetensors", {STEPS}, place / "python.safetensors")
    return Trained(problem, allowance, keras, place)


@pytest.mark.parametrize("backend", ["wasm", "cpu"])
def test_tfjs_trains_as_keras(trained: Trained, backend: str) -> None:
    result = trained.node(trained.problem, backend)
    assert result.failures == []
    share = result.backends[backend].share
    assert share is not None and 0 < share < 0.5
    assert result.python is not None and result.python.share is not None
    assert 0 < result.python.share < 1


def test_native_trains_as_keras(trained: Trained, native: None) -> None:
    assert trained.node(trained.problem, "native").failures == []


@pytest.mark.parametrize("name", CHANGES)
def test_tfjs_with_another_problem_is_found(trained: Trained, name: str) -> None:
    result = trained.node(CHANGES[name](trained.problem))
    assert result.backends["wasm"].status == "drift"
    assert result.python is not None and result.python.status == "pass"


def test_an_incomplete_file_of_a_runner_is_a_problem_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "half").write_bytes(b"\x20")
    with pytest.raises(EnvironmentProblem, match="not a whole run"):
        TrainingSide.read(tmp_path / "half")


def test_a_runner_refuses_an_invalid_problem(tmp_path: Path) -> None:
    (tmp_path / "problem").write_bytes(b"\x20")
    with pytest.raises(UserError, match="problem is cut off"):
        sides.run_node(tmp_path / "problem", "wasm", 1, tmp_path / "out")
    assert not (tmp_path / "out").exists()
