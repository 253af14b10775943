"""The training loop: steps, checkpoints, the curve, and how a piece of it ends."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from pretrain.batches import BatchStream
from pretrain.checkpoint import Progress, load_checkpoint, save_checkpoint
from pretrain.corpus import Corpus
from pretrain.curve import Curve, Point
from pretrain.model import PretrainingModel
from pretrain.recipe import Recipe
from support.printing import Say
from support.progress import Progress as ProgressBar

SAVE_EVERY_S = 180.0
"""A killed piece loses at most as many seconds. Writing 60 MB takes 0.1 s."""
LINE_EVERY_S = 60.0


@dataclass(frozen=True)
class Piece:
    """What a piece of a training left: the model, how far it is, its curve, and why it ended."""

    model: PretrainingModel
    progress: Progress
    points: list[Point]
    interrupted: bool


def train_piece(
    directory: Path, corpus: Corpus, recipe: Recipe, minutes: float | None, say: Say
) -> Piece:
    """Trains from the last checkpoint to the end, for some minutes, or until Ctrl-C; saves.

    Args:
        directory: has the checkpoint and the curve.
        corpus: to train on.
        recipe: the numbers.
        minutes: after which the piece ends; None: when the training ends.
        say: prints a line.

    Raises:
        UserError: see `load_checkpoint`.
    """
    model = PretrainingModel.of(corpus, recipe)
    sha256 = corpus.sha256
    progress = load_checkpoint(directory, model, sha256)
    if progress.steps:
        say(f"goes on after {progress.steps:,} of {recipe.steps:,} steps")
    stream, curve = BatchStream(corpus, recipe), Curve(directory, progress, recipe.steps)
    first = progress
    started = saved = time.monotonic()
    bar = ProgressBar(
        "pretrain", recipe.steps, unit="steps", done=first.steps, line_every=LINE_EVERY_S, say=say
    )
    with bar, _stop_requests() as is_stopped:
        while progress.steps < recipe.steps and not is_stopped():
            now = time.monotonic()
            if minutes is not None and now - started >= 60 * minutes:
                break
            if now - saved >= SAVE_EVERY_S:
                save_checkpoint(directory, model, progress, sha256)
                saved = now
            losses = model.step(progress.steps, stream.batch(progress.steps))
            seconds = first.seconds + time.monotonic() - started
            progress = Progress(progress.steps + 1, seconds)
            point = curve.add(progress.steps, seconds, losses)
            progress = replace(progress, pending=list(curve.pending))
            bar.add(detail=_describe(point, progress, first, recipe) if point else "")
        save_checkpoint(directory, model, progress, sha256)
        interrupted = is_stopped()
    return Piece(model, progress, curve.points, interrupted)


def _describe(point: Point, progress: Progress, first: Progress, recipe: Recipe) -> str:
    """Returns losses, speed and the time left, for the progress.

    Args:
        point: the newest of the curve.
        progress: how far the training is.
        first: how far it was when the piece began.
        recipe: has the number of steps.
    """
    rate = (progress.steps - first.steps) / max(1e-9, progress.seconds - first.seconds)
    minutes = (recipe.steps - progress.steps) / rate / 60
    return (
        f"masked {point.masked:.2f}, bag {point.bag:.2f}, found {point.found:.0%}, "
        f"{rate:.2f} steps/s, {minutes:,.0f} min left"
    )


@contextmanager
def _stop_requests() -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether Ctrl-C or SIGTERM came; a second one acts at once.

    An exception in the middle of a step could leave weights and the number of steps at odds.
    """
    asked: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(one) for one in signals]

    def restore() -> None:
        for one, handler in zip(signals, before, strict=True):
            signal.signal(one, handler)

    def note(number: int, _: FrameType | None) -> None:
        asked.append(number)
        restore()

    for one in signals:
        signal.signal(one, note)
    try:
        yield lambda: bool(asked)
    finally:
        restore()
