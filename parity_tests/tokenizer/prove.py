"""The proof: which texts go through which tokenizers with which vocabs, and what came of it."""

import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from export.tokenizer import TokenizerSpec, Vocab
from export.tokenizer.characters import (
    CONTEXTS,
    PACKED,
    in_context,
    mark_pairs,
    mark_triples,
)
from export.tokenizer.runtimes import read_tables
from export.tokenizer.tables import serialise
from export.tokenizer.texts import from_alphabet, mutated
from parity_tests.tokenizer import pairs
from parity_tests.tokenizer.explain import Difference, explain, name_of
from parity_tests.tokenizer.sides import NodeSide, Pair
from parity_tests.tokenizer.vocabs import made_up, telling

# Each of the three has two tables, lower-cased and not; `chars` has one.
MAIN = [
    *(
        TokenizerSpec(name, cased)
        for name in ("bert", "tf-text", "tf-text-fast")
        for cased in (True, False)
    ),
    TokenizerSpec("chars"),
]
OTHER = [
    TokenizerSpec("bert", strip_accents=False),
    TokenizerSpec("bert", lower_case=False, strip_accents=True),
    TokenizerSpec("bert", split_chinese=False),
]
BATCH = 100_000
SHOWN = 3  # differences explained for each group of texts


@dataclass(frozen=True)
class Size:
    """How much goes through each tokenizer; a stride of n takes every nth."""

    contexts: tuple[str, ...]
    unknown_stride: int  # of the characters that this Python does not know
    pair_stride: int
    generated: int
    vocabs: int
    texts_per_vocab: int
    reviews: int | None


SAMPLE = Size(("latin",), 31, 17, 3_000, 5, 200, 2_000)
FULL = Size(tuple(CONTEXTS), 1, 1, 150_000, 200, 500, None)


@dataclass
class Row:
    """What came of one group of texts for one tokenizer."""

    tokenizer: str
    group: str
    texts: int = 0
    different: int = 0
    seconds: float = 0.0
    differences: list[Difference] = field(default_factory=list)


@dataclass(frozen=True)
class Job:
    """One tokenizer to prove; `tables` None: read from the runtime, as at export."""

    spec: TokenizerSpec
    vocab: Vocab
    tables: Path | None = None


def prove(jobs: Sequence[Job], reviews: Sequence[str], size: Size) -> list[Row]:
    """Everything for some tokenizers."""
    rows: list[Row] = []
    every_character = telling()
    with tempfile.TemporaryDirectory() as directory, NodeSide() as node:
        for job in jobs:
            path = job.tables or Path(directory) / "tokenizer_tables.bin"
            if job.tables is None:
                path.write_bytes(serialise(read_tables(job.spec, job.vocab)))
            for vocab, groups in work(job, reviews, size, every_character):
                pair = Pair(node, job.spec, vocab, path)
                for group, texts in groups:
                    started = time.monotonic()
                    row = compare(pair, group, texts)
                    row.seconds = time.monotonic() - started
                    merge(rows, row)
                    progress(rows)
                if vocab is job.vocab:
                    rows.append(compare_pairs(pair, reviews, size.generated))
                    progress(rows)
    return rows


Groups = list[tuple[str, Iterable[str]]]


def work(
    job: Job, reviews: Sequence[str], size: Size, every_character: Vocab
) -> Iterator[tuple[Vocab, Groups]]:
    """The groups of texts, by the vocab that they are for."""
    main = job.spec in MAIN
    contexts = size.contexts if main else ("latin",)
    groups: Groups = [
        (f"every character, {name}", in_context(name, size.unknown_stride, packing(name)))
        for name in contexts
    ]
    groups.append(("pairs of marks", islice(mark_pairs(), 0, None, size.pair_stride)))
    groups.append(("marks around a character", islice(mark_triples(), 0, None, size.pair_stride)))
    yield every_character, groups
    generated = size.generated if main else size.generated // 10
    yield (
        job.vocab,
        [
            ("reviews", reviews[: size.reviews]),
            ("reviews mutated", mutated(reviews, generated, seed=1)),
        ],
    )
    for seed in range(size.vocabs if main else size.vocabs // 10):
        vocab, alphabet = made_up(seed)
        texts = from_alphabet(alphabet, size.texts_per_vocab, seed)
        yield vocab, [("made-up vocabs", texts)]


def packing(context: str) -> int:
    """Characters to a text: alone means a text of its own."""
    return 1 if context == "alone" else PACKED


def compare(pair: Pair, group: str, texts: Iterable[str]) -> Row:
    """Both sides on all texts; the first few differences are shrunk and explained."""
    row = Row(name_of(pair.spec.algorithm, pair.spec.options), group)
    source = iter(texts)
    while batch := list(islice(source, BATCH)):
        row.texts += len(batch)
        failed = pair.differences(batch)
        row.different += len(failed)
        for i in failed[: SHOWN - len(row.differences)]:
            row.differences.append(explain(pair, group, batch[i]))
    return row


def compare_pairs(pair: Pair, reviews: Sequence[str], count: int) -> Row:
    """Both sides on pairs of texts, cut to many limits; ids and types are compared."""
    started = time.monotonic()
    row = Row(name_of(pair.spec.algorithm, pair.spec.options), pairs.GROUP)
    for batch in pairs.batches(reviews, count, seed=2):
        row.texts += len(batch.texts)
        failed = pairs.differing(pair, batch)
        row.different += len(failed)
        for one in failed[: SHOWN - len(row.differences)]:
            row.differences.append(pairs.explained(pair, batch, one))
    row.seconds = time.monotonic() - started
    return row


def merge(rows: list[Row], row: Row) -> None:
    """Adds a group to the last one if it is of the same name."""
    if rows and (rows[-1].tokenizer, rows[-1].group) == (row.tokenizer, row.group):
        rows[-1].texts += row.texts
        rows[-1].different += row.different
        rows[-1].seconds += row.seconds
        rows[-1].differences += row.differences[: SHOWN - len(rows[-1].differences)]
    else:
        rows.append(row)


def progress(rows: list[Row]) -> None:
    """Says on stderr where it is; of made-up vocabs not each."""
    row = rows[-1]
    if row.group == "made-up vocabs" and row.texts % 20_000:
        return
    line = f"{row.tokenizer}: {row.group}: {row.texts:,} texts, {row.different} differ"
    print(f"{line} ({row.seconds:.1f} s)", file=sys.stderr, flush=True)
