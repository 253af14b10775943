"""Trains the default's encoder on Chinese text, without labels, and writes weights and their card.

The same command goes on where it stopped: after Ctrl-C, a crash, or the end of --minutes. OUT gets
weights/ (to copy over the repository's weights/: the weights, their vocab, the model card and the
loss curve), loss.jsonl, the corpus and the checkpoint.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from export.demo import DemoSizes
from export.trained_weights import write_weights
from pretrain import curve, model_card
from pretrain.corpus import Corpus, open_corpus
from pretrain.evaluation.evaluate import evaluate, format_report
from pretrain.recipe import FULL, SHORT, Recipe
from support.atomic import write_file
from support.command_line import INTERRUPTED, OptionParser, command
from support.errors import UserError
from support.printing import say
from support.quiet_tensorflow import tensorflow

if TYPE_CHECKING:
    from pretrain.training import Piece

EXAMPLE = """examples:
  python -m pretrain                  2.5 hours on 2 cores; Ctrl-C, and the same command goes on
  python -m pretrain --minutes 30     a piece of it
  python -m pretrain --short          a minute, to see that it runs
  nox -s pretrain -- --evaluate       measures the weights that are there, an hour; goes on too

exit codes: 0 done, or --minutes are over, 2 a mistake in the input, 3 this machine,
70 a defect of the program (BERT_BRIDGE_DEBUG=1 shows its stack), 130 interrupted, all saved
"""
WEIGHTS = "weights"


@command()
def main(arguments: list[str] | None = None) -> int:
    """Trains a piece, writes everything that it gives, and returns the exit code."""
    started = time.monotonic()
    options = parse_options(arguments)
    recipe = SHORT if options.short else FULL
    out = options.out or Path("artifacts") / ("pretrain.short" if options.short else "pretrain")
    if options.evaluate:
        return run_evaluation(out, options)
    tensorflow()
    from pretrain.training import train_piece

    corpus = open_corpus(out, recipe, DemoSizes(), say)
    minutes = options.minutes
    if minutes is not None:
        # Making the corpus counts.
        minutes = max(0.0, minutes - (time.monotonic() - started) / 60)
    piece = train_piece(out, corpus, recipe, minutes, say)
    write_results(out, corpus, recipe, piece)
    report(out, recipe, piece, options.json)
    return INTERRUPTED if piece.interrupted else 0


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """Parses the options; an unknown one ends the program with exit code 2."""
    parser = OptionParser(prog="python -m pretrain", description=__doc__, epilog=EXAMPLE)
    parser.add_argument(
        "--minutes", type=float, metavar="N", help="end after N minutes; default: never"
    )
    parser.add_argument("--short", action="store_true", help="few texts and steps, for tests")
    parser.add_argument("--out", type=Path, help="default: artifacts/pretrain, or pretrain.short")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--evaluate", action="store_true", help="measure OUT/weights on dev texts")
    parser.add_argument("--seeds", type=int, default=3, help="of --evaluate; default: %(default)s")
    parser.add_argument(
        "--regression-python",
        type=Path,
        default=Path(sys.executable),
        metavar="PYTHON",
        help="with scikit-learn, for --evaluate; `nox -s pretrain` gives it",
    )
    options = parser.parse_args(arguments)
    if options.minutes is not None and not options.minutes > 0:
        raise UserError(f"--minutes: got {options.minutes:g}, expected more than 0")
    if options.seeds < 1:
        raise UserError(f"--seeds: got {options.seeds}, expected 1 or more")
    return options


def run_evaluation(out: Path, options: argparse.Namespace) -> int:
    """Measures the weights, prints the table, and returns the exit code."""
    rows = evaluate(out, out / WEIGHTS, options.seeds, options.regression_python, say)
    if options.json:
        print(json.dumps([row.document() for row in rows]))
    else:
        print(format_report(rows))
    return 0


def write_results(out: Path, corpus: Corpus, recipe: Recipe, piece: Piece) -> None:
    """Writes the weights as they are now, their vocab, their card and the chart."""
    weights = out / WEIGHTS
    write_weights(weights, piece.model.encoder, corpus.vocab.raw)
    card = model_card.write_card(corpus, recipe, piece.progress, piece.points)
    write_file(weights / model_card.CARD, card)
    write_file(weights / curve.CHART, curve.draw_curve(piece.points))


def report(out: Path, recipe: Recipe, piece: Piece, as_json: bool) -> None:
    """Prints how far the training is, and how to go on.

    Args:
        out: its directory.
        recipe: has the number of steps.
        piece: that ended.
        as_json: whether for a program.
    """
    steps, last = piece.progress.steps, piece.points[-1] if piece.points else None
    if as_json:
        found = {"steps": steps, "of": recipe.steps, "seconds": piece.progress.seconds}
        losses = {} if last is None else {"masked": last.masked, "bag": last.bag}
        print(json.dumps(found | losses | {"weights": str(out / WEIGHTS)}))
    done = steps >= recipe.steps
    state = f"{steps:,} of {recipe.steps:,} steps, weights in {out / WEIGHTS}"
    if piece.interrupted:
        say(f"interrupted: {state}; the same command goes on")
    else:
        say(f"{state}; {'trained' if done else 'the same command goes on'}")


if __name__ == "__main__":
    sys.exit(main())
