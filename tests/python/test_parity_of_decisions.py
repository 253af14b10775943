"""Parity of fine-tuned classifiers, down to the label.

Each fault is one that people make: labels in another order, a forgotten activation, a row of the
head in the place of another.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from export.__main__ import main as export
from export.tokenizer import TokenizerSpec
from parity_tests import cases
from parity_tests.judgement import judge_bundle
from parity_tests.provenance import Contract
from parity_tests.reference import Reference, prepare_reference
from parity_tests.reports.report import ParityReport
from parity_tests.runners.tokenizer_source import TokenizerSource
from support import ROOT
from support.node import find_node
from tests.python import publishers
from tests.python.resealing import edit_json, reseal
from tests.python.test_heads import with_head
from tests.python.test_parity_of_models import TEXTS, TOKENS

BACKENDS = {"wasm": 8}


@dataclass(frozen=True)
class Classifier:
    """A fine-tuned classifier: its SavedModel, its bundle, and Python's side of it."""

    model: Path
    bundle: Path
    reference: Reference

    def judged(self, bundle: Path, out: Path) -> ParityReport:
        """Judges a bundle of this model."""
        return judge_bundle(bundle, self.reference, BACKENDS, out)


KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "single_label": ("bert", "Sequence", {"id2label": {"0": "坏", "1": "一般", "2": "好"}}),
    "multi_label": ("electra", "Sequence", {"problem_type": "multi_label_classification"}),
    "regression": ("albert", "Sequence", {"problem_type": "regression"}),
    "token_labels": ("bert", "Token", {"id2label": {"0": "O", "1": "B-LOC", "2": "I-LOC"}}),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("decisions")


def make_classifier(place: Path, task: str) -> Classifier:
    """Builds a checkpoint with a head, exports it, and runs Python's side."""
    family, kind, config = KINDS[task]
    made = with_head(family, kind, **config)
    heads = {name: made.arrays[name] for name in made.arrays if name.startswith("classifier")}
    made.config |= {"vocab_size": len(TOKENS), "layer_norm_eps": 1e-12}
    made.arrays.clear()
    publishers.add_random_arrays(made, np.random.default_rng(7))
    made.arrays |= heads
    source, model, bundle = (place / f"{task}.{end}" for end in ("checkpoint", "model", "bundle"))
    made.write(source)
    vocab = source / "vocab.txt"
    vocab.write_text("".join(f"{token}\n" for token in TOKENS), "utf-8", newline="\n")
    assert export(["build", str(source), "--out", str(model)]) == 0
    options = ["--vocab", str(vocab), "--tokenizer", "bert", "--cased"]
    assert export(["model", str(model), "--out", str(bundle), *options]) == 0
    file = place / f"{task}.jsonl"
    pairs = Contract.read(bundle).has_input("token_type_ids")
    picked = cases.pick_cases([cases.Text(text) for text in TEXTS], 8, pairs=pairs)
    cases.write_cases(file, picked)
    tokenizer = TokenizerSource(vocab=vocab, spec=TokenizerSpec("bert", lower_case=False))
    out = place / f"{task}.reference"
    reference = prepare_reference(model, tokenizer, file, out, bundle / "bundle.json")
    return Classifier(model, bundle, reference)


@pytest.mark.parametrize("task", KINDS)
def test_parity_holds_down_to_the_decision(task: str, place: Path, tmp_path: Path) -> None:
    found = make_classifier(place, task)
    report = found.judged(found.bundle, tmp_path / "out")
    assert (report.verdict, report.failures) == ("pass", [])
    rows = {(row.special_tokens, row.stage): row for row in report.rows}
    assert rows["added", "probabilities"].compared > 0
    assert rows["added", "probabilities"].budget.atol < 1e-3
    if task == "regression":
        assert ("added", "label") not in rows
        return
    decisions = rows["added", "label"].decisions
    assert decisions is not None
    texts = len(report.cases)
    expected = {"single_label": texts, "multi_label": 3 * texts}
    if task == "token_labels":
        expected[task] = sum(
            int(batch["attention_mask"].sum())
            for (special, _), batch in found.reference.run.batches.items()
            if special == "added"
        )
    assert decisions.texts == expected[task]


@pytest.fixture(scope="module")
def single(place: Path) -> Classifier:
    return make_classifier(place, "single_label")


def reversed_labels(bundle: Path) -> None:
    edit_json(bundle / "bundle.json", lambda c: c["classifier"]["labels"].reverse())


def no_activation(bundle: Path) -> None:
    edit_json(bundle / "bundle.json", lambda c: c["classifier"].update(activation="none"))


def no_classifier(bundle: Path) -> None:
    edit_json(bundle / "bundle.json", lambda c: c.update(classifier=None))


@pytest.mark.parametrize("change", [reversed_labels, no_activation, no_classifier])
def test_a_contract_that_decides_otherwise_is_found(
    change: Callable[[Path], None], single: Classifier, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(single.bundle, tmp_path / "bundle"))
    change(bundle)
    reseal(bundle)
    report = single.judged(bundle, tmp_path / "out")
    assert (report.verdict, report.first_stage_off) == ("drift", "contract")
    assert "[classifier" in report.stored_parts["contract"].failures[0]


def test_verify_finds_another_label_map_without_python(single: Classifier, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(single.bundle, tmp_path / "bundle"))
    command = [find_node(), str(ROOT / "node_bridge" / "verify.js"), "--bundle", str(bundle)]
    right = subprocess.run(command, capture_output=True, text=True, check=False)
    assert right.returncode == 0, right.stderr
    assert "decides single_label by softmax of logits: 3 labels (坏, 一般, 好)" in right.stdout
    reversed_labels(bundle)
    wrong = subprocess.run(command, capture_output=True, text=True, check=False)
    assert wrong.returncode == 1
    assert "max_length, tokenizer or classifier" in wrong.stdout


def test_a_row_of_the_head_in_the_place_of_another_is_found(
    single: Classifier, place: Path, tmp_path: Path
) -> None:
    """The bundle is of the same checkpoint with two rows of the head swapped."""
    source = Path(shutil.copytree(place / "single_label.checkpoint", tmp_path / "checkpoint"))
    weights = load_file(source / "model.safetensors")
    weights["classifier.weight"] = weights["classifier.weight"][[1, 0, 2]]
    weights["classifier.bias"] = weights["classifier.bias"][[1, 0, 2]]
    save_file(weights, source / "model.safetensors")
    model, bundle = tmp_path / "model", tmp_path / "bundle"
    assert export(["build", str(source), "--out", str(model)]) == 0
    options = ["--vocab", str(source / "vocab.txt"), "--tokenizer", "bert", "--cased"]
    assert export(["model", str(model), "--out", str(bundle), *options]) == 0
    report = single.judged(bundle, tmp_path / "out")
    assert (report.verdict, report.first_stage_off) == ("drift", "weights")
    message = json.dumps(report.stored_parts["weights"].failures)
    assert "classifier" in message
    stages = {row.stage for row in report.rows if row.status == "drift"}
    assert "logits" in stages
