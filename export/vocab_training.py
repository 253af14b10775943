"""Learns a WordPiece vocab from texts with TF-Text's learner, whose answer does not vary.

(The trainer of Hugging Face's `tokenizers` breaks ties by hash order: two runs gave two vocabs.)
"""

import unicodedata
from collections import Counter
from pathlib import Path

from export.quiet import tensorflow

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SIZE = 6000
CHARACTERS = 2500
RAREST_WORD = 4


def learn(texts: list[str]) -> list[str]:
    """A vocab: special tokens, single characters, frequent words, then the `##` pieces.

    Each text counts as it is and folded by NFKC, so that the vocab serves tokenizers that keep
    full-width punctuation as well as those that fold it.
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
        vocab_size=SIZE,
        reserved_tokens=SPECIAL,
        lower_thresh=RAREST_WORD,
        max_unique_chars=CHARACTERS,
        max_token_length=20,
    )
    return vocab


def write(tokens: list[str], path: Path) -> None:
    """Writes one token a line; only a line feed ends a line."""
    path.write_text("".join(token + "\n" for token in tokens), encoding="utf-8", newline="\n")
