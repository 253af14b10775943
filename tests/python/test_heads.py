"""`build` carries a classifier's head over: its scores are those that NumPy computes in float64."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from export.__main__ import main
from export.checkpoints import Checkpoint, loading, open_checkpoint
from export.classifier_task import TASK_FILE, read_task
from support.errors import UserError
from tests.python.publishers import HIDDEN, Publisher, erf_gelu, publisher

IDS = np.array([[2, 5, 30, 7, 3], [2, 9, 3, 0, 0]], np.int32)
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.int32)
TYPES = np.array([[0, 0, 1, 1, 1], [0, 0, 0, 0, 0]], np.int32)
TOLERANCE = 1e-5
# The order of the ids, not that of the names or of the file.
NAMES = {"2": "好", "0": "坏", "1": "一般"}
IN_ORDER = ["坏", "一般", "好"]
ENTITIES = {"0": "O", "1": "B-LOC", "2": "I-LOC"}


def draw(*shape: int) -> np.ndarray:
    generator = np.random.default_rng(sum(shape))
    return generator.normal(0, 0.5, shape).astype(np.float32)


def with_head(family: str, kind: str, count: int = 3, **config: Any) -> Publisher:
    """Makes a checkpoint of transformers' `…For{kind}Classification`; the kernels are [out, in]."""
    name = {"bert": "Bert", "albert": "Albert", "electra": "Electra"}[family]
    made = publisher(family, "hf", architectures=[f"{name}For{kind}Classification"], **config)
    last = "classifier"
    if family == "electra" and kind == "Sequence":
        made.arrays["classifier.dense.weight"] = draw(HIDDEN, HIDDEN)
        made.arrays["classifier.dense.bias"] = draw(HIDDEN)
        last = "classifier.out_proj"
    made.arrays[f"{last}.weight"], made.arrays[f"{last}.bias"] = draw(count, HIDDEN), draw(count)
    if kind == "Token" and family != "electra":
        # Their classes of today make the encoder without a pooler.
        pooler = made.parts.pop("pooler")
        del made.arrays[f"{pooler}.weight"], made.arrays[f"{pooler}.bias"]
    return made


def with_google_head(count: int = 3, family: str = "bert") -> Publisher:
    """Makes a checkpoint of Google's run_classifier.py."""
    made = publisher(family, "tf1")
    made.arrays["output_weights"], made.arrays["output_bias"] = draw(count, HIDDEN), draw(count)
    return made


def expected_logits(made: Publisher, kind: str) -> np.ndarray:
    """Computes the scores in float64, as the publisher's class does."""
    outputs, weights = made.run(IDS, MASK, TYPES), made.arrays
    if not made.torch:
        pooled: np.ndarray = outputs["pooled_output"]
        return pooled @ weights["output_weights"].T.astype(np.float64) + weights["output_bias"]
    if kind == "Token":
        x = outputs["sequence_output"]
    elif made.family == "electra":
        first = outputs["sequence_output"][:, 0] @ weights["classifier.dense.weight"].T
        x = erf_gelu(first + weights["classifier.dense.bias"])
    else:
        x = outputs["pooled_output"]
    last = "classifier" if "classifier.weight" in weights else "classifier.out_proj"
    scores: np.ndarray = x @ weights[f"{last}.weight"].T + weights[f"{last}.bias"]
    return scores


def build(made: Publisher, place: Path, *options: str) -> Path:
    out = place / "model"
    source = made.write(place / "checkpoint")
    assert main(["build", str(source), "--out", str(out), *options]) == 0
    return out


def run(saved_model: Path) -> dict[str, np.ndarray]:
    loaded = tf.saved_model.load(str(saved_model))
    feeds = {"input_ids": IDS, "attention_mask": MASK, "token_type_ids": TYPES}
    answers = loaded.signatures["serving_default"](**{n: tf.constant(v) for n, v in feeds.items()})
    return {name: value.numpy() for name, value in answers.items()}


def assert_scores(saved_model: Path, made: Publisher, kind: str) -> None:
    expected = made.run(IDS, MASK, TYPES) | {"logits": expected_logits(made, kind)}
    del expected["embedding_output"]
    got = run(saved_model)
    assert set(got) == set(expected)
    for name, value in expected.items():
        assert got[name].dtype == np.float32
        np.testing.assert_allclose(got[name], value, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize("family", ["bert", "albert", "electra"])
def test_a_head_on_texts_gives_the_scores_of_the_publishers_class(
    family: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    # The encoder's own activation is another: ELECTRA's head always has GELU in the erf form.
    made = with_head(family, "Sequence", id2label=NAMES, hidden_act="relu")
    out = build(made, tmp_path)
    assert_scores(out, made, "Sequence")
    assert json.loads((out / TASK_FILE).read_text("utf-8")) == {
        "task": "single_label",
        "output": "logits",
        "activation": "softmax",
        "labels": IN_ORDER,
    }
    said = capsys.readouterr().err
    assert "the head decides: single-label of logits: 3 labels (坏, 一般, 好), activation s" in said
    assert "classifier" not in said.split("are not used")[-1]


@pytest.mark.parametrize("family", ["bert", "albert", "electra"])
def test_a_head_on_tokens_gives_the_scores_of_the_publishers_class(family: str, tmp_path: Path):
    made = with_head(family, "Token", id2label=ENTITIES)
    out = build(made, tmp_path)
    assert_scores(out, made, "Token")
    assert json.loads((out / TASK_FILE).read_text("utf-8")) == {
        "task": "token_labels",
        "output": "logits",
        "activation": "softmax",
        "labels": ["O", "B-LOC", "I-LOC"],
        "scheme": "BIO",
    }


@pytest.mark.parametrize("prefix", ["", "module/"])
def test_a_head_of_run_classifier_gives_its_scores(prefix: str, tmp_path: Path):
    made = with_google_head()
    named = made.arrays
    made.arrays = {prefix + name: array for name, array in named.items()}
    out = build(made, tmp_path)
    made.arrays = named
    assert_scores(out, made, "Sequence")
    found = read_task(out)
    assert found is not None
    assert (found.task, found.activation) == ("single_label", "softmax")
    assert found.labels == ["0", "1", "2"]


def test_a_head_under_a_wrappers_prefix_is_read(tmp_path: Path):
    made = with_head("bert", "Sequence")
    named = made.arrays
    made.arrays = {f"module.{name}": array for name, array in named.items()}
    out = build(made, tmp_path)
    made.arrays = named
    assert_scores(out, made, "Sequence")


def opened(made: Publisher, place: Path, layers: int | None = None) -> Checkpoint:
    return open_checkpoint(made.write(place), layers=layers)


@pytest.mark.parametrize(
    ("count", "problem", "task", "activation", "threshold"),
    [
        (3, None, "single_label", "softmax", None),
        (3, "single_label_classification", "single_label", "softmax", None),
        (3, "multi_label_classification", "multi_label", "sigmoid", 0.5),
        (1, "multi_label_classification", "multi_label", "sigmoid", 0.5),
        (1, None, "regression", "none", None),
        (2, "regression", "regression", "none", None),
    ],
)
def test_the_task_is_that_of_problem_type_or_of_the_number_of_labels(
    count: int,
    problem: str | None,
    task: str,
    activation: str,
    threshold: float | None,
    tmp_path: Path,
):
    made = with_head("bert", "Sequence", count, problem_type=problem)
    head = opened(made, tmp_path).classifier
    assert head is not None
    got = head.decides
    assert (got.task, got.activation, got.threshold) == (task, activation, threshold)
    # transformers' own names, which its config leaves out.
    assert got.labels == [f"LABEL_{i}" for i in range(count)]


def test_one_score_of_run_classifier_is_a_regression(tmp_path: Path):
    head = opened(with_google_head(1, "albert"), tmp_path).classifier
    assert head is not None
    assert (head.decides.task, head.decides.labels) == ("regression", ["0"])


@pytest.mark.parametrize(
    ("labels", "scheme"),
    [
        (["O", "B-PER", "I-PER"], "BIO"),
        (["O", "I-PER", "I-LOC"], "BIO"),
        (["O", "B-PER", "I-PER", "E-PER", "S-PER"], "BIOES"),
        (["B", "M", "E", "S"], "none"),
        (["O", "B-PER", "M-PER"], "none"),
        (["O", "B_PER", "I_PER"], "none"),
        (["noun", "verb"], "none"),
    ],
)
def test_the_scheme_of_spans_is_found_from_the_labels(
    labels: list[str], scheme: str, tmp_path: Path
):
    names = {str(i): label for i, label in enumerate(labels)}
    made = with_head("electra", "Token", len(labels), id2label=names)
    head = opened(made, tmp_path).classifier
    assert head is not None
    assert (head.decides.labels, head.decides.scheme) == (labels, scheme)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"id2label": {"0": "a", "1": "b"}}, 'got 2 ids, "0", "1", expected 0 to 2: the head has'),
        ({"id2label": {"1": "a", "2": "b", "3": "c"}}, 'got 3 ids, "1", "2", "3", expected 0 to 2'),
        ({"id2label": {"00": "a", "1": "b", "2": "c"}}, 'got 3 ids, "00", "1", "2", expected 0'),
        ({"id2label": {}}, "id2label: got 0 ids, none, expected 0 to 2"),
        ({"id2label": ["a", "b", "c"]}, "id2label: got an array, expected an object"),
        ({"id2label": NAMES | {"1": "好"}}, "config.json: got the label '好' twice, expected each"),
        ({"id2label": NAMES | {"1": None}}, "id2label: 1: got null, expected a string"),
        ({"id2label": NAMES | {"1": True}}, "id2label: 1: got true, expected a string"),
        ({"id2label": NAMES | {"1": ""}}, "config.json: at /labels/1: '' should be non-empty"),
        ({"id2label": NAMES | {"1": "a\nb"}}, r"config.json: at /labels/1: "),
        ({"num_labels": 2}, "num_labels: got 2, expected an integer from 3 to 3"),
        ({"problem_type": "ranking"}, 'problem_type: got "ranking", expected one of single_label'),
        ({"problem_type": 3}, "problem_type: got 3, expected one of"),
    ],
)
def test_labels_and_tasks_that_do_not_fit_are_refused(
    config: dict[str, Any], message: str, tmp_path: Path
):
    made = with_head("bert", "Sequence", **config)
    with pytest.raises(UserError, match=message) as refused:
        opened(made, tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "config"),
    [("Token", {}), ("Sequence", {"problem_type": "single_label_classification"})],
)
def test_one_label_is_nothing_to_choose_from(kind: str, config: dict[str, str], tmp_path: Path):
    with pytest.raises(UserError, match="got 1 label, expected 2 or more for the task "):
        opened(with_head("bert", kind, 1, **config), tmp_path)


def without_bias(made: Publisher) -> None:
    del made.arrays["classifier.bias"]


def other_width(made: Publisher) -> None:
    made.arrays["classifier.weight"] = draw(3, HIDDEN + 1)


def no_number(made: Publisher) -> None:
    made.arrays["classifier.weight"][1, 1] = np.nan


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (without_bias, r"got no variable classifier.bias among its \d+, expected float\[3\]"),
        (other_width, r"classifier.weight: got the shape \[3, 13\], expected float\[3, 12\]"),
        (no_number, "classifier.weight: got NaN or infinity in 1 of 36 values"),
    ],
)
def test_a_damaged_head_is_refused(
    harm: Callable[[Publisher], None],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    made = with_head("bert", "Sequence")
    harm(made)
    source, out = made.write(tmp_path / "checkpoint"), tmp_path / "out"
    assert main(["build", str(source), "--out", str(out)]) == 2
    assert re.search(f"^error: .*{message}.*\n$", capsys.readouterr().err, re.MULTILINE)
    assert not out.exists()


def test_a_head_whose_shape_says_no_labels_is_refused(tmp_path: Path):
    made = with_head("electra", "Sequence")
    for leaf in ("weight", "bias"):
        del made.arrays[f"classifier.out_proj.{leaf}"]
    with pytest.raises(UserError, match="classifier.out_proj.weight: got no such variable, expect"):
        opened(made, tmp_path / "none")
    made.arrays["classifier.out_proj.weight"] = draw(3)
    with pytest.raises(UserError, match=r"out_proj.weight: got the shape \[3\], expected float\[l"):
        opened(made, tmp_path / "flat")


def test_a_head_on_texts_without_a_pooler_is_refused(tmp_path: Path):
    made = with_head("bert", "Sequence")
    for leaf in ("weight", "bias"):
        del made.arrays[f"bert.pooler.dense.{leaf}"]
    with pytest.raises(UserError, match="a head on the pooled output, and no pooler, expected bo"):
        opened(made, tmp_path)


@pytest.mark.parametrize("classes", [None, [], ["BertModel"], ["BertForMultipleChoice"], "Bert"])
def test_a_head_of_unknown_use_is_left_out_with_a_notice(classes: Any, tmp_path: Path):
    made = with_head("bert", "Sequence")
    made.config["architectures"] = classes
    checkpoint = opened(made, tmp_path)
    assert checkpoint.classifier is None
    (notice,) = checkpoint.notices
    assert "expected …ForSequenceClassification or …ForTokenClassification; the head (" in notice
    assert notice.endswith("(classifier.bias, classifier.weight) is left out")


def test_a_class_without_its_head_is_said(tmp_path: Path):
    made = publisher("bert", "hf", architectures=["BertForTokenClassification"])
    checkpoint = opened(made, tmp_path)
    assert checkpoint.classifier is None
    assert 'says "BertForTokenClassification", but there is no class' in checkpoint.notices[0]


def test_electra_has_no_head_of_run_classifier(tmp_path: Path):
    checkpoint = opened(with_google_head(family="electra"), tmp_path)
    assert checkpoint.classifier is None
    assert "the head (output_weights, output_bias) is left out" in checkpoint.notices[0]


def test_a_head_is_left_out_with_the_layers_below_it(tmp_path: Path):
    made = with_head("bert", "Sequence")
    cut = opened(made, tmp_path, layers=1)
    assert cut.classifier is None
    assert "--layers 1: the classifier's head is left out: it is for all 2 layers" in cut.notices[0]
    assert opened(made, tmp_path, layers=2).classifier is not None
    loading.load_encoder(cut)
    kinds = loading.unused_by_kind(cut.variables)
    assert kinds["classifier head"] == ["classifier.bias", "classifier.weight"]


def test_a_model_of_token_strings_has_no_place_for_a_head(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    vocab = tmp_path / "vocab.txt"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocab.write_text("".join(f"{token}\n" for token in tokens))
    options = ["--contract", "tokens", "--vocab", str(vocab)]
    out = build(with_head("bert", "Sequence"), tmp_path, *options)
    assert not (out / TASK_FILE).exists()
    assert "--contract tokens has no place for the checkpoint's cla" in capsys.readouterr().err


def write_file(place: Path, document: Any) -> None:
    file = place / TASK_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(document if isinstance(document, str) else json.dumps(document))


WHOLE: dict[str, Any] = {
    "task": "multi_label", "output": "logits", "activation": "sigmoid", "labels": ["a", "b"],
    "threshold": 0.25,
}  # fmt: skip


def test_the_file_of_the_task_is_read(tmp_path: Path):
    assert read_task(tmp_path) is None
    write_file(tmp_path, WHOLE)
    found = read_task(tmp_path)
    assert found is not None
    assert found.document() == WHOLE


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "at /: .* is not of type 'object'"),
        (WHOLE | {"thresh": 1}, "at /: .*'thresh' was unexpected"),
        (WHOLE | {"task": "guess"}, "at /: .*'guess'"),
        (WHOLE | {"labels": "ab"}, "at /labels: 'ab' is not of type 'array'"),
        (WHOLE | {"labels": ["a", "a"]}, "at /labels: has the label 'a' twice"),
        (WHOLE | {"labels": ["a", 1]}, "at /labels/1: 1 is not of type 'string'"),
        (WHOLE | {"labels": []}, "at /labels: "),
        (WHOLE | {"threshold": 2}, "at /threshold: 2 is greater than the maximum of 1"),
        (WHOLE | {"threshold": math.nan}, "got NaN, expected a number"),
        (WHOLE | {"activation": "softmax"}, "at /activation: 'softmax' is not one of"),
        (WHOLE | {"scheme": "BIO"}, "at /: "),
        ({k: v for k, v in WHOLE.items() if k != "threshold"}, "'threshold' is a required"),
        ({k: v for k, v in WHOLE.items() if k != "output"}, "'output' is a required property"),
    ],
)
def test_a_damaged_file_of_the_task_is_refused(document: Any, message: str, tmp_path: Path):
    write_file(tmp_path, document)
    with pytest.raises(UserError, match=message) as refused:
        read_task(tmp_path)
    assert TASK_FILE in str(refused.value)
    assert "\n" not in str(refused.value)
