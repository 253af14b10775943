"""Masks whole words: chooses them, and says what the encoder sees in their place.

As in BERT, of the chosen tokens 80 % become [MASK], 10 % a random token, and 10 % stay
(arXiv:1810.04805). As in MacBERT, runs of several words are chosen too (arXiv:2004.13922).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.tokenizer import Vocab
from pretrain.recipe import Recipe

Array = NDArray[np.int32]
MASKED, RANDOM = 0.8, 0.1
"""The shares of the chosen tokens that become [MASK], and another token."""


@dataclass(frozen=True)
class Masking:
    """What masking needs of the vocab and the recipe.

    `mask` and `unknown` are ids. `first` is the smallest id that is no special token: these are the
    first lines of the vocab.
    """

    mask: int
    unknown: int
    first: int
    size: int
    share: float
    run_lengths: tuple[float, ...]

    @classmethod
    def of(cls, vocab: Vocab, recipe: Recipe) -> "Masking":
        """Makes it for a learned vocab."""
        special = {role: token.id for role, token in vocab.special.items()}
        return cls(
            mask=special["mask"],
            unknown=special["unk"],
            first=max(special.values()) + 1,
            size=len(vocab.tokens),
            share=recipe.mask_share,
            run_lengths=recipe.run_lengths,
        )

    def choose(self, ids: Array, words: Array, random: np.random.Generator) -> Array:
        """Returns the positions of the tokens that the model must find, in order.

        A word is chosen as a whole or not at all, and none with a token that the vocab lacks. The
        number is `share` of the tokens, rounded at random; less where only longer words are left,
        but at least one word.

        Args:
            ids: of a piece, int32[tokens].
            words: the number of each token's word, int32[tokens], from 0 and without gaps.
            random: decides.
        """
        count = int(words[-1]) + 1
        sizes = np.bincount(words, minlength=count)
        sizes[words[ids == self.unknown]] = len(ids) + 1
        wanted = max(1, int(len(ids) * self.share + random.random()))
        runs = random.choice(len(self.run_lengths), count, p=self.run_lengths) + 1
        chosen = np.zeros(count, np.bool_)
        for start, run in zip(random.permutation(count), runs, strict=True):
            for word in range(start, min(start + run, count)):
                if not chosen[word] and sizes[word] <= wanted:
                    chosen[word] = True
                    wanted -= int(sizes[word])
            if not wanted:
                break
        if not chosen.any() and sizes.min() <= len(ids):
            # Of a short text the share is less than any of its words.
            chosen[int(np.argmin(sizes))] = True
        return np.flatnonzero(chosen[words]).astype(np.int32)

    def replace(self, ids: Array, random: np.random.Generator) -> Array:
        """Returns what the encoder sees in the place of chosen ids."""
        drawn = random.random(len(ids))
        others = random.integers(self.first, self.size, len(ids), dtype=np.int32)
        seen = np.where(drawn < MASKED, np.int32(self.mask), ids)
        return np.where(drawn >= 1 - RANDOM, others, seen)
