"""Picks the texts that both sides encode, and writes them to a file that both read.

A case file is JSON lines, each `{"case": 0, "batch": 0, "text": "…"}`, numbered from 0 in order. A
pair of texts also has `pair`. A case that is cut to fewer positions than the model has also has
`max_length`. Case 0 is blank: it has no ids, a length that is rare in data sets. The file says
which texts are run together, so that both sides pad alike; a slow backend takes fewer batches.
"""

import json
import random
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from support.errors import UserError
from support.input_files import plain_file_size

BLANK = " "
SHORTEST = 3
BATCH = 8
"""Texts in a batch. The first batch also has the blank text and, where there are more batches, none
of the longest quarter, so that it costs a slow backend little."""
PAIR_LENGTH = 32
"""Positions that the made pairs are cut to. Few, since a slow backend runs them too. Three special
tokens leave 29 positions to two texts, so one text gets the odd position."""


class Text(NamedTuple):
    """A text, or a pair of texts."""

    text: str
    pair: str | None = None

    @property
    def rank(self) -> tuple[int, str, str]:
        """The sort key: the length, then the text itself."""
        return (len(self.text) + len(self.pair or ""), self.text, self.pair or "")

    @property
    def is_blank(self) -> bool:
        """Whether it has nothing but white space."""
        return not (self.text + (self.pair or "")).strip()


@dataclass(frozen=True)
class TextCase:
    """One text or pair, its number in the case file, and its batch.

    `max_length` is where it is cut, special tokens counted; None: at the model's own limit.
    """

    case: int
    batch: int
    text: str
    pair: str | None = None
    max_length: int | None = None

    @property
    def quoted(self) -> str:
        """The start of its text and of its pair, for a message."""
        pair = "" if self.pair is None else f" + “{shorten(self.pair)}”"
        return f"“{shorten(self.text)}”{pair}"


def shorten(text: str, limit: int = 24) -> str:
    """Returns the start of a text, on one line."""
    line = " ".join(text.split()) or text
    return line if len(line) <= limit else line[: limit - 1] + "…"


def read_texts(path: Path) -> list[Text]:
    """Reads a JSON-lines file with `text`, or the pair `sentence1` and `sentence2`.

    Raises:
        UserError: no such file, or a line that is not such an object.
    """
    return [_parse_text(*row, path) for row in _read_json_lines(path)]


def _read_json_lines(path: Path) -> list[tuple[int, Any]]:
    r"""Reads line numbers (from 1) and values; only \n ends a line, blank lines are skipped.

    Raises:
        UserError: the file cannot be read, or a line is not JSON.
    """
    try:
        plain_file_size(path, "a JSON-lines file with --texts")
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as UTF-8 text: {error}") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append((number, json.loads(line)))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}:{number} is not JSON: {error}") from None
    return rows


def _parse_text(number: int, row: object, path: Path) -> Text:
    """Returns the text or the pair of a data row.

    Raises:
        UserError: it has neither.
    """
    values = row if isinstance(row, dict) else {}
    if isinstance(values.get("text"), str):
        return Text(values["text"])
    first, second = values.get("sentence1"), values.get("sentence2")
    if isinstance(first, str) and isinstance(second, str):
        return Text(first, second)
    raise UserError(f"{path}:{number} has no `text`, or `sentence1` and `sentence2`")


def pick_cases(
    texts: Iterable[Text], count: int, seed: int = 0, pairs: bool = False
) -> list[TextCase]:
    """Picks `count` texts of mixed length after a blank one; equal texts always give equal cases.

    The three shortest and the longest are always picked, the others are evenly spaced by length.
    They are then shuffled, so that a batch mixes lengths and padding matters.

    Args:
        texts: what to pick from.
        count: how many to pick besides the blank text and the made pairs.
        seed: of the shuffling.
        pairs: whether to make a second batch of pairs of these texts, most of them cut.

    Raises:
        UserError: there is nothing to pick from.
    """
    known = sorted({text for text in texts if not text.is_blank}, key=lambda text: text.rank)
    if not known:
        raise UserError("there is no text to compare on; name a data file with --texts")
    if count < 1:
        raise UserError(f"got {count} cases, expected at least 1")
    chosen = [known[rank] for rank in _spread_ranks(len(known), count)]
    shuffler = random.Random(seed)
    three_quarters = len(chosen) * 3 // 4
    early, long = chosen[:three_quarters], chosen[three_quarters:]
    shuffler.shuffle(early)
    late = early[BATCH:] + long
    shuffler.shuffle(late)
    order = [*early[:BATCH], *late]
    plain = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    first, rest = [Text(BLANK), *plain[0]], plain[1:]
    made = [_make_pairs(known)] if pairs else []
    cut = {1} if pairs else set()
    cases: list[TextCase] = []
    for batch, group in enumerate([first, *made, *rest]):
        for one in group:
            cases.append(TextCase(len(cases), batch, *one, PAIR_LENGTH if batch in cut else None))
    return cases


def _make_pairs(known: list[Text]) -> list[Text]:
    """Makes pairs: two short texts, a long one on either side, two long ones, two medium ones."""
    singles = {text for one in known for text in (one.text, one.pair) if text and text.strip()}
    ranked = sorted(singles, key=lambda text: (len(text), text))
    last = len(ranked) - 1
    short, middle, long = ranked[0], ranked[last // 2], ranked[last]
    pairs = [
        Text(short, ranked[min(1, last)]),
        Text(short, long),
        Text(long, short),
        Text(long, ranked[max(last - 1, 0)]),
        Text(middle, ranked[min(last // 2 + 1, last)]),
    ]
    return list(dict.fromkeys(pairs))


def count_batches(count: int) -> int:
    """Returns how many batches have `count` texts besides the blank one.

    >>> [count_batches(count) for count in (1, 8, 9, 64)]
    [1, 1, 2, 8]
    """
    return -(-count // BATCH)


def count_batches_with_pairs(picked: Iterable[TextCase], count: int) -> int:
    """Returns how many first batches have `count` texts besides the blank one and the made pairs.

    >>> texts = [Text("a"), Text("b")]
    >>> picked = [pick_cases(texts, 2, pairs=pairs) for pairs in (False, True)]
    >>> [count_batches_with_pairs(cases, 8) for cases in picked]
    [1, 2]
    """
    return count_batches(count) + any(case.max_length is not None for case in picked)


def tapped_batches(picked: Iterable[TextCase]) -> list[int]:
    """Returns the batches whose taps inside the model are compared: the first, and the made pairs.

    Not all batches: attention scores grow with the square of the length, and made pairs are short.
    """
    return sorted({0} | {case.batch for case in picked if case.max_length is not None})


def _spread_ranks(size: int, count: int) -> list[int]:
    """Returns up to `count` ranks below `size`: the lowest three, then evenly spaced ones.

    >>> _spread_ranks(10, 5)
    [0, 1, 2, 3, 9]
    >>> _spread_ranks(3, 5)
    [0, 1, 2]
    >>> _spread_ranks(10, 1)
    [9]
    """
    if count >= size:
        return list(range(size))
    low = min(SHORTEST, count - 1)
    steps = max(count - low - 1, 1)
    rest = [low + round(i * (size - 1 - low) / steps) for i in range(count - low)]
    return [*range(low), *(rest if len(rest) > 1 else [size - 1])]


def write_cases(path: Path, cases: Iterable[TextCase]) -> None:
    """Writes a case file; a line leaves out what its case does not have."""
    rows = [{k: v for k, v in asdict(case).items() if v is not None} for case in cases]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


def read_cases(path: Path) -> list[TextCase]:
    """Reads a case file.

    Raises:
        UserError: it is missing, empty, or is not numbered from 0.
    """
    rows = _read_json_lines(path)
    if not rows:
        raise UserError(f"{path} holds no cases: nothing would be compared")
    cases = []
    for expected, (number, row) in enumerate(rows):
        text = _parse_text(number, row, path).text
        if row.get("case") != expected or not isinstance(row.get("batch"), int):
            raise UserError(f"{path}:{number} is not case {expected} with its batch")
        cases.append(TextCase(expected, row["batch"], text, row.get("pair"), row.get("max_length")))
    return cases
