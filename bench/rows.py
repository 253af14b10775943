"""The rows of the benchmarks, each with ours against a peer, and their file."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from support.atomic import write_json

# The name under which `bench/__main__.py` takes it.


@dataclass(frozen=True)
class BenchRow:
    """The measurements of both sides, a value for each round.

    The ratio is the peer's median divided by ours, so that more is better and 1 is a draw, for any
    unit (`s`, or `bytes` for memory). Each round did `work` units of `work_unit`. A goal that is no
    program (50 ms to load) is the only value of the peer.

    >>> row = BenchRow("sort", "a list", [0.5, 0.4, 0.6], "theirs", [1.0, 2.0, 1.5], target=2)
    >>> row.ratio, row.spread, row.met
    (3.0, (2.0, 5.0), True)
    """

    name: str
    what: str
    ours: list[float]
    peer: str
    peers: list[float]
    target: float | None = None
    unit: str = "s"
    work: int | None = None
    work_unit: str = ""
    note: str = ""

    @property
    def ratio(self) -> float:
        """The ratio of the medians."""
        return median(self.peers) / median(self.ours)

    @property
    def spread(self) -> tuple[float, float]:
        """The lowest and the highest ratio of a single round."""
        rounds = max(len(self.ours), len(self.peers))
        one, other = (side * rounds if len(side) == 1 else side for side in (self.ours, self.peers))
        ratios = [peer / ours for ours, peer in zip(one, other, strict=True)]
        return min(ratios), max(ratios)

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without a target."""
        return None if self.target is None else self.ratio >= self.target

    def document(self) -> dict[str, Any]:
        """Returns the row for `bench.json`, without the facts of the machine."""
        low, high = self.spread
        row: dict[str, Any] = {
            "name": self.name,
            "what": self.what,
            "peer": self.peer,
            "ratio": _round_figure(self.ratio),
            "ratio_low": _round_figure(low),
            "ratio_high": _round_figure(high),
            "target": self.target,
            "met": self.met,
            "unit": self.unit,
            f"ours_{self.unit}": _round_figure(median(self.ours)),
            f"peer_{self.unit}": _round_figure(median(self.peers)),
            "rounds": len(self.ours),
        }
        if self.work is not None and self.unit == "s":
            row["work"] = f"{self.work} {self.work_unit}"
            row["ours_per_s"] = _round_figure(self.work / median(self.ours))
            row["peer_per_s"] = _round_figure(self.work / median(self.peers))
        return row | {"note": self.note}


def _round_figure(value: float) -> float:
    """Rounds to four significant digits; large numbers to integers.

    >>> _round_figure(0.0123456), _round_figure(123456.7)
    (0.01235, 123457)
    """
    return round(value) if abs(value) >= 10_000 else float(f"{value:.4g}")


class BenchRecord:
    """The file `bench.json`: a list of rows with the facts of the machine and the code.

    It is written completely after each row, so that a stopped run keeps its rows. Rows of earlier
    runs remain until they are measured again, unless this machine or a version has changed: then
    the file starts anew.
    """

    def __init__(self, path: Path, facts: dict[str, Any], code: str, order: list[str]) -> None:
        """Reads the rows of earlier runs.

        Args:
            path: of the file.
            facts: of this machine.
            code: the hash of the measured code.
            order: the names of all possible rows.
        """
        self.path = path
        self.marks = {"code": code, "machine": facts}
        self.order = order
        earlier = read_rows(path)
        self.starts_anew = any(row.get("machine") != facts for row in earlier)
        self.rows = [] if self.starts_anew else [row for row in earlier if row["name"] in order]

    def add(self, row: BenchRow) -> None:
        """Adds or replaces a row and writes the file."""
        when = datetime.now(UTC).isoformat(timespec="seconds")
        others = [other for other in self.rows if other["name"] != row.name]
        self.rows = [*others, row.document() | {"when": when} | self.marks]
        self.rows.sort(key=lambda document: self.order.index(document["name"]))
        write_json(self.path, self.rows)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Reads the rows of a file; none where it is missing or another file."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return []
    return [row for row in rows if "name" in row]
