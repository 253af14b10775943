"""Takes every row of the catalog, at its true size, from Python to Node and compares.

Weights are seeded: the published ones cannot be had any more by most people, and parity does not
depend on them. Rows that share configuration and contract share one build.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from export import catalog
from parity_tests.conformance.fixtures import groups, vocab_lines
from parity_tests.conformance.rows import Row, conform
from parity_tests.conformance.table import table
from parity_tests.conformance.trained import NAME, conform_trained

EXAMPLE = """example:
  python -m parity_tests.conformance --rows albert_tiny,zh-bert-L1

exit codes: 0 every row conforms, 1 a row does not, 2 a mistake in what was given
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the rows, writes after each, and gives the exit code."""
    given = parse(arguments)
    chosen = [g for g in groups() if given.rows is None or given.rows & {e.name for e in g}]
    unknown = (given.rows or set()) - {entry.name for entry in catalog.entries()} - {NAME}
    if unknown:
        names = ", ".join(sorted(unknown))
        print(f"error: the catalog has no {names}; see python -m export catalog", file=sys.stderr)
        return 2
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="conformance-") as place:
        vocab = Path(place) / "vocab.txt"
        size = catalog.entries()[0].vocab_size
        vocab.write_text("".join(f"{line}\n" for line in vocab_lines(size)), encoding="utf-8")
        for at, group in enumerate(chosen, 1):
            names = ", ".join(entry.name for entry in group)
            print(f"[{at}/{len(chosen)}] {names}", file=sys.stderr, flush=True)
            rows.append(conform(group, vocab, Path(place)))
            told(rows, given.out)
        if given.judge is not None and (given.rows is None or NAME in given.rows):
            print(f"[trained] {NAME}", file=sys.stderr, flush=True)
            rows.append(conform_trained(given.judge, Path(place)))
            told(rows, given.out)
    print(table(rows))
    return 0 if rows and all(row.ok for row in rows) else 1


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m parity_tests.conformance",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--rows",
        type=lambda text: set(text.split(",")),
        metavar="NAME,…",
        help="only the builds of these rows (default: all)",
    )
    parser.add_argument(
        "--judge",
        type=Path,
        metavar="PYTHON",
        help="a Python with transformers and a trained model: adds the row of trained weights",
    )
    default = Path("artifacts/conformance.json")
    parser.add_argument("--out", type=Path, default=default, help="default: %(default)s")
    return parser.parse_args(arguments)


def told(rows: list[Row], out: Path) -> None:
    """Says what came of the last row, and writes all."""
    write(rows, out)
    row = rows[-1]
    verdict = "ok" if row.ok else f"FAILED: {row.said}"
    print(f"    {verdict}", file=sys.stderr, flush=True)


def write(rows: list[Row], out: Path) -> None:
    """Writes one object a catalog row; those that share a build have the same figures."""
    document = [
        asdict(row) | {"name": name} for row in rows for name in (row.name, *row.same_build)
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    growing = out.with_suffix(".partial")
    growing.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")
    growing.rename(out)


if __name__ == "__main__":
    sys.exit(main())
