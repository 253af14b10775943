"""Measures what must not grow: memory over many passes, time per letter of a long word or text."""

from collections.abc import Iterator
from pathlib import Path

from bench.rows import BenchRow
from bench.setting import BenchSetting
from bench.side import SideProcess, node_program, time_in_turns
from bench.tokenizer import material

DIRECTORY = Path(__file__).parent
MEMORY, WORD, TEXT = "tokenizer.memory", "tokenizer.linear.word", "tokenizer.linear.text"
NAMES: tuple[str, ...] = (MEMORY, WORD, TEXT)
# Ten passes are judged; the warm-up compiles the code, which takes memory once.
WARM_UP, PASSES = 3, 10
FLAT = 0.99
LINEAR = 0.8
LETTERS, PART = 1_000_000, 100_000
BYTES = 1_000_000


def measure_rows(setting: BenchSetting) -> Iterator[BenchRow]:
    """Yields the rows of memory, then those of time."""
    vocab = material.embedded_vocab(setting)
    (bundle,) = material.make_bundles(setting, [(vocab, "bert")])
    texts = material.measured_reviews(setting)
    if setting.wants(MEMORY):
        setting.say(f"{MEMORY}: {PASSES} passes over {len(texts)} reviews")
        yield _measure_memory(setting, bundle, texts)
    scale = 10 if setting.quick else 1
    if setting.wants(WORD):
        setting.say(f"{WORD}: {LETTERS // scale} letters")
        word = "a" * (LETTERS // scale)
        parts = ["a" * (PART // scale)] * (LETTERS // PART)
        names = f"a word of {len(word)} letters", f"{len(parts)} words of {len(parts[0])} letters"
        yield _measure_linear(setting, bundle, WORD, names, ([word], parts), (len(word), "letters"))
    if setting.wants(TEXT):
        setting.say(f"{TEXT}: {BYTES // scale} bytes")
        parts = _take_bytes(BYTES // scale, material.read_reviews())
        whole = "\n".join(parts)
        size = len(whole.encode())
        names = f"a text of {size} bytes", f"its {len(parts)} reviews one by one"
        yield _measure_linear(setting, bundle, TEXT, names, ([whole], parts), (size, "bytes"))


def _measure_memory(setting: BenchSetting, bundle: Path, texts: list[str]) -> BenchRow:
    """Measures the bytes in memory after the first of the passes and after the last."""
    with SideProcess("ours", node_program(str(DIRECTORY / "ours.js"))) as ours:
        ours.ask(
            "open",
            bundle=str(bundle.absolute()),
            file=str(material.write_texts_file(setting, texts)),
        )
        used = [int(ours.ask("memory", what="tokens")) for _ in range(WARM_UP + PASSES)][
            WARM_UP - 1 :
        ]
    note = f"{used[-1] - used[0]:+} bytes over {PASSES} passes; the most was {max(used)}"
    what = f"bytes in memory, ids, tokens and offsets of {len(texts)} reviews, {PASSES} passes"
    peer = "before the first of them"
    return BenchRow(
        MEMORY, what, [float(used[-1])], peer, [float(used[0])], FLAT, "bytes", note=note
    )


def _measure_linear(
    setting: BenchSetting,
    bundle: Path,
    name: str,
    names: tuple[str, str],
    texts: tuple[list[str], list[str]],
    work: tuple[int, str],
) -> BenchRow:
    """Measures the same work as one text and as many texts.

    Args:
        setting: of the run.
        bundle: of the tokenizer.
        name: of the row.
        names: of both sides.
        texts: of both sides.
        work: its number and unit.
    """
    with (
        SideProcess("one text", node_program(str(DIRECTORY / "ours.js"))) as one,
        SideProcess("many texts", node_program(str(DIRECTORY / "ours.js"))) as many,
    ):
        for i, (side, own_texts) in enumerate(zip((one, many), texts, strict=True)):
            file = material.write_texts_file(setting, own_texts, f"{name}-{i}")
            side.ask("open", bundle=str(bundle.absolute()), file=str(file))
        times = time_in_turns(
            lambda: float(one.ask("time", what="ids", at_least=setting.at_least)),
            lambda: float(many.ask("time", what="ids", at_least=setting.at_least)),
            setting.rounds,
            setting.say,
        )
    return BenchRow(
        name, names[0], times[0], names[1], times[1], LINEAR, work=work[0], work_unit=work[1]
    )


def _take_bytes(size: int, texts: list[str]) -> list[str]:
    """Returns the first texts that have `size` bytes together."""
    taken: list[str] = []
    total = 0
    for text in texts:
        if total >= size:
            break
        taken.append(text)
        total += len(text.encode()) + 1
    return taken
