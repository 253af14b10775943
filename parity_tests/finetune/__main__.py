"""Trains one classifier, its encoder frozen and updated, in Python and in Node; measures each.

An epoch is the training texts and then the dev texts, its seconds are the median after the first
one, and texts/s are the training texts of all epochs over the whole run. Python runs BERT in every
epoch, as its examples do; Node encodes a frozen encoder's texts once, which is part of its start.
Writes ROOT/finetune.json and prints a table.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from parity_tests.finetune.experiments import FinetuneSetting, run_experiments
from parity_tests.finetune.rows import FinetuneRow, markdown_table
from support.command_line import OptionParser, command
from support.errors import UserError

EXAMPLE = """examples:
  python -m parity_tests.finetune                           a quarter of an hour on 2 cores
  python -m parity_tests.finetune --texts 200 --epochs 2    to see that it runs

exit codes: 0 measured, 1 a check failed, 2 a mistake in what was given, 3 this machine,
70 a defect of the program (BERT_BRIDGE_DEBUG=1 shows its stack)
"""
DEV_SHARE = 5


@command("interrupted; the rows that were finished are kept")
def main(arguments: list[str] | None = None) -> int:
    """Measures row by row, keeps each, and gives the exit code."""
    given = parse_options(arguments)
    done: list[FinetuneRow] = []
    with tempfile.TemporaryDirectory(prefix="finetune-") as scratch:
        about = collect_facts(given)
        for row in run_experiments(make_setting(given, Path(scratch))):
            done.append(row)
            write_json_file(
                given.root / "finetune.json", about | {"rows": [r.document() for r in done]}
            )
    print(
        (given.root / "finetune.json").read_text("utf-8")
        if given.json
        else format_report(done, about)
    )
    return 0


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """The options; an unknown one ends the program with exit code 2."""
    parser = OptionParser(
        prog="python -m parity_tests.finetune",
        description=__doc__,
        epilog=EXAMPLE,
    )
    parser.add_argument("--texts", type=int, default=5000, help="to train on; default: %(default)s")
    parser.add_argument("--epochs", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--root", type=Path, default=Path("artifacts"), help="default: artifacts")
    parser.add_argument("--json", action="store_true", help="print finetune.json, not a table")
    return parser.parse_args(arguments)


def make_setting(given: argparse.Namespace, scratch: Path) -> FinetuneSetting:
    """Takes so many of the reviews, and a fifth as many dev reviews.

    Raises:
        UserError: numbers that are no numbers of texts or epochs, or more than there are.
    """
    if given.epochs < 1:
        raise UserError(f"--epochs: got {given.epochs}, expected 1 or more")
    files = {}
    for name, count in (("train", given.texts), ("dev", given.texts // DEV_SHARE)):
        source = given.root / "data" / f"{name}.jsonl"
        if not source.is_file():
            raise UserError(f"{source} is not there; `nox -s export` makes it")
        lines = source.read_text("utf-8").removesuffix("\n").split("\n")
        if not 1 <= count <= len(lines):
            raise UserError(
                f"--texts {given.texts}: got {count} {name} texts, "
                f"expected 1 to the {len(lines)} of {source}"
            )
        files[name] = scratch / f"{name}.jsonl"
        files[name].write_text("".join(f"{line}\n" for line in lines[:count]), "utf-8")
    return FinetuneSetting(
        given.root, files["train"], files["dev"], given.texts, given.epochs, scratch
    )


def collect_facts(given: argparse.Namespace) -> dict[str, Any]:
    """What the figures depend on; `load` is how many processes were waiting before the first."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "tensorflow": version("tensorflow"),
        "load": os.getloadavg()[0],
        "texts": {"train": given.texts, "dev": given.texts // DEV_SHARE},
        "epochs": given.epochs,
    }


def format_report(done: list[FinetuneRow], about: dict[str, Any]) -> str:
    """The table, and what it was measured on."""
    texts = about["texts"]
    return (
        f"{markdown_table(done)}\n\n{texts['train']:,} training and {texts['dev']:,} dev reviews, "
        f"{about['epochs']} epochs, albert_tiny with untrained weights, {about['cpus']} cores; "
        f"load {about['load']:.1f} before the first row."
    )


def write_json_file(path: Path, document: dict[str, Any]) -> None:
    """Writes the file as a whole or not at all."""
    growing = path.with_suffix(".partial")
    growing.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")
    growing.replace(path)


if __name__ == "__main__":
    sys.exit(main())
