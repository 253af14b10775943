"""The stored parts: each wrong claim, line and character is named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from numerics.budgets import Cost
from parity_tests.checks import stored_parts
from parity_tests.checks.stored_parts import PartResult, split_vocab_lines
from parity_tests.tokenizer import tables

if TYPE_CHECKING:
    from tests.python.conftest import Embedded

FACTS: dict[str, Any] = {
    "inputs": {"input_ids": "input_ids", "mask": "attention_mask"},
    "outputs": {"pooled_output": ["float32", [None, 24]]},
    "max_length": 128,
    "padding": "masked",
    "weight_dtype": "float32",
    "special_tokens": {"[PAD]": 0, "[CLS]": 2, "[SEP]": 3},
}
CONTRACT: dict[str, Any] = {
    "inputs": [
        {"name": "mask", "role": "attention_mask"},
        {"name": "input_ids", "role": "input_ids"},
    ],
    "outputs": [{"name": "pooled_output", "dtype": "float32", "shape": ["batch", 24]}],
    "max_length": 128,
    "padding": "masked",
    "weight_dtype": "float32",
    "tokenizer": {
        "algorithm": "tf-text",
        "options": {"lower_case": True},
        "special_tokens": {
            "pad": {"token": "[PAD]", "id": 0},
            "cls": {"token": "[CLS]", "id": 2},
            "sep": {"token": "[SEP]", "id": 3},
        },
    },
}
TOKENIZER: dict[str, Any] = {"tokenizer": deepcopy(CONTRACT["tokenizer"])}


def test_a_right_contract_passes() -> None:
    found = stored_parts.compare_contract(CONTRACT, FACTS, TOKENIZER, {})
    assert found == PartResult("pass", compared=11)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("max_length",), 127, "got 127, but should be 128 [max_length, contract]"),
        (("weight_dtype",), "uint8", "[weight_dtype, contract]"),
        (("padding",), "attended", 'got "attended", but should be "masked" [padding, contract]'),
        (("outputs", 0, "shape"), ["batch", 25], "[outputs, contract]"),
        (("outputs", 0, "name"), "sequence_output", "[outputs, contract]"),
        (("inputs", 0, "role"), "token_type_ids", "[inputs, contract]"),
        (
            ("tokenizer", "options", "lower_case"),
            False,
            'got {"lower_case": false}, but should be {"lower_case": true} '
            "[tokenizer.options, contract]",
        ),
        (
            ("tokenizer", "special_tokens", "sep", "id"),
            4,
            "got 4, but should be 3 [id of [SEP], contract]",
        ),
    ],
)
def test_each_wrong_claim_is_named(path: tuple[Any, ...], value: object, message: str) -> None:
    contract = deepcopy(CONTRACT)
    place: Any = contract
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    found = stored_parts.compare_contract(contract, FACTS, TOKENIZER, {})
    assert found.status == "drift"
    assert message in found.failures[0]


COSTS = {"out": Cost(1e-6, 1.0, 1), "taps/layer_0/context": Cost(1e-6, 1.0, 1)}


@pytest.mark.parametrize(
    ("place", "budget", "said"),
    [
        ("out", {"atol": 8e-6, "rtol": 2e-6}, None),
        ("out", {"atol": 3.1e-5, "rtol": 2e-6}, None),
        ("out", {"atol": 3.3e-5, "rtol": 2e-6}, "at most 3.2e-05"),
        ("layer_0/context", {"atol": 1e-3, "rtol": 2e-6}, "budget of layer_0/context"),
        ("out", {"atol": 8e-6, "rtol": 1e-3}, "rtol 0.001"),
        ("out", {"atoll": 8e-6, "rtol": 2e-6}, "an atol and an rtol"),
        ("out", {"atol": float("nan"), "rtol": 2e-6}, "an atol and an rtol"),
        ("out", {"atol": float("inf"), "rtol": 2e-6}, "an atol and an rtol"),
        ("out", {"atol": -1e-6, "rtol": 2e-6}, "an atol and an rtol"),
        ("out", None, "an atol and an rtol"),
    ],
)
def test_a_budget_wider_than_derived_is_a_drift(place: str, budget: Any, said: str | None) -> None:
    """Eight times a cost of 1e-6 is 8e-6; a contract may claim four times that."""
    contract = CONTRACT | {"accuracy": {"budgets": {place: budget}}}
    found = stored_parts.compare_contract(contract, FACTS, TOKENIZER, COSTS)
    assert found.status == ("pass" if said is None else "drift")
    assert said is None or said in found.failures[0]


def test_a_claimed_budget_above_the_ceiling_is_a_drift() -> None:
    """A broken model's own cost does not justify its claim: 8e-2 of a scale of 1.

    The ceiling is 4e-3 of the scale, and the judge's texts may have 1.5 times the exporter's.
    """
    contract = CONTRACT | {"accuracy": {"budgets": {"out": {"atol": 8e-2, "rtol": 2e-6}}}}
    broken = {"out": Cost(1e-2, 1.0, 1)}
    found = stored_parts.compare_contract(contract, FACTS, TOKENIZER, broken)
    assert "at most 0.006" in found.failures[0]


@pytest.mark.parametrize(("atol", "status"), [(0.66, "pass"), (6.6, "drift")])
def test_a_budget_may_be_somewhat_wider_on_the_exporters_texts(atol: float, status: str) -> None:
    """Weights in uint8 may cost 0.5 of an output's scale: 1.3 there, 1.25 on these texts."""
    contract = CONTRACT | {"accuracy": {"budgets": {"out": {"atol": atol, "rtol": 2e-6}}}}
    facts = FACTS | {"weight_dtype": "uint8"}
    contract["weight_dtype"] = "uint8"
    costs = {"out": Cost(1e-6, 1.25**2, 1)}
    assert stored_parts.compare_contract(contract, facts, TOKENIZER, costs).status == status


def test_a_wrong_vocab_line_is_named_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_bytes("[PAD]\na\u2028\nc\nb".encode())
    assert stored_parts.compare_vocab(tmp_path, ["[PAD]", "a\u2028", "c", "b"]).status == "pass"
    found = stored_parts.compare_vocab(tmp_path, ["[PAD]", "a\u2028", "b", "c", "d"])
    assert (found.failing, found.compared) == (3, 5)
    assert found.failures == [
        "got 'c', but should be 'b' [line 3, vocab.txt]",
        "got 'b', but should be 'c' [line 4, vocab.txt]",
        "got 'nothing', but should be 'd' [line 5, vocab.txt]",
    ]


def test_nothing_compared_is_a_drift() -> None:
    assert PartResult.of(0, []).status == "drift"


@pytest.mark.parametrize("data", [b"a\nb", b"a\nb\n", b"a\r\nb\r\n"])
def test_only_a_newline_ends_a_line(data: bytes) -> None:
    assert split_vocab_lines(data) == ["a", "b"]


def test_tables_are_read_as_written(embedded: Embedded) -> None:
    """The expected descriptions come from Unicode: NFKC with lower case."""
    data = (embedded.bundle / "tokenizer_tables.bin").read_bytes()
    found = tables.describe_tables(data)
    assert found.limit == "100 bytes"
    assert found.characters[ord("，")] == "becomes U+002C alone"
    assert found.characters[ord("㈱")] == "becomes U+0028 alone, U+682A alone, U+0029 alone"
    assert found.characters[ord("Ａ")] == "becomes U+0061"
    assert found.characters[ord("好")] == "a word by itself"
    assert found.characters[ord("\t")] == "becomes U+0020 space"
    assert found.characters[ord("x")] == "letter"


def test_different_tables_are_described_by_their_characters(embedded: Embedded) -> None:
    data = (embedded.bundle / "tokenizer_tables.bin").read_bytes()
    assert tables.find_differences(data, data) == []
    # The smallest change that leaves readable tables makes one character another.
    found = next(f for f in changes(data) if len(f) == 1 and f[0][2].startswith("U+"))
    got, should, _ = found[0]
    assert got != should


def changes(data: bytes) -> Iterator[list[tuple[str, str, str]]]:
    return (tables.find_differences(flipped(data, at), data) for at in range(30000, len(data)))


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


@pytest.mark.parametrize("cut", [3, 100, 60000])
def test_an_incomplete_tables_file_is_reported(embedded: Embedded, cut: int) -> None:
    data = (embedded.bundle / "tokenizer_tables.bin").read_bytes()
    (found,) = tables.find_differences(data[:cut], data)
    assert "tables that cannot be read" in found[0]


def test_the_embedded_contract_agrees_with_its_source(embedded: Embedded) -> None:
    contract = json.loads((embedded.bundle / "bundle.json").read_text(encoding="utf-8"))
    wrong = FACTS | {"inputs": {spec["name"]: spec["role"] for spec in contract["inputs"]}}
    found = stored_parts.compare_contract(contract, wrong, None, {})
    assert found.failing == 2, "the outputs and max_length are of another model"


OWN = {"task": "single_label", "output": "out", "activation": "softmax", "labels": ["bad", "good"]}


@pytest.mark.parametrize(
    ("stored", "asked", "wrong"),
    [
        (OWN, {}, []),
        (OWN | {"labels": ["good", "bad"]}, {}, ["classifier.labels"]),
        (OWN | {"activation": "none"}, {}, ["classifier.activation"]),
        (None, {}, ["classifier"]),
        (OWN | {"labels": ["坏", "好"]}, {"labels": ["坏", "好"], "task": None}, []),
        (OWN | {"labels": ["好", "坏"]}, {"labels": ["坏", "好"]}, ["classifier.labels"]),
        (
            OWN | {"task": "multi_label", "activation": "sigmoid", "threshold": 0.5},
            {"task": "multi_label"},
            [],
        ),
    ],
)
def test_what_the_model_decides_is_a_claim(
    stored: dict[str, Any] | None, asked: dict[str, Any], wrong: list[str]
) -> None:
    """The model's own file counts, and before it the options that the bundle was exported with."""
    source = {"handle": "m", "sha256": "0" * 64, "asked": {"classifier": asked}}
    scores = {"name": "out", "role": "logits", "dtype": "float32", "shape": ["batch", 2]}
    contract = CONTRACT | {"classifier": stored, "provenance": {"source": source}}
    contract["outputs"] = [scores]
    facts = FACTS | {"classifier": OWN, "outputs": {"out": ["float32", [None, 2]]}}
    found = stored_parts.compare_contract(contract, facts, TOKENIZER, {})
    assert [
        re.findall(r"\[([\w.]+), contract\]", message)[0] for message in found.failures
    ] == wrong
