"""What a bundle's model decides: chosen from options, from the model's own file, or not at all."""

from pathlib import Path
from typing import Any

import pytest

from export.bundle import ClassifierContract, TensorSpec
from export.classifier_choice import ClassifierChoice, read_labels
from support.errors import UserError

pytestmark = pytest.mark.quick


def scores(role: str, *shape: str | int, name: str = "") -> TensorSpec:
    return TensorSpec(name or role, role, "float32", list(shape))


SEQUENCE = scores("sequence_output", "batch", "sequence", 4)
TEXT = scores("logits", "batch", 3)
TOKEN = scores("logits", "batch", "sequence", 3)
CARRIED = ClassifierContract("multi_label", "logits", "sigmoid", ["a", "b", "c"], threshold=0.25)


def choose(
    choice: ClassifierChoice, outputs: list[TensorSpec], carried: ClassifierContract | None = None
) -> tuple[dict[str, Any] | None, list[str]]:
    lines: list[str] = []
    chosen = choice.choose([SEQUENCE, *outputs], carried, lines.append)
    return None if chosen is None else chosen.document(), lines


def test_without_scores_or_without_a_task_nothing_is_decided():
    assert choose(ClassifierChoice(), []) == (None, [])
    for output in (TEXT, TOKEN, scores("probabilities", "batch", 3)):
        chosen, (line,) = choose(ClassifierChoice(), [output])
        assert chosen is None
        assert line.startswith(f"notice: the output {output.name} may be a classifier's scores")
        assert "give --task single-label|multi-label|regression|token-labels, and --lab" in line


@pytest.mark.parametrize(
    ("choice", "output", "expected"),
    [
        (
            ClassifierChoice("single_label"),
            TEXT,
            {"task": "single_label", "activation": "softmax", "labels": ["0", "1", "2"]},
        ),
        (
            ClassifierChoice("single_label", ("x", "y", "z")),
            scores("probabilities", "batch", 3),
            {"task": "single_label", "activation": "none", "labels": ["x", "y", "z"]},
        ),
        (
            ClassifierChoice("multi_label"),
            TEXT,
            {
                "task": "multi_label",
                "activation": "sigmoid",
                "labels": ["0", "1", "2"],
                "threshold": 0.5,
            },
        ),
        (
            ClassifierChoice("multi_label", threshold=0.0),
            scores("probabilities", "batch", 1),
            {"task": "multi_label", "activation": "none", "labels": ["0"], "threshold": 0.0},
        ),
        (
            ClassifierChoice("regression"),
            scores("logits", "batch", 1),
            {"task": "regression", "activation": "none", "labels": ["0"]},
        ),
        (
            ClassifierChoice("token_labels", ("O", "B-X", "I-X")),
            TOKEN,
            {
                "task": "token_labels",
                "activation": "softmax",
                "labels": ["O", "B-X", "I-X"],
                "scheme": "BIO",
            },
        ),
        (
            ClassifierChoice("token_labels"),
            scores("probabilities", 3, 16, 3),
            {
                "task": "token_labels",
                "activation": "none",
                "labels": ["0", "1", "2"],
                "scheme": "none",
            },
        ),
    ],
)
def test_the_options_say_what_is_decided(
    choice: ClassifierChoice, output: TensorSpec, expected: dict[str, Any]
):
    chosen, (line,) = choose(choice, [output])
    assert chosen == expected | {"output": output.name}
    assert line.startswith("the model decides: ")


def test_logits_count_where_there_are_probabilities_too():
    both = [scores("probabilities", "batch", 3, name="probs"), scores("logits", "batch", 3)]
    chosen, _ = choose(ClassifierChoice("single_label"), both)
    assert chosen is not None
    assert (chosen["output"], chosen["activation"]) == ("logits", "softmax")


def test_what_the_model_carries_is_taken_whole():
    chosen, (line,) = choose(ClassifierChoice(), [TEXT], CARRIED)
    assert chosen == CARRIED.document()
    assert line == (
        "the model decides: multi-label of logits: 3 labels (a, b, c), activation sigmoid, "
        "threshold 0.25"
    )


@pytest.mark.parametrize(
    ("choice", "changed"),
    [
        (ClassifierChoice(labels=("x", "y", "z")), {"labels": ["x", "y", "z"]}),
        (ClassifierChoice(threshold=0.75), {"threshold": 0.75}),
    ],
)
def test_options_win_over_what_the_model_carries(choice: ClassifierChoice, changed: dict[str, Any]):
    chosen, (notice, _) = choose(choice, [TEXT], CARRIED)
    assert chosen == CARRIED.document() | changed
    assert notice.startswith("NOTICE: the options win over the model's own: multi-label of logits")


def test_another_task_has_its_own_activation():
    chosen, (notice, _) = choose(ClassifierChoice("single_label"), [TEXT], CARRIED)
    expected = {"task": "single_label", "output": "logits", "activation": "softmax"}
    assert chosen == expected | {"labels": ["a", "b", "c"]}
    assert notice.startswith("NOTICE: ")


def test_new_names_of_token_labels_have_their_own_scheme():
    carried = ClassifierContract(
        "token_labels", "logits", "softmax", ["O", "B-X", "I-X"], scheme="BIO"
    )
    chosen, _ = choose(ClassifierChoice(labels=("n", "v", "a")), [TOKEN], carried)
    assert chosen is not None
    assert chosen["scheme"] == "none"


@pytest.mark.parametrize(
    ("choice", "outputs", "carried", "message"),
    [
        (ClassifierChoice("single_label"), [], None, "got --task, but no output of the model is"),
        (ClassifierChoice(labels=("a",)), [], None, "with --output logits=NAME or probabilities="),
        (ClassifierChoice(labels=("a",)), [TEXT], None, "got --labels and no task, .* give --task"),
        (ClassifierChoice(threshold=0.1), [TEXT], None, "got --threshold and no task"),
        (
            ClassifierChoice("single_label", ("a", "b"), labels_file="l.txt"),
            [TEXT],
            None,
            "--labels l.txt: got 2 labels, but the output logits has 3 scores",
        ),
        (
            ClassifierChoice(labels=("a", "b", "c", "d"), labels_file="l.txt"),
            [TEXT],
            CARRIED,
            "--labels l.txt: got 4 labels, but the output logits has 3 scores",
        ),
        (
            ClassifierChoice(),
            [scores("logits", "batch", 2)],
            CARRIED,
            "the model's own labels: got 3 labels, but the output logits has 2 scores",
        ),
        (
            ClassifierChoice("single_label", ("a", "b", "a"), labels_file="l.txt"),
            [TEXT],
            None,
            "--labels l.txt: got the label 'a' twice",
        ),
        (
            ClassifierChoice("single_label", ("a", "b", "\x07"), labels_file="l.txt"),
            [TEXT],
            None,
            "--labels l.txt: at /labels/2: ",
        ),
        (
            ClassifierChoice("single_label"),
            [scores("logits", "batch", 1)],
            None,
            "got 1 label, expected 2 or more for the task single-label",
        ),
        (
            ClassifierChoice("single_label", threshold=0.5),
            [TEXT],
            None,
            "got --threshold 0.5 and the task single-label, expected it for multi-label alone",
        ),
        (
            ClassifierChoice("token_labels"),
            [TEXT],
            None,
            r"token-labels: got the output logits of shape \[batch, 3\], expected \[batch, sequen",
        ),
        (
            ClassifierChoice("multi_label"),
            [TOKEN],
            None,
            r"got the output logits of shape \[batch, sequence, 3\], expected \[batch, labels\]",
        ),
        (
            ClassifierChoice("single_label"),
            [scores("logits", "batch", "sequence")],
            None,
            r"got the output logits of shape \[batch, sequence\], expected \[batch, labels\]",
        ),
        (
            ClassifierChoice(),
            [scores("logits", "batch", 3, name="other")],
            CARRIED,
            "in the output logits, expected one of its outputs sequence_output, other",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    choice: ClassifierChoice,
    outputs: list[TensorSpec],
    carried: ClassifierContract | None,
    message: str,
):
    with pytest.raises(UserError, match=message) as refused:
        choose(choice, outputs, carried)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("raw", "labels"),
    [
        ("好\n坏\n", ("好", "坏")),
        ("\ufeffa\r\nb c", ("a", "b c")),
        # Only \n ends a line.
        ("a\u2028b\n", ("a\u2028b",)),
    ],
)
def test_a_file_of_labels_has_one_on_each_line(raw: str, labels: tuple[str, ...], tmp_path: Path):
    file = tmp_path / "labels.txt"
    file.write_bytes(raw.encode())
    assert read_labels(file) == labels


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "line 1 is empty, expected a label"),
        (b"a\n\nb\n", "line 2 is empty"),
        (b"a\n \n", "line 2 is empty"),
        (b"a\n\xff\n", "is no UTF-8"),
    ],
)
def test_a_file_that_is_no_list_of_labels_is_refused(raw: bytes, message: str, tmp_path: Path):
    file = tmp_path / "labels.txt"
    file.write_bytes(raw)
    with pytest.raises(UserError, match=f"labels.txt: {message}"):
        read_labels(file)
    with pytest.raises(UserError, match="No such file or directory; give a file with a label"):
        read_labels(tmp_path / "nothing")
