"""Bundles whose contract is spoilt in one place, sealed again: refused before a file is read."""

import copy
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.hostile import contracts
from tests.hostile.case import Case
from tests.hostile.mutations import mutations

EVERY = 5
"""Of so many mutations one is run; tests/python/test_contracts.py checks all."""
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
    """The command that only reads the contract."""
    return ["node", "node_bridge/tokenize.js", "--bundle", str(directory)]


def by_verify(directory: Path) -> list[str]:
    """The command whose verdict a spoilt budget would turn."""
    return ["node", "node_bridge/verify.js", "--bundle", str(directory)]


def in_python(directory: Path) -> list[str]:
    """The judge, which reads the contract first."""
    model = ["--model", str(directory / "nowhere")]
    return ["python", "-m", "parity_tests", "--bundle", str(directory), *model]


def written(text: str, command: Callable[[Path], list[str]], directory: Path) -> list[str]:
    """Writes a contract and empty files."""
    for name in contracts.bundle()["files"]:
        (directory / name).touch()
    (directory / "bundle.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    return command(directory)


def changed(change: Callable[[dict[str, Any]], Any]) -> str:
    """A contract after a change."""
    document = copy.deepcopy(contracts.bundle())
    change(document)
    return json.dumps(document)


def texts() -> Iterator[tuple[str, str]]:
    """Contradictions, and what is no contract at all."""
    yield "nothing", ""
    yield "no JSON", "{"
    yield "a list", "[]"
    yield "null", "null"
    yield "very deep", "[" * 100_000
    yield "a contract to come", changed(lambda c: c.update(contract_version=2))
    yield "another format", changed(lambda c: c.update(format="zip\x1b[31m"))
    yield "a length of two", changed(lambda c: c.update(max_length=2))
    yield "no inputs", changed(lambda c: c.update(inputs=[]))
    yield "no outputs", changed(lambda c: c.update(outputs=[]))
    yield "two inputs of a name", changed(lambda c: c["inputs"].append(c["inputs"][0]))
    yield "two outputs of a name", changed(lambda c: c["outputs"].append(c["outputs"][0]))
    mask = contracts.bundle()["inputs"][0] | {"role": "attention_mask"}
    yield "no ids", changed(lambda c: c.update(inputs=[mask]))
    beyond = {"token": "[MASK]", "id": 21}
    yield (
        "an id beyond the vocab",
        changed(lambda c: c["tokenizer"]["special_tokens"].update(mask=beyond)),
    )
    yield "no model", changed(lambda c: c["files"].pop("model.json"))
    for name in NAMES:
        spoilt = partial(lambda n, c: c["files"].update({n: contracts.EMPTY}), name)
        yield f"a file called {json.dumps(name[:20])}", changed(spoilt)


def cases() -> Iterator[Case]:
    """Each mutation once: in Node, and some in Python; budgets by verify.js."""
    spoilt = [
        (name, text)
        for name, text in mutations(contracts.bundle(), OPEN)
        if not name.endswith(NULLABLE)
    ]
    budgets = [one for one in spoilt if "budget" in one[0] and "budgets has" not in one[0]]
    for name, text in [one for one in spoilt if one not in budgets][::EVERY]:
        yield Case(f"contract: {name}", partial(written, text, in_node), says="bundle.json")
    for name, text in budgets[::EVERY]:
        yield Case(f"contract, verify: {name}", partial(written, text, by_verify))
    for name, text in texts():
        yield Case(f"contract: {name}", partial(written, text, by_verify), says="bundle.json")
        if len(text) < 10_000 and name.startswith(("no", "a ")):
            yield Case(f"contract, Python: {name}", partial(written, text, in_python))
