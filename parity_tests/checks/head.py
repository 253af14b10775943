"""The classifier that Node trained, computed in float64 from the same TF.js files."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerics.budgets import Cost
from parity_tests.cases import shorten
from parity_tests.checks.budgets import Budgets
from parity_tests.checks.compare import Measures, compare_arrays, make_problem
from parity_tests.checks.stages import LABEL, StageRow, is_undecided
from parity_tests.runners.runners import NodeSide
from parity_tests.runners.runs import PROBABILITIES, SPECIALS, RunOutput
from support.contracts import read_classifier
from support.errors import UserError

Array = NDArray[Any]
WEIGHT_COUNTS = {"dense": 4, "linear": 2, "bilstm": 8}
"""How many weights a head of each kind has."""


@dataclass(frozen=True)
class Head:
    """A head of one of three kinds.

    `dense`: 512 tanh on position 0; `linear`: nothing before the softmax; `bilstm`: an LSTM each
    way over all positions, whose last states stand side by side. `weights` are in the order of the
    layers; `labels` in the order of the last layer's units.
    """

    kind: str
    weights: tuple[Array, ...]
    labels: tuple[str, ...]

    @classmethod
    def read(cls, directory: Path) -> "Head":
        """Reads `model.json` and its weights, which stand in the order the layers run.

        Raises:
            UserError: not a classifier of a known kind in float32.
        """
        try:
            document = json.loads((directory / "model.json").read_text(encoding="utf-8"))
            description = read_classifier(directory)
            kind, labels = description["head"], tuple(description["labels"])
            weights = tuple(
                array
                for group in document["weightsManifest"]
                for array in read_weight_group(group, directory)
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{directory} is no classifier this can read: {error}") from None
        fits = len(weights) > 1 and weights[-1].shape == weights[-2].shape[1:]
        if len(weights) != WEIGHT_COUNTS.get(kind) or not fits or len(weights[-1]) != len(labels):
            raise UserError(
                f"{directory} is no {kind} head with a unit a label, of "
                f"{', '.join(WEIGHT_COUNTS)}; train it again"
            )
        return cls(kind, weights, labels)

    def probabilities(self, sequence: Array, mask: Array, kind: Any = np.float64) -> Array:
        """The probability of each label, float32[batch, labels]; float64 from float64.

        Args:
            sequence: float[batch, sequence, hidden].
            mask: int32[batch, sequence], 1 where the text is.
            kind: what it is computed in.
        """
        x = sequence.astype(kind)
        if self.kind == "bilstm":
            x = np.stack(
                [self.states(row[: max(m.sum(), 1)]) for row, m in zip(x, mask, strict=True)]
            )
        else:
            x = x[:, 0]
        if self.kind == "dense":
            x = np.tanh(x @ self.weights[0] + self.weights[1])
        kernel, bias = self.weights[-2:]
        logits = x @ kernel + bias
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        answer: Array = (powers / powers.sum(axis=1, keepdims=True)).astype(sequence.dtype)
        return answer

    def cost(self, run: RunOutput, sequence: str) -> Cost:
        """What float32 costs the probabilities, through the model and the head.

        Of the vectors in float64 the head makes the true ones; of those in float32 it makes, in
        float32 itself, what a sound runtime may give.
        """
        total = Cost()
        for (special, number), batch in run.batches.items():
            for kept, more in batch.items() if special == "float64" else ():
                own = run.batches[kept, number]
                single, mask = own[sequence], own["attention_mask"]
                exact = single.astype(np.float64) + more
                sides = (
                    self.probabilities(single, mask, np.float32),
                    self.probabilities(exact, mask),
                )
                total += Cost.of_values(*sides, sides[1])
        if total.count:
            return total
        # Without float64 there is float32's own noise, as the vectors' cost has it.
        return self.moved_by_chance(run, sequence)

    def moved_by_chance(self, run: RunOutput, sequence: str) -> Cost:
        """What vectors that are off by their cost at random make of the probabilities."""
        vectors = run.costs[sequence]
        generator, total = np.random.default_rng(0), Cost(how=vectors.how)
        for (special, _), batch in run.batches.items():
            if special in SPECIALS:
                single, mask = batch[sequence], batch["attention_mask"]
                signs = generator.choice((-1.0, 1.0), single.shape)
                exact = single.astype(np.float64) + signs * vectors.largest
                sides = (
                    self.probabilities(single, mask, np.float32),
                    self.probabilities(exact, mask),
                )
                total += Cost.of_values(*sides, sides[1], vectors.how)
        return total

    def states(self, text: Array) -> Array:
        """The last states of both LSTMs, one after the other, of float64[positions, hidden]."""
        forward, backward = self.weights[:3], self.weights[3:6]
        return np.concatenate([lstm(text, *forward), lstm(text[::-1], *backward)])

    def decided(self, probabilities: Array) -> list[str]:
        """The most probable label of each row, the first of equals."""
        return [self.labels[int(place)] for place in np.argmax(probabilities, axis=1)]

    def answering(self, run: RunOutput, sequence: str = "sequence_output") -> RunOutput:
        """Python's run with what the head makes of the output called `sequence`.

        Raises:
            UserError: the model has no such output.
        """
        batches = {place: dict(batch) for place, batch in run.batches.items()}
        labels = {}
        for place, batch in batches.items():
            if place[0] in SPECIALS:
                if sequence not in batch:
                    raise UserError(f"the model has no {sequence}, which --classifier needs")
                both = batch[sequence], batch["attention_mask"]
                batch[PROBABILITIES] = self.probabilities(*both)
                labels[place] = self.decided(batch[PROBABILITIES])
        answered = replace(run, batches=batches, labels=labels)
        if sequence not in run.costs:
            return answered
        return replace(answered, costs=dict(run.costs) | {PROBABILITIES: self.cost(run, sequence)})


def lstm(text: Array, kernel: Array, recurrent: Array, bias: Array) -> Array:
    """The last state of an LSTM, float64[units]; gates in Keras's order: in, forget, cell, out.

    Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.
    """
    units = len(recurrent)
    state = cell = np.zeros(units, text.dtype)
    for inner in text @ kernel + bias:
        gates = inner + state @ recurrent
        let_in, forget, out = (sigmoid(gates[i * units : (i + 1) * units]) for i in (0, 1, 3))
        cell = forget * cell + let_in * np.tanh(gates[2 * units : 3 * units])
        state = out * np.tanh(cell)
    return state


def sigmoid(x: Array) -> Array:
    """1 / (1 + e⁻ˣ), without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def read_weight_group(group: dict[str, Any], directory: Path) -> list[Array]:
    """The arrays of one group of a TF.js weights manifest, in its order."""
    data = b"".join((directory / path).read_bytes() for path in group["paths"])
    arrays, start = [], 0
    for spec in group["weights"]:
        if spec["dtype"] != "float32" or "quantization" in spec:
            raise UserError(f"{directory}: {spec['name']} is not plain float32")
        count = int(np.prod(spec["shape"], dtype=np.int64))
        array = np.frombuffer(data, "<f4", count, start).reshape(spec["shape"])
        start += array.nbytes
        arrays.append(array)
    return arrays


# A classifier against its own golden answers: what it said of a few texts at its training.
#
# Both sides read the same files of a head, so a head of another bundle, or labels in another
# order, show here alone.

GOLDEN = "golden"


def judge_golden_answers(
    backend: str, count: int, side: NodeSide, out: Path, budgets: Budgets
) -> list[StageRow]:
    """A row for the probabilities and one for the labels; none where the head keeps no answers.

    At most `count` texts are asked about, the shortest, for the slow backends.

    Raises:
        UserError: `classifier.json` is not what train.js writes.
    """
    assert side.classifier is not None, "there is a head to judge"
    description = read_classifier(side.classifier)
    golden = sorted(description.get("golden", []), key=text_length)[:count]
    texts = [(g.get("text", g.get("sentence1")), g.get("sentence2")) for g in golden]
    expected = np.array([g["probabilities"] for g in golden], np.float32)
    labels = [g["label"] for g in golden]
    max_length = int(description["max_length"])
    if not golden:
        return []
    file = out / f"golden.{backend}.jsonl"
    lines = [
        {"case": i, "batch": 0, "text": text} | ({"pair": pair} if pair is not None else {})
        for i, (text, pair) in enumerate(texts)
    ]
    dumped = [json.dumps(line, ensure_ascii=False) + "\n" for line in lines]
    file.write_text("".join(dumped), encoding="utf-8")
    node = side.answers(backend, file, out / f"golden.{backend}.safetensors", max_length)
    numbers = StageRow(backend, GOLDEN, PROBABILITIES, budgets.of(PROBABILITIES))
    words = StageRow(backend, GOLDEN, LABEL, budgets.of(LABEL))
    got = node.batches["added", 0][PROBABILITIES]
    if got.shape != expected.shape:
        shapes = (list(got.shape), list(expected.shape))
        numbers.fail(make_problem("shape", *shapes, f"{backend}, golden answers"), set())
    for i, said in enumerate(node.labels["added", 0]):
        where = f"{backend}, golden text {i} “{shorten(texts[i][0])}”"
        words.take(i, Measures(compared=1))
        if said != labels[i] and not is_undecided(expected[i], numbers.budget):
            words.fail(make_problem("values", repr(said), repr(labels[i]), f"label, {where}"), {i})
        if got.shape == expected.shape:
            found = compare_arrays(got[i], expected[i], numbers.budget, f"probabilities, {where}")
            numbers.take(i, found.measures)
            if found.problem is not None:
                numbers.fail(found.problem, {i})
    for row in (numbers, words):
        row.status = "drift" if row.problems else "pass"
    if numbers.problems and words.problems:
        words.status = "downstream"
    return [numbers, words]


def text_length(golden: dict[str, Any]) -> int:
    """Of a golden text, or of its pair."""
    return sum(len(golden.get(name, "")) for name in ("text", "sentence1", "sentence2"))
