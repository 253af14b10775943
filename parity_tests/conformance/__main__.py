"""Takes every row of the catalog, at its true size, from Python to Node and compares.

Weights are seeded: most people cannot get the published ones any more, and parity does not depend
on them. Rows that share configuration and contract share one build. Further rows are small models
and fine-tuned classifiers that the publishers' own code makes, saves and runs.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from export.source import catalog
from parity_tests.conformance.classifiers import conform_classifier, published_classifiers
from parity_tests.conformance.fixtures import entries_by_build, make_vocab_lines
from parity_tests.conformance.published import (
    PublishedModel,
    conform_published,
    published_models,
)
from parity_tests.conformance.rows import ConformanceRow, conform_catalog_rows, markdown_table
from parity_tests.conformance.trained import NAME, conform_trained
from support.atomic import write_json
from support.command_line import OptionParser, command, nearest_name
from support.contracts import VOCAB_FILE
from support.errors import UserError
from support.printing import say

EXAMPLE = """example:
  python -m parity_tests.conformance --rows albert_tiny,zh-bert-L1
  nox -s conformance -- --publishers
  nox -s conformance -- --rows transformers/bert_cased,google/bert_classifier

exit codes: 0 every row conforms, 1 a row does not, 2 a mistake in the input
"""


@dataclass(frozen=True)
class Build:
    """One build; `names` are the rows that share it, `run` takes a working directory."""

    names: tuple[str, ...]
    run: Callable[[Path], ConformanceRow]


@command("interrupted; the finished rows are saved")
def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the rows, writes after each, and returns the exit code."""
    options = parse_options(arguments)
    possible = _list_builds(options)
    unknown = (options.rows or set()) - {name for build in possible for name in build.names}
    if unknown:
        raise UserError(_unknown_row_message(sorted(unknown), options))
    wanted = [b for b in possible if options.rows is None or options.rows & set(b.names)]
    rows: list[ConformanceRow] = []
    with tempfile.TemporaryDirectory(prefix="conformance-") as scratch:
        size = catalog.read_entries()[0].vocab_size
        vocab = "".join(f"{line}\n" for line in make_vocab_lines(size))
        (Path(scratch) / VOCAB_FILE).write_text(vocab, encoding="utf-8")
        for at, build in enumerate(wanted, 1):
            say(f"[{at}/{len(wanted)}] {', '.join(build.names)}")
            rows.append(build.run(Path(scratch)))
            _report_last_row(rows, options.out)
    print(markdown_table(rows))
    return 0 if rows and all(row.ok for row in rows) else 1


def _list_builds(options: argparse.Namespace) -> list[Build]:
    """Lists every build for which there is an interpreter, in order."""
    builds = []
    if not options.publishers:
        builds += [
            Build(tuple(e.name for e in group), partial(_build_from_catalog, group))
            for group in entries_by_build()
        ]
        if options.judge is not None:
            builds.append(Build((NAME,), partial(conform_trained, options.judge)))
    for model in published_models():
        if (interpreter := _interpreter_for(model, options)) is not None:
            builds.append(Build((model.name,), partial(conform_published, model, interpreter)))
    for classifier in published_classifiers():
        if (interpreter := _interpreter_for(classifier, options)) is not None:
            run = partial(conform_classifier, classifier, interpreter)
            builds.append(Build((classifier.name,), run))
    return builds


def _interpreter_for(model: PublishedModel, options: argparse.Namespace) -> Path | None:
    """Returns the Python that runs a publisher's script, None if no option gives it."""
    interpreter: Path | None = getattr(options, model.environment)
    return interpreter


def _build_from_catalog(group: list[catalog.Entry], work: Path) -> ConformanceRow:
    """Runs a build of the catalog with the vocab that all of them share."""
    return conform_catalog_rows(group, work / VOCAB_FILE, work)


def _unknown_row_message(unknown: list[str], options: argparse.Namespace) -> str:
    """Says why there is no such row."""
    published = [*published_models(), *published_classifiers()]
    for model in published:
        if model.name in unknown and _interpreter_for(model, options) is None:
            option = model.environment.replace("_", "-")
            return f"{model.name} needs --{option} PYTHON; nox -s conformance passes it"
    names = [model.name for model in published]
    known = [entry.name for entry in catalog.read_entries()] + names
    meant = nearest_name(unknown[0], known)
    suggestion = f" (did you mean {meant}?)" if meant else ""
    message = f"the catalog has no {', '.join(unknown)}{suggestion}"
    return f"{message}; see `nox -s export -- catalog`; also: {', '.join(names)}"


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parses the options; an unknown one ends the program with exit code 2."""
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
        help="only the rows of the publishers' own code (half an hour)",
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


def _report_last_row(rows: list[ConformanceRow], out: Path) -> None:
    """Prints the result of the last row, and writes all."""
    _write_rows_json(rows, out)
    row = rows[-1]
    verdict = "ok" if row.ok else f"FAILED: {row.said}"
    say(f"    {verdict}")


def _write_rows_json(rows: list[ConformanceRow], out: Path) -> None:
    """Writes one object for each catalog row; rows that share a build have the same figures."""
    document = [
        asdict(row) | {"name": name} for row in rows for name in (row.name, *row.same_build)
    ]
    write_json(out, document)


if __name__ == "__main__":
    sys.exit(main())
