"""Reads a directory of the sentence-transformers library: an encoder and the modules after it.

`modules.json` lists the modules: Transformer, then Pooling, then any of Normalize and Dense.
Source: `sentence_transformers/base/modules` and `sentence_transformer/modules/pooling.py`, 6.2.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.checkpoints.huggingface import open_safetensors, weight_files
from export.checkpoints.opening import PICKLES, explain_pickle_refusal
from export.encoder_config import POOLINGS, SENTENCE_ACTIVATIONS, Dense, Normalize, Pooling
from support.errors import UserError
from support.input_files import read_json, read_object, require_integer, require_type, short_json

MODULES_FILE = "modules.json"
# The older keys, in the order in which the library concatenates the poolings.
POOLING_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
EMBEDDING = "sentence_embedding"
# Written to the SavedModel's assets; `python -m export model` reads it.
MAX_LENGTH_ASSET = "assets/sentence_bert_config.json"


@dataclass(frozen=True)
class SentenceModel:
    """The encoder's directory, the modules after it, and the limit of a text's positions.

    `max_length` is None if only the encoder has a limit; `notices` has messages for the user.
    """

    encoder: Path
    modules: list[Pooling | Normalize | Dense]
    max_length: int | None
    notices: list[str]


def read_sentence_model(directory: Path) -> SentenceModel | None:
    """Reads the model that `modules.json` describes; returns None if there is no such file.

    Raises:
        UserError: a module, or an option of one, is not supported; or see `read_object`.
    """
    index = directory / MODULES_FILE
    if not index.is_file():
        return None
    folders = _module_folders(index)
    kinds = [kind for kind, _ in folders]
    if kinds[:2] != ["Transformer", "Pooling"]:
        raise _unsupported_error(index, f"modules {', '.join(kinds)}", "Transformer, Pooling, …")
    encoder = folders[0][1]
    modules: list[Pooling | Normalize | Dense] = []
    for kind, folder in folders[1:]:
        if kind == "Pooling":
            modules.append(_read_pooling(folder / "config.json"))
        elif kind == "Normalize":
            _read_module_config(folder / "config.json")
            modules.append(Normalize())
        elif kind == "Dense":
            modules.append(_read_dense(folder))
        else:
            raise _unsupported_error(
                index, f"module {kind}", "Transformer, Pooling, Normalize or Dense"
            )
    _refuse_lower_case(encoder)
    return SentenceModel(encoder, modules, _read_max_length(encoder), _prompt_notices(directory))


def _module_folders(index: Path) -> list[tuple[str, Path]]:
    """Returns the modules in order: the last part of the class's name, and the folder."""
    folders = []
    for i, row in enumerate(require_type(read_json(index), list, str(index))):
        location = f"{index}: module {i}"
        kind, path = (
            require_type(require_type(row, dict, location).get(key), str, f"{location}: {key}")
            for key in ("type", "path")
        )
        parts = Path(path).parts
        if Path(path).is_absolute() or ".." in parts or not path.isprintable():
            raise _unsupported_error(
                index, f"path {short_json(path)}", "one inside of the directory"
            )
        # A custom class (`custom_st.Transformer`) may compute anything.
        own = not kind.startswith("sentence_transformers.")
        folders.append((kind if own else kind.rpartition(".")[2], index.parent / path))
    return folders


def _unsupported_error(file: Path, got: str, expected: str) -> UserError:
    """Returns the error for an unsupported module; the encoder alone can be built."""
    return UserError(
        f"{file}: got {got}, expected {expected}; give the encoder's model.safetensors itself to "
        "build it without its sentence embedding"
    )


def _read_pooling(file: Path) -> Pooling:
    """Reads the pooling from a config with the older keys (one flag for each) or the newer key."""
    config = read_object(file)
    reported = config.get("pooling_mode")
    if reported is None:
        reported = [mode for key, mode in POOLING_KEYS.items() if config.get(key)] or ["mean"]
    modes = (
        [reported]
        if isinstance(reported, str)
        else require_type(reported, list, f"{file}: pooling_mode")
    )
    for mode in modes:
        if not isinstance(mode, str) or mode not in POOLINGS:
            raise _unsupported_error(
                file, f"pooling {short_json(mode)}", f"one of {', '.join(POOLINGS)}"
            )
    width = config.get("embedding_dimension", config.get("word_embedding_dimension"))
    if width is not None:
        require_integer(width, f"{file}: embedding_dimension", 1)
    return Pooling(tuple(modes), width, str(file))


def _read_dense(folder: Path) -> Dense:
    """Reads a dense module with its weights, float32[in, out] and float32[out]."""
    file = folder / "config.json"
    config = _read_module_config(file)
    name = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    activation = name.rpartition(".")[2]
    if activation not in SENTENCE_ACTIVATIONS or not name.startswith("torch.nn."):
        known = ", ".join(SENTENCE_ACTIVATIONS)
        raise _unsupported_error(file, f"activation_function {name}", f"one of torch.nn's {known}")
    if config.get("use_residual"):
        raise _unsupported_error(file, "use_residual true", "false")
    files = weight_files(folder)
    if not files:
        pickles = sorted(child for child in folder.iterdir() if child.suffix in PICKLES)
        if pickles:
            raise UserError(explain_pickle_refusal(folder, pickles[0].name))
        raise UserError(f"{folder}: got no model.safetensors, expected the weights of the module")
    taken, produced = (
        require_integer(config.get(key), f"{file}: {key}", 1)
        for key in ("in_features", "out_features")
    )
    variables = open_safetensors(files, str(folder))
    kernel = variables.read("linear.weight", (produced, taken)).T
    bias = variables.read("linear.bias", (produced,)) if config.get("bias", True) else None
    return Dense(kernel, bias, activation, str(file))


def _read_module_config(file: Path) -> dict[str, Any]:
    """Reads a module's config; refuses inputs and outputs other than the sentence embedding."""
    config = read_object(file) if file.is_file() else {}
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, EMBEDDING):
            raise _unsupported_error(file, f"{key} {short_json(config[key])}", repr(EMBEDDING))
    return config


def _sentence_config(encoder: Path) -> dict[str, Any]:
    """Reads `sentence_bert_config.json`, or the file of another family's name."""
    files = sorted(encoder.glob("sentence_*_config.json"))
    return read_object(files[0]) if files else {}


def _read_max_length(encoder: Path) -> int | None:
    """Returns the positions to which the library cuts a text; None: the encoder's own limit."""
    tokenizer = encoder / "tokenizer_config.json"
    reported = _sentence_config(encoder).get("max_seq_length")
    if reported is None and tokenizer.is_file():
        reported = read_object(tokenizer).get("model_max_length")
        # Hugging Face writes 10^30 for no limit.
        reported = reported if isinstance(reported, int) and reported < 10**9 else None
    if reported is None:
        return None
    return require_integer(reported, f"{encoder}: max_seq_length", 2)


def _refuse_lower_case(encoder: Path) -> None:
    """Refuses a model whose library lower-cases the text before a cased tokenizer.

    With a tokenizer that lower-cases, the library does nothing.
    """
    if not _sentence_config(encoder).get("do_lower_case"):
        return
    file = encoder / "tokenizer_config.json"
    if file.is_file() and read_object(file).get("do_lower_case") is False:
        raise _unsupported_error(
            file,
            "do_lower_case false, and true in the sentence-transformers config",
            "the same in both (do_lower_case true and strip_accents false in the tokenizer's give "
            "the same tokens)",
        )


def _prompt_notices(directory: Path) -> list[str]:
    """Returns a notice about prompts, which the library prepends to texts; they are not exported.

    Raises:
        UserError: the library prepends one to every text by default.
    """
    file = directory / "config_sentence_transformers.json"
    config = read_object(file) if file.is_file() else {}
    listed = require_type(config.get("prompts") or {}, dict, f"{file}: prompts")
    known = {name: text for name, text in listed.items() if text}
    default = config.get("default_prompt_name")
    if isinstance(default, str) and default in known:
        raise _unsupported_error(
            file,
            f"default_prompt_name {default!r}",
            f"null, and the prompt {known[default]!r} before each text that the bundle gets",
        )
    if not known:
        return []
    texts = ", ".join(f"{name}: {text!r}" for name, text in known.items())
    return [f"{file}: its prompts are yours to put before the texts: {texts}"]


def write_max_length(saved_model: Path, max_length: int) -> None:
    """Writes the limit of positions to a SavedModel's assets."""
    file = saved_model / MAX_LENGTH_ASSET
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"max_seq_length": max_length}) + "\n", encoding="utf-8")


def limit_positions(saved_model: Path, positions: int) -> int:
    """Returns the positions of a bundle: the model's, or the SavedModel's limit if smaller."""
    file = saved_model / MAX_LENGTH_ASSET
    reported = read_object(file).get("max_seq_length") if file.is_file() else None
    if reported is None:
        return positions
    return min(positions, require_integer(reported, f"{file}: max_seq_length", 2))
