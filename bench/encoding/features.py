"""Texts to vectors against transformers.js, which takes texts as we do and batches by itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.encoding import material
from bench.encoding.speed import QUICK, ROUNDS, TEXTS, compare
from bench.native.speed import problem
from bench.peers.installing import node_peers
from bench.peers.onnx_folder import MAX_LENGTH, folder, tokenizer_bundle
from bench.rows import Row
from bench.setting import Setting, node_packages, places
from bench.side import ALL_THREADS, Side, in_turns, node_program
from support.errors import EnvironmentProblem

ROOM = Path(__file__).parent
PACKAGE = "@huggingface/transformers"
CUT = "theirs drops the [SEP] of a text that is cut, so that the vectors of the others are compared"


@dataclass(frozen=True)
class Case:
    """Ours on the native backend."""

    model: str
    target: float
    note: str = ""

    @property
    def name(self) -> str:
        """Of its row."""
        return f"features.{self.model}.transformers"


CASES = (Case("albert_tiny", 1), Case("bert", 1))
NAMES: tuple[str, ...] = tuple(case.name for case in CASES)


def rows(setting: Setting) -> Iterator[Row]:
    """A row for each model that is wanted; none without the native backend or the peer."""
    for case in CASES:
        if not setting.wants(case.name):
            continue
        try:
            if missing := problem():
                raise EnvironmentProblem(missing)
            node_peers(setting.say)
            home = folder(setting, case.model)
        except EnvironmentProblem as reason:
            setting.lacks(case.name, str(reason))
            continue
        yield measure(setting, case, home)


def measure(setting: Setting, case: Case, home: Path) -> Row:
    """One model: both sides compared, then timed in turns. Both use Hugging Face's tokenizer."""
    texts = material.reviews(setting, QUICK if setting.quick else TEXTS[case.model])
    setting.say(f"{case.name}: {len(texts)} texts")
    with (
        Side("ours", node_program(str(ROOM / "ours.js")), ALL_THREADS) as ours,
        Side("transformers.js", node_program(str(ROOM / "transformers.js")), ALL_THREADS) as peer,
    ):
        given = {"bundle": places(setting, case.model)[1], "tokenizer": tokenizer_bundle(setting)}
        paths = {name: str(path.absolute()) for name, path in given.items()}
        ours.ask("open", backend="native", **paths)
        peer.ask("open", folder=str(home.absolute()))
        take((ours, peer), material.file(setting, "texts", uncut(setting, texts, ours)))
        setting.say(f"vectors differ by {compare(case.name, ours, peer):.1g} at most")
        take((ours, peer), material.file(setting, "texts", texts))
        times = in_turns(
            lambda: float(ours.ask("time", at_least=setting.at_least)),
            lambda: float(peer.ask("time", at_least=setting.at_least)),
            min(setting.rounds, ROUNDS[case.model]),
            setting.say,
        )
    return Row(
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


def take(sides: tuple[Side, Side], file: str) -> None:
    """Gives both sides their texts."""
    for side in sides:
        side.ask("texts", file=file)


def uncut(setting: Setting, texts: list[str], ours: Side) -> list[str]:
    """The texts that have room in the model with both special tokens."""
    ids = ours.ask("ids", file=material.file(setting, "texts", texts))
    return [text for text, its in zip(texts, ids, strict=True) if len(its) < MAX_LENGTH]
