"""The nodes that a GraphModel and its SavedModel have in common, and the first that is off."""

import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework import convert_to_constants

from export.errors import UserError as ExportError
from export.loading import load_saved_model
from numerics.budgets import Budget
from parity_tests.budgets import EXACT
from parity_tests.compare import Problem, compare, wrong
from parity_tests.errors import UserError
from parity_tests.source import role_of
from parity_tests.topology import Found, taken

Array = NDArray[Any]
STRINGS = [["[CLS]", "你", "好", "xyzzy", ""], ["[CLS]", "好", "[SEP]", "", ""]]
IDS = [[2, 5, 6, 7, 3], [2, 4, 3, 0, 0]]
CLOSE = Budget(1e-4, 1e-4, "one op's rounding, on whatever scale its values are")
SILENT = ("Const", "Placeholder", "NoOp", "VarHandleOp", "HashTableV2", "Assert")


def load(model: Path) -> Any:
    """A SavedModel's signature; its object is kept alive by it.

    Raises:
        UserError: there is none, it does more than compute, or it does not load.
    """
    if not (model / "saved_model.pb").is_file():
        raise UserError(f"{model} is no SavedModel: it has no saved_model.pb")
    try:
        loaded = load_saved_model(model)
    except ExportError as error:
        raise UserError(str(error)) from None
    if "serving_default" not in loaded.signatures:
        raise UserError(f"{model} has no signature serving_default")
    function = loaded.signatures["serving_default"]
    function.kept = loaded
    return function


def inputs_of(function: Any, file: Path | None) -> dict[str, Array]:
    """The inputs by name: from a JSON file of nested lists, else made up.

    Raises:
        UserError: the file lacks an input.
    """
    given = json.loads(file.read_text(encoding="utf-8")) if file else {}
    feeds = {}
    for name, spec in function.structured_input_signature[1].items():
        if file and name not in given:
            raise UserError(f"{file} has no {name}, expected a nested list for each input")
        made_up: Any = STRINGS
        if spec.dtype != tf.string:
            ids = np.array(IDS)
            roles = {"attention_mask": (ids > 0) * 1, "token_type_ids": ids * 0}
            made_up = roles.get(role_of(name), ids)
        kind: Any = object if spec.dtype == tf.string else spec.dtype.as_numpy_dtype
        feeds[name] = np.array(given.get(name, made_up), kind)
    return feeds


def as_json(value: Array) -> dict[str, Any]:
    """An input as run_graph.js takes it."""
    kind = "string" if value.dtype == object else "int32" if value.dtype.kind == "i" else "float32"
    return {"dtype": kind, "shape": list(value.shape), "values": value.ravel().tolist()}


def common(function: Any, topology: list[dict[str, Any]]) -> list[str]:
    """The nodes that both have and that compute something, in the order of the graph."""
    graph_def = convert_to_constants._run_inline_graph_optimization(function, False, True)
    known = {node.name for node in graph_def.node if node.op not in SILENT}
    return [node["name"] for node in topology if node["name"] in known and node["op"] not in SILENT]


def first_off(
    topology: list[dict[str, Any]], names: list[str], expected: dict[str, Array], found: Found
) -> dict[str, Any]:
    """The first node, in order, that is off or throws."""
    by_name = {node["name"]: node for node in topology}
    equal: list[str] = []
    for name in names:
        problem = difference(name, expected[name], found)
        if problem is None:
            equal.append(name)
            continue
        node = by_name[name]
        states = {one: state(one, by_name, equal) for one in taken(node)}
        return {"verdict": "drift", "compared": len(equal), "node": name, "op": node["op"]} | {
            "check": problem.check,
            "message": problem.message,
            "inputs": states,
        }
    if found.threw is not None:
        message = {"check": "throws", "message": found.threw["message"], "inputs": {}}
        return {"verdict": "drift", "compared": 0, "node": None, "op": None} | message
    return {"verdict": "pass", "compared": len(equal)}


def state(name: str, by_name: dict[str, dict[str, Any]], equal: list[str]) -> str:
    """What is known of an op's input."""
    if name in equal:
        return "equal"
    op = by_name.get(name, {}).get("op")
    return "constant" if op == "Const" else "input" if op == "Placeholder" else "not compared"


def difference(name: str, expected: Array, found: Found) -> Problem | None:
    """What is wrong with a node, if anything."""
    if found.threw is not None and name not in found.tensors and name not in found.strings:
        return wrong("throws", f"an error, {found.threw['message']}", "a value", name)
    if expected.dtype == object:
        return strings_differ(name, expected, found)
    if name not in found.tensors:
        return wrong("dtype", "strings", expected.dtype, name)
    got = found.tensors[name]
    if expected.dtype.kind in "iub":
        # TF.js has no other integers; a truth is a number there.
        expected = expected.astype(np.int32)
        return compare(got, expected, EXACT, name).problem if expected.size else None
    return compare(got, expected.astype(np.float32), CLOSE, name).problem if got.size else None


def strings_differ(name: str, expected: Array, found: Found) -> Problem | None:
    """Strings, exactly."""
    if name not in found.strings:
        return wrong("dtype", found.tensors[name].dtype, "strings", name)
    got = found.strings[name]
    values = [value.decode() for value in expected.ravel()]
    if got["shape"] != list(expected.shape):
        return wrong("shape", got["shape"], list(expected.shape), name)
    at = next((i for i, v in enumerate(values) if got["values"][i] != v), None)
    return None if at is None else wrong("values", got["values"][at], values[at], f"{name} at {at}")
