"""Python's answers: the SavedModels, loaded as their users load them (pairs with run_node.js).

Nothing here is read off the bundle: what a model or vocab says about itself is the reference, so
a contract that says otherwise is caught. Writes what runs.py describes.
"""

import argparse
import json
import os
import platform
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text  # registers the ops that a tokenizer SavedModel needs
from numpy.typing import NDArray
from safetensors.numpy import save_file

from parity_tests import cases, runs
from parity_tests.errors import UserError
from parity_tests.head import Head
from parity_tests.source import Source, special_ids

Batch = dict[str, NDArray[Any]]


def main(arguments: list[str] | None = None) -> int:
    """Runs both variants of every batch; exit code 0, or 2 with one line on stderr."""
    parser = argparse.ArgumentParser(prog="python -m parity_tests.run_python", description=__doc__)
    for name in ("model", "tokenizer-model", "cases", "weights", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--classifier", type=Path)
    given = parser.parse_args(arguments)
    try:
        model, tokenizer = load(given.model), load(given.tokenizer_model)
        source = Source(model, tokenizer, special_ids(given.tokenizer_model))
        head = Head.read(given.classifier) if given.classifier else None
        tensors = answers(source, head, cases.read(given.cases))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    save_file(variables(model), given.weights)
    save_file(tensors, given.out, metadata={"versions": json.dumps(versions())})
    return 0


def load(path: Path) -> Any:
    """A SavedModel as `hub.load` gives it.

    Raises:
        UserError: there is none.
    """
    if not (path / "saved_model.pb").is_file():
        raise UserError(f"{path} is no SavedModel: it has no saved_model.pb; try `nox -s export`")
    return hub.load(str(path))


def answers(source: Source, head: Head | None, picked: list[cases.Case]) -> Batch:
    """Every tensor of every batch, by its name in the file."""
    tensors: Batch = {}
    for special in runs.SPECIALS:
        for number, group in groupby(picked, key=lambda case: case.batch):
            texts = [case.text for case in group]
            batch = source.encode(texts, special == "added")
            batch |= source.run(batch)
            if head is not None:
                batch[runs.PROBABILITIES] = head.probabilities(first_position(batch))
            prefix = f"{special}.b{number:03d}"
            tensors |= {
                f"{prefix}.{name}": np.ascontiguousarray(value) for name, value in batch.items()
            }
            print(f"python: special tokens {special}, batch {number + 1}", file=sys.stderr)
    return tensors


def variables(model: Any) -> Batch:
    """The float variables of the model's signature by their names, as float32."""
    held = model.signatures["serving_default"].graph.variables
    return {
        variable.name.split(":")[0]: np.ascontiguousarray(variable.numpy(), np.float32)
        for variable in held
        if variable.dtype.is_floating
    }


def first_position(batch: Batch) -> NDArray[Any]:
    """The classifier's vector, float32[batch, hidden].

    Raises:
        UserError: the model has no `sequence_output`.
    """
    if "sequence_output" not in batch:
        raise UserError("the model has no sequence_output, which --classifier needs")
    first: NDArray[Any] = batch["sequence_output"][:, 0]
    return first


def versions() -> dict[str, str]:
    """Of everything that computed."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "tensorflow_text": tensorflow_text.__version__,
        "tensorflow_hub": hub.__version__,
        "numpy": np.__version__,
    }


if __name__ == "__main__":
    sys.exit(main())
