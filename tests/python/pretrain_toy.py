"""A training so small that a step takes milliseconds: texts of made-up ids, and its recipe.

As a program it trains in the directory of its argument, and saves a checkpoint after every step.
"""

import sys
from pathlib import Path

import numpy as np

from export.tokenizer.vocab import SPECIAL_TOKENS, parse_vocab
from pretrain.corpus import Corpus
from pretrain.recipe import Recipe
from support.printing import say

RECIPE = Recipe(batch_positions=48, steps=60, warmup_steps=5, learning_rate=1e-3)
TOKENS = [*SPECIAL_TOKENS.values(), *"一二三四五六七八九十"]
FIRST, LAST = len(SPECIAL_TOKENS), len(TOKENS)


def toy_corpus() -> Corpus:
    """Texts that count upwards, so that a masked token can be found; each two tokens are a word."""
    random = np.random.default_rng(7)
    rows = []
    for length in random.integers(3, 14, 40):
        start = int(random.integers(FIRST, LAST))
        rows.append([FIRST + (start + i) % (LAST - FIRST) for i in range(length)])
    splits = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    bags = [sorted({i - FIRST for i in row[::2]}) for row in rows]
    return Corpus(
        vocab=parse_vocab("".join(f"{token}\n" for token in TOKENS).encode(), "vocab.txt"),
        ids=np.concatenate(rows).astype(np.int32),
        words=np.concatenate([np.arange(len(row)) // 2 for row in rows]).astype(np.int32),
        splits=splits,
        bag=np.concatenate(bags).astype(np.int32),
        bag_splits=np.cumsum([0, *map(len, bags)]).astype(np.int64),
        bag_words=TOKENS[FIRST:],
        sources=[
            {
                "name": "toy",
                "package": "none",
                "version": "1",
                "files": ["a.txt"],
                "licence": "MIT",
                "origin": "made up",
                "texts": len(rows),
                "characters": int(splits[-1]),
                "near_duplicates": 2,
            }
        ],
    )


if __name__ == "__main__":
    from pretrain import training

    training.SAVE_EVERY_S = 0.0
    training.train_piece(Path(sys.argv[1]), toy_corpus(), RECIPE, None, say)
