"""Checkpoints: everything that a training needs to go on as if it had never stopped.

One file, replaced as a whole, so that a killed process leaves the one before. The order and the
masks of the texts follow from the number of the step (see batches.py): there is no other state.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from support.atomic import write_file
from support.errors import UserError

if TYPE_CHECKING:
    from pretrain.model import PretrainingModel

FILE = "checkpoint.safetensors"


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    `steps` are finished, and took `seconds` in all pieces. `pending` has the losses of those that
    no point of the curve has yet.
    """

    steps: int = 0
    seconds: float = 0.0
    pending: list[dict[str, float]] = field(default_factory=list)


def save_checkpoint(
    directory: Path, model: PretrainingModel, progress: Progress, corpus_sha256: str
) -> None:
    """Writes the checkpoint of a training.

    Args:
        directory: of the training.
        model: with the weights and the state of the optimizer.
        progress: how far it is.
        corpus_sha256: of what it trains on.
    """
    tensors = {f"{i:03}": np.asarray(value.numpy()) for i, value in enumerate(model.variables())}
    about = {
        "recipe": json.dumps(asdict(model.recipe)),
        "corpus_sha256": corpus_sha256,
        "progress": json.dumps(asdict(progress)),
    }
    write_file(directory / FILE, save(tensors, about))


def load_checkpoint(directory: Path, model: PretrainingModel, corpus_sha256: str) -> Progress:
    """Puts a checkpoint, if there is one, into the model; returns how far it is.

    Raises:
        UserError: the checkpoint has another recipe or another corpus.
    """
    file = directory / FILE
    if not file.is_file():
        return Progress()
    with safe_open(file, "numpy") as stored:
        about = stored.metadata()
        if about["recipe"] != json.dumps(asdict(model.recipe)):
            _refuse(file, "another recipe")
        if about["corpus_sha256"] != corpus_sha256:
            _refuse(file, "other texts")
        for i, variable in enumerate(model.variables()):
            variable.assign(stored.get_tensor(f"{i:03}"))
    return Progress(**json.loads(about["progress"]))


def _refuse(file: Path, what: str) -> None:
    """Refuses a checkpoint that does not fit."""
    raise UserError(
        f"{file}: got a checkpoint of a training with {what}, expected one of this recipe and of "
        "these texts; remove the file to begin anew, or give another --out"
    )
