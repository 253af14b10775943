"""Finds the first op at which a TF.js GraphModel differs from its SavedModel, whoever converted it.

    python -m parity_tests.bisect --graph-model DIR --model SAVED_MODEL [--backend wasm]

Both run on the same inputs. Every node that both have by name is compared, in the order of the
graph; a stock conversion keeps most names. A node that throws ends the run.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from export.confined import confinement
from export.source.signature_choice import DEFAULT_SIGNATURE
from export.source.vetting import load_saved_model
from numerics.budgets import Budget
from parity_tests.checks.budgets import EXACT
from parity_tests.checks.compare import Problem, compare_arrays, make_problem
from parity_tests.runners.runners import RUNNERS_DIRECTORY, run_with_progress
from support import printing
from support.command_line import OptionParser, command
from support.contracts import MODEL_FILE
from support.errors import EnvironmentProblem, UserError
from support.node import find_node
from support.quiet_tensorflow import tensorflow

Array = NDArray[Any]
EXAMPLE = """example:
  tensorflowjs_converter --input_format tf_saved_model my_model my_tfjs
  python -m parity_tests.bisect --graph-model my_tfjs --model my_model

exit codes: 0 every op agrees, 1 one does not, 2 a mistake in the input, 3 this machine
"""
STRINGS = [["[CLS]", "你", "好", "xyzzy", ""], ["[CLS]", "好", "[SEP]", "", ""]]
IDS = [[2, 5, 6, 7, 3], [2, 4, 3, 0, 0]]
CLOSE = Budget(1e-4, 1e-4, "one op's rounding, on whatever scale its values are")
SILENT = ("Const", "Placeholder", "NoOp", "VarHandleOp", "HashTableV2", "Assert")


@dataclass(frozen=True)
class NodeResult:
    """What Node computed: tensors and strings by graph node, and the node that threw, if any."""

    tensors: dict[str, Array]
    strings: dict[str, dict[str, Any]]
    threw: dict[str, Any] | None


@command()
def main(arguments: list[str] | None = None) -> int:
    """Prints the op, and returns the exit code."""
    options = parse_options(arguments)
    result = bisect(options.graph_model, options.model, options.backend, options.inputs)
    print(json.dumps(result, ensure_ascii=False) if options.json else _describe_result(result))
    return 0 if result["verdict"] == "pass" else 1


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """Parses the options; an unknown one ends the program with exit code 2."""
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
    """Finds the first op that differs.

    Args:
        graph_model: the directory of `model.json`.
        model: the SavedModel.
        backend: of TF.js.
        inputs: a JSON file of nested lists by input; None for made-up inputs.

    Returns:
        `verdict` (`pass` or `drift`), `backend`, `compared` (nodes); on drift `node`, `op`, `check`
        (`values`, `dtype`, `shape`, `finite`, or `throws`), `message`, and the `inputs` of the op
        with what is known of each: `equal`, `constant` or `not compared`.

    Raises:
        UserError: no GraphModel or SavedModel, or they have no node in common.
    """
    topology = _read_topology(graph_model)

    from parity_tests.runners.costs import TapReader

    signature = load_signature(model)
    feeds = _make_inputs(signature, inputs)
    common = _common_nodes(signature, topology)
    if not common:
        raise UserError(f"{graph_model} and {model} have no node in common by name")
    expected = TapReader(signature, {name: f"{name}:0" for name in common}).run(feeds)
    tensors = {name: _to_json_tensor(value) for name, value in feeds.items()}
    result = run_node(graph_model, backend, tensors, common)
    return _find_first_difference(topology, common, expected, result) | {"backend": backend}


def _describe_result(result: dict[str, Any]) -> str:
    """Returns the result as lines for a person."""
    if result["verdict"] == "pass":
        return f"every op agrees on {result['backend']}: {result['compared']} nodes compared"
    lines = [
        f"DRIFT on {result['backend']} at op {result['op']}, node {result['node']}",
        f"  {result['message']}",
    ]
    if result["inputs"]:
        inputs = ", ".join(f"{name} ({state})" for name, state in result["inputs"].items())
        lines.append(f"  it takes {inputs}")
    return "\n".join([*lines, f"  {result['compared']} nodes before it agree"])


# The GraphModel: its nodes, and what Node computes for them.


def _read_topology(graph_model: Path) -> list[dict[str, Any]]:
    """Returns the nodes of `model.json`, each after its inputs.

    Raises:
        UserError: the directory has no GraphModel.
    """
    try:
        document = json.loads((graph_model / MODEL_FILE).read_text(encoding="utf-8"))
        return _sort_nodes(document["modelTopology"]["node"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{graph_model} holds no TF.js GraphModel: {error}") from None


def _sort_nodes(topology: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sorts nodes so that each stands after its inputs."""
    by_name = {node["name"]: node for node in topology}
    done: dict[str, None] = {}
    for start in by_name:
        stack = [start]
        while stack:
            names = _input_names(by_name[stack[-1]])
            waiting = [name for name in names if name in by_name and name not in done]
            if waiting:
                stack += waiting
            else:
                done.setdefault(stack.pop())
    return [by_name[name] for name in done]


def _input_names(node: dict[str, Any]) -> list[str]:
    """Returns the names of a node's inputs, without control inputs."""
    return [name.split(":")[0] for name in node.get("input", []) if not name.startswith("^")]


def run_node(
    graph_model: Path, backend: str, feeds: dict[str, Any], common: list[str]
) -> NodeResult:
    """Runs run_graph.js.

    Args:
        graph_model: the directory of `model.json`.
        backend: of TF.js.
        feeds: inputs by name, see `_to_json_tensor`.
        common: names of the nodes to fetch.

    Raises:
        UserError: run_graph.js refuses its input.
        EnvironmentProblem: it did not end well.
    """
    with tempfile.TemporaryDirectory() as directory:
        inputs_file, nodes_file = Path(directory) / "inputs.json", Path(directory) / "nodes.json"
        inputs_file.write_text(json.dumps(feeds), "utf-8")
        nodes_file.write_text(json.dumps(common), encoding="utf-8")
        out = Path(directory) / "out.safetensors"
        program = str(RUNNERS_DIRECTORY / "run_graph.js")
        command = [find_node(), program, "--model", str(graph_model / MODEL_FILE)]
        command += ["--inputs", str(inputs_file), "--nodes", str(nodes_file)]
        command += ["--out", str(out), "--backend", backend]
        code, last = run_with_progress(command, None)
        if code == UserError.exit_code:
            raise UserError(last.removeprefix("error: "))
        if code != 0:
            raise EnvironmentProblem(f"the Node runner ended with exit code {code}: {last}")
        with safe_open(out, framework="numpy") as file:
            metadata = {name: json.loads(text) for name, text in file.metadata().items()}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return NodeResult(tensors, metadata["strings"], metadata["threw"])


def _to_json_tensor(value: Array) -> dict[str, Any]:
    """Converts an input to the form that run_graph.js reads."""
    kind = "string" if value.dtype == object else "int32" if value.dtype.kind == "i" else "float32"
    return {"dtype": kind, "shape": list(value.shape), "values": value.ravel().tolist()}


# The SavedModel: its signature, and inputs for both sides.


def load_signature(model: Path) -> Any:
    """Loads a SavedModel's signature `serving_default`.

    Raises:
        UserError: there is none, it does more than compute, or it does not load.
    """
    if not (model / "saved_model.pb").is_file():
        raise UserError(f"{model} is no SavedModel: it has no saved_model.pb")
    loaded = load_saved_model(model)
    if DEFAULT_SIGNATURE not in loaded.signatures:
        raise UserError(f"{model} has no signature serving_default")
    function = loaded.signatures[DEFAULT_SIGNATURE]
    # A signature does not keep its model alive, and with it the variables.
    function.loaded_model = loaded
    return function


def _make_inputs(function: Any, file: Path | None) -> dict[str, Array]:
    """Returns the inputs by name: from a JSON file of nested lists, else made up.

    Raises:
        UserError: the file lacks an input.
    """
    from parity_tests.runners.source import guess_role

    tf, _ = tensorflow()
    from_file = json.loads(file.read_text(encoding="utf-8")) if file else {}
    feeds = {}
    for name, spec in function.structured_input_signature[1].items():
        if file and name not in from_file:
            raise UserError(f"{file} has no {name}, expected a nested list for each input")
        made_up: Any = STRINGS
        if spec.dtype != tf.string:
            ids = np.array(IDS)
            roles = {"attention_mask": (ids > 0) * 1, "token_type_ids": ids * 0}
            made_up = roles.get(guess_role(name), ids)
        kind: Any = object if spec.dtype == tf.string else spec.dtype.as_numpy_dtype
        feeds[name] = np.array(from_file.get(name, made_up), kind)
    return feeds


def _common_nodes(function: Any, topology: list[dict[str, Any]]) -> list[str]:
    """Returns the nodes that both have and that compute something, in the order of the graph."""
    tensorflow()
    from tensorflow.python.framework import convert_to_constants

    graph_def = convert_to_constants._run_inline_graph_optimization(function, False, True)
    known = {node.name for node in graph_def.node if node.op not in SILENT}
    return [node["name"] for node in topology if node["name"] in known and node["op"] not in SILENT]


# The comparison, node by node.


def _find_first_difference(
    topology: list[dict[str, Any]],
    names: list[str],
    expected: dict[str, Array],
    result: NodeResult,
) -> dict[str, Any]:
    """Finds the first node that differs or throws.

    Args:
        topology: the nodes of the GraphModel, see `_read_topology`.
        names: the nodes to compare, in order.
        expected: the SavedModel's values by name.
        result: Node's values.

    Returns:
        as `bisect`, without the backend.
    """
    by_name = {node["name"]: node for node in topology}
    equal: list[str] = []
    for name in names:
        problem = _compare_node(name, expected[name], result)
        if problem is None:
            equal.append(name)
            continue
        node = by_name[name]
        states = {one: _input_state(one, by_name, equal) for one in _input_names(node)}
        return {"verdict": "drift", "compared": len(equal), "node": name, "op": node["op"]} | {
            "check": problem.check,
            "message": problem.message,
            "inputs": states,
        }
    if result.threw is not None:
        message = {"check": "throws", "message": result.threw["message"], "inputs": {}}
        return {"verdict": "drift", "compared": 0, "node": None, "op": None} | message
    return {"verdict": "pass", "compared": len(equal)}


def _input_state(name: str, by_name: dict[str, dict[str, Any]], equal: list[str]) -> str:
    """Says what is known of an op's input: equal, constant, input or not compared."""
    if name in equal:
        return "equal"
    op = by_name.get(name, {}).get("op")
    return "constant" if op == "Const" else "input" if op == "Placeholder" else "not compared"


def _compare_node(name: str, expected: Array, result: NodeResult) -> Problem | None:
    """Compares one node's value."""
    if result.threw is not None and name not in result.tensors and name not in result.strings:
        got = f"an error, {result.threw['message']}"
        return make_problem("throws", got, "a value", name)
    if expected.dtype == object:
        return _compare_strings(name, expected, result)
    if name not in result.tensors:
        return make_problem("dtype", "strings", expected.dtype, name)
    values = result.tensors[name]
    if expected.dtype.kind in "iub":
        # TF.js has only int32; booleans are numbers there.
        expected = expected.astype(np.int32)
        return compare_arrays(values, expected, EXACT, name).problem if expected.size else None
    expected = expected.astype(np.float32)
    return compare_arrays(values, expected, CLOSE, name).problem if values.size else None


def _compare_strings(name: str, expected: Array, result: NodeResult) -> Problem | None:
    """Compares strings exactly."""
    if name not in result.strings:
        return make_problem("dtype", result.tensors[name].dtype, "strings", name)
    got = result.strings[name]
    values = [value.decode() for value in expected.ravel()]
    if got["shape"] != list(expected.shape):
        return make_problem("shape", got["shape"], list(expected.shape), name)
    at = next((i for i, v in enumerate(values) if got["values"][i] != v), None)
    if at is None:
        return None
    return make_problem("values", got["values"][at], values[at], f"{name} at {at}")


if __name__ == "__main__":
    parsed = parse_options(None)
    files = [path for path in (parsed.graph_model, parsed.model, parsed.inputs) if path]
    confinement.rerun_confined("parity_tests.bisect", files, printing.say)
    sys.exit(main())
