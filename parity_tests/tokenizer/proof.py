"""The whole proof: every tokenizer, two libraries side by side, and the result as a document."""

import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from export.contracts import read_bundle
from export.errors import UserError as ExportError
from export.tokenizer import TokenizerSpec, library_versions
from export.tokenizer.vocab import parse_vocab, read_vocab
from parity_tests.errors import UserError
from parity_tests.references import disagreement
from parity_tests.tokenizer.prove import FULL, MAIN, OTHER, SAMPLE, Job, Row, prove
from parity_tests.tokenizer.reviews import read_reviews, vocab_of


def every_tokenizer() -> list[Job]:
    """All algorithms with all options, tables read off the runtimes, a vocab of the reviews."""
    vocab = parse_vocab(vocab_of(read_reviews()), "reviews")
    return [Job(spec, vocab) for spec in [*MAIN, *OTHER]]


def of_bundle(bundle: Path, interpreter: Path | None = None) -> Job:
    """A bundle's tokenizer with its own vocab and tables.

    `interpreter` is the Python whose library is the reference; None: this one. Says on stderr
    where its versions are not those that the bundle was made with.

    Raises:
        UserError: the bundle has no readable contract or vocab.
    """
    try:
        document = read_bundle(bundle)
        contract = document["tokenizer"]
        spec = TokenizerSpec(contract["algorithm"], **contract["options"])
    except ExportError as error:
        raise UserError(str(error)) from error
    made_by = document["provenance"].get("tokenizer")
    here = library_versions(spec.algorithm, interpreter)
    if made_by is not None and made_by | {"python": ""} != here | {"python": ""}:
        texts = [
            ", ".join(f"{name} {number}" for name, number in v.items()) for v in (made_by, here)
        ]
        print(
            f"NOTICE: the bundle's tokenizer was made with {texts[0]}, the reference here is "
            f"{texts[1]}; --tokenizer-python gives the reference of your Python side",
            file=sys.stderr,
        )
    vocab = read_vocab(bundle / "vocab.txt", lambda notice: print(notice, file=sys.stderr))
    return Job(spec, vocab, bundle / "tokenizer_tables.bin", interpreter)


def with_own(jobs: list[Job], own: Job) -> list[Job]:
    """All jobs, a bundle's in the place of the one that is of the same kind."""
    return [own, *(job for job in jobs if job.spec.options_key != own.spec.options_key)]


def prove_all(jobs: list[Job], full: bool) -> dict[str, Any]:
    """Proves each, one process for each library, and counts where two references disagree.

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
        disagree = pool.submit(disagreement, jobs[0].vocab.tokens)
        rows = [row for future in futures for row in future.result()]
        return document(rows, full) | {"references": disagree.result()}


def document(rows: list[Row], full: bool) -> dict[str, Any]:
    """What goes into the parity report."""
    different = sum(row.different for row in rows)
    texts = sum(row.texts for row in rows)
    return {
        "verdict": "pass" if different == 0 and texts > 0 else "drift",
        "full": full,
        "texts": texts,
        "different": different,
        "rows": [asdict(row) for row in rows],
    }


def told(difference: dict[str, Any]) -> str:
    """A difference as one line."""
    return (
        f"ids of {difference['tokenizer']} differ: {difference['shrunk']!r} "
        f"({', '.join(difference['code_points'])}) gives {difference['python']} in Python and "
        f"{difference['node']} in Node; {difference['character']}: {difference['rule']}"
    )
