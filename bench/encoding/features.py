"""Measures texts to vectors against transformers.js, which takes texts and batches by itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.encoding import material
from bench.encoding.speed import QUICK, ROUNDS, TEXTS, compare_vectors
from bench.native.speed import native_problem
from bench.peers.installing import install_node_peers
from bench.peers.onnx_folder import MAX_LENGTH, make_onnx_folder, make_tokenizer_bundle
from bench.rows import BenchRow
from bench.setting import BenchSetting, model_and_bundle, node_packages
from bench.side import ALL_THREADS, SideProcess, node_program, time_in_turns
from support.errors import EnvironmentProblem

DIRECTORY = Path(__file__).parent
PACKAGE = "@huggingface/transformers"
CUT = (
    "theirs drops the [SEP] of a text that is cut, so only the vectors of other texts are compared"
)


@dataclass(frozen=True)
class FeatureCase:
    """A model, with ours on the native backend."""

    model: str
    target: float
    note: str = ""

    @property
    def name(self) -> str:
        """The name of its row."""
        return f"features.{self.model}.transformers"


CASES = (FeatureCase("albert_tiny", 1), FeatureCase("bert", 1))
NAMES: tuple[str, ...] = tuple(case.name for case in CASES)


def measure_rows(setting: BenchSetting) -> Iterator[BenchRow]:
    """Yields a row for each wanted model; none without the native backend or the peer."""
    for case in CASES:
        if not setting.wants(case.name):
            continue
        try:
            if missing := native_problem():
                raise EnvironmentProblem(missing)
            install_node_peers(setting.say)
            home = make_onnx_folder(setting, case.model)
        except EnvironmentProblem as reason:
            setting.report_missing(case.name, str(reason))
            continue
        yield measure_case(setting, case, home)


def measure_case(setting: BenchSetting, case: FeatureCase, home: Path) -> BenchRow:
    """Compares both sides on one model, then times them in turns, with Hugging Face's tokenizer."""
    texts = material.read_reviews(setting, QUICK if setting.quick else TEXTS[case.model])
    setting.say(f"{case.name}: {len(texts)} texts")
    with (
        SideProcess("ours", node_program(str(DIRECTORY / "ours.js")), ALL_THREADS) as ours,
        SideProcess(
            "transformers.js", node_program(str(DIRECTORY / "transformers.js")), ALL_THREADS
        ) as peer,
    ):
        directories = {
            "bundle": model_and_bundle(setting, case.model)[1],
            "tokenizer": make_tokenizer_bundle(setting),
        }
        paths = {name: str(path.absolute()) for name, path in directories.items()}
        ours.ask("open", backend="native", **paths)
        peer.ask("open", folder=str(home.absolute()))
        _send_texts(
            (ours, peer),
            material.write_json_file(setting, "texts", _texts_not_cut(setting, texts, ours)),
        )
        setting.say(f"vectors differ by {compare_vectors(case.name, ours, peer):.1g} at most")
        _send_texts((ours, peer), material.write_json_file(setting, "texts", texts))
        times = time_in_turns(
            lambda: float(ours.ask("time", at_least=setting.at_least)),
            lambda: float(peer.ask("time", at_least=setting.at_least)),
            min(setting.rounds, ROUNDS[case.model]),
            setting.say,
        )
    return BenchRow(
        name=case.name,
        what=f"vectors at position 0 of {len(texts)} reviews, {case.model}, native",
        ours=times[0],
        peer=f"{PACKAGE} {node_packages()[PACKAGE]}",
        peers=times[1],
        target=case.target,
        work=len(texts),
        work_unit="texts",
        note="; ".join(filter(None, (case.note, CUT))),
    )


def _send_texts(sides: tuple[SideProcess, SideProcess], file: str) -> None:
    """Sends both sides their texts."""
    for side in sides:
        side.ask("texts", file=file)


def _texts_not_cut(setting: BenchSetting, texts: list[str], ours: SideProcess) -> list[str]:
    """Returns the texts that the model takes whole, with both special tokens."""
    ids = ours.ask("ids", file=material.write_json_file(setting, "texts", texts))
    return [text for text, its in zip(texts, ids, strict=True) if len(its) < MAX_LENGTH]
