"""Measures one text labelled by a new process, as a command is used.

The system has the files cached; everything else is done anew.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.peers.installing import install_node_peers
from bench.peers.onnx_folder import make_onnx_folder
from bench.rows import BenchRow
from bench.setting import BenchSetting, node_packages
from bench.side import run_to_end, time_in_turns
from support import ROOT
from support.errors import EnvironmentProblem
from support.node import find_node

DIRECTORY = Path(__file__).parent
MODEL = "albert_tiny"
TEXT = "这本书很好"
GOAL_SECONDS = 0.5
PEER, GOAL = "predict.cold.wasm", "predict.cold.wasm.goal"
NAMES: tuple[str, ...] = (PEER, GOAL)
WHAT = f"predict.js, one text, {MODEL}, wasm, from the start of the process to its end"
NOTE = ""


def measure_rows(setting: BenchSetting) -> Iterator[BenchRow]:
    """Yields the row against transformers.js and the row against the goal."""
    predict = str(ROOT / "node_bridge" / "predict.js")
    ours = make_timer(
        [predict, "--backend", "wasm", "--model", str(train_classifier(setting)), TEXT]
    )
    if setting.wants(PEER):
        setting.say(PEER)
        try:
            install_node_peers(setting.say)
            home = make_onnx_folder(setting, MODEL)
        except EnvironmentProblem as reason:
            setting.report_missing(PEER, str(reason))
        else:
            theirs = make_timer([str(DIRECTORY / "transformers.js"), str(home.absolute()), TEXT])
            times = time_in_turns(ours, theirs, setting.rounds, setting.say)
            peer = f"@huggingface/transformers {node_packages()['@huggingface/transformers']}"
            note = "theirs on onnxruntime-node, and ends with a vector where ours computes a label"
            note = "; ".join(filter(None, (note, NOTE)))
            yield BenchRow(PEER, WHAT, times[0], peer, times[1], target=1, note=note)
    if setting.wants(GOAL):
        setting.say(GOAL)
        times = time_in_turns(ours, lambda: GOAL_SECONDS, setting.rounds, setting.say)
        yield BenchRow(
            GOAL, WHAT, times[0], f"the goal of {GOAL_SECONDS:g} s", [GOAL_SECONDS], target=1
        )


def train_classifier(setting: BenchSetting) -> Path:
    """Trains a classifier on a few reviews.

    Raises:
        EnvironmentProblem: it cannot be trained.
    """
    out = setting.scratch / "classifier"
    examples = [{"text": text, "label": label} for label, text in enumerate(("不好", "很好"))]
    data = setting.scratch / "two.jsonl"
    data.write_text("".join(json.dumps(example) + "\n" for example in examples), "utf-8")
    bundle = (setting.root / "bundle" / MODEL).absolute()
    paths = {"bundle": bundle, "train": data, "dev": data, "out": out}
    options = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    options += ["--epochs", "1", "--backend", "wasm", "--cache", str(setting.scratch / "cache")]
    make_timer([str(ROOT / "node_bridge" / "train.js"), *options])()
    return out


def make_timer(arguments: list[str]) -> Callable[[], float]:
    """Returns a function that runs a Node program and returns its seconds."""
    command, name = [find_node(), *arguments], Path(arguments[0]).name

    def measure() -> float:
        start = time.perf_counter()
        output = run_to_end(name, command)
        seconds = time.perf_counter() - start
        if not output.strip():
            raise EnvironmentProblem(f"{name} failed: it printed nothing")
        return seconds

    return measure
