"""Trained weights for the embedded default: `weights/`, which `nox -s pretrain` makes.

`albert_tiny.safetensors` has the encoder's variables as float16, by their names in tf_keras, and
`vocab.txt` the tokens that they belong to. Without the folder the default has seeded weights.
"""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from support import ROOT
from support.atomic import write_file
from support.contracts import VOCAB_FILE
from support.errors import UserError
from support.input_files import read_plain_file

DIRECTORY = ROOT / "weights"
FILE = "albert_tiny.safetensors"
MAX_BYTES = 64 << 20
ADVICE = "take the folder from the repository, or from `nox -s pretrain`"


def find_weights(directory: Path = DIRECTORY) -> Path | None:
    """Returns the directory if it has weights and their vocab, None if it has neither.

    Raises:
        UserError: it has one without the other: the ids of another vocab would mean other tokens.
    """
    found = [name for name in (FILE, VOCAB_FILE) if (directory / name).exists()]
    if len(found) == 1:
        missing = VOCAB_FILE if found == [FILE] else FILE
        raise UserError(f"{directory}: got {found[0]} without {missing}, expected both; {ADVICE}")
    return directory if found else None


def write_weights(directory: Path, encoder: Any, vocab: bytes) -> None:
    """Writes an encoder's variables and its vocab."""
    tensors = {
        _name(variable): variable.numpy().astype(np.float16) for variable in encoder.variables
    }
    write_file(directory / VOCAB_FILE, vocab)
    write_file(directory / FILE, save(tensors))


def load_weights(directory: Path, encoder: Any) -> None:
    """Puts weights into an encoder.

    Raises:
        UserError: the file is damaged, or its tensors are not the encoder's variables.
    """
    file = directory / FILE
    try:
        tensors = load(read_plain_file(file, MAX_BYTES, ADVICE))
    except SafetensorError as error:
        raise UserError(f"{file}: is no safetensors file: {error}; {ADVICE}") from None
    wanted = {_name(variable): variable for variable in encoder.variables}
    if tensors.keys() != wanted.keys():
        names = ", ".join(sorted(tensors.keys() ^ wanted.keys())[:3])
        raise UserError(f"{file}: got other tensors than the encoder has: {names}; {ADVICE}")
    for name, variable in wanted.items():
        value, shape = tensors[name], tuple(variable.shape)
        if value.shape != shape:
            raise UserError(f"{file}: {name}: got shape {value.shape}, expected {shape}; {ADVICE}")
        if not np.isfinite(value).all():
            raise UserError(f"{file}: {name}: got a number that is not finite; {ADVICE}")
        variable.assign(value.astype(np.float32))


def _name(variable: Any) -> str:
    """Returns the name of a variable without the number of its output."""
    return str(variable.name.split(":")[0])
