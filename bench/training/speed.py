"""Measures a whole training against the older design, on the same backend.

Ours runs completely, as a person runs it, with an empty cache. Of the older design, only some
batches of an epoch run, from all parts of it, and the rest is estimated by the number of texts: the
whole would take most of an hour.
"""

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.conversion.wasm import convert_with_stock
from bench.encoding import material
from bench.encoding.speed import compare_vectors
from bench.native.speed import native_problem
from bench.rows import BenchRow
from bench.setting import BenchSetting
from bench.side import ALL_THREADS, SideProcess, node_program, run_to_end, time_in_turns
from support import ROOT
from support.errors import CheckFailed
from support.node import find_node

DIRECTORY = Path(__file__).parent
MODEL = "albert_tiny"
EPOCHS = 5
ROUNDS = 2
# Batches of 32 that run of the older design, of an epoch's 157 and 32.
PART = {"train": 15, "dev": 3}
QUICK = {"train": 16, "dev": 8}


@dataclass(frozen=True)
class TrainingCase:
    """Both designs on a backend."""

    backend: str
    target: float
    note: str = ""

    @property
    def name(self) -> str:
        """The name of its row."""
        return f"training.{self.backend}.{MODEL}"


CASES = (TrainingCase("wasm", 15), TrainingCase("native", 8))
NAMES: tuple[str, ...] = tuple(case.name for case in CASES)


def measure_rows(setting: BenchSetting) -> Iterator[BenchRow]:
    """Yields a row for each wanted and available backend."""
    stock = setting.scratch / "stock"
    for case in CASES:
        if not setting.wants(case.name):
            continue
        missing = native_problem() if case.backend == "native" else ""
        if missing:
            setting.report_missing(case.name, missing)
            continue
        if not stock.exists():
            convert_with_stock(setting.root / "models" / MODEL, stock)
        yield measure_case(setting, case, stock)


def _review_files(setting: BenchSetting) -> dict[str, Path]:
    """Returns the files of the embedded reviews, with a few of them in a quick run.

    Raises:
        UserError: they do not exist.
    """
    files = {name: material.data_file(setting, name) for name in PART}
    if setting.quick:
        for name, path in files.items():
            lines = material.read_lines(path)[: QUICK[name]]
            files[name] = setting.scratch / f"few.{path.name}"
            files[name].write_text("".join(line + "\n" for line in lines), "utf-8")
    return files


def measure_case(setting: BenchSetting, case: TrainingCase, stock: Path) -> BenchRow:
    """Measures one backend."""
    files = {name: str(path.absolute()) for name, path in _review_files(setting).items()}
    counts = {name: Path(path).read_bytes().count(b"\n") for name, path in files.items()}
    bundle = str((setting.root / "bundle" / MODEL).absolute())
    setting.say(f"{case.name}: {counts['train']} + {counts['dev']} reviews, {EPOCHS} epochs")
    accuracies: list[float] = []
    start = time.perf_counter()
    with SideProcess(
        "the older design", node_program(str(DIRECTORY / "older.js")), ALL_THREADS
    ) as older:
        request = {"directory": str(stock.absolute()), "bundle": bundle, "backend": case.backend}
        older.ask("open", **request, **files)
        loading = time.perf_counter() - start
        _check_same_vectors(setting, case, older, bundle, files["train"])
        times = time_in_turns(
            lambda: time_training(setting, case, bundle, files, accuracies),
            lambda: loading + EPOCHS * estimate_epoch(older, counts),
            1 if setting.quick else ROUNDS,
            setting.say,
        )
    estimate = f"theirs estimated from {describe_shares(counts)} texts of an epoch"
    accuracy = f"ours ends with a dev accuracy of {accuracies[-1]:.3f}"
    return BenchRow(
        name=case.name,
        what=(
            f"{EPOCHS} epochs on {counts['train']} + {counts['dev']} reviews, {MODEL}, "
            f"{case.backend}, from nothing to a saved classifier"
        ),
        ours=times[0],
        peer="the older design",
        peers=times[1],
        target=case.target,
        note="; ".join(filter(None, (case.note, estimate, accuracy))),
    )


def time_training(
    setting: BenchSetting,
    case: TrainingCase,
    bundle: str,
    files: dict[str, str],
    accuracies: list[float],
) -> float:
    """Measures the seconds of `train.js` in a process of its own, with an empty cache.

    Args:
        setting: of the run.
        case: the backend.
        bundle: to train on.
        files: `train` and `dev`.
        accuracies: gets the dev accuracy.

    Raises:
        EnvironmentProblem: it fails.
        CheckFailed: it ran fewer epochs than requested.
    """
    with tempfile.TemporaryDirectory(dir=setting.scratch) as fresh:
        command = [
            find_node(),
            str(ROOT / "node_bridge" / "train.js"),
            "--json",
            "--bundle",
            bundle,
        ]
        command += ["--train", files["train"], "--dev", files["dev"], "--epochs", str(EPOCHS)]
        command += ["--backend", case.backend, "--out", f"{fresh}/out", "--cache", f"{fresh}/cache"]
        start = time.perf_counter()
        output = run_to_end("train.js", command)
        seconds = time.perf_counter() - start
    summary = json.loads(output)
    if len(summary["history"]) != EPOCHS:
        raise CheckFailed(f"train.js ran {len(summary['history'])} epochs, expected {EPOCHS}")
    accuracies.append(summary["dev_accuracy"])
    return seconds


def estimate_epoch(older: SideProcess, counts: dict[str, int]) -> float:
    """Estimates the seconds of an epoch of the older design from a part of it."""
    seconds = 0.0
    for what, batches in PART.items():
        part = older.ask("part", what=what, count=batches)
        seconds += part["seconds"] * counts[what] / part["texts"]
    return seconds


def describe_shares(counts: dict[str, int]) -> str:
    """Says how many texts of an epoch run of the older design.

    >>> describe_shares({"train": 5000, "dev": 64})
    '480 of 5000 and 64 of 64'
    """
    run = {name: min(material.BATCH * batches, counts[name]) for name, batches in PART.items()}
    return " and ".join(f"{run[name]} of {counts[name]}" for name in PART)


def _check_same_vectors(
    setting: BenchSetting, case: TrainingCase, older: SideProcess, bundle: str, file: str
) -> None:
    """Checks that both designs have equal vectors.

    Args:
        setting: of the run.
        case: the backend.
        older: the older design.
        bundle: of our side.
        file: the training texts.

    Raises:
        CheckFailed: they differ.
    """
    lines = material.read_lines(Path(file))[: material.BATCH]
    texts = material.write_json_file(setting, "texts", [json.loads(line)["text"] for line in lines])
    with SideProcess(
        "ours", node_program(str(DIRECTORY.parent / "encoding" / "ours.js")), ALL_THREADS
    ) as ours:
        ours.ask("open", bundle=bundle, backend=case.backend)
        ours.ask("texts", file=texts)
        compare_vectors(case.name, ours, older)
