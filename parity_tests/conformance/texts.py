"""The 1,000 texts and the vocab on which fine-tuned classifiers are compared.

Most are real reviews, chosen by a seed. Among the others are texts with almost nothing in them,
emoji, traditional characters, and texts that are longer than the models' positions.
"""

import random
from collections import Counter
from collections.abc import Sequence

from export.reviews import distinct_reviews
from parity_tests.conformance.publishers.cases import CASES, LONG, small_vocab_lines

COUNT = 1000
PAIR_COUNT = 100
"""How many of them are pairs, for a model that takes pairs."""
SEED = 7
RARE = 1
"""A character that occurs no more often than this is not in the vocab, so its id is [UNK]."""

NEARLY_EMPTY = [" ", "\u3000", "。", "！！！", "…", "？", "1", "a", "好", "\t\u00a0", "-", "😀"]
EMOJI = ["👍🏽", "😀😀", "👨‍👩‍👧", "❤️", "🇨🇳", "😭"]
MADE = [
    *NEARLY_EMPTY,
    *(f"房间很好{emoji}下次还来{emoji}" for emoji in EMOJI),
    "這本書很好看，價錢也便宜，值得買。",
    "酒店離車站很遠，服務態度差，還沒有熱水！",
    "電腦開機很慢，鍵盤壞了，請問怎麼換貨？",
    "The room is clean, but the Wi-Fi doesn't work!!",
    "ThinkPad T61p，2GB内存，120GB硬盘，¥8,999.00元",
    "Ｗｉｎｄｏｗｓ　ＸＰ装不上，蓝屏０ｘ７Ｂ",
    "naïve café, résumé; Ünïcode",
    LONG * 8,
    "不" * 300,
    "very good " * 80,
]
"""Beside the texts of cases.py."""
SIMPLIFIED = "这个书价钱买卖东门开关车电脑热气们来时间说话听见学习发现问题体验"
TRADITIONAL = "這個書價錢買賣東門開關車電腦熱氣們來時間說話聽見學習發現問題體驗"
TO_TRADITIONAL = str.maketrans(SIMPLIFIED, TRADITIONAL)
EVERY_TRADITIONAL, EVERY_EMOJI = 10, 15
"""Of the reviews, one in so many is written with traditional characters or ends with an emoji."""


def classifier_cases(pairs: bool) -> list[dict[str, str]]:
    """Returns COUNT objects as a data file has them, the reviews at the end.

    They have `text`, and that of a review its `label`, 0 or 1; or `sentence1` and `sentence2`.

    Args:
        pairs: whether PAIR_COUNT of them are pairs.
    """
    made = [{"text": text} for text in (*(case["text"] for case in CASES), *MADE)]
    reviews = distinct_reviews()
    random.Random(SEED).shuffle(reviews)
    texts = [_change_some(at, text) for at, (text, _) in enumerate(reviews)]
    labels = [str(label) for _, label in reviews]
    labelled = [{"text": a, "label": b} for a, b in zip(texts, labels, strict=True)]
    if pairs:
        firsts, seconds = texts[-2 * PAIR_COUNT : -PAIR_COUNT], texts[-PAIR_COUNT:]
        both = zip(firsts, seconds, strict=True)
        made += [{"sentence1": a, "sentence2": b} for a, b in both]
    return (made + labelled)[:COUNT]


def _change_some(at: int, text: str) -> str:
    """Returns a review; by its number some with traditional characters, some with an emoji."""
    if at % EVERY_TRADITIONAL == 0:
        return text.translate(TO_TRADITIONAL)
    return text + EMOJI[at % len(EMOJI)] if at % EVERY_EMOJI == 0 else text


def classifier_vocab(cases: Sequence[dict[str, str]]) -> list[str]:
    """Returns the tokens of cases.py, and the single characters that are not rare in the texts."""
    texts = [case.get("text", case.get("sentence1", "")) for case in cases]
    counts = Counter(character for text in texts for character in text if character.isprintable())
    common = sorted(c for c, count in counts.items() if count > RARE and not c.isspace())
    return list(dict.fromkeys([*small_vocab_lines(), *common]))
