"""Takes every row of the catalog, at its true size, from Python to Node and compares.

Weights are seeded: the published ones cannot be had any more by most people, and parity does not
depend on them. Rows that share configuration and contract share one build. Further rows are small
models that the publishers' own code makes, saves and runs.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from export.source import catalog
from parity_tests.conformance.fixtures import entries_by_build, make_vocab_lines
from parity_tests.conformance.published import conform_published, published_models
from parity_tests.conformance.rows import ConformanceRow, conform_catalog_rows, markdown_table
from parity_tests.conformance.trained import NAME, conform_trained
from support.command_line import OptionParser, command, nearest_name
from support.errors import UserError

EXAMPLE = """example:
  python -m parity_tests.conformance --rows albert_tiny,zh-bert-L1
  nox -s conformance -- --publishers
  nox -s conformance -- --rows transformers/bert_cased,keras_hub/albert

exit codes: 0 every row conforms, 1 a row does not, 2 a mistake in what was given
"""


@dataclass(frozen=True)
class Build:
    """What is built once; `names` are the rows that share it, `run` takes a working directory."""

    names: tuple[str, ...]
    run: Callable[[Path], ConformanceRow]


@command("interrupted; the rows that were finished are kept")
def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the rows, writes after each, and gives the exit code."""
    given = parse_options(arguments)
    possible = list_builds(given)
    unknown = (given.rows or set()) - {name for build in possible for name in build.names}
    if unknown:
        raise UserError(unknown_row_message(sorted(unknown), given))
    wanted = [b for b in possible if given.rows is None or given.rows & set(b.names)]
    rows: list[ConformanceRow] = []
    with tempfile.TemporaryDirectory(prefix="conformance-") as place:
        size = catalog.read_entries()[0].vocab_size
        vocab = "".join(f"{line}\n" for line in make_vocab_lines(size))
        (Path(place) / "vocab.txt").write_text(vocab, encoding="utf-8")
        for at, build in enumerate(wanted, 1):
            print(f"[{at}/{len(wanted)}] {', '.join(build.names)}", file=sys.stderr, flush=True)
            rows.append(build.run(Path(place)))
            report_last_row(rows, given.out)
    print(markdown_table(rows))
    return 0 if rows and all(row.ok for row in rows) else 1


def list_builds(given: argparse.Namespace) -> list[Build]:
    """Every build for which there is an interpreter, in order."""
    found = []
    if not given.publishers:
        found += [
            Build(tuple(e.name for e in group), partial(build_from_catalog, group))
            for group in entries_by_build()
        ]
        if given.judge is not None:
            found.append(Build((NAME,), partial(conform_trained, given.judge)))
    for model in published_models():
        interpreter = getattr(given, model.environment)
        if interpreter is not None:
            run = partial(conform_published, model, interpreter)
            found.append(Build((model.name,), run))
    return found


def build_from_catalog(group: list[catalog.Entry], work: Path) -> ConformanceRow:
    """A build of the catalog with the vocab that all of them share."""
    return conform_catalog_rows(group, work / "vocab.txt", work)


def unknown_row_message(unknown: list[str], given: argparse.Namespace) -> str:
    """Why there is no such row."""
    for model in published_models():
        if model.name in unknown and getattr(given, model.environment) is None:
            option = model.environment.replace("_", "-")
            return f"{model.name} needs --{option} PYTHON; nox -s conformance gives it"
    also = ", ".join(model.name for model in published_models())
    known = [entry.name for entry in catalog.read_entries()] + [
        model.name for model in published_models()
    ]
    meant = nearest_name(unknown[0], known)
    asked = f" (did you mean {meant}?)" if meant else ""
    said = f"the catalog has no {', '.join(unknown)}{asked}"
    return f"{said}; see `nox -s export -- catalog`; also: {also}"


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = OptionParser(
        prog="python -m parity_tests.conformance",
        description=__doc__,
        epilog=EXAMPLE,
    )
    parser.add_argument(
        "--rows",
        type=lambda text: set(text.split(",")),
        metavar="NAME,…",
        help="only the builds of these rows (default: all)",
    )
    parser.add_argument(
        "--publishers",
        action="store_true",
        help="only the rows of the publishers' own code (minutes)",
    )
    parser.add_argument(
        "--judge",
        type=Path,
        metavar="PYTHON",
        help="a Python with the packages of locks/judge.txt: adds the row of trained weights and "
        "those of transformers",
    )
    parser.add_argument(
        "--publishers-python",
        type=Path,
        metavar="PYTHON",
        help="a Python with those of locks/publishers.txt: adds the rows of the publishers whose "
        "code runs on TensorFlow",
    )
    default = Path("artifacts/conformance.json")
    parser.add_argument("--out", type=Path, default=default, help="default: %(default)s")
    return parser.parse_args(arguments)


def report_last_row(rows: list[ConformanceRow], out: Path) -> None:
    """Says what came of the last row, and writes all."""
    write_rows_json(rows, out)
    row = rows[-1]
    verdict = "ok" if row.ok else f"FAILED: {row.said}"
    print(f"    {verdict}", file=sys.stderr, flush=True)


def write_rows_json(rows: list[ConformanceRow], out: Path) -> None:
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
