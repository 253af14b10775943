"""Proves that Node's tokenizers give the same ids as their Python references.

The default is a fixed sample in under a minute; `--full` covers all of Unicode in every context,
a million generated texts and 200 random vocabs.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from parity_tests.tokenizer.proof import (
    ProofResult,
    job_of_bundle,
    jobs_for_every_tokenizer,
    prove_all,
)
from support.command_line import OptionParser, command
from support.errors import UserError
from support.tables import format_table

EXAMPLE = """example:
  python -m parity_tests.tokenizer --full --json artifacts/parity/tokenizer.json

exit codes: 0 no difference, 1 a difference, 2 a mistake in the input, 3 this machine
"""


@command()
def main(arguments: list[str] | None = None) -> int:
    """Proves, reports, and returns the exit code."""
    options = parse_options(arguments)
    if options.tokenizer_python is not None and options.bundle is None:
        raise UserError("--tokenizer-python needs --bundle: name the bundle made with it")
    own = options.bundle and job_of_bundle(options.bundle, options.tokenizer_python)
    jobs = [own] if own else jobs_for_every_tokenizer()
    result = prove_all(jobs, options.full)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(result), ensure_ascii=False, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")
    print_result(result)
    return 0 if result.verdict == "pass" else 1


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """Parses the options; an unknown one ends the program with exit code 2."""
    parser = OptionParser(
        prog="python -m parity_tests.tokenizer",
        description=__doc__,
        epilog=EXAMPLE,
    )
    parser.add_argument("--full", action="store_true", help="everything, in some 5 minutes")
    parser.add_argument("--json", type=Path, help="where to write the result")
    parser.add_argument("--bundle", type=Path, help="prove this bundle's tokenizer and tables only")
    parser.add_argument(
        "--tokenizer-python",
        type=Path,
        metavar="PYTHON",
        help="with --bundle: the interpreter whose tokenizer library is the reference",
    )
    return parser.parse_args(arguments)


def print_result(result: ProofResult) -> None:
    """Prints the result as a table, and the differences."""
    cells = [
        (
            row.tokenizer,
            row.group,
            f"{row.texts:,}",
            "equal" if row.different == 0 else f"{row.different} DIFFER",
        )
        for row in result.rows
    ]
    print(format_table(("tokenizer", "group", "texts", ""), cells, numeric=[2]))
    for row in result.rows:
        for difference in row.differences:
            print(f"{row.group}: {difference}")


if __name__ == "__main__":
    sys.exit(main())
