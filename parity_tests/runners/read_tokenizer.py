"""Writes a bundle of a tokenizer alone from its source, as the exporter does.

    python -m parity_tests.runners.read_tokenizer --vocab vocab.txt --tokenizer bert --out DIR

It runs as a process of its own, in parallel with other work. Every option is set, so that files
beside the vocab have no influence.
"""

import argparse
import sys
from pathlib import Path

from export.tokenizer_bundle import export_tokenizer
from export.tokenizer_choice import TokenizerChoice
from parity_tests.runners import tokenizer_source
from support.command_line import command
from support.printing import say


@command()
def main(arguments: list[str] | None = None) -> int:
    """Writes the bundle; exit code 0, or that of an error with one line on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m parity_tests.runners.read_tokenizer",
        description=(__doc__ or "").splitlines()[0],
    )
    tokenizer_source.add_options(parser)
    parser.add_argument("--out", type=Path, required=True, help="directory of the bundle")
    options = parser.parse_args(arguments)
    source = tokenizer_source.parse_tokenizer_source(options)
    model = None if source.model is None else str(source.model)
    spec = None if model else source.spec
    choice = TokenizerChoice(source.vocab, spec, model, python=source.python)
    export_tokenizer(choice, options.out, say, replace=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
