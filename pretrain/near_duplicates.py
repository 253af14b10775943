"""Removes training texts that nearly equal a text of the dev split.

Two texts are near duplicates if they share half of the runs of four characters that the shorter
has. One changed character changes four runs, so it hides no text of twelve characters or more. A
dev text within a longer one is found too. All pairs are compared, through an index of the runs.
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

RUN = 4
SHARED = 0.5
"""The share of the shorter text's runs from which on two texts are near duplicates."""


def character_runs(text: str) -> set[str]:
    """Returns the different runs of RUN letters and digits of a text; of a shorter one, itself.

    Case, full-width forms, punctuation and spaces do not count.

    >>> sorted(character_runs("房间，很 干净！"))
    ['房间很干', '间很干净']
    """
    plain = [c for c in unicodedata.normalize("NFKC", text).lower() if c.isalnum()]
    letters = "".join(plain)
    return {letters[i : i + RUN] for i in range(max(1, len(letters) - RUN + 1))}


def without_near_duplicates(texts: Iterable[str], dev: Sequence[str]) -> list[str]:
    """Returns the texts, in order, that are no near duplicate of a dev text."""
    dev_runs = [character_runs(text) for text in dev]
    index: defaultdict[str, list[int]] = defaultdict(list)
    for number, runs in enumerate(dev_runs):
        for run in runs:
            index[run].append(number)
    kept = []
    for text in texts:
        runs = character_runs(text)
        shared = Counter(number for run in runs for number in index.get(run, ()))
        if not any(
            count >= SHARED * min(len(runs), len(dev_runs[number]))
            for number, count in shared.items()
        ):
            kept.append(text)
    return kept
