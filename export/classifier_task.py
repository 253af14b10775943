"""What a model with a head decides: the rules that make it of a task, and the file that carries it.

`build` writes the file into the SavedModel's assets, as it does with the tokenizer's files. `model`
reads it there and writes the same entry into `bundle.json`, under `classifier`.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from export.bundle import ClassifierContract
from support import contracts
from support.errors import UserError
from support.input_files import read_json

TASK_FILE = "assets/bert-bridge-task.json"
TASKS = ("single_label", "multi_label", "regression", "token_labels")
"""The tasks of the contract; options and messages have `-` for `_`."""
LOGITS, PROBABILITIES = "logits", "probabilities"
"""The roles of an output with scores; of a model that has both, the logits count."""
ACTIVATIONS = {"multi_label": "sigmoid", "regression": "none"}
"""What makes probabilities of a task's logits; `softmax` for the other tasks."""
THRESHOLD = 0.5
"""The least probability of a label of `multi_label`, as in transformers and Keras."""
# How the labels of a span's tokens begin: B (its first token), I (inside), E (its last), S (its
# only one); what follows is the span's kind. O is no span. The first scheme that fits counts. Some
# older models have no B where no two spans meet, which reads as BIO too. Labels without a kind,
# such as a word segmenter's B and I, fit none.
SCHEMES = {"BIO": re.compile(r"O|[BI]-.+"), "BIOES": re.compile(r"O|[BIES]-.+")}


def make_classifier(
    task: str, output: str, role: str, labels: Sequence[str], threshold: float | None = None
) -> ClassifierContract:
    """Returns what a model decides.

    Args:
        task: one of TASKS.
        output: the name of the output with the scores.
        role: the output's role, LOGITS or PROBABILITIES.
        labels: in the order of the scores.
        threshold: of `multi_label`; None: THRESHOLD.
    """
    activation = "none" if role == PROBABILITIES else ACTIVATIONS.get(task, "softmax")
    return ClassifierContract(
        task=task,
        output=output,
        activation=activation,
        labels=list(labels),
        threshold=(THRESHOLD if threshold is None else threshold)
        if task == "multi_label"
        else None,
        scheme=_find_scheme(labels) if task == "token_labels" else None,
    )


def _find_scheme(labels: Sequence[str]) -> str:
    """Returns how labels of tokens make spans.

    >>> [_find_scheme(labels) for labels in (["O", "B-LOC", "I-LOC"], ["B-LOC", "S-LOC"], ["noun"])]
    ['BIO', 'BIOES', 'none']
    """
    fitting = (name for name, form in SCHEMES.items() if all(map(form.fullmatch, labels)))
    return next(fitting, "none")


def check_classifier(classifier: ClassifierContract, where: str, advice: str) -> ClassifierContract:
    """Returns what a model decides, if the contract can hold it.

    Args:
        classifier: what it decides.
        where: the file or the option that says so, for messages.
        advice: how to fix it, for messages.

    Raises:
        UserError: a label is empty, too long or has control characters, two labels are equal, or
            the task needs more labels.
    """
    labels = classifier.labels
    # The schema says the same two things, in lines that quote all labels.
    if len(set(labels)) < len(labels):
        twice = Counter(labels).most_common(1)[0][0]
        raise UserError(f"{where}: got the label {twice!r} twice, expected each once; {advice}")
    if len(labels) < 2 and classifier.task in ("single_label", "token_labels"):
        raise UserError(
            f"{where}: got {len(labels)} label, expected 2 or more for the task "
            f"{shown_task(classifier.task)}; {advice}"
        )
    contracts.check_classifier(classifier.document(), where, advice)
    return classifier


def shown_task(task: str) -> str:
    """Returns a task as options and messages have it."""
    return task.replace("_", "-")


def describe_classifier(classifier: ClassifierContract) -> str:
    """Describes what a model decides in one line."""
    shown = ", ".join(classifier.labels[:5]) + (", …" if len(classifier.labels) > 5 else "")
    facts = [f"{len(classifier.labels)} labels ({shown})", f"activation {classifier.activation}"]
    if classifier.threshold is not None:
        facts.append(f"threshold {classifier.threshold}")
    if classifier.scheme is not None:
        facts.append(f"scheme {classifier.scheme}")
    return f"{shown_task(classifier.task)} of {classifier.output}: {', '.join(facts)}"


def write_task(saved_model: Path, classifier: ClassifierContract) -> None:
    """Writes what a model decides to its assets."""
    file = saved_model / TASK_FILE
    file.parent.mkdir(exist_ok=True)
    text = json.dumps(classifier.document(), ensure_ascii=False, indent=2)
    file.write_text(text + "\n", encoding="utf-8")


def read_task(saved_model: Path) -> ClassifierContract | None:
    """Reads what a model decides from its assets; None if they do not say it.

    Raises:
        UserError: the file is damaged.
    """
    file = saved_model / TASK_FILE
    if not file.is_file():
        return None
    advice = "build the SavedModel again"
    document = read_json(file, "the file that `build` wrote", contracts.refuse_constant)
    contracts.check_classifier(document, str(file), advice)
    return check_classifier(ClassifierContract(**document), str(file), advice)
