"""Runs the whole proof: every tokenizer, with two libraries in parallel.

The result is the part `tokenizers` of REPORT.md.
"""

import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from export.tokenizer import TokenizerSpec, Vocab, library_versions
from export.tokenizer.probe import read_tables
from export.tokenizer.tables import serialise
from export.tokenizer.texts import (
    CONTEXTS,
    PACKED,
    mark_pairs,
    mark_triples,
    mutate_reviews,
    texts_from_alphabet,
    texts_in_context,
)
from export.tokenizer.vocab import parse_vocab, read_vocab
from parity_tests.tokenizer import pairs
from parity_tests.tokenizer.disagreements import Disagreements, count_disagreements
from parity_tests.tokenizer.explain import Difference, explain, tokenizer_name
from parity_tests.tokenizer.material import (
    every_character_vocab,
    make_random_vocab,
    make_review_vocab,
    read_reviews,
)
from parity_tests.tokenizer.sides import TokenizerPair, TokenizerProcess
from support.contracts import TABLES_FILE, VOCAB_FILE, read_bundle

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
MAX_EXPLAINED = 3  # differences that are explained for each group of texts


@dataclass(frozen=True)
class ProofSize:
    """How many texts each tokenizer encodes; a stride of n takes every nth."""

    contexts: tuple[str, ...]
    unknown_stride: int  # of the characters that this Python does not know
    pair_stride: int
    generated: int
    vocabs: int
    texts_per_vocab: int
    reviews: int | None


SAMPLE = ProofSize(("latin",), 31, 17, 3_000, 5, 200, 2_000)
FULL = ProofSize(tuple(CONTEXTS), 1, 1, 150_000, 200, 500, None)


@dataclass
class ProofRow:
    """The result of one group of texts for one tokenizer."""

    tokenizer: str
    group: str
    texts: int = 0
    different: int = 0
    seconds: float = 0.0
    differences: list[Difference] = field(default_factory=list)


@dataclass(frozen=True)
class ProofResult:
    """The result for all tokenizers.

    Attributes:
        verdict: `pass` or `drift`.
        full: whether it was all of Unicode, not a sample.
        texts: of all rows.
        different: texts with other ids in Node.
        rows: by tokenizer and group of texts.
        references: where two references of the same name disagree.
    """

    verdict: str
    full: bool
    texts: int
    different: int
    rows: list[ProofRow]
    references: Disagreements

    @classmethod
    def of(cls, rows: list[ProofRow], full: bool, references: Disagreements) -> "ProofResult":
        """Sums the rows up; no text at all is a drift."""
        different = sum(row.different for row in rows)
        texts = sum(row.texts for row in rows)
        verdict = "pass" if different == 0 and texts > 0 else "drift"
        return cls(verdict, full, texts, different, rows, references)


@dataclass(frozen=True)
class ProofJob:
    """One tokenizer to prove.

    Without `tables`, they are read from the runtime, as at export. `interpreter` is the Python
    whose library is the reference; None: this one.
    """

    spec: TokenizerSpec
    vocab: Vocab
    tables: Path | None = None
    interpreter: Path | None = None


def prove(jobs: Sequence[ProofJob], reviews: Sequence[str], size: ProofSize) -> list[ProofRow]:
    """Proves some tokenizers, one after the other."""
    rows: list[ProofRow] = []
    every_character = every_character_vocab()
    with tempfile.TemporaryDirectory() as directory, TokenizerProcess() as node:
        for job in jobs:
            path = job.tables or Path(directory) / TABLES_FILE
            if job.tables is None:
                path.write_bytes(serialise(read_tables(job.spec, job.vocab, job.interpreter)))
            for vocab, groups in _text_groups(job, reviews, size, every_character):
                pair = TokenizerPair(node, job.spec, vocab, path, job.interpreter)
                for group, texts in groups:
                    started = time.monotonic()
                    row = compare_texts(pair, group, texts)
                    row.seconds = time.monotonic() - started
                    _merge_row(rows, row)
                    print_progress(rows)
                if vocab is job.vocab:
                    rows.append(_compare_pairs(pair, reviews, size.generated))
                    print_progress(rows)
    return rows


Groups = list[tuple[str, Iterable[str]]]


def _text_groups(
    job: ProofJob, reviews: Sequence[str], size: ProofSize, every_character: Vocab
) -> Iterator[tuple[Vocab, Groups]]:
    """Yields each vocab with its groups of texts.

    Args:
        job: the tokenizer.
        reviews: real texts.
        size: how many texts.
        every_character: the vocab with every character.
    """
    main = job.spec in MAIN
    contexts = size.contexts if main else ("latin",)
    groups: Groups = [
        (
            f"every character, {name}",
            texts_in_context(name, size.unknown_stride, _characters_per_text(name)),
        )
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
            ("reviews mutated", mutate_reviews(reviews, generated, seed=1)),
        ],
    )
    for seed in range(size.vocabs if main else size.vocabs // 10):
        vocab, alphabet = make_random_vocab(seed)
        texts = texts_from_alphabet(alphabet, size.texts_per_vocab, seed)
        yield vocab, [("made-up vocabs", texts)]


def _characters_per_text(context: str) -> int:
    """Returns how many characters share a text in a context; `alone` has one."""
    return 1 if context == "alone" else PACKED


def compare_texts(pair: TokenizerPair, group: str, texts: Iterable[str]) -> ProofRow:
    """Compares both sides on all texts; shortens and explains the first few differences."""
    row = ProofRow(tokenizer_name(pair.spec.algorithm, pair.spec.options), group)
    source = iter(texts)
    while batch := list(islice(source, BATCH)):
        row.texts += len(batch)
        failed = pair.differences(batch)
        row.different += len(failed)
        for i in failed[: MAX_EXPLAINED - len(row.differences)]:
            row.differences.append(explain(pair, group, batch[i]))
    return row


def _compare_pairs(pair: TokenizerPair, reviews: Sequence[str], count: int) -> ProofRow:
    """Compares both sides' ids and types on pairs of texts, cut to many limits."""
    started = time.monotonic()
    row = ProofRow(tokenizer_name(pair.spec.algorithm, pair.spec.options), pairs.GROUP)
    for batch in pairs.make_pair_batches(reviews, count, seed=2):
        row.texts += len(batch.texts)
        failed = pairs.find_differing_pairs(pair, batch)
        row.different += len(failed)
        for one in failed[: MAX_EXPLAINED - len(row.differences)]:
            row.differences.append(pairs.explain_pair(pair, batch, one))
    row.seconds = time.monotonic() - started
    return row


def _merge_row(rows: list[ProofRow], row: ProofRow) -> None:
    """Adds a row to the last one if it is of the same group."""
    if rows and (rows[-1].tokenizer, rows[-1].group) == (row.tokenizer, row.group):
        rows[-1].texts += row.texts
        rows[-1].different += row.different
        rows[-1].seconds += row.seconds
        rows[-1].differences += row.differences[: MAX_EXPLAINED - len(rows[-1].differences)]
    else:
        rows.append(row)


def print_progress(rows: list[ProofRow]) -> None:
    """Prints the progress on stderr; not for every random vocab."""
    row = rows[-1]
    if row.group == "made-up vocabs" and row.texts % 20_000:
        return
    line = f"{row.tokenizer}: {row.group}: {row.texts:,} texts, {row.different} differ"
    print(f"{line} ({row.seconds:.1f} s)", file=sys.stderr, flush=True)


def jobs_for_every_tokenizer() -> list[ProofJob]:
    """Returns all algorithms with all options, tables of the runtimes, a vocab of the reviews."""
    vocab = parse_vocab(make_review_vocab(read_reviews()), "reviews")
    return [ProofJob(spec, vocab) for spec in [*MAIN, *OTHER]]


def job_of_bundle(bundle: Path, interpreter: Path | None = None) -> ProofJob:
    """Returns a bundle's tokenizer with its own vocab and tables.

    `interpreter` is the Python whose library is the reference; None: this one. A notice on stderr
    says where its versions are not those of the bundle.

    Raises:
        UserError: the bundle has no readable contract or vocab.
    """
    document = read_bundle(bundle)
    contract = document["tokenizer"]
    spec = TokenizerSpec(contract["algorithm"], **contract["options"])
    made_by = document["provenance"].get("tokenizer")
    here = library_versions(spec.algorithm, interpreter)
    if made_by is not None and made_by | {"python": ""} != here | {"python": ""}:
        texts = [
            ", ".join(f"{name} {number}" for name, number in v.items()) for v in (made_by, here)
        ]
        print(
            f"NOTICE: the bundle's tokenizer was made with {texts[0]}, the reference here is "
            f"{texts[1]}; --tokenizer-python names the interpreter of your Python side",
            file=sys.stderr,
        )
    vocab = read_vocab(bundle / VOCAB_FILE, lambda notice: print(notice, file=sys.stderr))
    return ProofJob(spec, vocab, bundle / TABLES_FILE, interpreter)


def replace_by_own(jobs: list[ProofJob], own: ProofJob) -> list[ProofJob]:
    """Returns all jobs, with the bundle's own instead of the one of the same kind."""
    return [own, *(job for job in jobs if job.spec.options_key != own.spec.options_key)]


def prove_all(jobs: list[ProofJob], full: bool) -> ProofResult:
    """Proves all, with one process for each library, and counts where two references disagree.

    Raises:
        EnvironmentProblem: the package with the reviews is missing.
    """
    reviews = read_reviews()
    size = FULL if full else SAMPLE
    lanes = [
        [job for job in jobs if job.spec.algorithm == "bert"],
        [job for job in jobs if job.spec.algorithm != "bert"],
    ]
    with ProcessPoolExecutor(len(lanes), mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(prove, lane, reviews, size) for lane in lanes if lane]
        disagree = pool.submit(count_disagreements, jobs[0].vocab.tokens)
        rows = [row for future in futures for row in future.result()]
        return ProofResult.of(rows, full, disagree.result())
