"""Trains one classifier, with a frozen and an updated encoder, in Python and in Node.

An epoch is the training texts and then the dev texts. Its seconds are the median of all epochs but
the first; texts/s are the training texts of all epochs divided by the whole run. Python runs BERT
in every epoch, as its examples do; Node encodes a frozen encoder's texts once, at its start.
Writes ROOT/finetune.json and prints a table.
"""

import argparse
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
from support.atomic import write_json
from support.command_line import OptionParser, command
from support.errors import UserError

EXAMPLE = """examples:
  python -m parity_tests.finetune                           a quarter of an hour on 2 cores
  python -m parity_tests.finetune --texts 200 --epochs 2    to see that it runs

exit codes: 0 measured, 1 a check failed, 2 a mistake in the input, 3 this machine,
70 a defect of the program (BERT_BRIDGE_DEBUG=1 shows its stack)
"""
DEV_SHARE = 5


@command("interrupted; the finished rows are saved")
def main(arguments: list[str] | None = None) -> int:
    """Measures row by row, saves each, and returns the exit code."""
    options = parse_options(arguments)
    done: list[FinetuneRow] = []
    with tempfile.TemporaryDirectory(prefix="finetune-") as scratch:
        about = collect_facts(options)
        for row in run_experiments(make_setting(options, Path(scratch))):
            done.append(row)
            write_json(
                options.root / "finetune.json", about | {"rows": [r.document() for r in done]}
            )
    print(
        (options.root / "finetune.json").read_text("utf-8")
        if options.json
        else format_report(done, about)
    )
    return 0


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """Parses the options; an unknown one ends the program with exit code 2."""
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


def make_setting(options: argparse.Namespace, scratch: Path) -> FinetuneSetting:
    """Writes the training reviews, and a fifth as many dev reviews, to files.

    Raises:
        UserError: numbers of texts or epochs below 1, or more texts than there are.
    """
    if options.epochs < 1:
        raise UserError(f"--epochs: got {options.epochs}, expected 1 or more")
    files = {}
    for name, count in (("train", options.texts), ("dev", options.texts // DEV_SHARE)):
        source = options.root / "data" / f"{name}.jsonl"
        if not source.is_file():
            raise UserError(f"{source} does not exist; `nox -s export` makes it")
        lines = source.read_text("utf-8").removesuffix("\n").split("\n")
        if not 1 <= count <= len(lines):
            raise UserError(
                f"--texts {options.texts}: got {count} {name} texts, "
                f"expected 1 to the {len(lines)} of {source}"
            )
        files[name] = scratch / f"{name}.jsonl"
        files[name].write_text("".join(f"{line}\n" for line in lines[:count]), "utf-8")
    return FinetuneSetting(
        options.root, files["train"], files["dev"], options.texts, options.epochs, scratch
    )


def collect_facts(options: argparse.Namespace) -> dict[str, Any]:
    """Collects what the figures depend on; `load` is the system's load before the first row."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "tensorflow": version("tensorflow"),
        "load": os.getloadavg()[0],
        "texts": {"train": options.texts, "dev": options.texts // DEV_SHARE},
        "epochs": options.epochs,
    }


def format_report(done: list[FinetuneRow], about: dict[str, Any]) -> str:
    """Returns the table, and what it was measured on."""
    texts = about["texts"]
    return (
        f"{markdown_table(done)}\n\n{texts['train']:,} training and {texts['dev']:,} dev reviews, "
        f"{about['epochs']} epochs, albert_tiny with untrained weights, {about['cpus']} cores; "
        f"load {about['load']:.1f} before the first row."
    )


if __name__ == "__main__":
    sys.exit(main())
