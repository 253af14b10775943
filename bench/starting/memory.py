"""Measures the peak memory of a process that loads a large bundle."""

from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.rows import BenchRow
from bench.setting import BenchSetting, model_and_bundle
from bench.side import run_to_end
from support.node import find_node
from support.tfjs_weights import shard_paths

PROGRAM = Path(__file__).with_name("load.js")
MODEL = "bert"
ALLOWED = 1.5
ROUNDS = 3
NAME = "memory.load"
NAMES: tuple[str, ...] = (NAME,)


def measure_rows(setting: BenchSetting) -> Iterator[BenchRow]:
    """Yields one row, against the goal; the whole process counts, not only the weights."""
    if not setting.wants(NAME):
        return
    _, bundle = model_and_bundle(setting, MODEL)
    size = weight_bytes(bundle)
    rounds = min(setting.rounds, ROUNDS)
    bare = median(peak_bytes() for _ in range(rounds))
    loaded = [peak_bytes(bundle) for _ in range(rounds)]
    setting.say(f"{NAME}: {', '.join(f'{each / 2**20:.0f} MiB' for each in loaded)}")
    yield BenchRow(
        name=NAME,
        what=f"the most memory of a process that loads {MODEL} on wasm, resident",
        ours=loaded,
        peer=f"the goal of {ALLOWED:g} × its {size / 2**20:.0f} MiB of weights",
        peers=[ALLOWED * size],
        target=1,
        unit="bytes",
        note=f"{bare / 2**20:.0f} MiB of it are Node and TF.js without a model",
    )


def weight_bytes(bundle: Path) -> int:
    """Returns the bytes of the weights of a bundle's GraphModel."""
    return sum(path.stat().st_size for path in shard_paths(bundle))


def peak_bytes(*bundle: Path) -> float:
    """Returns the peak bytes of the process, as the system counts them.

    Raises:
        EnvironmentProblem: it fails.
    """
    command = [find_node(), str(PROGRAM), *(str(path.absolute()) for path in bundle)]
    return float(run_to_end("loading", command))
