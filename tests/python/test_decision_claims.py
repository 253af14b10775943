"""What a contract says that its model decides, against what the model and the options say."""

from typing import Any

import pytest

from parity_tests.checks.decision_claims import classifier_claims

pytestmark = pytest.mark.quick

TEXTS = {"name": "scores", "role": "logits", "shape": ["batch", 3]}
TOKENS = {"name": "scores", "role": "logits", "shape": ["batch", "sequence", 3]}
DONE = {"name": "shares", "role": "probabilities", "shape": ["batch", 3]}
SINGLE = {"task": "single_label", "output": "scores", "activation": "softmax", "labels": [*"abc"]}
PLAIN = SINGLE | {"activation": "none"}
MULTI = SINGLE | {"task": "multi_label", "activation": "sigmoid", "threshold": 0.4}
BIO = ["O", "B-LOC", "I-LOC"]
ENTITIES = SINGLE | {"task": "token_labels", "labels": BIO, "scheme": "BIO"}


def wrong_claims(
    got: dict[str, Any] | None,
    own: dict[str, Any] | None = None,
    output: dict[str, Any] = TEXTS,
    **asked: Any,
) -> dict[str, tuple[Any, Any]]:
    source = {"asked": {"classifier": asked}} if asked else {}
    contract = {"classifier": got, "outputs": [output], "provenance": {"source": source}}
    claims = classifier_claims(contract, own)
    return {key: claim for key, claim in claims.items() if claim[0] != claim[1]}


@pytest.mark.parametrize(
    ("own", "asked", "output", "right"),
    [
        (None, {}, TEXTS, None),
        (SINGLE, {}, TEXTS, SINGLE),
        (SINGLE, {"task": None, "labels": [*"xyz"]}, TEXTS, SINGLE | {"labels": [*"xyz"]}),
        # The model's own activation goes with its task.
        (PLAIN, {"task": "single_label"}, TEXTS, PLAIN),
        (SINGLE, {"task": "multi_label", "threshold": 0.4}, TEXTS, MULTI),
        (MULTI, {"task": "single_label"}, TEXTS, SINGLE),
        (None, {"task": "multi_label", "labels": [*"abc"]}, TEXTS, MULTI | {"threshold": 0.5}),
        (None, {"task": "single_label"}, TEXTS, SINGLE | {"labels": [*"012"]}),
        (
            None,
            {"task": "single_label", "labels": [*"abc"]},
            DONE,
            SINGLE | {"output": "shares", "activation": "none"},
        ),
        (None, {"task": "regression", "labels": [*"abc"]}, TEXTS, PLAIN | {"task": "regression"}),
        (None, {"task": "token_labels", "labels": BIO}, TOKENS, ENTITIES),
        (
            ENTITIES,
            {"labels": ["O", "E-A", "S-A"]},
            TOKENS,
            ENTITIES | {"labels": ["O", "E-A", "S-A"], "scheme": "BIOES"},
        ),
        (
            ENTITIES,
            {"labels": [*"abc"]},
            TOKENS,
            ENTITIES | {"labels": [*"abc"], "scheme": "none"},
        ),
    ],
)
def test_a_right_contract_has_no_wrong_claim(
    own: dict[str, Any] | None,
    asked: dict[str, Any],
    output: dict[str, Any],
    right: dict[str, Any] | None,
) -> None:
    assert wrong_claims(right, own, output, **asked) == {}


@pytest.mark.parametrize(
    ("change", "claims"),
    [
        ({"labels": [*"cab"]}, {"classifier.labels"}),
        ({"activation": "none"}, {"classifier.activation"}),
        ({"threshold": 0.5}, {"classifier.threshold"}),
        (
            {"task": "single_label", "activation": "softmax", "threshold": None},
            {"classifier.task", "classifier.activation", "classifier.threshold"},
        ),
    ],
)
@pytest.mark.parametrize("by_options", [False, True])
def test_each_wrong_claim_is_found(
    change: dict[str, Any], claims: set[str], by_options: bool
) -> None:
    got = {key: value for key, value in (MULTI | change).items() if value is not None}
    asked: dict[str, Any] = {"task": "multi_label", "labels": [*"abc"], "threshold": 0.4}
    wrong = wrong_claims(got, **asked) if by_options else wrong_claims(got, MULTI)
    assert set(wrong) == claims


def test_a_lost_or_invented_classifier_is_found() -> None:
    assert wrong_claims(None, SINGLE) == {"classifier": (None, SINGLE)}
    assert wrong_claims(SINGLE) == {"classifier": (SINGLE, None)}
