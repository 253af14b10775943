"""The texts and the vocab on which the publishers' small models are compared."""

import json
from pathlib import Path

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CHINESE = (
    "这本书很好看的人不是我你他在中国大学上海今天气一般酒店房"
    "间干净服务员早餐太贵了快递慢电影质量差价格便宜值得推荐"
)
# These are cut: the models have 24 positions.
LONG = "这本书很好看，今天在上海的酒店房间里看了一天，服务员推荐的电影一般，价格便宜。"

CASES: list[dict[str, str]] = [
    {"text": "这本书很好看"},
    {"text": "Playing Café in SHANGHAI, 2023!"},
    {"text": "价格：１２３元（便宜）～ＡＢＣ"},
    {"text": "naïve Ünïcode ÀÉÎ résumé"},
    {"text": "酒店很好😀，推荐👍🏽"},
    {"text": LONG},
    {"text": ""},
    {"text": "我在iPhone上看电影 www.x.cn"},
    {"text": "太贵\t了\u3000不 值得\u00a0㈱①"},
]
PAIRS: list[dict[str, str]] = [
    {"sentence1": "酒店干净", "sentence2": "房间不差"},
    {"sentence1": "Good 电影", "sentence2": "Playing 一般！"},
    {"sentence1": LONG, "sentence2": "这本书一般，" * 5},
]


def small_vocab_lines() -> list[str]:
    """Returns a few hundred tokens: both cases, accents, full-width, pieces, Chinese, an emoji."""
    ascii_signs = [chr(c) for c in range(0x21, 0x7F)]
    wide = [*"，。！（）：～１２３ＡＢＣ", "㈱", "①", "(株)", "株"]
    accents = [*"éàïüÉÀ"]
    words = ["play", "Play", "in", "cafe", "café", "Caf", "good", "Good", "phone", "Phone", "shang"]
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789éïü"
    pieces = ["##ing", "##hai", "##fe", *(f"##{letter}" for letter in letters)]
    tokens = [*SPECIAL, *ascii_signs, *wide, *accents, *words, "😀", *pieces, *CHINESE]
    return list(dict.fromkeys(tokens))


def write_cases(work: Path, cases: list[dict[str, str]], tokens: list[str]) -> None:
    """Writes `cases.jsonl` and `vocab.txt`, which a publisher's script reads."""
    lines = (json.dumps(case, ensure_ascii=False) for case in cases)
    (work / "cases.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    (work / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens), "utf-8")
