"""Hugging Face's file `tokenizer.json`, written by the package `tokenizers`."""

from pathlib import Path

from export.tokenizer.reference import loaded
from export.tokenizer.spec import TokenizerSpec
from export.tokenizer.vocab import Vocab


def write_tokenizer_json(path: Path, spec: TokenizerSpec, vocab: Vocab) -> None:
    """Writes Hugging Face's format; their Python and JavaScript libraries load it."""
    tokenizer = loaded(spec, vocab, None).tokenizer
    path.write_text(tokenizer.to_str(pretty=True) + "\n", encoding="utf-8")
