"""How far a trial is: a bar on a terminal, a line now and then in a log."""

import time
from typing import Any, TextIO

LINE_EVERY_S = 10.0


class Progress:
    """Counts verdicts; one of its kind at a time."""

    def __init__(self, name: str, total: int, stream: TextIO) -> None:
        self.name = name
        self.total = total
        self.stream = stream
        self.done = 0
        self.started = self.said = time.monotonic()
        self.bar: Any = None
        if stream.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=total, desc=name, file=stream, leave=False)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the bar, and says how long it took."""
        if self.bar is not None:
            self.bar.close()
        if self.done:
            self.say(f"in {time.monotonic() - self.started:.0f} s")

    def step(self) -> None:
        """One more is done."""
        self.done += 1
        if self.bar is not None:
            self.bar.update()
        elif time.monotonic() - self.said >= LINE_EVERY_S:
            self.said = time.monotonic()
            self.say("…")

    def say(self, more: str) -> None:
        """A line."""
        print(f"{self.name}: {self.done} of {self.total} {more}", file=self.stream, flush=True)
