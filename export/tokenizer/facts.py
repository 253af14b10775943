"""What the files beside a model say of its tokenizer.

`build` carries them from the checkpoint into the SavedModel's `assets/`, `model` reads them there.
Which of Hugging Face's files says what is in `huggingface_files.py`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.tokenizer.huggingface_files import HuggingFaceFiles
from export.tokenizer.spec import TokenizerSpec
from export.tokenizer.vocab import MAX_VOCAB
from support.errors import UserError
from support.input_files import MAX_JSON, read_object, read_plain_file

VOCAB = "vocab.txt"
CONFIG, TOKENIZER = "tokenizer_config.json", "tokenizer.json"
SPECIAL, ADDED = "special_tokens_map.json", "added_tokens.json"
TOKENIZER_FILES = (VOCAB, CONFIG, TOKENIZER, SPECIAL, ADDED)
ASSETS = "assets"


@dataclass(frozen=True)
class TokenizerFacts:
    """The tokenizer that a model says it goes with.

    `vocab` is the file, None where there is none. `spec` is None where nothing says the case, or
    where `problem` names what is asked for and this kit cannot do. `why` is one phrase for a
    person.
    """

    vocab: Path | None
    spec: TokenizerSpec | None
    why: str
    problem: str = ""

    @property
    def says_nothing(self) -> bool:
        """Whether there is a vocab at most."""
        return self.spec is None and not self.problem


def collect_files(checkpoint: Path) -> dict[str, bytes]:
    """The tokenizer files beside a checkpoint (a directory, a file or a TF1 prefix) by name.

    A newer Hugging Face directory has its vocab in `tokenizer.json` alone; then a `vocab.txt` is
    made of it, where its ids count from 0 without gaps.

    Raises:
        UserError: `tokenizer.json` is no JSON object.
    """
    directory = checkpoint if checkpoint.is_dir() else checkpoint.parent
    paths = [directory / name for name in TOKENIZER_FILES]
    found = {
        path.name: read_plain_file(
            path, MAX_VOCAB if path.name == VOCAB else MAX_JSON, "the model's own"
        )
        for path in paths
        if path.is_file()
    }
    if VOCAB not in found and TOKENIZER in found:
        lines = tokens_in_order(read_object(directory / TOKENIZER))
        if lines is not None:
            found[VOCAB] = "".join(f"{line}\n" for line in lines).encode()
    return found


def tokens_in_order(document: dict[str, Any]) -> list[str] | None:
    """The vocab in a `tokenizer.json` by its ids; None where it is no list of lines."""
    model = document.get("model")
    vocab = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(vocab, dict) or not vocab:
        return None
    if not all(type(i) is int for i in vocab.values()) or any("\n" in token for token in vocab):
        return None
    tokens = sorted(vocab, key=lambda token: vocab[token])
    return tokens if [vocab[token] for token in tokens] == list(range(len(tokens))) else None


def read_facts(saved_model: Path) -> TokenizerFacts | None:
    """What the assets of a SavedModel say; None where they hold no tokenizer file.

    Raises:
        UserError: see `beside`.
    """
    return read_folder(saved_model / ASSETS)


def read_folder(directory: Path) -> TokenizerFacts | None:
    """What the tokenizer files in a directory say; None where there are none.

    Raises:
        UserError: a file is no JSON object, or a value in it has another type than it should.
    """
    if not any((directory / name).is_file() for name in TOKENIZER_FILES):
        return None
    vocab = directory / VOCAB
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
    """What a loaded model says in its attributes, as TF-Hub's official BERT does.

    `do_lower_case` (a bool variable) and `vocab_file` (an asset) are there for the arguments of
    Google's `FullTokenizer`, whose rules are those of `bert`.
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
    """The vocab file that the model has among its assets.

    Raises:
        UserError: there is none.
    """
    if facts is None or facts.vocab is None:
        raise UserError(
            f"{where}: got no vocab; give it with --vocab, or the tokenizer's own SavedModel "
            "with --tokenizer-model"
        )
    return facts.vocab
