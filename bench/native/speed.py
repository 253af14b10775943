"""Measures the native backend in Node against Python's TensorFlow, both with all threads."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.rows import BenchRow
from bench.setting import BenchSetting, model_and_bundle, python_packages
from bench.side import (
    ALL_THREADS,
    SideProcess,
    node_program,
    python_program,
    time_in_turns,
)
from support.errors import CheckFailed
from support.node import check_native

ENCODER = Path(__file__).with_name("encoder.js")
# Node may take 1.05 times as long as Python.
TARGET = 0.95


@dataclass(frozen=True)
class NativeCase:
    """A batch of `batch` × `sequence` for a model."""

    model: str
    batch: int
    sequence: int
    target: float | None

    @property
    def name(self) -> str:
        """The name of its row."""
        return f"native.{self.model}.{self.batch}x{self.sequence}"


CASES = (
    NativeCase("albert_tiny", 32, 64, TARGET),
    NativeCase("albert_tiny", 1, 32, None),
    NativeCase("bert", 32, 64, TARGET),
    NativeCase("bert", 1, 32, None),
)
NAMES: tuple[str, ...] = tuple(case.name for case in CASES)


def measure_rows(setting: BenchSetting) -> Iterator[BenchRow]:
    """Yields a row for each wanted case; none without the native backend.

    Raises:
        EnvironmentProblem: the native backend is missing, and a row was named.
    """
    missing = native_problem()
    if missing:
        setting.report_missing("native", missing)
        return
    for case in CASES:
        if setting.wants(case.name):
            setting.say(f"{case.name}: {case.model}")
            yield measure_case(setting, case, *model_and_bundle(setting, case.model))


def native_problem() -> str:
    """Says why Node does not have Python's TensorFlow; "" where it has."""
    native = check_native()
    if "error" in native:
        return str(native["error"])
    version = native["tensorflow"]
    ours = python_packages().get("tensorflow (Python)")
    if version == ours:
        return ""
    return f"Node has TensorFlow {version}, Python {ours}; run `nox -s native`"


def measure_case(setting: BenchSetting, case: NativeCase, source: Path, bundle: Path) -> BenchRow:
    """Compares both sides to the bit, then times them in turns.

    Args:
        setting: of the run.
        case: to measure.
        source: the SavedModel.
        bundle: made from it.
    """
    shape = {"batch": case.batch, "sequence": case.sequence}
    with (
        SideProcess("ours", node_program(str(ENCODER)), ALL_THREADS) as ours,
        SideProcess("Python", python_program("bench.native.encoder"), ALL_THREADS) as peer,
    ):
        ours.ask("open", directory=str(bundle.absolute()))
        peer.ask("open", directory=str(source.absolute()))
        _compare_bits(case, ours, peer)
        times = time_in_turns(
            lambda: float(ours.ask("time", **shape, at_least=setting.at_least)),
            lambda: float(peer.ask("time", **shape, at_least=setting.at_least)),
            setting.rounds,
            setting.say,
        )
    return BenchRow(
        name=case.name,
        what=f"every output of {case.model}, {case.batch} texts of {case.sequence} tokens, native",
        ours=times[0],
        peer=f"TensorFlow {python_packages()['tensorflow (Python)']} in Python",
        peers=times[1],
        target=case.target,
        work=case.batch,
        work_unit="texts",
    )


def _compare_bits(case: NativeCase, ours: SideProcess, peer: SideProcess) -> None:
    """Checks that both sides, which run the same library, give the same bits.

    Raises:
        CheckFailed: they differ.
    """
    one, other = (side.ask("values", batch=2, sequence=9) for side in (ours, peer))
    if one != other:
        furthest = max(abs(a - b) for a, b in zip(one, other, strict=True))
        raise CheckFailed(f"{case.name}: Node and Python differ by {furthest:.2g}, expected no bit")
