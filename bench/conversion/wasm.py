"""Measures the same SavedModel from both converters, on TF.js's wasm backend."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.rows import BenchRow
from bench.setting import BenchSetting, node_packages
from bench.side import SideProcess, node_program, python_program, run_to_end, time_in_turns
from support import ROOT
from support.errors import CheckFailed

GRAPH = Path(__file__).with_name("graph.js")
# With oneDNN, the stock converter writes an op that TF.js does not know: _MklLayerNorm.
PLAIN = {"TF_ENABLE_ONEDNN_OPTS": "0"}
# The order of summation differs by conversion; a real error is much larger.
CLOSE = 2e-5


@dataclass(frozen=True)
class ConversionCase:
    """A batch of `batch` × `sequence`; with `ours` our side uses node_bridge's backend."""

    name: str
    batch: int
    sequence: int
    ours: bool
    target: float | None
    note: str


CASES = (
    ConversionCase(
        "conversion.wasm.32x64",
        32,
        64,
        False,
        1.4,
        "both on the backend as it comes, whose matrix products are 9 tenths of ours and the same",
    ),
    ConversionCase("conversion.wasm.1x32", 1, 32, False, None, "both on the backend as it comes"),
    ConversionCase(
        "runtime.wasm.32x64", 32, 64, True, 1.4, "ours with node_bridge's matrix products"
    ),
    ConversionCase(
        "runtime.wasm.1x32", 1, 32, True, None, "ours with node_bridge's matrix products"
    ),
)
NAMES: tuple[str, ...] = tuple(case.name for case in CASES)


def measure_rows(setting: BenchSetting) -> Iterator[BenchRow]:
    """Yields a row for each wanted case."""
    stock = setting.scratch / "stock"
    convert_with_stock(setting.root / "models" / "albert_tiny", stock)
    for case in CASES:
        if setting.wants(case.name):
            setting.say(f"{case.name}: albert_tiny")
            yield measure_case(setting, case, setting.root / "bundle" / "albert_tiny", stock)


def convert_with_stock(model: Path, out: Path) -> None:
    """Runs the stock converter.

    Raises:
        EnvironmentProblem: it fails.
    """
    command = [*python_program("bench.conversion.stock"), str(model), str(out)]
    run_to_end(f"TF.js's converter of {model}", command, PLAIN, ROOT)


def measure_case(
    setting: BenchSetting, case: ConversionCase, bundle: Path, stock: Path
) -> BenchRow:
    """Compares both sides on one case, then times them in turns.

    Args:
        setting: of the run.
        case: to measure.
        bundle: ours.
        stock: the directory of the stock conversion.
    """
    shape = {"batch": case.batch, "sequence": case.sequence}
    program = node_program(str(GRAPH))
    with SideProcess("ours", program) as ours, SideProcess("stock", program) as peer:
        ours.ask("open", directory=str(bundle.absolute()), ours=case.ours)
        peer.ask("open", directory=str(stock.absolute()), ours=False)
        compare_sides(case, ours, peer)
        times = time_in_turns(
            lambda: float(ours.ask("time", **shape, at_least=setting.at_least)),
            lambda: float(peer.ask("time", **shape, at_least=setting.at_least)),
            setting.rounds,
            setting.say,
        )
    return BenchRow(
        name=case.name,
        what=f"sequence_output of albert_tiny, {case.batch} texts of {case.sequence} tokens, wasm",
        ours=times[0],
        peer=f"TF.js's converter, tfjs {node_packages()['@tensorflow/tfjs-core']}",
        peers=times[1],
        target=case.target,
        work=case.batch,
        work_unit="texts",
        note=case.note,
    )


def compare_sides(case: ConversionCase, ours: SideProcess, peer: SideProcess) -> None:
    """Checks that both sides give the same result.

    Raises:
        CheckFailed: they differ.
    """
    one, other = (side.ask("values", batch=2, sequence=9) for side in (ours, peer))
    furthest = max(abs(a - b) for a, b in zip(one, other, strict=True))
    if not furthest <= CLOSE:
        raise CheckFailed(f"{case.name}: the graphs differ by {furthest:.2g}, expected {CLOSE:g}")
