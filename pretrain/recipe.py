"""The recipe of a training: all numbers that decide which weights come out."""

from dataclasses import dataclass

LOSSES = ("masked", "bag", "pooled")
"""The losses of a step; pretrain/model.py says what they are."""
FOUND = "found"
"""The share of the chosen tokens that the encoder finds."""


@dataclass(frozen=True)
class Recipe:
    """The numbers of one training.

    Data: `texts` is the most texts of each source (None: all). `vocab_size` and `characters` limit
    the vocab. `max_positions` is the length of a piece of text, [CLS] and [SEP] counted.
    `bag_words` is the most words that [CLS] learns to name.

    Masking: `mask_share` of the tokens, as runs of 1, 2, … words with the probabilities
    `run_lengths`.

    Steps: `batch_positions` limits the positions of a batch, padding counted. `learning_rate` rises
    for `warmup_steps` and then falls to 0 in the last step.
    """

    seed: int = 1
    texts: int | None = None
    vocab_size: int = 12_000
    characters: int = 5000
    max_positions: int = 128
    bag_words: int = 8000
    mask_share: float = 0.15
    run_lengths: tuple[float, ...] = (0.6, 0.3, 0.1)
    batch_positions: int = 4096
    steps: int = 9000
    warmup_steps: int = 450
    learning_rate: float = 7e-4
    weight_decay: float = 0.01
    clip_norm: float = 1.0


# 9,000 steps are 37 M positions, 13 times the corpus. One core with AVX-512 computes 2,600 a second
# in float32, so two take 2 hours. Measured on the same core, a step of 64 × 64 positions: 1.56 s
# of processor time; compiled by XLA 1.87 s. The product with the vocab on masked positions only is
# 3 % of a step; on all positions it would be a fifth, so a sampled softmax would save nothing.
FULL = Recipe()

# For tests, and to see that everything runs: a minute.
SHORT = Recipe(
    texts=300,
    vocab_size=2000,
    characters=900,
    max_positions=48,
    bag_words=300,
    batch_positions=768,
    steps=12,
    warmup_steps=3,
)
