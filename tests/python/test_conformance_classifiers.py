"""The comparison of fine-tuned classifiers can fail, and its texts are what they are said to be.

The answers of both sides are made by hand; the publishers' packages are not needed.
"""

from __future__ import annotations

import copy
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity_tests.conformance.classifier_answers import (
    ClassifierReference,
    compare_decisions,
    find_uniform_answers,
)
from parity_tests.conformance.classifiers import conform_classifier, published_classifiers
from parity_tests.conformance.publishers import reference
from parity_tests.conformance.rows import ConformanceRow, row_cells
from parity_tests.conformance.texts import COUNT, PAIR_COUNT, classifier_cases, classifier_vocab

Answers = list[dict[str, Any]]
TEXTS = ["张三😀住在北京", "好", "北京很大", ""]
LABELS = {
    "single_label": ["坏", "一般", "好"],
    "multi_label": ["房间", "服务"],
    "regression": ["评分"],
    "token_labels": ["O", "B-地点", "I-地点"],
}
# float64[texts, labels], or of tokens float64[tokens, labels].
NUMBERS = {
    "single_label": [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.3, 0.3 - 1e-7, 0.4], [0.5, 0.4, 0.1]],
    "multi_label": [[0.9, 0.2], [0.3, 0.8], [0.6, 0.5 + 1e-8], [0.1, 0.4]],
    "regression": [[0.5], [-1.25], [3.0], [0.0]],
    "token_labels": [
        *[[0.8, 0.1, 0.1]] * 5,
        [0.1, 0.8, 0.1],
        [0.1, 0.2, 0.7],
        [0.9, 0.05, 0.05],
        [0.1, 0.6, 0.3],
        [0.2, 0.1, 0.7],
        [0.6, 0.2, 0.2],
        [0.7, 0.2, 0.1],
    ],
}
ROUNDING = 1e-6
WHOLE = {"single_label": 4, "multi_label": 8, "regression": 0, "token_labels": 12}


def places(units: bool) -> Answers:
    """Returns the tokens and spans of TEXTS, one token a character; `units`: in UTF-16 units."""
    answers, rows = [], iter(NUMBERS["token_labels"])
    for text in TEXTS:
        ends = [len(text[:n].encode("utf-16-le")) // 2 if units else n for n in range(9)]
        tokens: Answers = []
        for at, _ in enumerate(text):
            row = next(rows)
            label = LABELS["token_labels"][int(np.argmax(row))]
            token = {"label": label, "start": ends[at], "end": ends[at + 1]}
            tokens.append(token | ({"probability": max(row)} if units else {}))
        where = text.find("北京")
        spans = [{"label": "地点", "start": ends[where], "end": ends[where + 2]}]
        answers.append({"tokens": tokens, "spans": spans if where >= 0 else []})
    return answers


def make_sides(task: str) -> tuple[ClassifierReference, Answers]:
    """Returns a publisher's reference, and equal answers of Node."""
    labels, exact = LABELS[task], np.array(NUMBERS[task])
    ours: Answers
    if task == "token_labels":
        theirs, ours = places(units=False), places(units=True)
    else:
        named = [dict(zip(labels, row, strict=True)) for row in exact.tolist()]
        if task == "regression":
            theirs, ours = [{} for _ in named], [{"values": row} for row in named]
        elif task == "multi_label":
            theirs = [{"labels": [x for x in labels if row[x] >= 0.5]} for row in named]
            ours = [a | {"probabilities": row} for a, row in zip(theirs, named, strict=True)]
        else:
            theirs = [{"label": max(labels, key=row.__getitem__)} for row in named]
            ours = [a | {"probabilities": row} for a, row in zip(theirs, named, strict=True)]
    single = (exact + ROUNDING).astype(np.float32)
    rounding = float(np.max(np.abs(single - exact)))
    sides = ClassifierReference(task, labels, theirs, TEXTS, single, exact, rounding)
    return sides, copy.deepcopy(ours)


def name_numbers(row: np.ndarray) -> dict[str, float]:
    """Returns the probabilities of one text as `predict.js` writes them."""
    return dict(zip(LABELS["single_label"], row.tolist(), strict=True))


def said_of(theirs: ClassifierReference, ours: Answers) -> tuple[str, ConformanceRow]:
    row = ConformanceRow("toy", [], "named", "publisher")
    return compare_decisions(row, "wasm", theirs, ours), row


@pytest.mark.parametrize("task", LABELS)
def test_equal_answers_conform(task: str) -> None:
    said, row = said_of(*make_sides(task))
    assert said == ""
    assert (row.decisions["wasm"].texts, row.decisions["wasm"].flipped) == (WHOLE[task], 0)
    assert row.max_abs["probabilities, wasm against float64"] == 0.0
    assert 4e-6 < (row.budget or 0.0) < 6e-6
    row.ok = True
    shown = f"ok, 0 of {WHOLE[task]} labels differ" if WHOLE[task] else "ok"
    assert row_cells(row)[-1] == shown


def test_a_flipped_label_fails() -> None:
    theirs, ours = make_sides("single_label")
    ours[1]["label"] = "坏"
    said, row = said_of(theirs, ours)
    assert said.startswith(
        "text 1: got the label '坏', expected '一般'; in float64 it is '一般' by"
    )
    assert row.decisions["wasm"].margins_of_flipped == [pytest.approx(0.3)]

    theirs, ours = make_sides("multi_label")
    ours[0]["labels"] = ["房间", "服务"]
    assert "text 0: got the label '服务', expected ''" in said_of(theirs, ours)[0]

    theirs, ours = make_sides("token_labels")
    ours[2]["tokens"][0]["label"] = "O"
    ours[2]["tokens"][0]["probability"] = 0.1
    assert "text 2: got the label 'O', expected 'B-地点'" in said_of(theirs, ours)[0]


def test_a_label_of_the_publisher_must_follow_from_its_numbers() -> None:
    theirs, ours = make_sides("single_label")
    theirs.answers[1]["label"] = ours[1]["label"] = "好"
    assert "in float64 it is '一般'" in said_of(theirs, ours)[0]


def test_a_flip_that_float32_cannot_decide_is_counted_and_allowed() -> None:
    theirs, ours = make_sides("single_label")
    theirs.exact[2] = [0.4 - 1e-7, 0.2, 0.4 + 1e-7]
    theirs.single[2] = theirs.exact[2]
    ours[2] = {"label": "坏", "probabilities": name_numbers(theirs.exact[2])}
    said, row = said_of(theirs, ours)
    assert said == ""
    assert row.decisions["wasm"].margins_of_flipped == [pytest.approx(2e-7)]
    row.ok = True
    assert row_cells(row)[-1] == "ok, 1 of 4 labels differ"

    theirs, ours = make_sides("multi_label")
    ours[2]["labels"] = ["房间"]
    said, row = said_of(theirs, ours)
    assert said == "" and row.decisions["wasm"].flipped == 1


@pytest.mark.parametrize("task", LABELS)
@pytest.mark.parametrize("moved", [1e-5, float("nan")])
def test_a_moved_number_fails(task: str, moved: float) -> None:
    theirs, ours = make_sides(task)
    if task == "token_labels":
        ours[0]["tokens"][3]["probability"] += moved
    else:
        numbers = ours[1]["values" if task == "regression" else "probabilities"]
        numbers[LABELS[task][0]] += moved
    assert "from float64, expected at most 5" in said_of(theirs, ours)[0]


@pytest.mark.parametrize("task", LABELS)
def test_missing_answers_fail(task: str) -> None:
    theirs, ours = make_sides(task)
    assert said_of(theirs, ours[:-1])[0] == "got 3 answers, expected 4"
    assert said_of(theirs, [])[0] == "got 0 answers, expected 4"
    ours[3] = {"line": 4, "error": "broken"}
    assert said_of(theirs, ours)[0].startswith("text 3: got line, error, expected ")


def test_other_labels_and_other_tokens_fail() -> None:
    theirs, ours = make_sides("single_label")
    ours[0]["probabilities"] = dict(reversed(ours[0]["probabilities"].items()))
    assert said_of(theirs, ours)[0] == "text 0: got the labels 好, 一般, 坏, expected 坏, 一般, 好"
    theirs, ours = make_sides("token_labels")
    del ours[2]["tokens"][-1]
    assert said_of(theirs, ours)[0] == "text 2: got 3 tokens, expected 4"


def test_other_places_fail() -> None:
    """Both sides count differently: an emoji is one code point and two UTF-16 units."""
    theirs, ours = make_sides("token_labels")
    assert ours[0]["spans"] == [{"label": "地点", "start": 6, "end": 8}]
    ours[0]["tokens"][3]["start"] -= 1
    said = said_of(theirs, ours)[0]
    assert said == "tokens of text 0: got ('O', 3, 5), expected ('O', 4, 5)"
    theirs, ours = make_sides("token_labels")
    ours[0]["spans"] = []
    assert said_of(theirs, ours)[0] == "spans of text 0: got none, expected ('地点', 6, 8)"


@pytest.mark.parametrize("task", LABELS)
def test_labels_that_vary_prove_something(task: str) -> None:
    assert find_uniform_answers(make_sides(task)[0]) == ""


def test_labels_that_hardly_vary_prove_nothing() -> None:
    theirs, _ = make_sides("single_label")
    for answer in theirs.answers:
        answer["label"] = "坏"
    said = "the reference gives the label '坏' in 4 of 4 decisions, so they prove nothing"
    assert find_uniform_answers(theirs) == said

    theirs, _ = make_sides("multi_label")
    for answer in theirs.answers:
        answer["labels"] = ["房间", *(name for name in answer["labels"] if name == "服务")]
    assert "the label '房间' in 4 of 4 decisions" in find_uniform_answers(theirs)
    for answer in theirs.answers:
        answer["labels"] = []
    assert "the label '' in 4 of 4 decisions" in find_uniform_answers(theirs)

    theirs, _ = make_sides("token_labels")
    for answer in theirs.answers:
        for token in answer["tokens"]:
            token["label"] = "O"
    assert "the label 'O' in 12 of 12 decisions" in find_uniform_answers(theirs)

    theirs, _ = make_sides("regression")
    theirs.exact[:] = 0.5
    said = "the reference's numbers vary by 0 alone, so they prove nothing"
    assert find_uniform_answers(theirs) == said


def test_a_reference_is_cut_to_the_texts_that_ran(tmp_path: Path) -> None:
    """[CLS], [SEP] and padding are no tokens."""
    inputs = reference.pad_rows([([2, 5, 6, 3], [0] * 4), ([2, 5, 3], [0] * 3), ([2, 3], [0] * 2)])
    numbers = np.arange(24.0).reshape(3, 4, 2)
    tensors = inputs | {"probabilities": numbers.astype(np.float32)}
    tensors["probabilities.float64"] = numbers
    reference.write_answers(tmp_path, "token_labels", ["O", "X"], [{"tokens": []}] * 3)
    answers = json.loads((tmp_path / "answers.json").read_text("utf-8"))
    read = ClassifierReference.read(answers, tensors, [{"text": "好书"}, {"text": "好"}])
    np.testing.assert_array_equal(read.exact, [[2, 3], [4, 5], [10, 11]])
    assert read.texts == ["好书", "好"] and len(read.answers) == 2
    # Rounding is measured on all texts.
    tensors["probabilities"][0, 2, 1] += np.float32(0.5)
    assert ClassifierReference.read(answers, tensors, [{"text": "好书"}]).rounding == 0.5


@pytest.mark.parametrize("of_tokens", [False, True])
def test_batches_give_each_text_its_own_scores(of_tokens: bool) -> None:
    """A run of toy scores: the sum of the ids, or each id; padding is never run."""
    lengths = np.random.default_rng(5).permutation(2 * reference.BATCH + 7) + 1
    inputs = reference.pad_rows([(range(1, n + 1), [0] * n) for n in lengths.tolist()])
    widths = []

    def run(batch: dict[str, np.ndarray]) -> np.ndarray:
        widths.append(batch["input_ids"].shape)
        ids = batch["input_ids"].astype(np.float64)
        return ids[:, :, None] if of_tokens else ids.sum(axis=1, keepdims=True)

    scores = reference.run_in_batches(run, inputs)
    expected = inputs["input_ids"].astype(np.float64)
    np.testing.assert_array_equal(scores[..., 0], expected if of_tokens else expected.sum(axis=1))
    assert widths == [(50, 50), (50, 100), (7, 107)]


def test_a_spread_head_gives_each_label_to_some_texts() -> None:
    generator = np.random.default_rng(3)
    hidden = generator.normal(5.0, 0.01, (200, 8))
    kernel, bias = generator.normal(0.0, 1.0, (3, 8)), np.array([9.0, 0.0, 0.0])
    assert len(set((hidden @ kernel.T + bias).argmax(axis=1))) == 1
    moved, shift = reference.spread_scores(kernel, bias, hidden @ kernel.T + bias)
    scores = hidden @ moved.T + shift
    np.testing.assert_allclose(scores.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(scores.std(axis=0), reference.SPREAD)
    assert min(Counter(scores.argmax(axis=1).tolist()).values()) > 20


@pytest.mark.parametrize("pairs", [False, True])
def test_the_thousand_texts_are_of_every_kind(pairs: bool) -> None:
    cases = classifier_cases(pairs)
    assert len(cases) == COUNT == 1000
    assert cases == classifier_cases(pairs)
    assert sum("sentence2" in case for case in cases) == (PAIR_COUNT if pairs else 0)
    texts = [case.get("text", case.get("sentence1", "")) for case in cases]
    assert len(set(texts)) > 990
    assert {"", " ", "。", "😀"} <= set(texts)
    everything = "".join(texts)
    assert all(sign in everything for sign in "這賣開門見👍🏽é，Ａ")
    assert sum(len(text) > reference.LONGEST_REVIEW for text in texts) > 30
    assert sum("個" in text or "這" in text for text in texts) > 30
    labels = Counter(case["label"] for case in cases if "label" in case)
    assert min(labels["0"], labels["1"]) > 300
    tokens = classifier_vocab(cases)
    assert len(tokens) == len(set(tokens)) and 1000 < len(tokens) < 4000
    known = set(tokens)
    rare = {c for text in texts for c in text if c.isprintable() and not c.isspace()} - known
    assert rare, "some characters are [UNK]"


def test_a_script_that_fails_is_a_failed_row(tmp_path: Path) -> None:
    """This Python has no torch."""
    (model,) = (m for m in published_classifiers() if m.name == "transformers/bert_sequence")
    row = conform_classifier(model, Path(sys.executable), tmp_path)
    assert not row.ok and "transformers_classifiers: " in row.said
    assert list(tmp_path.iterdir()) == []
