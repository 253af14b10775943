"""Reads what the files beside a model say about its tokenizer.

`build` copies them from the checkpoint into the SavedModel's `assets/`, where `model` reads them.
`huggingface_files.py` interprets Hugging Face's files.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.tokenizer.huggingface_files import HuggingFaceFiles
from export.tokenizer.spec import TokenizerSpec
from export.tokenizer.vocab import MAX_VOCAB
from support.contracts import VOCAB_FILE
from support.errors import UserError
from support.input_files import MAX_JSON, read_object, read_plain_file

CONFIG, TOKENIZER = "tokenizer_config.json", "tokenizer.json"
SPECIAL, ADDED = "special_tokens_map.json", "added_tokens.json"
TOKENIZER_FILES = (VOCAB_FILE, CONFIG, TOKENIZER, SPECIAL, ADDED)
ASSETS = "assets"


@dataclass(frozen=True)
class TokenizerFacts:
    """The tokenizer that a model's files name.

    `vocab` is the file, or None. `spec` is None if no file has the case, or if `problem` names an
    unsupported feature. `why` is a phrase for the user.
    """

    vocab: Path | None
    spec: TokenizerSpec | None
    why: str
    problem: str = ""

    @property
    def says_nothing(self) -> bool:
        """Whether the files say nothing about the tokenizer, except perhaps a vocab."""
        return self.spec is None and not self.problem


def collect_files(checkpoint: Path) -> dict[str, bytes]:
    """Reads the tokenizer files beside a checkpoint (a directory, a file or a TF1 prefix) by name.

    A newer Hugging Face directory has its vocab only in `tokenizer.json`. Then a `vocab.txt` is
    made of it, if its ids count from 0 without gaps.

    Raises:
        UserError: `tokenizer.json` is no JSON object.
    """
    directory = checkpoint if checkpoint.is_dir() else checkpoint.parent
    paths = [directory / name for name in TOKENIZER_FILES]
    found = {
        path.name: read_plain_file(
            path, MAX_VOCAB if path.name == VOCAB_FILE else MAX_JSON, "the model's own"
        )
        for path in paths
        if path.is_file()
    }
    if VOCAB_FILE not in found and TOKENIZER in found:
        lines = _tokens_in_order(read_object(directory / TOKENIZER))
        if lines is not None:
            found[VOCAB_FILE] = "".join(f"{line}\n" for line in lines).encode()
    return found


def _tokens_in_order(document: dict[str, Any]) -> list[str] | None:
    """Returns the vocab in a `tokenizer.json` by id; None if it cannot be a list of lines."""
    model = document.get("model")
    vocab = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(vocab, dict) or not vocab:
        return None
    if not all(type(i) is int for i in vocab.values()) or any("\n" in token for token in vocab):
        return None
    tokens = sorted(vocab, key=lambda token: vocab[token])
    return tokens if [vocab[token] for token in tokens] == list(range(len(tokens))) else None


def read_facts(saved_model: Path) -> TokenizerFacts | None:
    """Reads the facts in the assets of a SavedModel; None if they have no tokenizer file.

    Raises:
        UserError: see `read_folder`.
    """
    return read_folder(saved_model / ASSETS)


def read_folder(directory: Path) -> TokenizerFacts | None:
    """Reads the facts in the tokenizer files of a directory; None if there are none.

    Raises:
        UserError: a file is no JSON object, or a value has a wrong type.
    """
    if not any((directory / name).is_file() for name in TOKENIZER_FILES):
        return None
    vocab = directory / VOCAB_FILE
    documents = {
        name: read_object(directory / name) if (directory / name).is_file() else None
        for name in (CONFIG, TOKENIZER, SPECIAL, ADDED)
    }
    files = HuggingFaceFiles(
        directory=directory,
        config=documents[CONFIG],
        tokenizer=documents[TOKENIZER],
        special=documents[SPECIAL],
        added=documents[ADDED],
        vocab=vocab if vocab.is_file() else None,
    )
    spec, why = files.spec()
    problem = "; ".join(files.problems())
    return TokenizerFacts(files.vocab, None if problem else spec, why, problem)


def read_loaded_model(loaded: Any, saved_model: Path) -> TokenizerFacts | None:
    """Reads the facts in a loaded model's attributes, which TF-Hub's official BERT has.

    `do_lower_case` (a bool variable) and `vocab_file` (an asset) are the arguments of Google's
    `FullTokenizer`, whose rules are those of `bert`.
    """
    variable, asset = getattr(loaded, "do_lower_case", None), getattr(loaded, "vocab_file", None)
    try:
        value = variable.numpy()  # type: ignore[union-attr]
        lower_case = bool(value) if value.shape == () and value.dtype == bool else None
    except AttributeError:
        lower_case = None
    if lower_case is None:
        return None
    try:
        path = Path(asset.asset_path.numpy().decode())  # type: ignore[union-attr]
        name = path.name if path.is_file() else None
    except (AttributeError, UnicodeDecodeError):
        name = None
    vocab = saved_model / ASSETS / name if name else None
    why = (
        f"the model's own do_lower_case says {json.dumps(lower_case)}, for Google's FullTokenizer "
        "(give --tokenizer tf-text if your Python side uses TF-Hub's preprocessing model)"
    )
    return TokenizerFacts(vocab, TokenizerSpec("bert", lower_case), why)


def require_vocab(facts: TokenizerFacts | None, where: str) -> Path:
    """Returns the vocab file among the model's assets.

    Raises:
        UserError: there is none.
    """
    if facts is None or facts.vocab is None:
        raise UserError(
            f"{where}: got no vocab; give it with --vocab, or the tokenizer's own SavedModel "
            "with --tokenizer-model"
        )
    return facts.vocab
