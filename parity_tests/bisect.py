"""Finds the first op at which a TF.js GraphModel, whoever converted it, leaves its SavedModel.

    python -m parity_tests.bisect --graph-model DIR --model SAVED_MODEL [--backend wasm]

Both run on the same inputs, and every node that both have by name is compared, in the order of the
graph: a stock conversion keeps the names of most. A node that throws is where it stops.
"""

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from export.confined import confinement
from export.source.vetting import load_saved_model
from numerics.budgets import Budget
from parity_tests.checks.budgets import EXACT
from parity_tests.checks.compare import Problem, compare_arrays, make_problem
from parity_tests.runners.runners import RUNNERS_DIRECTORY, find_node, run_with_progress
from support import printing
from support.command_line import OptionParser, command
from support.errors import EnvironmentProblem, UserError
from support.quiet_tensorflow import tensorflow

# The graph of a TF.js GraphModel, as it stands in `model.json`, and what Node made of it.


@dataclass(frozen=True)
class NodeResult:
    """What Node gave: tensors and strings by node, and the node that threw, if one did."""

    tensors: dict[str, NDArray[Any]]
    strings: dict[str, dict[str, Any]]
    threw: dict[str, Any] | None


def read_topology(graph_model: Path) -> list[dict[str, Any]]:
    """The nodes of `model.json`, each after those that it takes.

    Raises:
        UserError: there is none.
    """
    try:
        document = json.loads((graph_model / "model.json").read_text(encoding="utf-8"))
        return sort_nodes(document["modelTopology"]["node"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{graph_model} holds no TF.js GraphModel: {error}") from None


def sort_nodes(topology: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The nodes, each after those that it takes."""
    by_name = {node["name"]: node for node in topology}
    done: dict[str, None] = {}
    for start in by_name:
        stack = [start]
        while stack:
            waiting = [n for n in input_names(by_name[stack[-1]]) if n in by_name and n not in done]
            if waiting:
                stack += waiting
            else:
                done.setdefault(stack.pop())
    return [by_name[name] for name in done]


def input_names(node: dict[str, Any]) -> list[str]:
    """The names of a node's inputs, control inputs left out."""
    return [name.split(":")[0] for name in node.get("input", []) if not name.startswith("^")]


EXAMPLE = """example:
  tensorflowjs_converter --input_format tf_saved_model my_model my_tfjs
  python -m parity_tests.bisect --graph-model my_tfjs --model my_model

exit codes: 0 every op agrees, 1 one does not, 2 a mistake in what was given, 3 this machine
"""


@command()
def main(arguments: list[str] | None = None) -> int:
    """Prints the op, and gives the exit code."""
    given = parse_options(arguments)
    result = bisect(given.graph_model, given.model, given.backend, given.inputs)
    print(json.dumps(result, ensure_ascii=False) if given.json else describe_result(result))
    return 0 if result["verdict"] == "pass" else 1


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """The options."""
    parser = OptionParser(
        prog="python -m parity_tests.bisect",
        description=(__doc__ or "").split("\n")[0],
        epilog=EXAMPLE,
    )
    parser.add_argument("--graph-model", type=Path, required=True, help="directory of model.json")
    parser.add_argument("--model", type=Path, required=True, help="the SavedModel it is of")
    parser.add_argument("--backend", default="wasm", help="TF.js backend (default %(default)s)")
    parser.add_argument(
        "--inputs", type=Path, help="JSON: nested lists by input; made up if absent"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args(arguments)


def bisect(graph_model: Path, model: Path, backend: str, inputs: Path | None) -> dict[str, Any]:
    """Where the two part.

    Returns:
        `verdict` (`pass` or `drift`), `backend`, `compared` (nodes); on drift `node`, `op`, `check`
        (`values`, `dtype`, `shape`, `finite`, or `throws`), `message`, and the `inputs` of the op
        with what is known of each: `equal`, `constant` or `not compared`.

    Raises:
        UserError: no GraphModel or SavedModel, or they have no node in common.
    """
    topology = read_topology(graph_model)

    from parity_tests.runners.costs import TapReader

    source = load_signature(model)
    feeds = make_inputs(source, inputs)
    common = common_nodes(source, topology)
    if not common:
        raise UserError(f"{graph_model} and {model} have no node in common by name")
    expected = TapReader(source, {name: f"{name}:0" for name in common}).run(feeds)
    found = run_node(graph_model, backend, {n: to_json_tensor(v) for n, v in feeds.items()}, common)
    return find_first_difference(topology, common, expected, found) | {"backend": backend}


def run_node(
    graph_model: Path, backend: str, feeds: dict[str, Any], common: list[str]
) -> NodeResult:
    """What Node gives for the nodes.

    Raises:
        EnvironmentProblem: the runner did not end well.
    """
    with tempfile.TemporaryDirectory() as place:
        asked, wanted = Path(place) / "inputs.json", Path(place) / "nodes.json"
        asked.write_text(json.dumps(feeds), "utf-8")
        wanted.write_text(json.dumps(common), encoding="utf-8")
        out = Path(place) / "out.safetensors"
        command = [
            find_node(),
            str(RUNNERS_DIRECTORY / "run_graph.js"),
            "--model",
            str(graph_model / "model.json"),
        ]
        command += ["--inputs", str(asked), "--nodes", str(wanted)]
        command += ["--out", str(out), "--backend", backend]
        code, last = run_with_progress(command, None)
        if code == UserError.exit_code:
            raise UserError(last.removeprefix("error: "))
        if code != 0:
            raise EnvironmentProblem(f"the Node runner ended with exit code {code}: {last}")
        with safe_open(out, framework="numpy") as file:
            told = {name: json.loads(text) for name, text in file.metadata().items()}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return NodeResult(tensors, told["strings"], told["threw"])


def describe_result(result: dict[str, Any]) -> str:
    """The result as a person reads it."""
    if result["verdict"] == "pass":
        return f"every op agrees on {result['backend']}: {result['compared']} nodes compared"
    lines = [
        f"DRIFT on {result['backend']} at op {result['op']}, node {result['node']}",
        f"  {result['message']}",
    ]
    if result["inputs"]:
        taken = ", ".join(f"{name} ({state})" for name, state in result["inputs"].items())
        lines.append(f"  it takes {taken}")
    return "\n".join([*lines, f"  {result['compared']} nodes before it agree"])


if __name__ == "__main__":
    asked = parse_options(None)
    files = [path for path in (asked.graph_model, asked.model, asked.inputs) if path]
    confinement.enter("parity_tests.bisect", files, printing.say)
    sys.exit(main())

# The nodes that a GraphModel and its SavedModel have in common, and the first that is off.

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


Array = NDArray[Any]
STRINGS = [["[CLS]", "你", "好", "xyzzy", ""], ["[CLS]", "好", "[SEP]", "", ""]]
IDS = [[2, 5, 6, 7, 3], [2, 4, 3, 0, 0]]
CLOSE = Budget(1e-4, 1e-4, "one op's rounding, on whatever scale its values are")
SILENT = ("Const", "Placeholder", "NoOp", "VarHandleOp", "HashTableV2", "Assert")


def load_signature(model: Path) -> Any:
    """A SavedModel's signature; its object is kept alive by it.

    Raises:
        UserError: there is none, it does more than compute, or it does not load.
    """
    if not (model / "saved_model.pb").is_file():
        raise UserError(f"{model} is no SavedModel: it has no saved_model.pb")
    loaded = load_saved_model(model)
    if "serving_default" not in loaded.signatures:
        raise UserError(f"{model} has no signature serving_default")
    function = loaded.signatures["serving_default"]
    function.kept = loaded
    return function


def make_inputs(function: Any, file: Path | None) -> dict[str, Array]:
    """The inputs by name: from a JSON file of nested lists, else made up.

    Raises:
        UserError: the file lacks an input.
    """
    from parity_tests.runners.source import guess_role

    tf, _ = tensorflow()
    given = json.loads(file.read_text(encoding="utf-8")) if file else {}
    feeds = {}
    for name, spec in function.structured_input_signature[1].items():
        if file and name not in given:
            raise UserError(f"{file} has no {name}, expected a nested list for each input")
        made_up: Any = STRINGS
        if spec.dtype != tf.string:
            ids = np.array(IDS)
            roles = {"attention_mask": (ids > 0) * 1, "token_type_ids": ids * 0}
            made_up = roles.get(guess_role(name), ids)
        kind: Any = object if spec.dtype == tf.string else spec.dtype.as_numpy_dtype
        feeds[name] = np.array(given.get(name, made_up), kind)
    return feeds


def to_json_tensor(value: Array) -> dict[str, Any]:
    """An input as run_graph.js takes it."""
    kind = "string" if value.dtype == object else "int32" if value.dtype.kind == "i" else "float32"
    return {"dtype": kind, "shape": list(value.shape), "values": value.ravel().tolist()}


def common_nodes(function: Any, topology: list[dict[str, Any]]) -> list[str]:
    """The nodes that both have and that compute something, in the order of the graph."""
    tensorflow()
    from tensorflow.python.framework import convert_to_constants

    graph_def = convert_to_constants._run_inline_graph_optimization(function, False, True)
    known = {node.name for node in graph_def.node if node.op not in SILENT}
    return [node["name"] for node in topology if node["name"] in known and node["op"] not in SILENT]


def find_first_difference(
    topology: list[dict[str, Any]], names: list[str], expected: dict[str, Array], found: NodeResult
) -> dict[str, Any]:
    """The first node, in order, that is off or throws."""
    by_name = {node["name"]: node for node in topology}
    equal: list[str] = []
    for name in names:
        problem = compare_node(name, expected[name], found)
        if problem is None:
            equal.append(name)
            continue
        node = by_name[name]
        states = {one: input_state(one, by_name, equal) for one in input_names(node)}
        return {"verdict": "drift", "compared": len(equal), "node": name, "op": node["op"]} | {
            "check": problem.check,
            "message": problem.message,
            "inputs": states,
        }
    if found.threw is not None:
        message = {"check": "throws", "message": found.threw["message"], "inputs": {}}
        return {"verdict": "drift", "compared": 0, "node": None, "op": None} | message
    return {"verdict": "pass", "compared": len(equal)}


def input_state(name: str, by_name: dict[str, dict[str, Any]], equal: list[str]) -> str:
    """What is known of an op's input."""
    if name in equal:
        return "equal"
    op = by_name.get(name, {}).get("op")
    return "constant" if op == "Const" else "input" if op == "Placeholder" else "not compared"


def compare_node(name: str, expected: Array, found: NodeResult) -> Problem | None:
    """What is wrong with a node, if anything."""
    if found.threw is not None and name not in found.tensors and name not in found.strings:
        return make_problem("throws", f"an error, {found.threw['message']}", "a value", name)
    if expected.dtype == object:
        return compare_strings(name, expected, found)
    if name not in found.tensors:
        return make_problem("dtype", "strings", expected.dtype, name)
    got = found.tensors[name]
    if expected.dtype.kind in "iub":
        # TF.js has no other integers; a truth is a number there.
        expected = expected.astype(np.int32)
        return compare_arrays(got, expected, EXACT, name).problem if expected.size else None
    return (
        compare_arrays(got, expected.astype(np.float32), CLOSE, name).problem if got.size else None
    )


def compare_strings(name: str, expected: Array, found: NodeResult) -> Problem | None:
    """Strings, exactly."""
    if name not in found.strings:
        return make_problem("dtype", found.tensors[name].dtype, "strings", name)
    got = found.strings[name]
    values = [value.decode() for value in expected.ravel()]
    if got["shape"] != list(expected.shape):
        return make_problem("shape", got["shape"], list(expected.shape), name)
    at = next((i for i, v in enumerate(values) if got["values"][i] != v), None)
    return (
        None
        if at is None
        else make_problem("values", got["values"][at], values[at], f"{name} at {at}")
    )
