"""How far apart two trainings in float32 may be at each step, derived from this very training.

A bound that holds for every training is of no use: Adam divides a gradient by its own size, so a
rounding error in one that all but vanishes can turn a whole step, and all that can be promised of
a single weight is that it lies within a learning rate or so for each step made, which is as far as
the training itself moves it. How much is lost depends on the features, and grows from step to
step, as each starts from what the last one left. So it is computed. The same steps are taken once
in float64, and a few times in float32 by a program that rounds as no library does (by_hand.py).
The furthest that one of these draws came from float64 up to a step, times MARGIN, is what one side
may be off after it; two sides may be twice that apart. Node's numbers have no part in it.

Of a tensor of weights it is the mean distance that is bounded. The largest one is that of the
weight whose gradient came nearest to nothing, and a further draw can have it 5 times as far. A
single weight may be off by a learning rate: a step that was turned.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parity_tests.training.adam import Adam
from parity_tests.training.by_hand import Exact, Rounded, Trained, train
from parity_tests.training.problem import Problem

Floats = NDArray[np.float64]

DRAWS = 3
MARGIN = 4
"""On 300 random problems (1 to 65 texts, 4 to 312 features, 1 to 12 steps) a fourth draw, or plain
numpy, was up to 2.4 times as far as the furthest of three."""
ORIGIN = (
    f"derived: {MARGIN} times the furthest that {DRAWS} trainings in float32, with sums in a drawn "
    "order and functions off by up to a unit in the last place, came by this step from the same "
    "training in float64; twice that between Node and Keras"
)


@dataclass(frozen=True)
class Allowance:
    """What one side may be off from `exact`; each grows with the steps.

    Attributes:
        exact: the training in float64.
        loss: of each step, float64[steps].
        logs: of each step, the logarithm of any text's probability of any label, float64[steps].
        weights: by number of steps and name, the mean over a tensor.
    """

    exact: Trained
    loss: Floats
    logs: Floats
    weights: dict[int, dict[str, float]]

    @classmethod
    def of(cls, problem: Problem, kept: set[int]) -> "Allowance":
        """Trains once in float64 and DRAWS times in float32.

        Args:
            problem: what to train on.
            kept: after how many steps weights will be compared.
        """
        exact = train(problem, kept, Exact(), Adam())
        loss, logs = (np.zeros(len(problem.batches)) for _ in range(2))
        weights = {steps: dict.fromkeys(problem.weights, 0.0) for steps in sorted(kept)}
        for seed in range(DRAWS):
            drawn = train(problem, kept, Rounded(seed), Adam())
            for step, places in enumerate(problem.batches):
                off = np.abs(drawn.logs[step] - exact.logs[step])
                own = off[np.arange(len(places)), problem.targets[places]]
                # The mean of |Δ|, not |Δ| of the mean: what cancels here may add up there.
                loss[step] = max(loss[step], own.mean())
                logs[step] = max(logs[step], off.max())
            for steps, largest in weights.items():
                for name, value in drawn.weights[steps].items():
                    far = float(np.abs(value - exact.weights[steps][name]).mean())
                    largest[name] = max(largest[name], far)
        before: dict[str, float] = {}
        for steps, largest in weights.items():
            grown = {name: max(far, before.get(name, 0.0)) for name, far in largest.items()}
            weights[steps] = before = grown
        allowed = {s: {name: MARGIN * far for name, far in w.items()} for s, w in weights.items()}
        return cls(exact, MARGIN * growing(loss), MARGIN * growing(logs), allowed)

    def undecided(self, step: int, sides: int) -> int:
        """How many texts of a step, from 0, may have another label on one of `sides` sides.

        Of these the two likeliest labels are nearer to each other than what may be lost.
        """
        two = np.sort(self.exact.logs[step], axis=1)[:, -2:]
        return int(np.sum(two[:, 1] - two[:, 0] <= 2 * sides * self.logs[step]))


def growing(values: Floats) -> Floats:
    """The largest so far."""
    largest: Floats = np.maximum.accumulate(values)
    return largest
