"""Runs a bundle's golden cases in Node before the bundle gets its final name.

Preflight knows which kernels a backend has, but not what they compute: some kernels of TF.js 4.22
compute wrong numbers without an error (wasm's `OneHot` was off by 2.5 to 3.2 in Google's BERT). So
every bundle must first compute the same as Python, on wasm and on cpu.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support import ROOT
from support.errors import CheckFailed, EnvironmentProblem
from support.node import find_node, has_node_packages, last_line, run_node

if TYPE_CHECKING:
    from export.graph.graph import FrozenGraph

VERIFY = ROOT / "node_bridge" / "verify.js"
# Plain JavaScript does about 0.1 to 0.2 billion multiplications a second, wasm a hundred times as
# many. So on cpu only as many golden texts run as take about five seconds, at least one.
CPU_PRODUCTS = 5e8


def check_in_node(
    bundle: Path,
    positions: list[int],
    products: float,
    storage: dict[str, float],
    say: Callable[[str], None],
) -> None:
    """Compares the golden cases on wasm and on cpu.

    Args:
        bundle: a sealed bundle under its temporary name.
        positions: the number of positions of each golden text, in order.
        products: the multiplications that the model does for one position.
        storage: the measured cost of the weights' dtype, by output. A cost over the dtype's budget
            occurs only with `--force`, so it is allowed here too.
        say: prints a line for each backend.

    Raises:
        CheckFailed: an output differs; the message names the backend and the output.
        EnvironmentProblem: Node or its packages are missing, or the check itself failed.
    """
    for backend in ("wasm", "cpu"):
        count = len(positions) if backend == "wasm" else _affordable_text_count(positions, products)
        say(f"running the golden cases in Node on {backend} ({count} of {len(positions)} texts)")
        for check in run_verify(bundle, backend, count):
            moved, allowed = check["maxAbs"], check["budget"] + storage.get(check["name"], 0.0)
            if not check["passed"] and not (moved is not None and 0 < moved <= allowed):
                raise CheckFailed(
                    f"in Node on {backend} {check['name']} is not what Python gave: "
                    f"{check['said']}; no bundle was written; please report the model"
                )


def products_per_position(frozen: "FrozenGraph") -> float:
    """Returns the multiplications with weights that the model does for one position of a text."""
    from export.graph.graph import skip_identities

    nodes = {node.name: node for node in frozen.graph_def.node}
    taken = (
        skip_identities(nodes, node.input[1])
        for node in frozen.graph_def.node
        if node.op.endswith("MatMul") or node.op == "BatchMatMulV2"
    )
    return float(sum(frozen.weights[name].size for name in taken if name in frozen.weights))


def _affordable_text_count(positions: list[int], products: float) -> int:
    """Returns how many of the first golden texts plain JavaScript should run, in one padded batch.

    >>> [_affordable_text_count([4, 13, 40], products) for products in (1e6, 1e7, 1e12)]
    [3, 2, 1]
    """
    count = 1
    while count < len(positions) and (
        (count + 1) * max(positions[: count + 1]) * products <= CPU_PRODUCTS
    ):
        count += 1
    return count


def run_verify(bundle: Path, backend: str, count: int) -> list[dict[str, Any]]:
    """Runs `node_bridge/verify.js` on the first golden texts; returns the list of its checks."""
    options = ["--bundle", str(bundle), "--backend", backend, "--texts", str(count), "--json"]
    done = run_node(_node_with_packages(), VERIFY, *options)
    if done.returncode not in (0, 1):
        last = last_line(done.stderr).removeprefix("error: ") or f"exit code {done.returncode}"
        raise EnvironmentProblem(
            f"the check in Node on {backend} did not end well: {last}; "
            "run `npm ci` again, or give the model more memory"
        )
    answer = json.loads(done.stdout)
    checks: list[dict[str, Any]] = answer["checks"] + answer["exact"]
    return checks


def _node_with_packages() -> str:
    """Returns the Node to run.

    Raises:
        EnvironmentProblem: it is missing, or this project's packages are not installed.
    """
    consequence = ", and no bundle is written before it has run in Node"
    found = find_node(consequence)
    if not has_node_packages():
        raise EnvironmentProblem(
            f"Node's packages are not installed in {ROOT}{consequence}; run `npm ci` there, or use "
            "`nox -s export -- …`"
        )
    return found
