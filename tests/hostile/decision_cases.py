"""Bundles that decide by themselves: spoilt entries `classifier` of a contract, and odd labels."""

import copy
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.hostile import contracts
from tests.hostile.case import HostileCase
from tests.hostile.contract_cases import by_verify, in_python, write_contract
from tests.hostile.deciding import (
    DECISIONS,
    MULTI,
    REGRESSION,
    SINGLE,
    TOKENS,
    Decision,
    decide,
    write_deciding_bundle,
)  # fmt: skip
from tests.hostile.mutations import mutations

OTHER_TASK = 3
"""The stride of the mutations of the tasks after the first: most are equal."""
MANY = 100_000
"""Labels of a model that runs, within a test's time."""
MOST = 1_000_000
"""As many labels as a contract may have."""
ODD_LABELS = {
    "names of objects": ["__proto__", "constructor", "toString", "hasOwnProperty"],
    "labels that are numbers": ["1", "0", "-1", "1e999"],
    "labels in HTML": ["</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>"],
    "labels of a log": ["::error::x", "##[error]x", "a\\nb"],
    "long labels": ["x" * 1000, "y" * 1000],
    "labels of spaces": [" ", "  ", "\u3000"],
}


def contract_of(decision: Decision, change: Callable[[dict[str, Any]], Any] | None = None) -> str:
    """Returns the contract of a model that decides, as JSON.

    Args:
        decision: its `classifier`.
        change: changes the whole contract.
    """
    document = copy.deepcopy(contracts.bundle_contract())
    shape = ["batch", "sequence", len(decision["labels"])]
    shape = shape if decision["task"] == "token_labels" else ["batch", shape[-1]]
    logits = {"name": "logits", "role": "logits", "dtype": "float32", "shape": shape}
    document["outputs"].append(logits)
    document["classifier"] = copy.deepcopy(decide(decision))
    if change is not None:
        change(document)
    return json.dumps(document)


def predict(directory: Path, *texts: str) -> list[str]:
    """Returns the command that answers a text."""
    words = ["node", "node_bridge/predict.js", "--model", str(directory), "--backend", "cpu"]
    return [*words, *(texts or ("好",))]


def evaluate(directory: Path, data: Path, *more: str) -> list[str]:
    """Returns the command that evaluates on a file."""
    words = ["node", "node_bridge/evaluate.js", "--model", str(directory), "--data", str(data)]
    return [*words, "--backend", "cpu", "--workers", "1", *more]


def evaluate_nothing(directory: Path) -> list[str]:
    """Returns the command that reads the contract, and then would read data."""
    return evaluate(directory, directory / "data")


def spoilt_decisions() -> Iterator[tuple[str, str]]:
    """Yields contracts whose `classifier` is wrong in itself or does not fit the outputs."""
    for task, decision in DECISIONS.items():
        document = json.loads(contract_of(decision))
        everything = frozenset((key,) for key in document if key != "classifier")
        spoilt = [one for one in mutations(document, everything) if one[0].startswith("classifier")]
        spoilt = [one for one in spoilt if not one[0].endswith("classifier is null")]
        for name, text in spoilt if decision is MULTI else spoilt[::OTHER_TASK]:
            yield f"{task}: {name}", text

    def of(decision: Decision, **changes: Any) -> str:
        return contract_of(decision, lambda c: c["classifier"].update(changes))

    def shaped(decision: Decision, *shape: Any) -> str:
        return contract_of(decision, lambda c: c["outputs"][-1].update(shape=list(shape)))

    yield "no labels", of(SINGLE, labels=[])
    yield "one label to choose from", of(SINGLE, labels=["a"])
    yield "a label twice", of(SINGLE, labels=["a", "a"])
    yield "a label that is no string", of(SINGLE, labels=["a", {"b": 1}])
    yield "three labels for two scores", of(SINGLE, labels=["a", "b", "c"])
    yield "an output that is not there", of(SINGLE, output="scores")
    yield "an output called __proto__", of(SINGLE, output="__proto__")
    yield "an output of tokens for texts", of(SINGLE, output="sequence_output")
    yield "an output of texts for tokens", of(TOKENS | {"labels": ["a", "b"]}, output="logits2")
    yield "scores without labels", shaped(SINGLE, "batch")
    yield "scores of a free width", shaped(SINGLE, "batch", "sequence")
    yield "scores of tokens for texts", shaped(SINGLE, "batch", "sequence", 2)
    yield "scores of texts for tokens", shaped(TOKENS, "batch", 3)
    yield "an unknown activation", of(SINGLE, activation="relu")
    yield "an activation called __proto__", of(SINGLE, activation="__proto__")
    yield "softmax of several labels", of(MULTI, activation="softmax")
    yield "sigmoid of one label", of(SINGLE, activation="sigmoid")
    yield "softmax of numbers", of(REGRESSION, activation="softmax")
    yield "an unknown task", of(SINGLE, task="generation")
    yield "a threshold of one label", of(SINGLE, threshold=0.5)
    yield "a threshold beyond 1", of(MULTI, threshold=1.5)
    yield "a scheme of texts", of(SINGLE, scheme="BIO")
    yield "an unknown scheme", of(TOKENS, scheme="IOB1")
    yield "no threshold", contract_of(MULTI, lambda c: c["classifier"].pop("threshold"))
    yield "no scheme", contract_of(TOKENS, lambda c: c["classifier"].pop("scheme"))
    yield "id2label beside", of(SINGLE, id2label={"__proto__": "a"})


def too_many_labels(directory: Path) -> list[str]:
    """Writes a contract with one label more than there may be; returns the command."""
    labels = [str(i) for i in range(MOST + 1)]
    return write_contract(contract_of(SINGLE | {"labels": labels}), predict, directory)


def as_many_labels_with_one_twice(directory: Path) -> list[str]:
    """Writes a contract with the most labels, of which one is there twice; returns the command."""
    labels = [str(i) for i in range(MOST - 1)]
    return write_contract(contract_of(SINGLE | {"labels": [*labels, "0"]}), predict, directory)


def many_labels(directory: Path) -> list[str]:
    """Writes a model with many labels, and data; returns the command that evaluates it."""
    labels = [f"l{i}" for i in range(MANY)]
    made = write_deciding_bundle(directory / "b", SINGLE | {"labels": labels})
    (directory / "data").write_text('{"text":"好","label":"l7"}\n' * 20, "utf-8")
    return evaluate(made, directory / "data", "--out", str(directory / "out"))


def odd_labels(labels: list[str], decision: Decision, directory: Path) -> list[str]:
    """Writes a model with odd labels, and data; returns the command that evaluates it."""
    made = write_deciding_bundle(directory / "b", decision | {"labels": labels})
    by_task: dict[str, list[dict[str, Any]]] = {
        "single_label": [{"text": "好", "label": label} for label in labels if label.strip()],
        "multi_label": [{"text": "好", "label": [label]} for label in labels if label.strip()],
        "regression": [{"text": "好", "label": dict.fromkeys(labels, 1.5)}],
        "token_labels": [{"text": "好", "spans": []}, {"tokens": ["好"], "tags": [labels[0]]}],
    }
    rows = by_task[decision["task"]] or [{"text": "好", "label": []}]
    (directory / "data").write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    return evaluate(made, directory / "data", "--out", str(directory / "out"))


def predict_odd_labels(labels: list[str], decision: Decision, directory: Path) -> list[str]:
    """Writes a model with odd labels; returns the command that answers texts with them."""
    return predict(write_deciding_bundle(directory / "b", decision | {"labels": labels}))


def other_width(width: int, decision: Decision, directory: Path) -> list[str]:
    """Writes a model that gives another number of scores than it says; returns the command."""
    return predict(write_deciding_bundle(directory / "b", decision, width=width))


def odd_score(score: float, decision: Decision, directory: Path) -> list[str]:
    """Writes a model with such scores; returns the command."""
    return predict(write_deciding_bundle(directory / "b", decision, score=score))


def page_is_safe(directory: Path) -> str:
    """Checks that a page of an evaluation has no element of a label, and nothing raw."""
    page = (directory / "out" / "evaluation.html").read_text("utf-8")
    found = [
        bad for bad in ("<script", "<img", "\x1b", "\u202e", "onerror=alert(1)>") if bad in page
    ]
    return f"evaluation.html has {found[0]!r}" if found else ""


def cases() -> Iterator[HostileCase]:
    """Yields spoilt contracts for Node and Python, and sound ones with odd labels and scores."""
    for number, (name, text) in enumerate(spoilt_decisions()):
        command = (predict, evaluate_nothing, by_verify)[number % 3]
        make = partial(write_contract, text, command)
        yield HostileCase(f"decision: {name}", make, says="bundle.json")
        if number % 8 == 0:
            make = partial(write_contract, text, in_python)
            yield HostileCase(f"decision, Python: {name}", make, says="bundle.json")
    yield HostileCase("decision: too many labels", too_many_labels, says="bundle.json")
    yield HostileCase(
        "decision: as many labels as there may be, one twice",
        as_many_labels_with_one_twice,
        says='the label "0" twice',
    )
    yield HostileCase("decision: many labels", many_labels, "survived", check=page_is_safe)
    for task, decision in DECISIONS.items():
        for name, labels in ODD_LABELS.items():
            make = partial(predict_odd_labels, labels, decision)
            yield HostileCase(f"decision: {name}, {task}, predicted", make, "survived")
            if decision is SINGLE and name == "labels of spaces":
                continue  # no text of a data file can have one
            make = partial(odd_labels, labels, decision)
            yield HostileCase(
                f"decision: {name}, {task}, evaluated", make, "survived", check=page_is_safe
            )
        width = len(decision["labels"])
        for other in (width - 1 or width + 2, width + 1, 10 * width):
            make = partial(other_width, other, decision)
            title = f"decision: {other} scores for {width} labels, {task}"
            yield HostileCase(title, make, "failed", says="got ")
        for score in (float("nan"), float("inf"), float("-inf")):
            make = partial(odd_score, score, decision)
            yield HostileCase(f"decision: scores of {score}, {task}", make, "failed", says="finite")
