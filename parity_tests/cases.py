"""Picks the texts that both sides are asked about, and carries them in a file both read.

A case file is JSON lines, each `{"case": 0, "batch": 0, "text": "…"}`, numbered from 0 in order.
Case 0 is blank: it gives no ids at all, the one length that a data set seldom has. The file says
which texts are run together, so that both sides pad alike; a slow backend takes fewer batches.
"""

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from parity_tests.errors import UserError

BLANK = " "
SHORTEST = 3
BATCH = 8
"""Texts in a batch; the first has the blank one besides, and of more than one batch none of the
longest quarter: it costs a slow backend little."""


@dataclass(frozen=True)
class Case:
    """One text, its place in the case file and the batch it is run in."""

    case: int
    batch: int
    text: str


def read_texts(path: Path) -> list[str]:
    """The texts of a JSON-lines file with `text`, or `sentence1` and `sentence2` (two texts).

    Raises:
        UserError: no such file, or a line that is not such an object.
    """
    return [text for row in json_lines(path) for text in texts_of(*row, path)]


def json_lines(path: Path) -> list[tuple[int, Any]]:
    r"""Line numbers (from 1) and values; only \n ends a line, blank lines are passed over."""
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; make it with `nox -s export`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as UTF-8 text: {error}") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append((number, json.loads(line)))
        except json.JSONDecodeError as error:
            raise UserError(f"{path}:{number} is not JSON: {error.msg}") from None
    return rows


def texts_of(number: int, row: object, path: Path) -> list[str]:
    """The one or two texts of a data row."""
    values = row if isinstance(row, dict) else {}
    found = [values[key] for key in ("text", "sentence1", "sentence2") if key in values]
    if not found or not all(isinstance(text, str) for text in found):
        raise UserError(f"{path}:{number} has no `text`, or `sentence1` and `sentence2`")
    return found


def pick(texts: list[str], count: int, seed: int = 0) -> list[Case]:
    """`count` texts of mixed length after a blank one; the same texts always give the same cases.

    The three shortest and the longest are always among them, the others are evenly spaced by
    length. Then they are shuffled, so that a batch mixes lengths and padding matters.

    Raises:
        UserError: there is nothing to pick from.
    """
    known = sorted({text for text in texts if text.strip()}, key=lambda text: (len(text), text))
    if not known:
        raise UserError("there is no text to compare on; give a data file with --texts")
    if count < 1:
        raise UserError(f"got {count} cases, expected at least 1")
    chosen = [known[rank] for rank in spread(len(known), count)]
    shuffler = random.Random(seed)
    calm = len(chosen) * 3 // 4
    early, long = chosen[:calm], chosen[calm:]
    shuffler.shuffle(early)
    late = early[BATCH:] + long
    shuffler.shuffle(late)
    order = [BLANK, *early[:BATCH], *late]
    return [Case(i, max(i - 1, 0) // BATCH, text) for i, text in enumerate(order)]


def batches_for(count: int) -> int:
    """How many batches hold `count` texts besides the blank one.

    >>> [batches_for(count) for count in (1, 8, 9, 64)]
    [1, 1, 2, 8]
    """
    return -(-count // BATCH)


def spread(size: int, count: int) -> list[int]:
    """Up to `count` ranks out of `size`: the lowest three, then evenly spaced to the highest.

    >>> spread(10, 5)
    [0, 1, 2, 3, 9]
    >>> spread(3, 5)
    [0, 1, 2]
    >>> spread(10, 1)
    [9]
    """
    if count >= size:
        return list(range(size))
    low = min(SHORTEST, count - 1)
    steps = max(count - low - 1, 1)
    rest = [low + round(i * (size - 1 - low) / steps) for i in range(count - low)]
    return [*range(low), *(rest if len(rest) > 1 else [size - 1])]


def write(path: Path, cases: list[Case]) -> None:
    """Writes a case file."""
    lines = [json.dumps(asdict(case), ensure_ascii=False) + "\n" for case in cases]
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


def read(path: Path) -> list[Case]:
    """Reads a case file.

    Raises:
        UserError: it is missing, empty, or is not numbered from 0.
    """
    rows = json_lines(path)
    if not rows:
        raise UserError(f"{path} holds no cases: nothing would be compared")
    cases = []
    for expected, (number, row) in enumerate(rows):
        [text] = texts_of(number, row, path)
        if row.get("case") != expected or not isinstance(row.get("batch"), int):
            raise UserError(f"{path}:{number} is not case {expected} with its batch")
        cases.append(Case(expected, row["batch"], text))
    return cases
