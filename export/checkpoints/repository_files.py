"""Downloads the files of a repository that make a checkpoint, and nothing else of it.

No code (`*.py`), no pickle, and no weights of other frameworks. The best weights are taken:
safetensors, whole or in shards, else `tf_model.h5`.
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from export.checkpoints import huggingface
from export.checkpoints.keras_h5 import KERAS_FILE
from export.checkpoints.opening import PICKLES
from export.checkpoints.sentence_transformers import MODULES_FILE
from export.source.repository import Repository, open_repository
from export.source.repository_source import RepositoryHandle
from export.tokenizer import facts
from support.errors import EnvironmentProblem, UserError
from support.input_files import read_json
from support.printing import Say

SMALL_FILES = (
    huggingface.CONFIG,
    *facts.TOKENIZER_FILES,
    MODULES_FILE,
    "config_sentence_transformers.json",
)
SENTENCE_CONFIG = re.compile(r"sentence_\w+_config\.json", re.ASCII)
EXPECTED = f"{huggingface.SINGLE_FILE}, its shards or {KERAS_FILE}"


@dataclass(frozen=True)
class ChosenFiles:
    """A repository, its encoder's directory in the cache, and the names of the weights."""

    repository: Repository
    encoder: Path
    weights: list[str]


def download_checkpoint(handle: RepositoryHandle, say: Say) -> Repository:
    """Downloads a checkpoint's files, unless the cache has them; returns the repository.

    Raises:
        UserError: see `choose_files` and `Repository.fetch`.
        EnvironmentProblem: see `choose_files` and `Repository.fetch`.
    """
    chosen = choose_files(handle, say)
    say(f"{handle.text}: commit {chosen.repository.commit}, {', '.join(chosen.weights)}")
    chosen.repository.fetch(chosen.weights)
    return chosen.repository


def choose_files(handle: RepositoryHandle, say: Say) -> ChosenFiles:
    """Opens a repository, and fetches the needed files but the weights.

    Raises:
        UserError: it has no weights that can be read, or see `open_repository` and
            `Repository.fetch`.
        EnvironmentProblem: see `open_repository` and `Repository.fetch`.
    """
    repository = open_repository(handle, say)
    repository.fetch(_small_files(repository, ""))
    folders = _module_folders(repository)
    for folder in folders:
        repository.fetch(_small_files(repository, folder))
    weights = {folder: _choose_weights(repository, folder) for folder in folders}
    for folder, names in weights.items():
        # The first module is the encoder; of the others few have weights.
        if not names and (folder == folders[0] or _find_pickle(repository, folder)):
            raise _no_weights_error(repository, folder)
    names = [name for names in weights.values() for name in names]
    return ChosenFiles(repository, repository.directory / folders[0], names)


def _names_in(repository: Repository, folder: str) -> set[str]:
    """Returns the names of the files in a folder, without the folder."""
    inside = (PurePosixPath(name) for name in repository.listed)
    return {path.name for path in inside if str(path.parent) == (folder or ".")}


def _small_files(repository: Repository, folder: str) -> list[str]:
    """Returns the configs and the tokenizer's files in a folder."""
    names = _names_in(repository, folder)
    chosen = [name for name in names if name in SMALL_FILES or SENTENCE_CONFIG.fullmatch(name)]
    return [_join(folder, name) for name in sorted(chosen)]


def _join(folder: str, name: str) -> str:
    """Returns a file's name in the repository."""
    return f"{folder}/{name}" if folder else name


def _module_folders(repository: Repository) -> list[str]:
    """Returns the folders of the modules of sentence-transformers; without modules the root, "".

    A path that is not safe is left out here; `read_sentence_model` refuses it.
    """
    if MODULES_FILE not in repository.listed:
        return [""]
    rows = read_json(repository.directory / MODULES_FILE)
    folders = []
    for row in rows if isinstance(rows, list) else []:
        path = row.get("path") if isinstance(row, dict) else None
        parts = PurePosixPath(path).parts if isinstance(path, str) and path.isprintable() else None
        if parts is not None and ".." not in parts and "/" not in parts:
            folders.append("/".join(parts))
    return list(dict.fromkeys(folders)) or [""]


def _choose_weights(repository: Repository, folder: str) -> list[str]:
    """Returns the weights in a folder; none if it has none that can be read."""
    names = _names_in(repository, folder)
    if huggingface.SHARD_INDEX in names:
        index = _join(folder, huggingface.SHARD_INDEX)
        repository.fetch([index])
        files = huggingface.weight_map(repository.directory / index).values()
        # What the index names and the repository lacks, `weight_files` refuses.
        return [
            _join(folder, file) for file in sorted(names & {f for f in files if isinstance(f, str)})
        ]
    for name in (huggingface.SINGLE_FILE, KERAS_FILE):
        if name in names:
            return [_join(folder, name)]
    return []


def _find_pickle(repository: Repository, folder: str) -> str | None:
    """Returns the name of a folder's weights if they are a pickle."""
    names = _names_in(repository, folder)
    pickles = [name for name in names if PurePosixPath(name).suffix in PICKLES]
    return next((name for name in sorted(pickles) if name.startswith("pytorch_model")), None)


def _no_weights_error(repository: Repository, folder: str) -> UserError | EnvironmentProblem:
    """Returns the error for a folder without weights that can be read."""
    what = repository.handle.text
    pickled = _find_pickle(repository, folder)
    if pickled is not None:
        return UserError(
            f"{what}: got {_join(folder, pickled)}, a pickle, which can run code and is never "
            f"opened, expected {EXPECTED}; give a revision that has one of them, or, where you "
            "trust it, download the files and give their directory, which tells how to convert it"
        )
    got = ", ".join(sorted(repository.listed)[:5]) or "nothing"
    if repository.transfer is None:
        return EnvironmentProblem(
            f"{what}: the cache has {got} alone, expected {EXPECTED}; run it once with a network"
        )
    return UserError(f"{what}: got {got}, expected {EXPECTED}")
