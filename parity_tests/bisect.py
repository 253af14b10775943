"""Finds the first op at which a TF.js GraphModel, whoever converted it, leaves its SavedModel.

    python -m parity_tests.bisect --graph-model DIR --model SAVED_MODEL [--backend wasm]

Both run on the same inputs, and every node that both have by name is compared, in the order of the
graph: a stock conversion keeps the names of most. A node that throws is where it stops.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from safetensors import safe_open

import printing
from command_line import OptionParser, command
from export import confinement
from parity_tests.errors import EnvironmentProblem, UserError
from parity_tests.runners import ROOM, node, talk
from parity_tests.topology import Found, read_topology

EXAMPLE = """example:
  tensorflowjs_converter --input_format tf_saved_model my_model my_tfjs
  python -m parity_tests.bisect --graph-model my_tfjs --model my_model

exit codes: 0 every op agrees, 1 one does not, 2 a mistake in what was given, 3 this machine
"""


@command()
def main(arguments: list[str] | None = None) -> int:
    """Prints the op, and gives the exit code."""
    given = parse(arguments)
    result = bisect(given.graph_model, given.model, given.backend, given.inputs)
    print(json.dumps(result, ensure_ascii=False) if given.json else told(result))
    return 0 if result["verdict"] == "pass" else 1


def parse(arguments: list[str] | None) -> argparse.Namespace:
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
    from parity_tests import nodes
    from parity_tests.inside import Inside

    source = nodes.load(model)
    feeds = nodes.inputs_of(source, inputs)
    common = nodes.common(source, topology)
    if not common:
        raise UserError(f"{graph_model} and {model} have no node in common by name")
    expected = Inside(source, {name: f"{name}:0" for name in common}).run(feeds)
    found = run_node(graph_model, backend, {n: nodes.as_json(v) for n, v in feeds.items()}, common)
    return nodes.first_off(topology, common, expected, found) | {"backend": backend}


def run_node(graph_model: Path, backend: str, feeds: dict[str, Any], common: list[str]) -> Found:
    """What Node gives for the nodes.

    Raises:
        EnvironmentProblem: the runner did not end well.
    """
    with tempfile.TemporaryDirectory() as place:
        asked, wanted = Path(place) / "inputs.json", Path(place) / "nodes.json"
        asked.write_text(json.dumps(feeds), "utf-8")
        wanted.write_text(json.dumps(common), encoding="utf-8")
        out = Path(place) / "out.safetensors"
        command = [node(), str(ROOM / "run_graph.js"), "--model", str(graph_model / "model.json")]
        command += ["--inputs", str(asked), "--nodes", str(wanted)]
        command += ["--out", str(out), "--backend", backend]
        code, last = talk(command, None)
        if code == UserError.exit_code:
            raise UserError(last.removeprefix("error: "))
        if code != 0:
            raise EnvironmentProblem(f"the Node runner ended with exit code {code}: {last}")
        with safe_open(out, framework="numpy") as file:
            told = {name: json.loads(text) for name, text in file.metadata().items()}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return Found(tensors, told["strings"], told["threw"])


def told(result: dict[str, Any]) -> str:
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
    asked = parse(None)
    files = [path for path in (asked.graph_model, asked.model, asked.inputs) if path]
    confinement.enter("parity_tests.bisect", files, printing.say)
    sys.exit(main())
