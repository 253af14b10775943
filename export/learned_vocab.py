"""A WordPiece vocab, learned from texts with TF-Text's learner, which is deterministic.

The trainer of Hugging Face's `tokenizers` breaks ties by hash order: two runs gave two vocabs.
"""

import unicodedata
from collections import Counter
from pathlib import Path

from export.tokenizer.vocab import SPECIAL_TOKENS
from support.quiet_tensorflow import tensorflow

VOCAB_SIZE = 6000
MAX_CHARACTERS = 2500
MIN_WORD_COUNT = 4


def learn_vocab(
    texts: list[str], size: int = VOCAB_SIZE, characters: int = MAX_CHARACTERS
) -> list[str]:
    """Learns a vocab: special tokens, single characters, frequent words, then the `##` pieces.

    Each text counts twice, as it is and normalised by NFKC, so that the vocab suits tokenizers
    that keep full-width punctuation and those that fold it. `size` is the most tokens, and
    `characters` the most different characters.
    """
    tensorflow()
    from tensorflow_text.tools.wordpiece_vocab import wordpiece_tokenizer_learner_lib as learner
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    normalizer, splitter = BertNormalizer(lowercase=True), BertPreTokenizer()
    words: Counter[str] = Counter()
    for text in texts:
        for form in (text, unicodedata.normalize("NFKC", text)):
            clean = normalizer.normalize_str(form)
            words.update(word for word, _ in splitter.pre_tokenize_str(clean))
    vocab: list[str] = learner.learn(
        sorted(words.items()),
        vocab_size=size,
        reserved_tokens=list(SPECIAL_TOKENS.values()),
        lower_thresh=MIN_WORD_COUNT,
        max_unique_chars=characters,
        max_token_length=20,
    )
    return vocab


def write_learned_vocab(tokens: list[str], path: Path) -> None:
    """Writes one token per line; only a line feed ends a line."""
    path.write_text("".join(token + "\n" for token in tokens), encoding="utf-8", newline="\n")
