"""Chooses what a bundle's model decides, from the options and from what the model carries."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from export.bundle import ClassifierContract, TensorSpec
from export.classifier_task import (
    LOGITS,
    PROBABILITIES,
    TASKS,
    check_classifier,
    describe_classifier,
    make_classifier,
    shown_task,
)
from support.errors import UserError
from support.input_files import read_plain_file
from support.printing import Say

NOTICE = "NOTICE"
MAX_LABELS_FILE = 64 << 20
LABELS_FILE = "a file with a label on each line"
SAY_TASK = f"--task {'|'.join(map(shown_task, TASKS))}, and --labels FILE for the names"


@dataclass(frozen=True)
class ClassifierChoice:
    """The user's options; None: not set. `labels_file` is where `labels` are from, for messages."""

    task: str | None = None
    labels: tuple[str, ...] | None = None
    threshold: float | None = None
    labels_file: str = ""

    def document(self) -> dict[str, Any]:
        """Returns the options as the bundle's provenance has them, null where not set."""
        labels = None if self.labels is None else list(self.labels)
        return {"task": self.task, "labels": labels, "threshold": self.threshold}

    def choose(
        self, outputs: Sequence[TensorSpec], carried: ClassifierContract | None, say: Say
    ) -> ClassifierContract | None:
        """Returns what the model decides; None if nothing says it.

        The options win over what the model carries, and a notice says so.

        Args:
            outputs: the outputs of the model with their roles.
            carried: what the model's own file says, if it has one.
            say: prints what was chosen, or how to say it.

        Raises:
            UserError: the options are not enough, or contradict each other or the outputs.
        """
        scores = _find_scores(outputs, carried)
        task = self.task or (carried.task if carried else None)
        if scores is None or task is None:
            self._refuse_useless(scores)
            if scores is not None:
                say(
                    f"notice: the output {scores.name} may be a classifier's scores, but nothing "
                    f"says of what, so the bundle decides nothing; give {SAY_TASK}"
                )
            return None
        count = _count_scores(scores, task)
        labels = self._choose_labels(carried, count)
        if len(labels) != count:
            raise UserError(
                f"{self._labels_source(carried)}: got {len(labels)} labels, but the output "
                f"{scores.name} has {count} scores; expected a label for each score"
            )
        if self.threshold is not None and task != "multi_label":
            raise UserError(
                f"got --threshold {self.threshold} and the task {shown_task(task)}, expected it "
                "for multi-label alone"
            )
        threshold = self.threshold
        if threshold is None and carried is not None:
            threshold = carried.threshold
        chosen = make_classifier(task, scores.name, scores.role, labels, threshold)
        if carried is not None and carried.task == task:
            chosen = replace(chosen, activation=carried.activation)
        check_classifier(chosen, self._labels_source(carried), "name them by --labels FILE")
        if carried is not None and chosen != carried:
            say(f"{NOTICE}: the options win over the model's own: {describe_classifier(carried)}")
        say(f"the model decides: {describe_classifier(chosen)}")
        return chosen

    def _refuse_useless(self, scores: TensorSpec | None) -> None:
        """Refuses options that cannot be used.

        Raises:
            UserError: there is no output with scores, or no task.
        """
        options = {"--task": self.task, "--labels": self.labels, "--threshold": self.threshold}
        given = " and ".join(name for name, value in options.items() if value is not None)
        if given and scores is None:
            raise UserError(
                f"got {given}, but no output of the model is {LOGITS} or {PROBABILITIES}; say "
                f"which one has the scores with --output {LOGITS}=NAME or {PROBABILITIES}=NAME"
            )
        if given:
            raise UserError(f"got {given} and no task, which the model does not say; give --task")

    def _choose_labels(self, carried: ClassifierContract | None, count: int) -> Sequence[str]:
        """Returns the labels of the option, else the model's own, else numbers."""
        if self.labels is not None:
            return self.labels
        return carried.labels if carried else [str(number) for number in range(count)]

    def _labels_source(self, carried: ClassifierContract | None) -> str:
        """Returns where the labels are from, for messages."""
        if self.labels is not None:
            return f"--labels {self.labels_file}"
        return "the model's own labels" if carried else "the numbers that count as labels"


def _find_scores(
    outputs: Sequence[TensorSpec], carried: ClassifierContract | None
) -> TensorSpec | None:
    """Returns the output with the scores, or None.

    Raises:
        UserError: the output that the model's own file names does not exist.
    """
    if carried is None:
        by_role = {spec.role: spec for spec in outputs}
        return by_role.get(LOGITS) or by_role.get(PROBABILITIES)
    for spec in outputs:
        if spec.name == carried.output:
            return spec
    raise UserError(
        f"the model's own file says that the scores are in the output {carried.output}, expected "
        f"one of its outputs {', '.join(spec.name for spec in outputs)}; build it again"
    )


def _count_scores(scores: TensorSpec, task: str) -> int:
    """Returns the number of scores that an output has for a text or a token.

    Raises:
        UserError: the output has another rank than the task, or a last axis without a size.
    """
    rank = 3 if task == "token_labels" else 2
    count = scores.shape[-1] if len(scores.shape) == rank else None
    if not isinstance(count, int):
        axes = "batch, sequence, labels" if rank == 3 else "batch, labels"
        raise UserError(
            f"the task {shown_task(task)}: got the output {scores.name} of shape "
            f"[{', '.join(map(str, scores.shape))}], expected [{axes}]; give another --task"
        )
    return count


def read_labels(file: Path) -> tuple[str, ...]:
    r"""Reads a file with a label on each line; a line ends with \n or \r\n.

    Raises:
        UserError: the file cannot be read, is no UTF-8, is empty or has an empty line.
    """
    raw = read_plain_file(file, MAX_LABELS_FILE, LABELS_FILE)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: is no UTF-8: {error.reason}; give {LABELS_FILE}") from None
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    empty = next((number for number, line in enumerate(lines, 1) if not line.strip()), None)
    if empty is not None:
        raise UserError(f"{file}: line {empty} is empty, expected a label; give {LABELS_FILE}")
    return tuple(lines)
