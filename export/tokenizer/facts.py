"""What a SavedModel's assets say of its tokenizer."""

import json
from dataclasses import dataclass
from pathlib import Path

from export.tokenizer.spec import TokenizerSpec


@dataclass(frozen=True)
class TokenizerFacts:
    """The vocab and the tokenizer that a model's own files name, and where they say so."""

    vocab: Path | None
    spec: TokenizerSpec | None
    why: str


def read(saved_model: Path) -> TokenizerFacts | None:
    """The facts among a SavedModel's assets; None where there are none."""
    assets = saved_model / "assets"
    vocab, config = assets / "vocab.txt", assets / "tokenizer_config.json"
    spec = None
    if config.is_file():
        told = json.loads(config.read_text(encoding="utf-8"))
        if "do_lower_case" in told:
            spec = TokenizerSpec("bert", told["do_lower_case"], told.get("strip_accents"))
    found = [path.name for path in (vocab, config) if path.is_file()]
    if not found:
        return None
    why = f"the model's own {' and '.join(found)}"
    return TokenizerFacts(vocab if vocab.is_file() else None, spec, why)
