"""Finds the head of a fine-tuned classifier in a checkpoint, and what it decides.

Sources: `BertForSequenceClassification`, `AlbertForSequenceClassification`,
`ElectraForSequenceClassification` (with its `ElectraClassificationHead`) and the three
`…ForTokenClassification` of huggingface/transformers, and the label names and the `problem_type` of
its `PretrainedConfig`; `create_model` of `run_classifier.py` of google-research/bert and of
google-research/albert. Dropout, which all have before a layer, does nothing in inference.
"""

import re
from dataclasses import replace
from typing import Any

from export.checkpoints.checkpoint import Checkpoint, ClassifierHead, Variables
from export.classifier_task import LOGITS, check_classifier, make_classifier
from support.errors import UserError
from support.input_files import require_integer, require_type, short_json

# transformers' `problem_type` → the task.
PROBLEMS = {
    "single_label_classification": "single_label",
    "multi_label_classification": "multi_label",
    "regression": "regression",
}
HEAD_CLASS = re.compile(r"(?:TF|Flax)?[A-Za-z]+?For(Sequence|Token)Classification")
CORRECT = "correct the config; `model --labels FILE` can give other names later"


def add_huggingface_head(
    checkpoint: Checkpoint, document: dict[str, Any], outer: str
) -> Checkpoint:
    """Adds the head of a Hugging Face checkpoint whose config names a class with one.

    Several classes call their heads `classifier`, so nothing but the class says what it takes.
    Without it the head is left out with a notice.

    Args:
        checkpoint: the checkpoint without its head.
        document: its `config.json`.
        outer: what stands before the encoder's own prefix: `module.` in `module.bert.`.

    Raises:
        UserError: see `_add_head`, `_huggingface_labels` and `_huggingface_task`.
    """
    where = checkpoint.config_file
    reported = document.get("architectures")
    classes = [str(name) for name in reported] if isinstance(reported, list) else []
    matches = map(HEAD_CLASS.fullmatch, classes)
    kind = next((match[1] for match in matches if match), None)
    scope = f"{outer}classifier"
    stored = sorted(name for name in checkpoint.variables.names if name.startswith(f"{scope}."))
    shown = f"{where}: architectures says {short_json(', '.join(classes) or None)}"
    if kind is None:
        expected = "…ForSequenceClassification or …ForTokenClassification"
        return _leave_out(checkpoint, stored, f"{shown}, expected {expected}")
    if not stored:
        notice = f"{shown}, but there is no {scope}.weight: the model gives no {LOGITS}"
        return replace(checkpoint, notices=[*checkpoint.notices, notice])
    # ELECTRA's own head on texts: its encoder has no pooler, its `pooled_output` is position 0.
    deep = checkpoint.config.architecture == "electra" and kind == "Sequence"
    scopes = [f"{scope}.dense", f"{scope}.out_proj"] if deep else [scope]
    layers = tuple((f"{one}.weight", f"{one}.bias") for one in scopes)
    count = _count_labels(checkpoint.variables, layers[-1][0])
    labels = _huggingface_labels(document, where, count)
    task = _huggingface_task(document, where, count) if kind == "Sequence" else "token_labels"
    on = "pooled_output" if kind == "Sequence" else "sequence_output"
    decides = make_classifier(task, LOGITS, LOGITS, labels)
    return _add_head(checkpoint, ClassifierHead(on, layers, decides), where)


def add_tf1_head(checkpoint: Checkpoint, root: str) -> Checkpoint:
    """Adds the head that `run_classifier.py` trains on the pooled output; `root` is its prefix.

    The checkpoint has no names of labels: they are numbers. One number alone is a regression.

    Raises:
        UserError: see `_add_head`.
    """
    layer = (f"{root}output_weights", f"{root}output_bias")
    where, names = checkpoint.variables.where, checkpoint.variables.names
    stored = [name for name in layer if name in names]
    if not stored:
        return checkpoint
    if checkpoint.config.architecture == "electra":
        # ELECTRA's own code has its heads under `task_specific/`.
        reason = "only run_classifier.py of BERT and ALBERT is known to train such a head"
        return _leave_out(checkpoint, stored, f"{where}: {reason}")
    count = _count_labels(checkpoint.variables, layer[0])
    task = "regression" if count == 1 else "single_label"
    decides = make_classifier(task, LOGITS, LOGITS, [str(number) for number in range(count)])
    return _add_head(checkpoint, ClassifierHead("pooled_output", (layer,), decides), where)


def _add_head(checkpoint: Checkpoint, head: ClassifierHead, where: str) -> Checkpoint:
    """Returns the checkpoint with its head.

    Args:
        checkpoint: without its head.
        head: its head.
        where: what says what the head decides, for messages.

    Raises:
        UserError: the encoder lacks the output that the head takes, or no contract can hold what
            the head decides.
    """
    config = checkpoint.config
    if head.on == "pooled_output" and not config.has_pooler and config.architecture != "electra":
        raise UserError(
            f"{checkpoint.variables.where}: got {head.layers[0][0]}, a head on the pooled output, "
            "and no pooler, expected both; take a checkpoint that was saved whole"
        )
    check_classifier(head.decides, where, CORRECT)
    return replace(checkpoint, classifier=head)


def _leave_out(checkpoint: Checkpoint, stored: list[str], reason: str) -> Checkpoint:
    """Returns the checkpoint with a notice about its head, if it has one."""
    if not stored:
        return checkpoint
    notice = f"{reason}; the head ({', '.join(stored)}) is left out"
    return replace(checkpoint, notices=[*checkpoint.notices, notice])


def _count_labels(variables: Variables, kernel: str) -> int:
    """Returns the number of labels of a head, which is the number of rows of its last kernel.

    Raises:
        UserError: there is no such kernel, or it is no matrix with rows.
    """
    shape = variables.shapes.get(kernel)
    if shape is None or len(shape) != 2 or not shape[0]:
        got = "no such variable" if shape is None else f"the shape {list(shape)}"
        raise UserError(
            f"{variables.where}: {kernel}: got {got}, expected float[labels, hidden]; is the "
            "config the one of this checkpoint?"
        )
    return int(shape[0])


def _huggingface_labels(document: dict[str, Any], where: str, count: int) -> list[str]:
    """Returns the labels in the order of the scores, from `id2label`.

    transformers leaves `id2label` out where it is the default, `LABEL_0` and so on.

    Raises:
        UserError: the ids are not 0 to `count` - 1, or a label is neither a string nor an integer.
    """
    reported = document.get("id2label")
    if reported is None:
        require_integer(document.get("num_labels", count), f"{where}: num_labels", count, count)
        return [f"LABEL_{i}" for i in range(count)]
    require_type(reported, dict, f"{where}: id2label", CORRECT)
    ids = [str(i) for i in range(count)]
    if set(reported) != set(ids):
        got = ", ".join(map(short_json, list(reported)[:5])) or "none"
        more = ", …" if len(reported) > 5 else ""
        raise UserError(
            f"{where}: id2label: got {len(reported)} ids, {got}{more}, expected 0 to {count - 1}: "
            f"the head has {count} scores; {CORRECT}"
        )
    labels = [reported[i] for i in ids]
    for i, label in zip(ids, labels, strict=True):
        if type(label) not in (str, int):
            raise UserError(
                f"{where}: id2label: {i}: got {short_json(label)}, expected a string; {CORRECT}"
            )
    return [str(label) for label in labels]


def _huggingface_task(document: dict[str, Any], where: str, count: int) -> str:
    """Returns the task of a head on texts, from `problem_type`; transformers' rule without it.

    Raises:
        UserError: `problem_type` is unknown.
    """
    problem = document.get("problem_type")
    if problem is None:
        return "regression" if count == 1 else "single_label"
    if not isinstance(problem, str) or problem not in PROBLEMS:
        raise UserError(
            f"{where}: problem_type: got {short_json(problem)}, expected one of "
            f"{', '.join(PROBLEMS)}; {CORRECT}"
        )
    return PROBLEMS[problem]
