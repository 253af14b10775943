"""Makes texts from a seed: mutated real reviews, and mixtures of a vocab's characters."""

import random
import unicodedata
from collections.abc import Iterator, Sequence

# Characters that are difficult for tokenizers.

EDGES = {
    "full-width": "，：！？（）％～＂＃［］ＡＺａｚ０９￥｜￣",
    "ideographic": "\u3000、。《》「」…—·①㈱㍿㊣",
    "extension": "𠀀𪜀𫝀𫠠𬺰𮯰𰀀𱍐\U0002b81f\U0002b820\U0002b91f\U0002b920\u3400\u4dbf\u9fff",
    "compatibility": "豈更\uf967﨎﨏丽\U0002fa1d",
    "kana": "かがきアァーヽ々",
    "half-width kana": "ｱｶﾞﾊﾟｰ｡｢｣",
    "hangul": "각가\u1100\u1161\u11a8ㄱ힣",
    "combining": "\u0300\u0301\u0308\u0327\u0334\u0345\u05b0\u064b\u093c\u094d\u0e38\u3099\u309a"
    "\u302a\u302e\u302f\u20d0\u034f\u1ab0",
    "spacing marks": "\U0001d165\U0001d166\U0001d16d\u1b44\ua9c0\U00016ff0\u1bf2\U00011046",
    "emoji": "😀👍🏽👨\u200d👩\u200d👧🇨🇳❤\ufe0f\U0001f9d1",
    "bidi": "\u200e\u200f\u202a\u202e\u2066\u2069\u061c",
    "zero-width": "\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e",
    "controls": "\0\x01\x08\t\x0b\x0c\r\x1c\x1f\x7f\x80\x85\x9f",
    "spaces": " \u00a0\u1680\u2000\u2009\u2028\u2029\u202f\u205f",
    "unassigned": "\u0378\u2fe0\U0003fffe\U000e0fff\U0010ffff\uffff\ufdd0",
    "private use": "\ue000\uf8ff\U000f0000\U0010fffd",
    "replacement": "\ufffd\ufffc",
    "case": "İıßẞſǅΣςKÅÀéñŉᾳﬁÆØŁΩПжД",
    "symbols": "$+<=>^`|~§©®°±×÷€№™⁄½²³",
    "punctuation": "!\"#%&'()*,-./:;?@[\\]_{}¡¿‐–—‘’“”†‡•‰′⁂",
    "latin": "abcxyzABCXYZ0159",
    "han": "中文书很好的一是不了",
}
ALL_EDGES = "".join(EDGES.values())

SURROGATES = range(0xD800, 0xE000)
SCALARS = [chr(c) for c in range(0x110000) if c not in SURROGATES]

# The contexts of each character; the letters around it show its effect.
CONTEXTS = {"alone": "{}", "han": "中{}文", "latin": "a{}b", "doubled": "{0}{0}"}
PACKED = 64


def is_assigned(character: str) -> bool:
    """Whether this Python knows the character; private-use characters count as unknown."""
    return unicodedata.category(character) not in {"Cn", "Co", "Cs"}


def texts_in_context(context: str, unknown_stride: int, packed: int = PACKED) -> Iterator[str]:
    """Yields every scalar value in one context; of unknown ones only every nth.

    A text has `packed` of them, separated by spaces, which end words in every tokenizer.
    """
    known = [c for c in SCALARS if is_assigned(c)]
    unknown = [c for c in SCALARS if not is_assigned(c)][::unknown_stride]
    shown = [CONTEXTS[context].format(c) for c in known + unknown]
    for i in range(0, len(shown), packed):
        yield " ".join(shown[i : i + packed])


def mark_pairs() -> Iterator[str]:
    """Yields all ordered pairs of characters of non-zero combining class, at least one not Mn.

    If both are Mn, tokenizers that strip marks remove both, and the others do not reorder. Python's
    Unicode data only decides what is tried.
    """
    marks = [c for c in SCALARS if unicodedata.combining(c)]
    surviving = {c for c in marks if unicodedata.category(c) != "Mn"}
    for first in marks:
        for second in marks:
            if first in surviving or second in surviving:
                yield f"a{first}{second}b"


def mark_triples() -> Iterator[str]:
    """Yields two marks that are not removed, with each character that may be removed between."""
    strippable = [
        c for c in SCALARS if unicodedata.category(c) in {"Mn", "Me", "Mc", "Cf", "Cc", "Zs"}
    ]
    for between in [*strippable, *ALL_EDGES]:
        yield f"a\u302e{between}\U0001d165b"
        yield f"{between}\u302e\U0001d165{between}"


def describe_character(character: str) -> str:
    """Returns a character's code point and name for messages."""
    name = unicodedata.name(character, unicodedata.category(character))
    return f"U+{ord(character):04X} {name}"


WRITTEN_TOKENS = [
    "[MASK]",
    "[CLS]",
    "[SEP]",
    "[UNK]",
    "[PAD]",
    "[mask]",
    "[Mask]",
    "[MASK",
    "MASK]",
    "##",
]
LONG_UNITS = ["a", "é", "か", "中", "𠀀", "Ａ", "ﬁ", "\u0301", "가", "ab"]


def mutate_reviews(reviews: Sequence[str], count: int, seed: int) -> Iterator[str]:
    """Yields reviews, or parts of them, with one to eight random insertions, deletions or swaps."""
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
                text[at:at] = [chance.choice(WRITTEN_TOKENS)]
            elif roll < 0.86:
                text[at:at] = [_long_word(chance)]
            elif roll < 0.93:
                del text[at : at + chance.randrange(1, 4)]
            else:
                chance.shuffle(text)
        yield "".join(text)


def _long_word(chance: random.Random) -> str:
    """Returns a word of about 100 bytes or 100 characters."""
    unit = chance.choice(LONG_UNITS)
    size = len(unit.encode()) if chance.random() < 0.5 else len(unit)
    word = unit * max(1, 100 // size + chance.randrange(-2, 3))
    return word + chance.choice(["", "a", "b", "é", "か", "\u302e", "\u2028"])


def texts_from_alphabet(alphabet: Sequence[str], count: int, seed: int) -> Iterator[str]:
    """Yields short texts of a few characters, in which pieces of an invented vocab occur."""
    chance = random.Random(seed)
    odd = [*ALL_EDGES, *WRITTEN_TOKENS]
    for _ in range(count):
        size = chance.choice([1, 2, 3, 5, 8, 13, 30])
        if chance.random() < 0.04:
            size = chance.randrange(95, 106)
        picked = chance.choices(alphabet, k=size)
        if chance.random() < 0.4:
            picked.insert(chance.randrange(size + 1), chance.choice(odd))
        yield "".join(picked)
