"""Texts made from a seed: real reviews mutated, and mixtures of a vocab's own characters."""

import random
from collections.abc import Iterator, Sequence

from export.tokenizer.characters import ALL_EDGES, EDGES, SCALARS

WRITTEN = ["[MASK]", "[CLS]", "[SEP]", "[UNK]", "[PAD]", "[mask]", "[Mask]", "[MASK", "MASK]", "##"]
LONG_UNITS = ["a", "é", "か", "中", "𠀀", "Ａ", "ﬁ", "\u0301", "가", "ab"]


def mutated(reviews: Sequence[str], count: int, seed: int) -> Iterator[str]:
    """Reviews (or pieces of them) with one to eight odd things put in, taken out or swapped."""
    chance = random.Random(seed)
    groups = list(EDGES.values())
    for _ in range(count):
        review = chance.choice(reviews)
        start = chance.randrange(len(review) + 1)
        text = list(review[start : start + chance.randrange(1, 40)])
        for _ in range(chance.randrange(1, 9)):
            at = chance.randrange(len(text) + 1)
            roll = chance.random()
            if roll < 0.55:
                text[at:at] = chance.choices(chance.choice(groups), k=chance.randrange(1, 4))
            elif roll < 0.7:
                text[at:at] = [chance.choice(SCALARS)]
            elif roll < 0.8:
                text[at:at] = [chance.choice(WRITTEN)]
            elif roll < 0.86:
                text[at:at] = [long_word(chance)]
            elif roll < 0.93:
                del text[at : at + chance.randrange(1, 4)]
            else:
                chance.shuffle(text)
        yield "".join(text)


def long_word(chance: random.Random) -> str:
    """A word close to 100 bytes or 100 characters, on either side."""
    unit = chance.choice(LONG_UNITS)
    size = len(unit.encode()) if chance.random() < 0.5 else len(unit)
    word = unit * max(1, 100 // size + chance.randrange(-2, 3))
    return word + chance.choice(["", "a", "b", "é", "か", "\u302e", "\u2028"])


def from_alphabet(alphabet: Sequence[str], count: int, seed: int) -> Iterator[str]:
    """Short texts over a few characters, so that the pieces of a made-up vocab meet."""
    chance = random.Random(seed)
    odd = [*ALL_EDGES, *WRITTEN]
    for _ in range(count):
        size = chance.choice([1, 2, 3, 5, 8, 13, 30])
        if chance.random() < 0.04:
            size = chance.randrange(95, 106)
        picked = chance.choices(alphabet, k=size)
        if chance.random() < 0.4:
            picked.insert(chance.randrange(size + 1), chance.choice(odd))
        yield "".join(picked)
