"""The progress of a long step: a bar on a terminal, a line every few seconds in a log."""

import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO, TypeVar

from support.printing import Say, say, underlying_stream

if TYPE_CHECKING:
    from tqdm import tqdm

Item = TypeVar("Item")
LINE_EVERY_S = 10.0
"""Seconds between two lines of a log."""
BAR_AFTER_S = 1.0
"""A step that is over by then has no bar."""
BYTES = "B"


class Progress:
    """Counts what a step has done, and shows it on stderr.

    ```
    with Progress("faults", len(faults)) as progress:
        for fault in faults:
            judge(fault)
            progress.add()
    ```

    A step of LINE_EVERY_S seconds or more has a line at its end with the seconds it took.
    """

    def __init__(
        self,
        name: str,
        total: int | None,
        *,
        unit: str = "",
        done: int = 0,
        line_every: float | None = None,
        say: Say = say,
        stream: TextIO | None = None,
    ) -> None:
        """Prepares the count.

        Args:
            name: of the step, or of what it counts.
            total: the count at the end; None if it is unknown.
            unit: written behind the numbers; BYTES are written as MB.
            done: the count at the start.
            line_every: seconds between two lines of a log; None: LINE_EVERY_S.
            say: prints a line.
            stream: the terminal or log behind `say`; None: stderr.
        """
        self.name, self.total, self.unit, self.done = name, total, unit, done
        self.line_every = LINE_EVERY_S if line_every is None else line_every
        self.detail = ""
        self.say = say
        self.stream = stream
        self.started = self.last_line = time.monotonic()
        self.bar: tqdm[Any] | None = None

    def __enter__(self) -> Self:
        """Prepares the bar if stderr is a terminal."""
        stream = underlying_stream(self.stream or sys.stderr)
        if stream.isatty():
            from tqdm import tqdm

            self.bar = tqdm(
                desc=self.name,
                total=self.total,
                initial=self.done,
                unit=self.unit or "it",
                unit_scale=self.unit == BYTES,
                delay=BAR_AFTER_S,
                file=stream,
                leave=False,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        """Removes the bar, and prints how long a finished step took."""
        if self.bar is not None:
            self.bar.close()
        seconds = time.monotonic() - self.started
        if kind is None and seconds >= LINE_EVERY_S:
            self.say(f"{self._line()} in {seconds:.0f} s")

    def add(self, count: int = 1, detail: str = "") -> None:
        """Counts what has been done; `detail` stands behind the numbers until there is another."""
        self.done += count
        self.detail = detail or self.detail
        if self.bar is not None:
            self.bar.set_postfix_str(self.detail, refresh=False)
            self.bar.update(count)
        elif time.monotonic() - self.last_line >= self.line_every:
            self.last_line = time.monotonic()
            self.say(self._line())

    def _line(self) -> str:
        """Returns name and count, for example `download: 1.5 of 2.0 MB`."""
        counts = [self.done] if self.total is None else [self.done, self.total]
        if self.unit == BYTES:
            return f"{self.name}: {' of '.join(f'{count / 1e6:.1f}' for count in counts)} MB"
        line = f"{self.name}: {' of '.join(map(str, counts))} {self.unit}".rstrip()
        return f"{line}, {self.detail}" if self.detail else line


def track(
    name: str, items: Sequence[Item], unit: str = "", say: Say = say
) -> Generator[Item, None, None]:
    """Yields items, and shows how many of them are done.

    Args:
        name: of the step.
        items: what a loop goes over.
        unit: written behind the numbers.
        say: prints a line.
    """
    with Progress(name, len(items), unit=unit, say=say) as progress:
        for item in items:
            yield item
            progress.add()


@contextmanager
def timed_step(name: str, say: Say = say) -> Iterator[None]:
    """Reports the start of a step, and at its end how long it took; nothing after an error."""
    say(f"{name} …")
    start = time.monotonic()
    yield
    say(f"{name}: {time.monotonic() - start:.1f} s")
