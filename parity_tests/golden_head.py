"""A classifier against its own golden answers: what it said of a few texts at its training.

Both sides read the same files of a head, so a head of another bundle, or labels in another order,
show here alone.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from export.contracts import read_classifier
from export.errors import UserError as ExportError
from parity_tests.budgets import Budgets
from parity_tests.compare import compare, wrong
from parity_tests.errors import UserError
from parity_tests.measures import Measures
from parity_tests.row import Row, short
from parity_tests.runners import NodeSide
from parity_tests.runs import PROBABILITIES
from parity_tests.stages import LABEL
from parity_tests.words import undecided

GOLDEN = "golden"


def judge(backend: str, count: int, side: NodeSide, out: Path, budgets: Budgets) -> list[Row]:
    """A row for the probabilities and one for the labels; none where the head keeps no answers.

    At most `count` texts are asked about, the shortest, for the slow backends.

    Raises:
        UserError: `classifier.json` is not what train.js writes.
    """
    assert side.classifier is not None, "there is a head to judge"
    try:
        description = read_classifier(side.classifier)
    except ExportError as error:
        raise UserError(str(error)) from None
    golden = sorted(description.get("golden", []), key=length)[:count]
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
    numbers = Row(backend, GOLDEN, PROBABILITIES, budgets.of(PROBABILITIES))
    words = Row(backend, GOLDEN, LABEL, budgets.of(LABEL))
    got = node.batches["added", 0][PROBABILITIES]
    if got.shape != expected.shape:
        shapes = (list(got.shape), list(expected.shape))
        numbers.fail(wrong("shape", *shapes, f"{backend}, golden answers"), set())
    for i, said in enumerate(node.labels["added", 0]):
        where = f"{backend}, golden text {i} “{short(texts[i][0])}”"
        words.take(i, Measures(compared=1))
        if said != labels[i] and not undecided(expected[i], numbers.budget):
            words.fail(wrong("values", repr(said), repr(labels[i]), f"label, {where}"), {i})
        if got.shape == expected.shape:
            found = compare(got[i], expected[i], numbers.budget, f"probabilities, {where}")
            numbers.take(i, found.measures)
            if found.problem is not None:
                numbers.fail(found.problem, {i})
    for row in (numbers, words):
        row.status = "drift" if row.problems else "pass"
    if numbers.problems and words.problems:
        words.status = "downstream"
    return [numbers, words]


def length(golden: dict[str, Any]) -> int:
    """Of a golden text, or of its pair."""
    return sum(len(golden.get(name, "")) for name in ("text", "sentence1", "sentence2"))
