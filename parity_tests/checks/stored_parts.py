"""Compares the stored parts of a bundle as they are, not through their effect on an output.

The parts are the contract, the vocab and the tokenizer's tables (and the weights, see weights.py),
each against the source.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from numerics.budgets import CLAIM, RTOL, SCALE, Cost, atol_ceiling, derive_budget
from parity_tests.checks.compare import make_problem
from parity_tests.checks.decision_claims import classifier_claims
from parity_tests.runners.runs import TAPS
from parity_tests.tokenizer import tables
from support.contracts import TABLES_FILE, VOCAB_FILE
from support.tokenizer_tables import UNICODE


def split_vocab_lines(data: bytes) -> list[str]:
    r"""Splits a vocab into lines; only \n ends one, and the last needs no end.

    >>> split_vocab_lines("a\u2028\n##b\r\n".encode())
    ['a\u2028', '##b']
    """
    lines = data.decode("utf-8", errors="replace").removesuffix("\n").split("\n")
    return [line.removesuffix("\r") for line in lines]


MAX_FAILURES = 5
FREE_AXES = ("batch", "sequence")
TFJS_DTYPES = {"float16": "float32", "float64": "float32", "int64": "int32", "bool": "int32"}
ADDS_SPECIAL_TOKENS = "source_adds_special_tokens"
MODEL_ONLY_KEYS = ("embedding_rows",)
"""Keys of the contract's tokenizer that come from the model."""


@dataclass(frozen=True)
class PartResult:
    """The result for one stored part.

    Attributes:
        status: `pass`, `drift`, or `none` where the source has nothing to compare with.
        compared: claims, weights, lines or characters.
        failing: how many of them differ.
        failures: the messages of the first of these.
        note: the reason for `none`.
        not_compared: names of weights that the export computed from several variables, and of
            variables that the graph does not use.
    """

    status: str
    compared: int = 0
    failing: int = 0
    failures: list[str] = field(default_factory=list)
    note: str = ""
    not_compared: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls, compared: int, problems: list[str], not_compared: list[str] | None = None
    ) -> "PartResult":
        """Makes a result of pass or drift; nothing compared is a drift."""
        if compared == 0 and not problems:
            problems = ["got nothing to compare, but should be at least one [stored parts]"]
        return cls(
            status="drift" if problems else "pass",
            compared=compared,
            failing=len(problems),
            failures=problems[:MAX_FAILURES],
            not_compared=not_compared or [],
        )


def compare_contract(
    contract: dict[str, Any],
    facts: dict[str, Any],
    tokenizer: dict[str, Any] | None,
    costs: Mapping[str, Cost],
) -> PartResult:
    """Compares the claims of `bundle.json` with the model and its tokenizer.

    Args:
        contract: the bundle's.
        facts: of the source, see `SourceModel.facts`, and the stored `weight_dtype`.
        tokenizer: the contract of a fresh bundle of the tokenizer alone, or None.
        costs: what float32 costs the source at each output and tap, on the judge's own texts.
    """
    claims: dict[str, tuple[Any, Any]] = {
        key: (contract.get(key), facts[key]) for key in ("max_length", "padding")
    }
    claims["weight_dtype"] = (contract.get("weight_dtype"), facts["weight_dtype"])
    claims["inputs"] = (
        {spec["name"]: spec["role"] for spec in contract["inputs"]},
        facts["inputs"],
    )
    bundle_outputs = {spec["name"]: _dtype_and_shape(spec) for spec in contract["outputs"]}
    claims["outputs"] = (bundle_outputs, _with_tfjs_dtypes(bundle_outputs, facts["outputs"]))
    claims |= classifier_claims(contract, facts.get("classifier"))
    own = contract["tokenizer"]
    for token, number in facts["special_tokens"].items():
        claims[f"id of {token}"] = (_special_id(own, token), number)
    for key, value in (tokenizer["tokenizer"] if tokenizer else {}).items():
        if key not in MODEL_ONLY_KEYS and not (
            key == ADDS_SPECIAL_TOKENS and _is_known_from_model_only(contract, tokenizer)
        ):
            claims[f"tokenizer.{key}"] = (own.get(key), value)
    problems = [
        make_problem(
            "values", _to_json_line(got), _to_json_line(expected), f"{name}, contract"
        ).message
        for name, (got, expected) in claims.items()
        if got != expected
    ]
    claimed = (contract.get("accuracy") or {}).get("budgets") or {}
    problems += _too_wide_budgets(claimed, facts["weight_dtype"], costs)
    return PartResult.of(len(claims) + len(claimed), problems)


def _too_wide_budgets(
    claimed: Mapping[str, Any], dtype: str, costs: Mapping[str, Cost]
) -> list[str]:
    """Finds the budgets of a contract that are wider than the source's own float32 explains.

    An older bundle claims no budget per tap, which is no fault.

    Args:
        claimed: `accuracy.budgets` of the contract.
        dtype: of the stored weights.
        costs: what float32 costs the source at each output and tap.

    Returns:
        messages.
    """
    messages = []
    for name, budget in claimed.items():
        cost = costs.get(name, costs.get(f"{TAPS}{name}"))
        numbers = budget if isinstance(budget, dict) else {}
        got: list[Any] = [numbers.get(key) for key in ("atol", "rtol")]
        if not all(_is_allowance(number) for number in got):
            expected = "an atol and an rtol, each a number from 0 on"
            messages.append(
                make_problem(
                    "values", _to_json_line(budget), expected, f"budget of {name}, contract"
                ).message
            )
        elif cost is not None:
            most = min(CLAIM * derive_budget(cost, dtype).atol, SCALE * atol_ceiling(cost, dtype))
            if got[0] > most or got[1] > RTOL:
                shown = f"atol {got[0]:g} and rtol {got[1]:g}"
                expected = f"at most {most:.2g} and {RTOL:g}"
                messages.append(
                    make_problem("values", shown, expected, f"budget of {name}, contract").message
                )
    return messages


def _is_allowance(number: Any) -> bool:
    """Returns whether it is a finite number that is not negative."""
    plain = isinstance(number, int | float) and not isinstance(number, bool)
    return plain and math.isfinite(number) and number >= 0


def _is_known_from_model_only(contract: dict[str, Any], tokenizer: dict[str, Any] | None) -> bool:
    """Returns whether the bundle comes from a tokenizer SavedModel, but the reference is a class.

    A class does not say whether that SavedModel adds special tokens.
    """
    own, fresh = (d.get("provenance", {}) for d in (contract, tokenizer or {}))
    return "tokenizer_model" in own and "tokenizer_model" not in fresh


def _dtype_and_shape(spec: dict[str, Any]) -> list[Any]:
    """Returns dtype and shape of a contract's output, None for a free axis."""
    return [spec["dtype"], [None if size in FREE_AXES else size for size in spec["shape"]]]


def _with_tfjs_dtypes(
    bundle_outputs: dict[str, list[Any]], source: dict[str, Any]
) -> dict[str, Any]:
    """Returns the source's outputs; where the bundle claims the dtype of TF.js, that one counts.

    Args:
        bundle_outputs: dtype and shape by name, as the contract has them.
        source: the same of the source.
    """
    outputs = dict(source)
    for name, (dtype, shape) in source.items():
        instead = TFJS_DTYPES.get(dtype)
        if instead is not None and bundle_outputs.get(name, [None])[0] == instead:
            outputs[name] = [instead, shape]
    return outputs


def _special_id(tokenizer: dict[str, Any], token: str) -> int | None:
    """Returns the id of a special token in a contract, or None."""
    known = tokenizer["special_tokens"].values()
    return next((entry["id"] for entry in known if entry["token"] == token), None)


def _to_json_line(value: Any) -> str:
    """Returns a claim as JSON on one line."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def compare_vocab(bundle: Path, source: list[str]) -> PartResult:
    """Compares each line; `source` is the vocab of the source's tokenizer."""
    own = split_vocab_lines((bundle / VOCAB_FILE).read_bytes())
    pairs = enumerate(zip_longest(own, source, fillvalue="nothing"), start=1)
    problems = [
        make_problem("values", repr(got), repr(expected), f"line {line}, vocab.txt").message
        for line, (got, expected) in pairs
        if got != expected
    ]
    return PartResult.of(len(source), problems)


def compare_tables(bundle: Path, fresh: Path) -> PartResult:
    """Compares each character's entry; `fresh` is a bundle with the tables of this runtime."""
    own, other = ((directory / TABLES_FILE).read_bytes() for directory in (bundle, fresh))
    found = tables.find_differences(own, other)
    problems = [
        make_problem("values", got, expected, f"{spot}, {TABLES_FILE}").message
        for got, expected, spot in found
    ]
    return PartResult.of(UNICODE, problems)
