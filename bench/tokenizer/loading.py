"""Measures loading a tokenizer from a bundle on disk, with a vocab of the usual 21,128 lines."""

from collections.abc import Callable, Iterator
from pathlib import Path

from bench.rows import BenchRow
from bench.setting import BenchSetting, node_packages
from bench.side import SideProcess, node_program, run_to_end, time_in_turns
from bench.tokenizer import material
from support.node import find_node

DIRECTORY = Path(__file__).parent
GOAL = 0.05
COLD, WARM, PEER = "tokenizer.load.cold", "tokenizer.load.warm", "tokenizer.load.hf-js"
NAMES: tuple[str, ...] = (COLD, WARM, PEER)


def measure_rows(setting: BenchSetting) -> Iterator[BenchRow]:
    """Yields a first load, a later one, and a first one against the peer's."""
    vocab = (material.embedded_vocab if setting.quick else material.make_usual_vocab)(setting)
    lines = vocab.read_bytes().count(b"\n")
    tf_text, bert = material.make_bundles(setting, [(vocab, "tf-text"), (vocab, "bert")])
    first = "the first load of a process, with the import of the code"
    goal = f"the goal of {GOAL * 1000:g} ms"
    if setting.wants(COLD):
        setting.say(COLD)
        what = f"loading a tf-text tokenizer of {lines} lines, first"
        ours, _ = time_in_turns(
            _make_cold_timer("ours", tf_text), lambda: GOAL, setting.rounds, setting.say
        )
        yield BenchRow(COLD, what, ours, goal, [GOAL], target=1, note=first)
    if setting.wants(WARM):
        setting.say(WARM)
        what = f"loading a tf-text tokenizer of {lines} lines, again"
        yield BenchRow(WARM, what, _measure_warm(setting, tf_text), goal, [GOAL], target=1)
    if setting.wants(PEER):
        setting.say(PEER)
        what = f"loading a bert tokenizer of {lines} lines, first"
        sides = _make_cold_timer("ours", bert), _make_cold_timer("huggingface", bert)
        ours, peers = time_in_turns(*sides, setting.rounds, setting.say)
        peer = f"@huggingface/tokenizers {node_packages()['@huggingface/tokenizers']}"
        yield BenchRow(PEER, what, ours, peer, peers, note=first)


def _make_cold_timer(who: str, bundle: Path) -> Callable[[], float]:
    """Returns a function that measures a load in a new process."""
    command = [find_node(), str(DIRECTORY / "cold.js"), who, str(bundle.absolute())]

    return lambda: float(run_to_end(f"loading {bundle}", command))


def _measure_warm(setting: BenchSetting, bundle: Path) -> list[float]:
    """Returns the seconds of loads in a process that has loaded before."""
    with SideProcess("ours", node_program(str(DIRECTORY / "ours.js"))) as ours:
        request = {"bundle": str(bundle.absolute()), "at_least": setting.at_least}
        times = [float(ours.ask("load", **request)) for _ in range(setting.rounds + 1)]
    return times[1:]
