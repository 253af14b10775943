"""The still parts of a bundle, compared whole and not through what they do to an output.

The contract's claims, the weights, the vocab and the tokenizer's tables; each against what the
source says of itself. Each result is a dict: `status` (`pass`, `drift`, or `none` where the source
has nothing to compare with, then with a `note`), `compared`, `failing`, and the first `failures`,
messages in the one grammar.
"""

import json
import math
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from numerics.budgets import CLAIM, RTOL, SCALE, Cost, atol_ceiling, derive_budget
from parity_tests.checks.compare import make_problem
from parity_tests.runners.runs import TAPS
from parity_tests.tokenizer import tables

# Lines of a vocab file, read by a rule of the judge's own.


def split_vocab_lines(data: bytes) -> list[str]:
    r"""The lines of a vocab; only \n ends one, and a last one need not be ended.

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
"""What a tokenizer alone does not tell."""

PartResult = dict[str, Any]


def part_result(compared: int, problems: list[str]) -> PartResult:
    """Pass or drift; nothing compared is a drift."""
    if compared == 0:
        problems = ["got nothing to compare, but should be at least one [still parts]"]
    return {
        "status": "drift" if problems else "pass",
        "compared": compared,
        "failing": len(problems),
        "failures": problems[:MAX_FAILURES],
    }


def not_compared(note: str) -> PartResult:
    """Where the source has nothing to compare with."""
    return {"status": "none", "compared": 0, "failing": 0, "failures": [], "note": note}


def compare_contract(
    contract: dict[str, Any],
    facts: dict[str, Any],
    tokenizer: dict[str, Any] | None,
    costs: Mapping[str, Cost],
) -> PartResult:
    """What `bundle.json` claims against what the model and its tokenizer are.

    Args:
        contract: the bundle's.
        facts: of the source, see `Source.facts`, and the `weight_dtype` that is stored.
        tokenizer: the contract of a fresh bundle of the tokenizer alone; None where there is none.
        costs: what float32 costs the source at each place, on the judge's own texts.
    """
    claims: dict[str, tuple[Any, Any]] = {
        key: (contract.get(key), facts[key]) for key in ("max_length", "padding")
    }
    claims["weight_dtype"] = (contract.get("weight_dtype"), facts["weight_dtype"])
    claims["inputs"] = (
        {spec["name"]: spec["role"] for spec in contract["inputs"]},
        facts["inputs"],
    )
    forms = {spec["name"]: dtype_and_shape(spec) for spec in contract["outputs"]}
    claims["outputs"] = (forms, with_tfjs_dtypes(forms, facts["outputs"]))
    own = contract["tokenizer"]
    for token, number in facts["special_tokens"].items():
        claims[f"id of {token}"] = (special_id(own, token), number)
    for key, value in (tokenizer["tokenizer"] if tokenizer else {}).items():
        if key not in MODEL_ONLY_KEYS and not (
            key == ADDS_SPECIAL_TOKENS and is_known_from_model_only(contract, tokenizer)
        ):
            claims[f"tokenizer.{key}"] = (own.get(key), value)
    wrongs = [
        make_problem("values", to_json_line(got), to_json_line(should), f"{name}, contract").message
        for name, (got, should) in claims.items()
        if got != should
    ]
    claimed = (contract.get("accuracy") or {}).get("budgets") or {}
    wrongs += too_wide_budgets(claimed, facts["weight_dtype"], costs)
    return part_result(len(claims) + len(claimed), wrongs)


def too_wide_budgets(
    claimed: Mapping[str, Any], dtype: str, costs: Mapping[str, Cost]
) -> list[str]:
    """The budgets of a contract that allow more than the source's own float32 explains.

    An older bundle claims none for each place, which is no fault of it.
    """
    found = []
    for place, budget in claimed.items():
        cost = costs.get(place, costs.get(f"{TAPS}{place}"))
        told = budget if isinstance(budget, dict) else {}
        got: list[Any] = [told.get(key) for key in ("atol", "rtol")]
        if not all(is_allowance(number) for number in got):
            should = "an atol and an rtol, each a number from 0 on"
            found.append(
                make_problem(
                    "values", to_json_line(budget), should, f"budget of {place}, contract"
                ).message
            )
        elif cost is not None:
            most = min(CLAIM * derive_budget(cost, dtype).atol, SCALE * atol_ceiling(cost, dtype))
            if got[0] > most or got[1] > RTOL:
                said = f"atol {got[0]:g} and rtol {got[1]:g}"
                should = f"at most {most:.2g} and {RTOL:g}"
                found.append(
                    make_problem("values", said, should, f"budget of {place}, contract").message
                )
    return found


def is_allowance(number: Any) -> bool:
    """Whether it is a finite number that is not negative."""
    plain = isinstance(number, int | float) and not isinstance(number, bool)
    return plain and math.isfinite(number) and number >= 0


def is_known_from_model_only(contract: dict[str, Any], tokenizer: dict[str, Any] | None) -> bool:
    """Whether the bundle was read off a tokenizer SavedModel, and this reference is a class.

    A class does not tell whether that SavedModel adds special tokens.
    """
    own, fresh = (d.get("provenance", {}) for d in (contract, tokenizer or {}))
    return "tokenizer_model" in own and "tokenizer_model" not in fresh


def dtype_and_shape(spec: dict[str, Any]) -> list[Any]:
    """Dtype and shape of a contract's output, None where an axis is free."""
    return [spec["dtype"], [None if size in FREE_AXES else size for size in spec["shape"]]]


def with_tfjs_dtypes(forms: dict[str, list[Any]], source: dict[str, Any]) -> dict[str, Any]:
    """The source's outputs; one of a dtype that TF.js lacks may be said to have TF.js's instead."""
    found = dict(source)
    for name, (dtype, shape) in source.items():
        instead = TFJS_DTYPES.get(dtype)
        if instead is not None and forms.get(name, [None])[0] == instead:
            found[name] = [instead, shape]
    return found


def special_id(tokenizer: dict[str, Any], token: str) -> int | None:
    """The id that a contract gives a special token."""
    known = tokenizer["special_tokens"].values()
    return next((entry["id"] for entry in known if entry["token"] == token), None)


def to_json_line(value: Any) -> str:
    """A claim on one line."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def compare_vocab(bundle: Path, source: list[str]) -> PartResult:
    """Each line; `source` is the vocab that the source's tokenizer carries."""
    own = split_vocab_lines((bundle / "vocab.txt").read_bytes())
    pairs = enumerate(zip_longest(own, source, fillvalue="nothing"), start=1)
    wrongs = [
        make_problem("values", repr(got), repr(should), f"line {line}, vocab.txt").message
        for line, (got, should) in pairs
        if got != should
    ]
    return part_result(len(source), wrongs)


def compare_tables(bundle: Path, fresh: Path) -> PartResult:
    """Each character's entry; `fresh` is a bundle whose tables were read off the runtime here."""
    name = "tokenizer_tables.bin"
    own, other = ((place / name).read_bytes() for place in (bundle, fresh))
    found = tables.find_differences(own, other)
    wrongs = [make_problem("values", a, b, f"{spot}, {name}").message for a, b, spot in found]
    return part_result(tables.UNICODE, wrongs)
