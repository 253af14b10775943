"""Words of tokenized texts: which tokens are masked together, and which words [CLS] learns to name.

Source of the idea: the collection's models whose names end in `-wwm` (whole word masking,
arXiv:1906.08101). The words come from jieba's dictionary and model, in the Rust port `rjieba`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import rjieba

CONTINUATION = "##"
UNKNOWN = "\N{WHITE SQUARE}"
"""Stands for a token that is not in the vocab: a word of its own."""


@dataclass(frozen=True)
class Words:
    """The words of one text: `of_token` has the number of each token's word, `texts` the words."""

    of_token: list[int]
    texts: list[str]


def words_of_tokens(tokens: Sequence[str], unknown: str) -> Words:
    """Returns the words of a text.

    The segmenter gets the text that the tokens spell. Where it cuts within a token, or within the
    pieces of a Latin word, the parts stay one word. `unknown` is the vocab's token for what it
    does not have.

    >>> words_of_tokens(["房", "间", "很", "干", "净", "wi", "##fi", "[UNK]"], "[UNK]")
    Words(of_token=[0, 0, 1, 2, 2, 3, 3, 4], texts=['房间', '很', '干净', 'wifi', '□'])
    """
    spelled, text = [], ""
    for token in tokens:
        piece = UNKNOWN if token == unknown else token
        if _continues_word(token):
            piece = piece.removeprefix(CONTINUATION)
        elif text and text[-1].isascii() and piece[0].isascii():
            # Two Latin words must not become one.
            text += " "
        spelled.append((piece, len(text)))
        text += piece
    word_at = [0] * len(text)
    for number, (_, start, end) in enumerate(rjieba.tokenize(text)):
        word_at[start:end] = [number] * (end - start)
    words = Words([], [])
    last = None
    for token, (piece, start) in zip(tokens, spelled, strict=True):
        if words.texts and (word_at[start] == last or _continues_word(token)):
            words.texts[-1] += piece
        else:
            words.texts.append(piece)
        last = word_at[start + len(piece) - 1]
        words.of_token.append(len(words.texts) - 1)
    return words


def _continues_word(token: str) -> bool:
    """Whether a token is a later piece of a word."""
    return token.startswith(CONTINUATION) and len(token) > len(CONTINUATION)
