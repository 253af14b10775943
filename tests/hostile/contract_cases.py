"""Bundles with a spoilt, resealed contract: refused before another file is read."""

import copy
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.hostile import contracts
from tests.hostile.case import HostileCase
from tests.hostile.mutations import mutations

EVERY = 5
"""The stride of the mutations that are run; tests/python/test_contracts.py checks all."""
OPEN = frozenset(
    {
        ("provenance", "versions"), ("provenance", "tokenizer"), ("files",),
        ("accuracy", "outputs"), ("architecture",), ("trained",), ("weight_dtype",),
        ("tokenizer", "embedding_rows"), ("inputs", 0, "shape", 0), ("outputs", 0, "shape", 0),
    }
)  # fmt: skip
NULLABLE = ("accuracy is null", "signature is null", "saved_model is null")
NAMES = (
    "../secret", "/etc/passwd", "a/../../b", "a//b", "a/", ".", "..", "a\\b", "C:x", "__proto__",
    "bundle.json", "", "a\n", "a\x00", "a\u202eb", "x" * 5000,
)  # fmt: skip


def in_node(directory: Path) -> list[str]:
    """Returns the command that only reads the contract."""
    return ["node", "node_bridge/tokenize.js", "--bundle", str(directory)]


def by_verify(directory: Path) -> list[str]:
    """Returns the command whose verdict a spoilt budget would change."""
    return ["node", "node_bridge/verify.js", "--bundle", str(directory)]


def in_python(directory: Path) -> list[str]:
    """Returns the command of the judge, which reads the contract first."""
    model = ["--model", str(directory / "nowhere")]
    return ["python", "-m", "parity_tests", "--bundle", str(directory), *model]


def write_contract(text: str, command: Callable[[Path], list[str]], directory: Path) -> list[str]:
    """Writes a contract and empty files; returns the command."""
    for name in contracts.bundle_contract()["files"]:
        (directory / name).touch()
    (directory / "bundle.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    return command(directory)


def change_contract(change: Callable[[dict[str, Any]], Any]) -> str:
    """Returns a changed contract as JSON."""
    document = copy.deepcopy(contracts.bundle_contract())
    change(document)
    return json.dumps(document)


def texts() -> Iterator[tuple[str, str]]:
    """Yields contradictions, and texts that are no contract."""
    yield "nothing", ""
    yield "no JSON", "{"
    yield "a list", "[]"
    yield "null", "null"
    yield "very deep", "[" * 100_000
    yield "a contract to come", change_contract(lambda c: c.update(contract_version=3))
    yield "another format", change_contract(lambda c: c.update(format="zip\x1b[31m"))
    yield "a length of two", change_contract(lambda c: c.update(max_length=2))
    yield "no inputs", change_contract(lambda c: c.update(inputs=[]))
    yield "no outputs", change_contract(lambda c: c.update(outputs=[]))
    yield "two inputs of a name", change_contract(lambda c: c["inputs"].append(c["inputs"][0]))
    yield "two outputs of a name", change_contract(lambda c: c["outputs"].append(c["outputs"][0]))
    mask = contracts.bundle_contract()["inputs"][0] | {"role": "attention_mask"}
    yield "no ids", change_contract(lambda c: c.update(inputs=[mask]))
    beyond = {"token": "[MASK]", "id": 21}
    yield (
        "an id beyond the vocab",
        change_contract(lambda c: c["tokenizer"]["special_tokens"].update(mask=beyond)),
    )
    yield "no model", change_contract(lambda c: c["files"].pop("model.json"))
    for name in NAMES:
        spoilt = partial(lambda n, c: c["files"].update({n: contracts.EMPTY}), name)
        yield f"a file called {json.dumps(name[:20])}", change_contract(spoilt)


def cases() -> Iterator[HostileCase]:
    """Yields the mutations: in Node, and some in Python; budgets by verify.js."""
    spoilt = [
        (name, text)
        for name, text in mutations(contracts.bundle_contract(), OPEN)
        if not name.endswith(NULLABLE)
    ]
    budgets = [one for one in spoilt if "budget" in one[0] and "budgets has" not in one[0]]
    for name, text in [one for one in spoilt if one not in budgets][::EVERY]:
        yield HostileCase(
            f"contract: {name}", partial(write_contract, text, in_node), says="bundle.json"
        )
    for name, text in budgets[::EVERY]:
        yield HostileCase(f"contract, verify: {name}", partial(write_contract, text, by_verify))
    for name, text in texts():
        yield HostileCase(
            f"contract: {name}", partial(write_contract, text, by_verify), says="bundle.json"
        )
        if len(text) < 10_000 and name.startswith(("no", "a ")):
            yield HostileCase(f"contract, Python: {name}", partial(write_contract, text, in_python))
