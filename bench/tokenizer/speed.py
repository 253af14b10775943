"""Measures texts to ids: ours against each peer, on one core each, on the real reviews."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bench.rows import BenchRow
from bench.setting import BenchSetting, node_packages
from bench.side import (
    ALL_THREADS,
    ONE_THREAD,
    SideProcess,
    node_program,
    python_program,
    time_in_turns,
)
from bench.tokenizer import material
from support.errors import CheckFailed

DIRECTORY = Path(__file__).parent
COMPARED = 2000
HF_JS, PYTHON = "huggingface.js", "bench.tokenizer.python_peers"


@dataclass(frozen=True)
class TokenizerCase:
    """Ours with an algorithm against a peer; `what` is `ids` or `tokens`."""

    name: str
    algorithm: str
    what: str
    peer: str
    kind: str | None
    target: float | None
    threads: str = "one thread"
    note: str = ""


CASES = (
    TokenizerCase("tokenizer.ids.hf-js", "bert", "ids", "@huggingface/tokenizers", None, 40),
    TokenizerCase(
        "tokenizer.tokens.hf-js",
        "bert",
        "tokens",
        "@huggingface/tokenizers",
        None,
        20,
        note="ours gives ids, tokens and offsets, theirs ids and tokens",
    ),
    TokenizerCase(
        "tokenizer.ids.tf-text-fast", "tf-text-fast", "ids", "FastBertTokenizer", "tf-text-fast", 1
    ),
    TokenizerCase("tokenizer.ids.tf-text", "tf-text", "ids", "BertTokenizer", "tf-text", 1),
    TokenizerCase("tokenizer.ids.hf-rust", "bert", "ids", "tokenizers (Rust)", "huggingface", 1),
    TokenizerCase(
        "tokenizer.ids.hf-rust-threads",
        "bert",
        "ids",
        "tokenizers (Rust)",
        "huggingface",
        None,
        threads="all threads",
        note="ours on one thread, theirs on all",
    ),
)
NAMES: tuple[str, ...] = tuple(case.name for case in CASES)


def measure_rows(setting: BenchSetting) -> Iterator[BenchRow]:
    """Yields a row for each wanted case."""
    cases = [case for case in CASES if setting.wants(case.name)]
    texts = material.measured_reviews(setting)
    file = material.write_texts_file(setting, texts)
    vocab = material.embedded_vocab(setting)
    algorithms = list(dict.fromkeys(case.algorithm for case in cases))
    bundles = material.make_bundles(setting, [(vocab, algorithm) for algorithm in algorithms])
    by_algorithm = dict(zip(algorithms, bundles, strict=True))
    with ExitStack() as stack:
        # A process for each program, not for each case: TensorFlow starts slowly.
        started: dict[tuple[str, str], SideProcess] = {}
        for case in cases:
            setting.say(f"{case.name}: {len(texts)} reviews")
            program = (HF_JS if case.kind is None else PYTHON, case.threads)
            if program not in started:
                started[program] = stack.enter_context(_start_peer(case))
            request = {"bundle": str(by_algorithm[case.algorithm].absolute()), "file": str(file)}
            yield measure_case(setting, case, started[program], request, len(texts))


def _start_peer(case: TokenizerCase) -> SideProcess:
    """Starts the peer's process."""
    environment = ONE_THREAD if case.threads == "one thread" else ALL_THREADS
    program = node_program(str(DIRECTORY / HF_JS)) if case.kind is None else python_program(PYTHON)
    return SideProcess(case.peer, program, environment)


def measure_case(
    setting: BenchSetting,
    case: TokenizerCase,
    peer: SideProcess,
    request: dict[str, str],
    count: int,
) -> BenchRow:
    """Compares both sides on one case, then times them in turns.

    Args:
        setting: of the run.
        case: to measure.
        peer: its process.
        request: the arguments of `open`.
        count: of texts.
    """
    with SideProcess("ours", node_program(str(DIRECTORY / "ours.js"))) as ours:
        ours.ask("open", **request)
        peer.ask("open", **request, **({"kind": case.kind} if case.kind else {}))
        compare_with_peer(case, ours, peer, count)
        times = time_in_turns(
            lambda: float(ours.ask("time", what=case.what, at_least=setting.at_least)),
            lambda: float(peer.ask("time", at_least=setting.at_least)),
            setting.rounds,
            setting.say,
        )
    return BenchRow(
        name=case.name,
        what=f"{case.what} of {count} reviews, algorithm {case.algorithm}",
        ours=times[0],
        peer=f"{case.peer} {_peer_version(case)}, {case.threads}",
        peers=times[1],
        target=case.target,
        work=count,
        work_unit="reviews",
        note=case.note,
    )


def _peer_version(case: TokenizerCase) -> str:
    """Returns the installed version of the peer's package."""
    if case.kind is None:
        return node_packages()["@huggingface/tokenizers"]
    return version("tokenizers" if case.kind == "huggingface" else "tensorflow-text")


def compare_with_peer(
    case: TokenizerCase, ours: SideProcess, peer: SideProcess, count: int
) -> None:
    """Checks that both sides give the same result.

    Args:
        case: to measure.
        ours: our side.
        peer: the peer.
        count: of texts.

    Raises:
        CheckFailed: they differ; the message has the first review that shows it.
    """
    indices = list(range(0, count, max(1, count // COMPARED)))
    got, wanted = (side.ask(case.what, indices=indices) for side in (ours, peer))
    for at, one, other in zip(indices, got, wanted, strict=True):
        if one != other:
            raise CheckFailed(f"{case.name}: review {at}: ours gives {one}, {case.peer} {other}")
