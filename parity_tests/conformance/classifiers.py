"""Rows of fine-tuned classifiers: a publisher's own code answers 1,000 texts, and so does Node.

As in published.py a script makes and saves a small model. It is exported as a person would do it,
and Node's side is the command that people call: `predict.js` on the bundle.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from parity_tests.conformance.classifier_answers import (
    ClassifierReference,
    compare_decisions,
    find_uniform_answers,
)
from parity_tests.conformance.published import (
    BACKENDS,
    BERT,
    TF_TEXT,
    PublishedModel,
    export_published,
    find_different_ids,
    run_publisher,
)
from parity_tests.conformance.publishers.cases import write_cases
from parity_tests.conformance.publishers.reference import pad_rows
from parity_tests.conformance.rows import MIB, ConformanceRow
from parity_tests.conformance.texts import classifier_cases, classifier_vocab
from parity_tests.runners.measure import MeasuredRun, run_measured
from support import ROOT
from support.contracts import read_bundle
from support.node import find_node

NODE = ROOT / "node_bridge"
CPU_TEXTS = 200
"""On cpu a text takes 30 times as long as on wasm, 0.2 s."""
LABELS = ("--labels", "{work}/labels.txt")


@dataclass(frozen=True)
class PublishedClassifier(PublishedModel):
    """One classifier of a publisher; `cpu_texts`: how many texts cpu answers, the first ones."""

    cpu_texts: int = CPU_TEXTS


def published_classifiers() -> list[PublishedClassifier]:
    """Returns all of them."""
    transformers, keras_hub = "transformers_classifiers", "keras_hub_classifiers"
    single_label = ("bert_sequence", "albert_sequence", "electra_sequence")
    texts = (*single_label, "electra_multi_label", "albert_regression")
    tokens = ("bert_token", "albert_token", "electra_token")
    return [
        *(PublishedClassifier(transformers, name, "judge", checkpoint=True) for name in texts),
        *(
            PublishedClassifier(transformers, name, "judge", checkpoint=True, pairs=False)
            for name in tokens
        ),
        # It has the size of a real model.
        PublishedClassifier(
            transformers, "minilm_sequence", "judge", checkpoint=True, pairs=False, cpu_texts=16
        ),
        *(
            PublishedClassifier(
                "google_classifiers",
                name,
                "publishers_python",
                checkpoint=True,
                options=BERT + LABELS,
            )
            for name in ("bert_classifier", "albert_classifier", "albert_regression")
        ),
        *(
            PublishedClassifier(
                keras_hub,
                f"{name}_text_classifier",
                "publishers_python",
                options=(*TF_TEXT, *LABELS, "--task", task, "--output", f"{role}=output_0"),
            )
            for name, task, role in (
                ("bert", "single-label", "logits"),
                ("albert", "multi-label", "probabilities"),
            )
        ),
    ]


def conform_classifier(model: PublishedClassifier, interpreter: Path, work: Path) -> ConformanceRow:
    """Runs, exports and compares one publisher's classifier.

    Args:
        model: to run.
        interpreter: a Python that can run its script.
        work: a directory to work in.
    """
    directory = work / "classifier"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    row = ConformanceRow(model.name, [], "named", "publisher")
    cases = classifier_cases(model.pairs)
    try:
        write_cases(directory, cases, classifier_vocab(cases))
        row.said = (
            run_publisher(row, model, interpreter, directory)
            or export_published(row, model, directory)
            or _compare_with_node(row, model, cases, directory)
        )
    finally:
        shutil.rmtree(directory)
    row.ok = not row.said
    return row


def _compare_with_node(
    row: ConformanceRow, model: PublishedClassifier, cases: list[dict[str, str]], directory: Path
) -> str:
    """Runs the texts in Node on each backend; returns what differs, or "".

    Args:
        row: gets the figures.
        model: that runs.
        cases: the texts.
        directory: has the bundle and what the publisher's script wrote.
    """
    bundle, tensors = directory / "bundle", load_file(directory / "reference.safetensors")
    answers = json.loads((directory / "answers.json").read_text("utf-8"))
    row.parameters_mib = sum(f.stat().st_size for f in bundle.glob("*.bin")) / MIB
    decides = read_bundle(bundle)["classifier"]
    if decides is None or decides["task"] != answers["task"]:
        return f"the bundle decides {decides and decides['task']}, expected {answers['task']}"
    problem = find_uniform_answers(ClassifierReference.read(answers, tensors, cases))
    if problem:
        return problem
    stdin = directory / "cases.jsonl"
    done = _run_in_node("tokenize.js", ["--bundle", bundle], stdin)
    if done.code != 0:
        return f"tokenize.js: {done.last_error_line}"
    ids = [(line["ids"], [0] * len(line["ids"])) for line in _read_lines(done.stdout)]
    differing = find_different_ids(tensors, pad_rows(ids))
    if differing:
        return differing
    problems = []
    for backend in BACKENDS:
        some = cases[: model.cpu_texts] if backend == "cpu" else cases
        lines = stdin.read_text("utf-8").split("\n")[: len(some)]
        texts = directory / f"{backend}.jsonl"
        texts.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        options = ["--model", bundle, "--backend", backend]
        done = _run_in_node("predict.js", options, texts)
        row.node_peak_mib = max(row.node_peak_mib or 0.0, done.peak_bytes / MIB)
        if done.code != 0:
            return f"{backend}: {done.last_error_line}"
        reference = ClassifierReference.read(answers, tensors, some)
        problem = compare_decisions(row, backend, reference, _read_lines(done.stdout))
        if problem:
            problems.append(f"{backend}: {problem}")
    return "; ".join(problems)


def _run_in_node(script: str, options: list[Any], stdin: Path) -> MeasuredRun:
    """Runs a command of node_bridge/ on JSON lines."""
    command = [find_node(), str(NODE / script), *map(str, options), "--jsonl"]
    return run_measured(command, stdin.with_suffix(""), stdin=stdin)


def _read_lines(output: str) -> list[dict[str, Any]]:
    r"""Reads the JSON lines that a command wrote; only \n ends a line."""
    return [json.loads(line) for line in output.split("\n") if line]
