"""Vocabs for the proof: one that knows every character, and many that are made up."""

import random
import unicodedata

from export.tokenizer import Vocab
from export.tokenizer.characters import ALL_EDGES, SCALARS, is_assigned
from export.tokenizer.vocab import SPECIAL, parse_vocab

NEVER = {"\0", "\n", "\r", "\x11"}  # not allowed in a line, or TF-Text Fast's own mark


def telling() -> Vocab:
    """Every assigned character as a piece that begins a word and as one that goes on.

    With it, each thing that can be done to a character gives other ids: kept, folded to another,
    taken off, made a space, made a word by itself.
    """
    known = [c for c in SCALARS if is_assigned(c) and usable(c)]
    tokens = [*SPECIAL.values(), *known, *(f"##{c}" for c in known)]
    return made_of(tokens)


def usable(token: str) -> bool:
    """Whether a vocab line may read so."""
    return not NEVER & set(token) and token == token.strip(" \t\v\f") and bool(token)


def made_up(seed: int) -> tuple[Vocab, list[str]]:
    """A small vocab over a few odd characters and what they fold to, and its alphabet.

    Some have no `##` pieces; some have pieces with spaces, marks or punctuation inside, which a
    tokenizer may never be able to use, or pieces of 30 characters.
    """
    chance = random.Random(seed)
    raw = chance.sample(ALL_EDGES, chance.randrange(4, 30)) + ["a", "b", "中"]
    raw += chance.sample(SCALARS, 2)
    folded = "".join(unicodedata.normalize("NFKD", c.casefold()) for c in raw)
    alphabet = sorted({*raw, *folded})
    goes_on = chance.choice([0.0, 0.3, 0.6])
    tokens = dict.fromkeys(SPECIAL.values())
    for c in alphabet:
        if chance.random() < 0.8:
            tokens[c] = None
        if chance.random() < goes_on:
            tokens["##" + c] = None
    for _ in range(chance.randrange(60)):
        size = chance.choice([2, 2, 2, 3, 3, 4, 30])
        piece = "".join(chance.choices(alphabet, k=size))
        tokens[("##" if chance.random() < goes_on else "") + piece] = None
    lines = [token for token in tokens if usable(token)]
    chance.shuffle(lines)
    return made_of(lines), alphabet


def made_of(tokens: list[str]) -> Vocab:
    """A vocab of these lines."""
    return parse_vocab("".join(f"{token}\n" for token in tokens).encode(), "made-up vocab")
