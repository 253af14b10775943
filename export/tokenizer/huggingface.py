"""The package `tokenizers`: the reference of `bert`, and its file `tokenizer.json`."""

from pathlib import Path
from typing import Any

from export.tokenizer.spec import TokenizerSpec
from export.tokenizer.vocab import Vocab


def bert_word_piece(spec: TokenizerSpec, vocab: Vocab) -> Any:
    """A `tokenizers.BertWordPieceTokenizer`."""
    from tokenizers.implementations import BertWordPieceTokenizer

    return BertWordPieceTokenizer(
        {token: i for i, token in enumerate(vocab.tokens)},
        lowercase=spec.lower_case,
        strip_accents=spec.strips_accents,
        handle_chinese_chars=spec.split_chinese,
        clean_text=True,
    )


def write_tokenizer_json(path: Path, spec: TokenizerSpec, vocab: Vocab) -> None:
    """Writes Hugging Face's format; their Python and JavaScript libraries load it."""
    path.write_text(bert_word_piece(spec, vocab).to_str(pretty=True) + "\n", encoding="utf-8")
