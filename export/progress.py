"""How far a download is: a bar on a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Callable
from typing import Any

from printing import raw

LINE_EVERY_S = 10.0


class Progress:
    """Counts bytes and shows them; `total` is None where the server does not say."""

    def __init__(self, total: int | None, done: int, say: Callable[[str], None]) -> None:
        self.total = total
        self.done = done
        self.say = say
        self.said = time.monotonic()
        self.bar: Any = None

    def __enter__(self) -> "Progress":
        """Opens the bar if there is a terminal to draw it on."""
        if sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(
                total=self.total,
                initial=self.done,
                unit="B",
                unit_scale=True,
                desc="download",
                file=raw(sys.stderr),
            )
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the bar."""
        if self.bar is not None:
            self.bar.close()

    def add(self, count: int) -> None:
        """Counts bytes that have arrived."""
        self.done += count
        if self.bar is not None:
            self.bar.update(count)
        elif time.monotonic() - self.said >= LINE_EVERY_S:
            self.said = time.monotonic()
            of = f" of {self.total / 1e6:.1f}" if self.total else ""
            self.say(f"download: {self.done / 1e6:.1f}{of} MB")
