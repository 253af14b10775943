"""Attacks every command with hostile files and counts the results: `nox -s attack`.

Each area of cases is a module `*_cases.py` here. The fuzz flips seeded bytes of sound files, see
`fuzz.py`. Writes ROOT/attack.json: how many cases were tried, refused clearly, survived, or found
by a check (`failed`), and every fault: a stack trace, a crash, a hang, a wrong exit code, a wrong
number that passes, a raw terminal control, a changed file outside of the case.
"""

import argparse
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from support.command_line import OptionParser
from support.printing import say
from support.progress import Progress
from tests.hostile import fuzz
from tests.hostile.case import EXITS, HostileCase
from tests.hostile.running import CaseOutcome, attempt_case

EXAMPLE = """examples:
  python -m tests.hostile                             every case, and 2,000 byte flips
  python -m tests.hostile --only classifier           cases whose name starts with `classifier`
  python -m tests.hostile --only classifier --flips 0 the same without the fuzz
  python -m tests.hostile --only none --flips 200     a short fuzz alone

exit codes: 0 no fault, 1 a fault, 2 a mistake in the input
"""
HERE = Path(__file__).parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the wanted cases and flips, writes the tally, and returns the exit code."""
    options = parse_options(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="attack-") as workdir:
            cases = [case for case in every_case() if case.name.startswith(options.only)]
            rows = attempt_all(cases, Path(workdir), options.jobs)
            flips = fuzz.run_fuzz(Path(workdir), options.flips, options.seed, options.jobs)
    except KeyboardInterrupt:
        say("interrupted; nothing was written")
        return 130
    document = tally_outcomes(rows, flips)
    whole = not options.only and options.flips >= fuzz.FLIPS
    out = options.root / ("attack.json" if whole else "attack.part.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(format_summary(document, out))
    return 1 if document["faults"] else 0


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parses the options; an unknown one ends the program with exit code 2."""
    parser = OptionParser(prog="python -m tests.hostile", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("--only", default="", metavar="START", help="cases with such a name")
    parser.add_argument(
        "--flips", type=int, default=fuzz.FLIPS, metavar="N", help="of bytes (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the flips (%(default)s)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="at once (%(default)s)"
    )
    parser.add_argument(
        "--root", type=Path, default=Path("artifacts"), help="where the tally goes (%(default)s)"
    )
    return parser.parse_args(arguments)


def every_case() -> Iterator[HostileCase]:
    """Yields the cases of every area, in order."""
    names = sorted(path.stem for path in HERE.glob("*_cases.py"))
    for name in names:
        yield from importlib.import_module(f"tests.hostile.{name}").cases()


def attempt_all(cases: list[HostileCase], workdir: Path, jobs: int) -> list[CaseOutcome]:
    """Runs cases, `jobs` at once; the outcomes are in the order of the cases."""
    work = [partial(attempt_case, case, workdir / f"case-{at}") for at, case in enumerate(cases)]
    return run_at_once(work, jobs, "cases")


def run_at_once(work: Sequence[Callable[[], Any]], jobs: int, what: str) -> list[Any]:
    """Calls functions in threads, which mostly wait for programs.

    Args:
        work: the functions.
        jobs: how many at once.
        what: the name of the functions, for the progress.
    """
    with ThreadPoolExecutor(jobs) as pool, Progress(what, len(work)) as progress:
        started = [pool.submit(one) for one in work]
        try:
            for _ in as_completed(started):
                progress.add()
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in started]


def tally_outcomes(rows: list[CaseOutcome], flips: list[fuzz.Flip]) -> dict[str, Any]:
    """Makes the document: counts, faults, and every case."""
    faults = [{"name": row.name, "fault": row.fault, "line": row.line} for row in rows if row.fault]
    faults += [
        {"name": flip.name, "fault": flip.fault, "line": flip.line} for flip in flips if flip.fault
    ]
    good = [row for row in rows if not row.fault]
    return {
        "tried": len(rows),
        **{end: sum(row.expect == end for row in good) for end in EXITS},
        "fuzz": fuzz.tally_flips(flips),
        "faults": faults,
        "cases": [asdict(row) for row in rows],
    }


def format_summary(document: dict[str, Any], out: Path) -> str:
    """Returns a few lines for a person."""
    lines = [
        f"{document['tried']} cases: {document['refused']} refused clearly, "
        f"{document['failed']} found by a check, {document['survived']} survived",
        *(
            f"{kind}: {', '.join(f'{count} {end}' for end, count in ends.items())}"
            for kind, ends in document["fuzz"].items()
        ),
        *(f"FAULT {fault['name']}: {fault['fault']}" for fault in document["faults"]),
        f"{len(document['faults'])} faults → {out}",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
