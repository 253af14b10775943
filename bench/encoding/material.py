"""The encoded texts: real reviews, and batches of ids as the peers' users would make them."""

import json
from pathlib import Path

from bench.setting import BenchSetting
from support.errors import UserError

BATCH = 32

Ids = list[int]


def read_reviews(setting: BenchSetting, count: int) -> list[str]:
    """Reads `count` of the embedded default's reviews, evenly from its two files, in file order.

    Raises:
        UserError: the files do not exist.
    """
    lines = [line for name in ("train", "dev") for line in read_lines(data_file(setting, name))]
    return [str(json.loads(line)["text"]) for line in _take_evenly(lines, count)]


def data_file(setting: BenchSetting, name: str) -> Path:
    """Returns the file of the embedded default's reviews, `train` or `dev`.

    Raises:
        UserError: it does not exist.
    """
    path = setting.root / "data" / f"{name}.jsonl"
    if not path.is_file():
        raise UserError(f"{path} does not exist; `nox -s export` makes it")
    return path


def read_lines(path: Path) -> list[str]:
    r"""Reads the lines of a file; only \n ends one."""
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def _take_evenly(items: list[str], count: int) -> list[str]:
    """Returns `count` evenly spaced items in order, or all where there are fewer.

    >>> _take_evenly(["a", "b", "c", "d", "e", "f"], 3), _take_evenly(["a"], 3)
    (['a', 'c', 'e'], ['a'])
    """
    count = min(count, len(items))
    return [items[at * len(items) // count] for at in range(count)]


def batch_in_file_order(ids: list[Ids]) -> list[list[Ids]]:
    """Returns batches of 32 in file order."""
    return [ids[at : at + BATCH] for at in range(0, len(ids), BATCH)]


def make_batches(batches: int, rows: int, sequence: int) -> list[list[Ids]]:
    """Makes batches of equally long texts, with ids that depend on their index."""
    return [
        [
            [5 + ((at * rows + row) * sequence + i) * 7919 % 4000 for i in range(sequence)]
            for row in range(rows)
        ]
        for at in range(batches)
    ]


def mean_positions(batches: list[list[Ids]]) -> tuple[float, float]:
    """Returns the mean positions of a text: without padding, and padded to its batch.

    >>> mean_positions([[[1, 1], [1, 1, 1, 1]], [[1, 1, 1]]])
    (3.0, 3.6666666666666665)
    """
    count = sum(map(len, batches))
    plain = sum(len(ids) for batch in batches for ids in batch)
    padded = sum(len(batch) * max(map(len, batch)) for batch in batches)
    return plain / count, padded / count


def write_json_file(setting: BenchSetting, name: str, content: object) -> str:
    """Writes a JSON file for a side and returns its path."""
    path = setting.scratch / f"{name}.json"
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return str(path.absolute())
