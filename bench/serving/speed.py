"""Measures a classifier behind HTTP against transformers.js behind the same server.

Both run the same weights: ours on wasm in one worker thread, theirs on onnxruntime-node. Two rows
are against goals: calls at the same time against one array of as many texts, and the answer to a
health check under full load.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.encoding.material import read_reviews, write_json_file
from bench.peers.installing import install_node_peers
from bench.peers.onnx_folder import make_onnx_folder
from bench.rows import BenchRow
from bench.setting import BenchSetting, node_packages
from bench.side import ALL_THREADS, SideProcess, node_program, time_in_turns
from bench.starting.cold import MODEL, train_classifier
from support.errors import EnvironmentProblem

DIRECTORY = Path(__file__).parent
CONNECTIONS = (1, 16, 64)
TOGETHER = 50
TOGETHER_TARGET = 1 / 1.1
"""Calls at the same time may take 1.1 times as long as one array of the same texts."""
HEALTH_GOAL = 0.05
TEXTS = 500
SECONDS, QUICK_SECONDS = 4.0, 0.5
ROUNDS = 3
PEER_ROWS = tuple(f"serving.{count}.transformers" for count in CONNECTIONS)
CALLS, HEALTH = "serving.calls", "serving.health"
NAMES: tuple[str, ...] = (*PEER_ROWS, CALLS, HEALTH)


@dataclass(frozen=True)
class Load:
    """What the clients measured at a number of connections; times in seconds."""

    per_request: float
    p50: float
    p99: float
    health_worst: float


def measure_rows(setting: BenchSetting) -> Iterator[BenchRow]:
    """Yields the rows against transformers.js where it is installed, then those against goals."""
    if not any(setting.wants(name) for name in NAMES):
        return
    texts = read_reviews(setting, TOGETHER if setting.quick else TEXTS)
    file = str(write_json_file(setting, "served", texts))
    with (
        SideProcess("ours", node_program(str(DIRECTORY / "ours.js")), ALL_THREADS) as ours,
        SideProcess("clients", node_program(str(DIRECTORY / "load.js")), ALL_THREADS) as clients,
    ):
        ours.ask("open", classifier=str(train_classifier(setting).absolute()))
        port = ours.ask("listen")
        seconds = QUICK_SECONDS if setting.quick else SECONDS

        def load(port: int, connections: int) -> Load:
            found: dict[str, Any] = clients.ask(
                "run", port=port, connections=connections, seconds=seconds, file=file
            )
            return Load(
                per_request=found["seconds_per_request"],
                p50=found["p50"] / 1000,
                p99=found["p99"] / 1000,
                health_worst=found["health_worst"] / 1000,
            )

        if any(setting.wants(name) for name in PEER_ROWS):
            yield from _measure_against_peer(setting, port, load)
        if setting.wants(CALLS):
            setting.say(CALLS)
            some = texts[:TOGETHER]
            times = time_in_turns(
                lambda: float(ours.ask("calls", texts=some)),
                lambda: float(ours.ask("array", texts=some)),
                setting.rounds,
                setting.say,
            )
            yield BenchRow(
                CALLS,
                f"{TOGETHER} calls of predict at the same time, {MODEL}, wasm, one worker",
                times[0],
                f"one call with an array of these {TOGETHER} texts",
                times[1],
                target=TOGETHER_TARGET,
            )
        if setting.wants(HEALTH):
            setting.say(HEALTH)
            most = max(CONNECTIONS)
            worst = [load(port, most).health_worst for _ in range(min(setting.rounds, ROUNDS))]
            yield BenchRow(
                HEALTH,
                f"the slowest answer to a health check, {most} connections, {MODEL}, wasm",
                worst,
                f"the goal of {HEALTH_GOAL * 1000:g} ms",
                [HEALTH_GOAL],
                target=1,
            )


def _measure_against_peer(setting: BenchSetting, port: int, load: Any) -> Iterator[BenchRow]:
    """Yields a row for each number of connections.

    Args:
        setting: of the run.
        port: of our server.
        load: runs the clients against a port with a number of connections.
    """
    try:
        install_node_peers(setting.say)
        home = make_onnx_folder(setting, MODEL)
    except EnvironmentProblem as reason:
        setting.report_missing("serving", str(reason))
        return
    command = node_program(str(DIRECTORY / "transformers.js"))
    with SideProcess("transformers.js", command, ALL_THREADS) as peer:
        peer.ask("open", folder=str(home.absolute()))
        theirs = peer.ask("listen")
        for name, connections in zip(PEER_ROWS, CONNECTIONS, strict=True):
            if not setting.wants(name):
                continue
            setting.say(name)
            loads: tuple[list[Load], list[Load]] = ([], [])

            def measure(which: int, at: int = connections, kept: Any = loads) -> float:
                kept[which].append(load((port, theirs)[which], at))
                return float(kept[which][-1].per_request)

            rounds = min(setting.rounds, ROUNDS)
            times = time_in_turns(lambda: measure(0), lambda: measure(1), rounds, setting.say)
            peer_name = f"@huggingface/transformers {node_packages()['@huggingface/transformers']}"
            yield BenchRow(
                name,
                f"one text a request, {connections} connections, {MODEL}, wasm, one worker",
                times[0],
                peer_name,
                times[1],
                work=1,
                work_unit="request",
                note=f"ours {_describe(loads[0])}; theirs {_describe(loads[1])}, on "
                "onnxruntime-node, a vector instead of a label",
            )


def _describe(loads: list[Load]) -> str:
    """Formats the times of a request; the first load was a warm-up."""
    kept = loads[1:] or loads
    p50, p99 = (median(getattr(one, name) for one in kept) * 1000 for name in ("p50", "p99"))
    health = max(one.health_worst for one in kept) * 1000
    return f"p50 {p50:.3g} ms, p99 {p99:.3g} ms, slowest health check {health:.3g} ms"
