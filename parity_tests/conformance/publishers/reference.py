"""What every publisher's script reads and writes. Needs only NumPy and safetensors."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

SEED = 20
# Far above the usual 0.02: a part that a runtime leaves out must change the outputs.
DEVIATION = 0.15
LONGEST = 24
HIDDEN, NARROW, INNER, HEADS, LAYERS = 48, 16, 80, 4, 3
# Of classifiers: most of their texts are real reviews, and nine of ten are shorter.
LONGEST_REVIEW = 192
# The standard deviation of each score over the texts. So labels vary, and few are undecided.
SPREAD = 2.0
BATCH = 50


@dataclass(frozen=True)
class PublisherCase:
    """One text, or a pair."""

    text: str
    pair: str | None


def read_cases(work: Path) -> list[PublisherCase]:
    """Reads the cases of `cases.jsonl`: objects with `text`, or `sentence1` and `sentence2`."""
    lines = (work / "cases.jsonl").read_text("utf-8").split("\n")
    objects = [json.loads(line) for line in lines if line]
    return [
        PublisherCase(o["sentence1"], o["sentence2"])
        if "text" not in o
        else PublisherCase(o["text"], None)
        for o in objects
    ]


def read_tokens(work: Path) -> list[str]:
    """Reads the vocab, one token a line."""
    return (work / "vocab.txt").read_text("utf-8").removesuffix("\n").split("\n")


def add_noise(values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Adds seeded noise to each weight, so that no bias is 0 and no scale is 1."""
    generator = np.random.default_rng(SEED)
    return [v + generator.normal(0.0, DEVIATION, v.shape).astype(v.dtype) for v in values]


def pad_rows(rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> dict[str, np.ndarray]:
    """Pads ids and types of each text to int32[texts, longest], and adds the mask."""
    shape = len(rows), max(len(ids) for ids, _ in rows)
    names = ("input_ids", "attention_mask", "token_type_ids")
    tensors = {name: np.zeros(shape, np.int32) for name in names}
    for row, (ids, types) in enumerate(rows):
        tensors["input_ids"][row, : len(ids)] = ids
        tensors["token_type_ids"][row, : len(ids)] = types
        tensors["attention_mask"][row, : len(ids)] = 1
    return tensors


def write_reference(
    work: Path,
    inputs: dict[str, np.ndarray],
    outputs: dict[str, Any],
    exact: dict[str, Any],
    packages: Sequence[str],
) -> None:
    """Writes the answers that Node's are compared with.

    Args:
        work: gets `reference.safetensors`.
        inputs: `input_ids`, `attention_mask`, `token_type_ids`: int32[texts, sequence].
        outputs: float32 arrays by the names of the roles, `sequence_output` and others.
        exact: the same outputs in float64; written as `NAME.float64`.
        packages: distributions whose versions the row reports, the publisher's first.
    """
    tensors = dict(inputs)
    for name, value in outputs.items():
        tensors[name] = np.asarray(value)
        tensors[f"{name}.float64"] = np.asarray(exact[name])
        found = [tensors[name].dtype.name, tensors[f"{name}.float64"].dtype.name]
        if found != ["float32", "float64"]:
            raise TypeError(f"{name}: got {' and '.join(found)}, expected float32 and float64")
    made_by = ", ".join(f"{package} {version(package)}" for package in packages)
    whole = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    save_file(whole, work / "reference.safetensors", {"made_by": made_by})


def run_in_batches(
    run: Callable[[dict[str, np.ndarray]], np.ndarray], inputs: dict[str, np.ndarray]
) -> np.ndarray:
    """Runs many texts, some of similar length at a time, without the padding of longer ones.

    Args:
        run: gives scores of a batch, float[texts, labels] or float[texts, sequence, labels].
        inputs: see `pad_rows`.

    Returns:
        the scores of all texts in their order; 0 where there is padding.
    """
    lengths = inputs["attention_mask"].sum(axis=1)
    order = np.argsort(lengths, kind="stable")
    scores = np.zeros(0)
    for start in range(0, len(order), BATCH):
        some = order[start : start + BATCH]
        answer = run({name: value[some, : lengths[some].max()] for name, value in inputs.items()})
        if start == 0:
            of_tokens = inputs["input_ids"].shape[1:] if answer.ndim == 3 else ()
            scores = np.zeros((len(order), *of_tokens, answer.shape[-1]), answer.dtype)
        if answer.ndim == 3:
            scores[some, : answer.shape[1]] = answer
        else:
            scores[some] = answer
    return scores


def spread_scores(
    kernel: np.ndarray, bias: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns a head's last layer with which each score has the mean 0 and the deviation SPREAD.

    A head with random weights mostly gives all texts the same label.

    Args:
        kernel: of the last layer, float[labels, hidden].
        bias: its bias, float[labels].
        scores: what the layer gives for the texts, float[rows, labels].
    """
    scale = SPREAD / scores.std(axis=0)
    moved = (bias - scores.mean(axis=0)) * scale
    return (kernel * scale[:, None]).astype(kernel.dtype), moved.astype(bias.dtype)


def write_labels(work: Path, labels: Sequence[str]) -> None:
    """Writes `labels.txt`, for `--labels`: a label a line in the order of the scores."""
    (work / "labels.txt").write_text("".join(f"{label}\n" for label in labels), "utf-8")


def write_answers(
    work: Path, task: str, labels: Sequence[str], answers: Sequence[dict[str, Any]]
) -> None:
    """Writes what a publisher's classifier decides.

    Args:
        work: gets `answers.json`.
        task: `single_label`, `multi_label`, `regression` or `token_labels`.
        labels: in the order of the scores.
        answers: of each text; by the task `label`, `labels`, nothing, or `tokens` and, if the
            publisher's code has them, `spans`: of each `label`, `start` and `end`, counted in code
            points of the text.
    """
    document = {"task": task, "labels": list(labels), "answers": list(answers)}
    (work / "answers.json").write_text(json.dumps(document, ensure_ascii=False), "utf-8")
