"""Measures this project against its peers on the same texts.

Writes ROOT/bench.json (a list of rows) and ROOT/bench.svg, after each row, and prints a table.
A quick run writes bench.quick.json and bench.quick.svg. Rows of earlier runs remain where the
machine and all versions are the same. A missed target is no error.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from bench.families import FAMILIES
from bench.output import draw_svg, format_rows
from bench.rows import BenchRecord
from bench.setting import BenchSetting, code_hash, collect_facts
from support.atomic import write_file
from support.command_line import OptionParser, command, nearest_name
from support.errors import UserError
from support.printing import say

EXAMPLE = """examples:
  python -m bench                        everything
  python -m bench tokenizer.ids          the rows whose names begin with it
  python -m bench tokenizer --quick      in half a minute, to see that all rows run

exit codes: 0 measured, 1 ours and a peer differ, 2 a mistake in the input, 3 this machine,
70 a defect of the program (BERT_BRIDGE_DEBUG=1 shows its stack)
"""


@command("interrupted; the finished rows are saved")
def main(arguments: list[str] | None = None) -> int:
    """Runs the wanted benchmarks and returns the exit code."""
    options = parse_options(arguments)
    record = _run_benchmarks(options.names, options.root, options.quick)
    if options.json:
        print(json.dumps(record.rows, ensure_ascii=False))
    else:
        print(format_rows(record.rows, code_hash()))
        if options.quick:
            print("a quick run: the figures have no meaning")
    return 0


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """Parses the options; an unknown one ends the program with exit code 2."""
    parser = OptionParser(
        prog="python -m bench",
        description=__doc__,
        epilog=EXAMPLE,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="rows, or beginnings of names")
    parser.add_argument("--quick", action="store_true", help="few texts and rounds, rough figures")
    parser.add_argument("--root", type=Path, default=Path("artifacts"), help="default: artifacts")
    parser.add_argument("--json", action="store_true", help="print bench.json, not a table")
    return parser.parse_args(arguments)


def _run_benchmarks(names: list[str], root: Path, quick: bool) -> BenchRecord:
    """Measures row by row and saves each.

    Raises:
        UserError: no row has this name.
        CheckFailed: ours and a peer give different results.
        EnvironmentProblem: this machine lacks something, or a side ended.
    """
    with tempfile.TemporaryDirectory() as scratch:
        setting = BenchSetting(root, Path(scratch), quick, names, say)
        known = [name for family in FAMILIES for name in family.NAMES]
        check_names(names, known)
        path = root / ("bench.quick.json" if quick else "bench.json")
        record = BenchRecord(path, collect_facts(), code_hash(), known)
        if record.starts_anew:
            say(f"{path}: another machine or version, starting anew")
        for family in FAMILIES:
            if any(map(setting.wants, family.NAMES)):
                for row in family.measure_rows(setting):
                    record.add(row)
                    write_file(path.with_suffix(".svg"), draw_svg(record.rows))
    say(f"{path}, {path.with_suffix('.svg')}")
    return record


def check_names(names: list[str], known: list[str]) -> None:
    """Checks the names.

    Raises:
        UserError: no row's name begins with it.
    """
    for name in names:
        if not any(f"{row}.".startswith(f"{name}.") for row in known):
            meant = nearest_name(name, known)
            suggestion = f" (did you mean {meant}?)" if meant else ""
            raise UserError(f"no row is called {name}{suggestion}; the rows are {', '.join(known)}")


if __name__ == "__main__":
    sys.exit(main())
