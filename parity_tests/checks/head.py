"""Computes the classifier that Node trained, in float64 from the same TF.js files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from numerics.budgets import Cost
from parity_tests.cases import shorten
from parity_tests.checks.budgets import Budgets
from parity_tests.checks.compare import Measures, compare_arrays, make_problem
from parity_tests.checks.decisions import OwnClassifier, decide_label, with_answers
from parity_tests.checks.stages import LABEL, StageRow
from parity_tests.provenance import Contract
from parity_tests.runners.runners import NodeSide
from parity_tests.runners.runs import PROBABILITIES, SPECIALS, RunOutput
from support.contracts import read_classifier
from support.errors import UserError
from support.tfjs_weights import Array, read_weights

WEIGHT_COUNTS = {"dense": 4, "linear": 2, "bilstm": 8}
"""How many weights a head of each kind has."""


@dataclass(frozen=True)
class Head:
    """A head of one of three kinds.

    `dense`: 512 tanh units on position 0; `linear`: position 0 goes to the softmax directly;
    `bilstm`: an LSTM each way over all positions, with the last states concatenated. `weights` are
    in the order of the layers, `labels` in the order of the last layer's units.
    """

    kind: str
    weights: tuple[Array, ...]
    labels: tuple[str, ...]

    @classmethod
    def read(cls, directory: Path) -> "Head":
        """Reads `model.json` and its weights, which are in the order of the layers.

        Raises:
            UserError: not a classifier of a known kind in float32.
        """
        try:
            description = read_classifier(directory)
            kind, labels = description["head"], tuple(description["labels"])
            weights = _read_float_weights(directory)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{directory} is no classifier this can read: {error}") from None
        fits = len(weights) > 1 and weights[-1].shape == weights[-2].shape[1:]
        if len(weights) != WEIGHT_COUNTS.get(kind) or not fits or len(weights[-1]) != len(labels):
            raise UserError(
                f"{directory} is no {kind} head with a unit a label, of "
                f"{', '.join(WEIGHT_COUNTS)}; train it again"
            )
        return cls(kind, weights, labels)

    def probabilities(self, sequence: Array, mask: Array, dtype: Any = np.float64) -> Array:
        """Computes the probability of each label, [batch, labels], in the dtype of `sequence`.

        Args:
            sequence: float[batch, sequence, hidden].
            mask: int32[batch, sequence], 1 at the text's positions.
            dtype: of the computation.
        """
        x = sequence.astype(dtype)
        if self.kind == "bilstm":
            x = np.stack(
                [self.last_states(row[: max(m.sum(), 1)]) for row, m in zip(x, mask, strict=True)]
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
        """Measures what float32 costs the probabilities, through the model and the head.

        From float64 vectors the head computes the exact probabilities; from float32 vectors it
        computes, in float32, what a correct runtime may give.
        """
        total = Cost()
        for (special, number), batch in run.batches.items():
            for own_special, correction in batch.items() if special == "float64" else ():
                own = run.batches[own_special, number]
                single, mask = own[sequence], own["attention_mask"]
                exact = single.astype(np.float64) + correction
                sides = (
                    self.probabilities(single, mask, np.float32),
                    self.probabilities(exact, mask),
                )
                total += Cost.measure_values(*sides, sides[1])
        if total.count:
            return total
        # Without float64, the vectors' own cost is taken as random noise.
        return self.cost_of_random_errors(run, sequence)

    def cost_of_random_errors(self, run: RunOutput, sequence: str) -> Cost:
        """Measures how vectors that are randomly off by their cost move the probabilities."""
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
                total += Cost.measure_values(*sides, sides[1], vectors.how)
        return total

    def last_states(self, text: Array) -> Array:
        """Returns the last states of both LSTMs, concatenated, for float64[positions, hidden]."""
        forward, backward = self.weights[:3], self.weights[3:6]
        return np.concatenate([lstm(text, *forward), lstm(text[::-1], *backward)])

    def add_probabilities(self, run: RunOutput, sequence: str = "sequence_output") -> RunOutput:
        """Returns Python's run with the probabilities and decisions from the output `sequence`.

        Raises:
            UserError: the model has no such output.
        """
        return with_answers(
            run,
            sequence,
            self.probabilities,
            lambda row, _: [decide_label(row, self.labels)],
            lambda *_: self.cost(run, sequence),
            missing=f"the model has no {sequence}, which --classifier needs",
        )


def add_decisions(run: RunOutput, classifier: Path | None, contract: Contract) -> RunOutput:
    """Returns Python's run with what is decided: by a trained head, or by the bundle itself.

    Args:
        run: of Python.
        classifier: the directory of a head that train.js trained on the bundle, or None.
        contract: the bundle's.

    Raises:
        UserError: the model lacks the output from which is decided.
    """
    if classifier is not None:
        sequence = contract.output_name("sequence_output")
        return Head.read(classifier).add_probabilities(run, sequence)
    own = OwnClassifier.of_contract(contract.document)
    return run if own is None else own.add_probabilities(run)


def decision_labels(classifier: Path | None, contract: Contract) -> tuple[tuple[str, ...], bool]:
    """Returns the labels that `add_decisions` decides between, and whether a text has several.

    Args:
        classifier: as of `add_decisions`.
        contract: the bundle's.
    """
    if classifier is not None:
        return Head.read(classifier).labels, False
    own = OwnClassifier.of_contract(contract.document)
    return ((), False) if own is None else (own.labels, own.task == "multi_label")


def lstm(text: Array, kernel: Array, recurrent: Array, bias: Array) -> Array:
    """Computes the last state of an LSTM, float64[units].

    Args:
        text: float64[positions, hidden].
        kernel: [hidden, 4 · units], gates in Keras's order: in, forget, cell, out.
        recurrent: [units, 4 · units].
        bias: [4 · units].

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
    """Computes 1 / (1 + e⁻ˣ), without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def _read_float_weights(directory: Path) -> tuple[Array, ...]:
    """Reads the weights of a TF.js model in the order of its manifest.

    Raises:
        UserError: a weight is not plain float32; or see `read_weights`.
    """
    arrays = []
    for weight in read_weights(directory, "train it again"):
        if weight.dtype != "float32" or weight.quantization:
            raise UserError(f"{directory}: {weight.name} is not plain float32")
        arrays.append(weight.numbers)
    return tuple(arrays)


# The classifier against its golden answers: its predictions for a few texts at training time. Both
# sides read the same files, so only these show a head of another bundle, or reordered labels.

GOLDEN = "golden"


def judge_golden_answers(
    backend: str, count: int, side: NodeSide, out: Path, budgets: Budgets
) -> list[StageRow]:
    """Compares Node's answers with the golden ones.

    Args:
        backend: of TF.js.
        count: of texts at most, the shortest first, for slow backends.
        side: the Node side, with a classifier.
        out: a directory for Node's run.
        budgets: of the probabilities and labels.

    Returns:
        a row for the probabilities and one for the labels; none without golden answers.

    Raises:
        UserError: `classifier.json` is not what train.js writes.
    """
    assert side.classifier is not None, "a classifier is needed"
    description = read_classifier(side.classifier)
    golden = sorted(description.get("golden", []), key=_text_length)[:count]
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
    numbers = StageRow(backend, "added", PROBABILITIES, budgets.for_stage(PROBABILITIES), GOLDEN)
    words = StageRow(backend, "added", LABEL, budgets.for_stage(LABEL), GOLDEN)
    got = node.batches["added", 0][PROBABILITIES]
    if got.shape != expected.shape:
        shapes = (list(got.shape), list(expected.shape))
        numbers.add_problem(make_problem("shape", *shapes, f"{backend}, golden answers"), set())
    answered = node.labels.get(("added", 0), [])
    for i, label in enumerate(labels):
        where = f"{backend}, golden text {i} “{shorten(texts[i][0])}”"
        if i >= len(answered):
            lengths = (f"{len(answered)} labels", len(labels))
            words.add_problem(make_problem("shape", *lengths, where), {i})
        else:
            words.add_measures(i, Measures(compared=1))
            [got_label] = answered[i]
            decision = decide_label(expected[i], description["labels"])
            if got_label != label and not decision.is_undecided(numbers.budget):
                words.add_problem(
                    make_problem("values", repr(got_label), repr(label), f"label, {where}"), {i}
                )
        if got.shape == expected.shape:
            result = compare_arrays(got[i], expected[i], numbers.budget, f"probabilities, {where}")
            numbers.add_measures(i, result.measures)
            if result.problem is not None:
                numbers.add_problem(result.problem, {i})
    for row in (numbers, words):
        row.status = "drift" if row.problems else "pass"
    if numbers.problems and words.problems:
        words.status = "downstream"
    return [numbers, words]


def _text_length(golden: dict[str, Any]) -> int:
    """Returns the characters of a golden text, or of its pair."""
    return sum(len(golden.get(name, "")) for name in ("text", "sentence1", "sentence2"))
