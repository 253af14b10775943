"""The head's training written out in numpy, in a choice of arithmetics.

In float64 it is the exact computation of Keras and TF.js. In float32, with each sum in a random
order and each function value moved by up to 1 ulp, it is what another library might compute: the
distance of such runs from float64 is the effect of rounding alone.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from parity_tests.training.problem import WEIGHTS, TrainingProblem, Weights

# Adam as in TF.js, which Keras can do too. The step is Algorithm 1 of the paper (Kingma and Ba,
# 2015), with m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ):
#
#     w ← w − η · m̂ / (√v̂ + ε)
#
# Keras by default uses the shorter form at the end of the paper's section 2,
#
#     w ← w − η · √(1 − β₂ᵗ)/(1 − β₁ᵗ) · m / (√v + ε)
#
# The two differ in the weight of ε: next to √v it counts 1/√(1 − β₂ᵗ) times as much, 32 times at
# the first step. Keras's `adaptive_epsilon=True` shrinks its ε by this factor, which makes the two
# equal; the Python side uses it. With Keras's default the weights differ from those of TF.js and of
# the paper: by up to 2e-4 after 64 steps on albert_tiny's vectors, where rounding makes 2e-6.

Array = NDArray[Any]


@dataclass(frozen=True)
class Adam:
    """Adam's constants without the learning rate: the defaults of TF.js and Keras."""

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def step(self, m: Array, v: Array, left_1: Any, left_2: Any) -> Array:
        """Returns the movement of a weight, divided by the learning rate.

        Args:
            m: mean of the gradients.
            v: mean of their squares, of the same shape.
            left_1: 1 − β₁ᵗ.
            left_2: 1 − β₂ᵗ.
        """
        moved: Array = (m / left_1) / (np.sqrt(v / left_2) + m.dtype.type(self.epsilon))
        return moved


class Arithmetic(Protocol):
    """Defines how sums and function values are rounded."""

    dtype: Any

    def product(self, a: Array, b: Array) -> Array:
        """Returns the matrix product."""

    def near(self, value: Array) -> Array:
        """Returns a computed value with a library's rounding."""


class Float64Arithmetic:
    """float64, whose rounding does not matter here."""

    dtype = np.float64

    def product(self, a: Array, b: Array) -> Array:
        """Returns the matrix product."""
        product: Array = a @ b
        return product

    def near(self, value: Array) -> Array:
        """Returns the value itself."""
        return value


class RandomFloat32Arithmetic:
    """float32 with the random rounding of a possible library."""

    dtype = np.float32

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def product(self, a: Array, b: Array) -> Array:
        """Returns the matrix product, with its terms added in random order."""
        total = np.zeros((len(a), b.shape[1]), np.float32)
        for k in self._random.permutation(len(b)):
            total += a[:, k, None] * b[k]
        return total

    def near(self, value: Array) -> Array:
        """Returns the value, randomly moved by up to 1 ulp."""
        off = self._random.random(value.shape, np.float32) * np.float32(2**-22) - np.float32(2**-23)
        moved: Array = value + value * off
        return moved


@dataclass
class TrainingCourse:
    """The course of a training.

    Attributes:
        logs: for each step, the log probabilities of its texts before the step,
            float[size, classes].
        weights: after some numbers of steps, by that number.
    """

    logs: list[Array] = field(default_factory=list)
    weights: dict[int, Weights] = field(default_factory=dict)


def train_by_hand(
    problem: TrainingProblem, snapshots: set[int], arithmetic: Arithmetic, adam: Adam
) -> TrainingCourse:
    """Trains to the last of the problem's steps.

    Args:
        problem: what to train on.
        snapshots: numbers of steps after which to record the weights.
        arithmetic: how to round.
        adam: the optimizer's constants.
    """
    one = arithmetic.dtype(1)
    number = arithmetic.dtype
    weights = {name: value.astype(number) for name, value in problem.weights.items()}
    means = {name: np.zeros_like(value) for name, value in weights.items()}
    squares = {name: np.zeros_like(value) for name, value in weights.items()}
    # Rounded to float32 in any arithmetic: that moves 1 − β₂ by a factor of 1.3e-5, on every side.
    beta_1, beta_2 = (number(np.float32(beta)) for beta in (adam.beta_1, adam.beta_2))
    power_1 = power_2 = one
    course = TrainingCourse()
    for step, indices in enumerate(problem.batches, start=1):
        features = problem.features[indices].astype(number)
        logs, slopes = _compute_gradients(weights, features, problem.targets[indices], arithmetic)
        course.logs.append(logs)
        power_1, power_2 = power_1 * beta_1, power_2 * beta_2
        for name, slope in slopes.items():
            m, v = means[name], squares[name]
            m[...] = arithmetic.near(m + number(1 - adam.beta_1) * (slope - m))
            v[...] = arithmetic.near(v + number(1 - adam.beta_2) * (slope * slope - v))
            moved = arithmetic.near(adam.step(m, v, one - power_1, one - power_2))
            weights[name] -= number(problem.learning_rate) * moved
        if step in snapshots:
            course.weights[step] = {name: value.copy() for name, value in weights.items()}
    return course


def _compute_gradients(
    weights: Weights, features: Array, targets: Array, arithmetic: Arithmetic
) -> tuple[Array, Weights]:
    """Computes log probabilities, and the gradient of the mean cross-entropy by weight.

    Args:
        weights: by the names of WEIGHTS.
        features: float[size, hidden].
        targets: int32[size].
        arithmetic: how to round.
    """
    kernel, bias, last_kernel, last_bias = (weights[name] for name in WEIGHTS)
    near, product = arithmetic.near, arithmetic.product
    hidden = near(np.tanh(product(features, kernel) + bias))
    logits = product(hidden, last_kernel) + last_bias
    logits -= logits.max(axis=1, keepdims=True)
    powers = near(np.exp(logits))
    probabilities = near(powers / powers.sum(axis=1, keepdims=True))

    size = len(targets)
    back = probabilities.copy()
    back[np.arange(size), targets] -= 1
    back /= arithmetic.dtype(size)
    inner = product(back, last_kernel.T) * (1 - hidden * hidden)
    every = np.ones((1, size), arithmetic.dtype)
    slopes = (
        product(features.T, inner),
        product(every, inner)[0],
        product(hidden.T, back),
        product(every, back)[0],
    )
    return near(np.log(probabilities)), dict(zip(WEIGHTS, slopes, strict=True))
