"""Tests the judge with faults of every kind, and with clean bundles that must pass.

Prints a table and writes ROOT/faults.json; a run of some kinds, or a quick one, writes
ROOT/faults.part.json. Verdicts are saved until code changes: an interrupted run goes on.
"""

import argparse
import io
import sys
from contextlib import redirect_stderr
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from fault_injection import score, sensitivity
from fault_injection.evaluator import Evaluator
from fault_injection.material import code_hash, make_material
from fault_injection.registry import Kind, every_kind, plan_tasks
from fault_injection.run import FaultRun, VerdictRecord
from fault_injection.sources import CleanBundle
from support import printing
from support.atomic import write_json
from support.command_line import OptionParser, command, nearest_name
from support.errors import CheckFailed, UserError

EXAMPLE = """examples:
  python -m fault_injection                     every fault, every clean bundle
  python -m fault_injection --kinds sign_bit    faults of this kind alone; more with commas
  python -m fault_injection --quick             one fault of each kind, a few clean bundles
  python -m fault_injection --sensitivity       the smallest change of a weight that shows

exit codes: 0 the judge holds, 1 it does not, 2 a mistake in the input, 3 this machine,
70 a defect of the program (BERT_BRIDGE_DEBUG=1 shows its stack)
"""
CODE_FOLDERS = ("fault_injection", "support", "parity_tests", "node_bridge", "export", "numerics")
QUICK_CLEAN_BUNDLES = 6


@command("interrupted; the verdicts are saved, the next run goes on")
def main(arguments: list[str] | None = None) -> int:
    """Runs the faults and returns the exit code."""
    options = parse_options(arguments)
    stream = sys.stderr
    if options.sensitivity:
        return _measure_sensitivity(options.root, stream)
    # The judge's own progress messages are not shown.
    with redirect_stderr(io.StringIO()):
        document, kinds = _run_fault_injection(options, stream)
    print(score.score_table(document, kinds))
    if not score.judge_holds(document):
        raise CheckFailed("the judge does not hold: see the faults above and faults.json")
    return 0


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """Parses the options; an unknown one ends the program with exit code 2."""
    parser = OptionParser(
        prog="python -m fault_injection",
        description=__doc__,
        epilog=EXAMPLE,
    )
    parser.add_argument("--kinds", metavar="NAME,…", help="only faults of these kinds")
    parser.add_argument(
        "--sensitivity",
        action="store_true",
        help="only measure how small a change shows, before and now → ROOT/sensitivity.json",
    )
    parser.add_argument("--quick", action="store_true", help="one fault of each kind")
    parser.add_argument(
        "--root", type=Path, default=Path("artifacts"), help="the embedded default (%(default)s)"
    )
    return parser.parse_args(arguments)


def _measure_sensitivity(root: Path, stream: TextIO) -> int:
    """Prints and writes the smallest changes that are detected; returns the exit code 0."""
    made = make_material(root, partial(printing.say, stream=stream))
    rows = sensitivity.measure_sources(made)
    write_json(root / "sensitivity.json", [asdict(row) for row in rows])
    print(sensitivity.sensitivity_table(rows))
    return 0


def _run_fault_injection(
    options: argparse.Namespace, stream: TextIO
) -> tuple[dict[str, Any], dict[str, Kind]]:
    """Makes the clean bundles, judges, and writes the result; returns it, and all kinds."""
    say = partial(printing.say, stream=stream)
    kinds = every_kind()
    chosen = _choose_kinds(options.kinds, kinds)
    part = options.quick or options.kinds is not None
    made = make_material(options.root, say)
    cleans = made.cleans()
    # A run of some kinds does not judge clean bundles.
    clean_bundles: list[CleanBundle] = (
        cleans if not part else cleans[:QUICK_CLEAN_BUNDLES] if options.quick else []
    )
    tasks = plan_tasks(chosen, cleans, options.quick)
    evaluator = Evaluator(made, options.root / "data" / "train.jsonl", say)
    evaluator.prepare(
        {clean.source.name for clean in [*clean_bundles, *(task.clean for task in tasks)]}
    )
    home = options.root / "fault_injection"
    key = f"{code_hash(CODE_FOLDERS)[:8]}{made.root.name[-8:]}"
    fault_run = FaultRun(evaluator, VerdictRecord(home, key), home / "at_work", stream)
    clean_rows = fault_run.judge_clean_bundles(clean_bundles)
    document = score.score_verdicts(fault_run.judge_faults(tasks), clean_rows)
    write_json(options.root / ("faults.part.json" if part else "faults.json"), document)
    return document, kinds


def _choose_kinds(names: str | None, kinds: dict[str, Kind]) -> list[Kind]:
    """Returns the named kinds, or all.

    Raises:
        UserError: there is no such kind.
    """
    if names is None:
        return list(kinds.values())
    unknown = [name for name in names.split(",") if name not in kinds]
    if unknown:
        meant = nearest_name(unknown[0], kinds)
        suggestion = f" (did you mean {meant}?)" if meant else ""
        raise UserError(
            f"--kinds: got {', '.join(unknown)}{suggestion}, expected of {', '.join(sorted(kinds))}"
        )
    return [kinds[name] for name in names.split(",")]


if __name__ == "__main__":
    sys.exit(main())
