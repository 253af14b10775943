"""The texts that the judge gets for all bundles: reviews of several lengths, and hard ones.

The hard ones have what the faults of tokenizers change: full-width and compatibility forms, upper
case, marks, a word that no pieces cover, a special token written out. None is so long that a model
of 64 positions cuts it; one of 40 positions cuts the longest.
"""

import json
from pathlib import Path

HARD = (
    "ＡＢＣ１２３：全角和ｈａｌｆ－ｗｉｄｔｈ…①㈱",
    "Hello, the Café #1 [SEP] cre\u0323\u0302me was unbelievable Привет!",
    "𠮷野家 😀 very good computer",
)
LENGTHS = ((4, 8), (12, 18), (24, 30), (36, 38), (52, 56))
"""Characters of the reviews, from and to."""


def write_texts(data: Path, file: Path) -> int:
    """Writes JSON lines with `text`; gives how many."""
    with data.open(encoding="utf-8", newline="\n") as stream:
        known = [json.loads(line)["text"] for line in stream if line.strip()]
    texts = list(HARD)
    for low, high in LENGTHS:
        texts.append(next(text for text in known if low <= len(text) <= high))
    lines = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts]
    file.write_text("".join(lines), encoding="utf-8", newline="\n")
    return len(texts)
