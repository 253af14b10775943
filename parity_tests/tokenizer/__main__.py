"""Proves that Node's tokenizers give the very ids of their Python references.

By default a fixed sample in under a minute; `--full` goes over all of Unicode in every context,
a million generated texts and 200 made-up vocabs.
"""

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from export.tokenizer import TokenizerSpec
from export.tokenizer.vocab import parse_vocab, read_vocab
from parity_tests.errors import EnvironmentProblem, UserError
from parity_tests.tokenizer.prove import FULL, MAIN, OTHER, SAMPLE, Material, Row, prove
from parity_tests.tokenizer.reviews import read_reviews, vocab_of

EXAMPLE = """example:
  python -m parity_tests.tokenizer --full --json artifacts/parity/tokenizer.json

exit codes: 0 no difference, 1 a difference, 2 a mistake in what was given, 3 this machine
"""


def main(arguments: list[str] | None = None) -> int:
    """Proves, reports, and gives the exit code."""
    given = parse(arguments)
    try:
        jobs, material, tables = plan(given)
    except (UserError, EnvironmentProblem) as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    rows = run(jobs, material, tables)
    result = report(rows, given.full)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(result, ensure_ascii=False, indent=1)
        given.json.write_text(text + "\n", encoding="utf-8")
    show(rows)
    return 0 if result["verdict"] == "pass" else 1


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m parity_tests.tokenizer",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--full", action="store_true", help="everything, in some 20 minutes")
    parser.add_argument("--json", type=Path, help="where to write the result")
    parser.add_argument("--bundle", type=Path, help="prove this bundle's tokenizer and tables only")
    return parser.parse_args(arguments)


def plan(given: argparse.Namespace) -> tuple[list[TokenizerSpec], Material, Path | None]:
    """Which tokenizers, with what."""
    reviews = read_reviews()
    size = FULL if given.full else SAMPLE
    if given.bundle is None:
        return (
            [*MAIN, *OTHER],
            Material(reviews, parse_vocab(vocab_of(reviews), "reviews"), size),
            None,
        )
    contract = json.loads((given.bundle / "bundle.json").read_text(encoding="utf-8"))["tokenizer"]
    spec = TokenizerSpec(contract["algorithm"], **contract["options"])
    vocab = read_vocab(given.bundle / "vocab.txt", lambda notice: print(notice, file=sys.stderr))
    return [spec], Material(reviews, vocab, size), given.bundle / "tokenizer_tables.bin"


def run(jobs: list[TokenizerSpec], material: Material, tables: Path | None) -> list[Row]:
    """One process for each library, both at once; within it, one tokenizer after the other."""
    lanes = [
        [spec for spec in jobs if spec.algorithm == "bert"],
        [spec for spec in jobs if spec.algorithm != "bert"],
    ]
    with ProcessPoolExecutor(len(lanes), mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(prove, lane, material, tables) for lane in lanes if lane]
        return [row for future in futures for row in future.result()]


def report(rows: list[Row], full: bool) -> dict[str, Any]:
    """What goes into the parity report."""
    different = sum(row.different for row in rows)
    texts = sum(row.texts for row in rows)
    return {
        "verdict": "pass" if different == 0 and texts > 0 else "fail",
        "full": full,
        "texts": texts,
        "different": different,
        "rows": [asdict(row) for row in rows],
    }


def show(rows: list[Row]) -> None:
    """The result as a table, and what differs."""
    for row in rows:
        verdict = "equal" if row.different == 0 else f"{row.different} DIFFER"
        print(f"{row.tokenizer:28} {row.group:28} {row.texts:>10,} texts  {verdict}")
        for difference in row.differences:
            print(f"    {difference.shrunk!r}: {' '.join(difference.code_points)}")
            print(f"    python {difference.python}  node {difference.node}")
            print(f"    {difference.character}: {difference.rule}")


if __name__ == "__main__":
    sys.exit(main())
