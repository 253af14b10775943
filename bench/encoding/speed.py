"""Measures texts to the vector at position 0: ours against each runtime, batched as its users do.

A second row has equal batches on both sides, to separate the effects of runtime and batching.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from bench.encoding import material
from bench.native.speed import native_problem
from bench.peers.installing import install_node_peers
from bench.peers.onnx_folder import make_onnx_folder
from bench.rows import BenchRow
from bench.setting import BenchSetting, model_and_bundle, node_packages, python_packages
from bench.side import ALL_THREADS, SideProcess, node_program, python_program, time_in_turns
from support.errors import CheckFailed, EnvironmentProblem

DIRECTORY = Path(__file__).parent
TEXTS = {"albert_tiny": 256, "bert": 32}
BATCHES = {"albert_tiny": 8, "bert": 2}
ROUNDS = {"albert_tiny": 5, "bert": 3}
SEQUENCE = 64
QUICK = 8
# Libraries sum in different orders; a real error is much larger.
CLOSE = 5e-5
COMPARED = 32
PACKAGES = {"ort-node": "onnxruntime-node", "ort-web": "onnxruntime-web"}


@dataclass(frozen=True)
class EncodingCase:
    """Ours on a backend against a peer; `same`: both get the same batches."""

    backend: str
    model: str
    peer: str
    target: float | None
    same: bool = False
    note: str = ""

    @property
    def name(self) -> str:
        """The name of its row."""
        shape = f".{material.BATCH}x{SEQUENCE}" if self.same else ""
        return f"encoding.{self.backend}.{self.model}.{self.peer}{shape}"


# node --cpu-prof of albert_tiny at 32×64, and the same product (2048×312 by 312×1248) on one core
# of either: 30 GFLOP/s in XNNPACK's wasm, 93 in TensorFlow.
BOUND = (
    "82 % of ours is one wasm function, XNNPACK's matrix product: vectors of 128 bits without FMA, "
    "on a core that has AVX-512 a third of TensorFlow's pace in the same product"
)
OFF_WASM = ("ort-node", "tensorflow")


def _cases_for_peers(backend: str, model: str, targets: dict[str, float]) -> Iterator[EncodingCase]:
    """Yields for each peer a case with its own batching and one with equal batches."""
    for peer, target in targets.items():
        note = BOUND if backend == "wasm" and peer in OFF_WASM else ""
        yield EncodingCase(backend, model, peer, target, note=note)
        # The rows native.* compare TensorFlow with itself.
        if (backend, peer) != ("native", "tensorflow"):
            yield EncodingCase(backend, model, peer, None, same=True, note=note)


NATIVE = {"ort-node": 1, "tensorflow": 1.3}
WASM = {"ort-node": 0.3, "ort-web": 1, "tensorflow": 0.4}
CASES = (
    *_cases_for_peers("native", "albert_tiny", NATIVE),
    *_cases_for_peers("native", "bert", NATIVE),
    *_cases_for_peers("wasm", "albert_tiny", WASM),
    *_cases_for_peers("wasm", "bert", WASM),
)
NAMES: tuple[str, ...] = tuple(case.name for case in CASES)


def measure_rows(setting: BenchSetting) -> Iterator[BenchRow]:
    """Yields a row for each wanted case with an available peer."""
    wanted = [case for case in CASES if setting.wants(case.name)]
    for pair, group in groupby(wanted, lambda case: (case.backend, case.model, case.peer)):
        backend, model, name = pair
        with ExitStack() as stack:
            try:
                if backend == "native" and (missing := native_problem()):
                    raise EnvironmentProblem(missing)
                command, arguments = _peer_program(setting, model, name)
                peer = stack.enter_context(SideProcess(name, command, ALL_THREADS))
                peer.ask("open", **arguments)
            except EnvironmentProblem as reason:
                setting.report_missing(".".join(("encoding", *pair)), str(reason))
                continue
            ours = stack.enter_context(
                SideProcess("ours", node_program(str(DIRECTORY / "ours.js")), ALL_THREADS)
            )
            ours.ask(
                "open", bundle=str(model_and_bundle(setting, model)[1].absolute()), backend=backend
            )
            for case in group:
                yield measure_case(setting, case, ours, peer)


def _peer_program(setting: BenchSetting, model: str, peer: str) -> tuple[list[str], dict[str, str]]:
    """Returns the command of a peer, and the arguments of its request `open`.

    Raises:
        EnvironmentProblem: it cannot be installed, or its model cannot be made.
    """
    if peer == "tensorflow":
        directory = model_and_bundle(setting, model)[0].absolute()
        return python_program("bench.encoding.saved_model"), {"directory": str(directory)}
    install_node_peers(setting.say)
    file = make_onnx_folder(setting, model).absolute() / "onnx" / "model.onnx"
    return node_program(str(DIRECTORY / "onnxruntime.js"), PACKAGES[peer]), {"model": str(file)}


def measure_case(
    setting: BenchSetting, case: EncodingCase, ours: SideProcess, peer: SideProcess
) -> BenchRow:
    """Compares both sides on one case, then times them in turns.

    Args:
        setting: of the run.
        case: to measure.
        ours: with the bundle open.
        peer: with the model open.
    """
    batches = _prepare_batches(setting, case, ours)
    peer.ask("batches", file=material.write_json_file(setting, "batches", batches))
    count = sum(map(len, batches))
    setting.say(f"{case.name}: {count} texts")
    setting.say(f"vectors differ by {compare_vectors(case.name, ours, peer):.1g} at most")
    times = time_in_turns(
        lambda: float(ours.ask("time", at_least=setting.at_least)),
        lambda: float(peer.ask("time", at_least=setting.at_least)),
        min(setting.rounds, ROUNDS[case.model]),
        setting.say,
    )
    plain, padded = material.mean_positions(batches)
    texts = f"{count} texts in batches of {len(batches[0])}×{SEQUENCE}"
    if not case.same:
        texts = f"{count} reviews of {plain:.0f} positions (theirs, padded, {padded:.0f})"
    return BenchRow(
        name=case.name,
        what=f"vectors at position 0 of {texts}, {case.model}, {case.backend}",
        ours=times[0],
        peer=_peer_name(case.peer),
        peers=times[1],
        target=case.target,
        work=count,
        work_unit="texts",
        note=case.note,
    )


def _prepare_batches(
    setting: BenchSetting, case: EncodingCase, ours: SideProcess
) -> list[list[material.Ids]]:
    """Sends our side its texts or batches; returns the batches for the peer."""
    if case.same:
        shape = (1, QUICK) if setting.quick else (BATCHES[case.model], material.BATCH)
        batches = material.make_batches(*shape, SEQUENCE)
        ours.ask("batches", file=material.write_json_file(setting, "batches", batches))
        return batches
    count = QUICK if setting.quick else TEXTS[case.model]
    texts = material.write_json_file(setting, "texts", material.read_reviews(setting, count))
    ours.ask("texts", file=texts)
    return material.batch_in_file_order(ours.ask("ids", file=texts))


def compare_vectors(name: str, ours: SideProcess, peer: SideProcess) -> float:
    """Returns the largest difference of two values.

    Raises:
        CheckFailed: it is too large, or the shapes differ.
    """
    one, other = (np.array(side.ask("vectors", count=COMPARED)) for side in (ours, peer))
    if one.shape != other.shape:
        raise CheckFailed(f"{name}: got vectors of {other.shape}, expected {one.shape}")
    furthest = float(np.abs(one - other).max())
    if not furthest <= CLOSE:
        raise CheckFailed(f"{name}: the vectors differ by {furthest:.2g}, expected {CLOSE:g}")
    return furthest


def _peer_name(peer: str) -> str:
    """Returns the peer with its version."""
    if peer == "tensorflow":
        return f"TensorFlow {python_packages()['tensorflow (Python)']} in Python"
    package = PACKAGES[peer]
    where = " (wasm)" if peer == "ort-web" else ""
    return f"{package} {node_packages()[package]}{where}"
