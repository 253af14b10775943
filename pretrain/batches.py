"""The batch of each training step: decided by the seed and the number of the step alone.

So a training that goes on needs nothing but that number to see what it would have seen.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pretrain.corpus import Array, Corpus
from pretrain.masking import Masking
from pretrain.recipe import Recipe

ORDER, MASKS = 0, 1
"""What a generator decides, so that two of one seed draw different numbers."""


@dataclass(frozen=True)
class Batch:
    """What a step takes.

    `ids` and `mask`: int32[batch, sequence]. `positions`: int32[masked], of the tokens to find, in
    the flat batch; `targets`: int32[masked], their ids. `bag`: int32[words, 2], the row and the
    number of each word that [CLS] must name; `bag_weights`: float32[words], 1 for each row in all.
    """

    ids: Array
    mask: Array
    positions: Array
    targets: Array
    bag: Array
    bag_weights: NDArray[np.float32]

    def tensors(self) -> tuple[Array, ...]:
        """Returns the arrays in the order in which a step takes them."""
        return self.ids, self.mask, self.positions, self.targets, self.bag, self.bag_weights


class BatchStream:
    """Makes the batch of any step."""

    def __init__(self, corpus: Corpus, recipe: Recipe) -> None:
        self.corpus = corpus
        self.recipe = recipe
        self.masking = Masking.of(corpus.vocab, recipe)
        special = {role: token.id for role, token in corpus.vocab.special.items()}
        self.frame = special["cls"], special["sep"]
        self.padding = special["pad"]
        lengths = np.sort(corpus.lengths) + 2
        # Pieces of one length can change places, so each epoch has the same numbers of pieces.
        self.ends = batch_ends(lengths, recipe.batch_positions)
        self._epoch, self._rows = -1, [np.zeros(0, np.int64)]

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches that have all pieces once."""
        return len(self.ends)

    def batch(self, step: int) -> Batch:
        """Returns the batch of a step, which count from 0."""
        epoch, number = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._rows = epoch, self._order(epoch)
        return self._make_batch(self._rows[number], self._random(MASKS, step))

    def _random(self, what: int, number: int) -> np.random.Generator:
        """Returns the generator of an epoch's order or of a step's masks."""
        return np.random.default_rng([self.recipe.seed, what, number])

    def _order(self, epoch: int) -> list[Array]:
        """Returns the pieces of each batch of an epoch: of similar length, otherwise by chance."""
        random = self._random(ORDER, epoch)
        drawn = random.permutation(len(self.corpus.lengths))
        by_length = drawn[np.argsort(self.corpus.lengths[drawn], kind="stable")]
        rows = np.split(by_length, self.ends[:-1])
        return [rows[i] for i in random.permutation(len(rows))]

    def _make_batch(self, rows: Array, random: np.random.Generator) -> Batch:
        """Frames, masks and pads pieces."""
        corpus, (cls, sep) = self.corpus, self.frame
        width = int(corpus.lengths[rows].max()) + 2
        ids = np.full((len(rows), width), self.padding, np.int32)
        mask = np.zeros_like(ids)
        positions, targets, bag, weights = [], [], [], []
        for row, piece in enumerate(rows):
            part = slice(corpus.splits[piece], corpus.splits[piece + 1])
            own = corpus.ids[part]
            found = self.masking.choose(own, corpus.words[part], random)
            seen = own.copy()
            seen[found] = self.masking.replace(own[found], random)
            ids[row, 0], ids[row, 1 : len(own) + 1], ids[row, len(own) + 1] = cls, seen, sep
            mask[row, : len(own) + 2] = 1
            positions.append(row * width + 1 + found)
            targets.append(own[found])
            names = corpus.bag[corpus.bag_splits[piece] : corpus.bag_splits[piece + 1]]
            bag.append(np.stack([np.full_like(names, row), names], axis=1))
            weights.append(np.full(len(names), 1 / max(1, len(names)), np.float32))
        flat = np.concatenate(positions).astype(np.int32), np.concatenate(targets)
        return Batch(ids, mask, *flat, np.concatenate(bag), np.concatenate(weights))


def batch_ends(lengths: Array, most: int) -> list[int]:
    """Returns where batches of sorted lengths end, so that none has more positions than `most`.

    Padding counts: a batch has as many positions as it has texts, times the longest of them.

    >>> batch_ends(np.array([2, 2, 3, 4, 9]), 8)
    [2, 4, 5]
    """
    ends, start = [], 0
    for i, length in enumerate(lengths):
        if i > start and length * (i - start + 1) > most:
            ends.append(i)
            start = i
    return [*ends, len(lengths)]
