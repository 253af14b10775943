"""Python's answers: the SavedModels, loaded as their users load them (pairs with run_node.js).

Nothing here is read off the bundle but where to look inside the model: what a model or vocab says
about itself is the reference, so a contract that says otherwise is caught. Writes what runs.py
describes.
"""

import argparse
import json
import os
import platform
import sys
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text  # registers the ops that a tokenizer SavedModel needs
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from parity_tests import cases, costs, runs
from parity_tests.errors import UserError
from parity_tests.inside import Inside
from parity_tests.source import Source
from parity_tests.variants import FEW, variants
from parity_tests.vocabulary import special_ids, vocab_of

Batch = dict[str, NDArray[Any]]


def main(arguments: list[str] | None = None) -> int:
    """Runs both variants of every batch; exit code 0, or 2 with one line on stderr."""
    parser = argparse.ArgumentParser(prog="python -m parity_tests.run_python", description=__doc__)
    for name in ("model", "tokenizer-model", "cases"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--out", type=Path, help="where the answers go")
    place.add_argument("--show", help="print one value instead, as run_node.js does")
    parser.add_argument("--weights", type=Path, help="where the model's variables go")
    parser.add_argument("--stored", type=Path, help="safetensors: put into the model's variables")
    parser.add_argument("--contract", type=Path, help="bundle.json, whose taps are to be looked at")
    parser.add_argument("--taps", default="", help="numbers of the batches to look into")
    parser.add_argument("--costs", action="store_true", help="measure what float32 costs")
    given = parser.parse_args(arguments)
    try:
        model, tokenizer = load(given.model), load(given.tokenizer_model)
        if given.stored:
            assign(model, load_file(given.stored))
        source = Source(model, tokenizer, special_ids(given.tokenizer_model))
        asked = Asked(
            source,
            vocab_of(given.tokenizer_model),
            Inside(source.signature, taps(given.contract)) if given.contract else None,
            {int(number) for number in given.taps.split(",") if number},
        )
        tensors, told = answers(asked, cases.read(given.cases))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if given.show:
        held = {f"weights/{name}": value for name, value in variables(model).items()}
        print(shown(given.show, tensors | held, told))
        return 0
    if given.costs:
        places = taps(given.contract) if given.contract else {}
        tensors |= costs.measure(source, places, asked.inside, tensors)
    told |= {"versions": versions(), "facts": source.facts()}
    if given.weights:
        save_file(variables(model), given.weights)
    save_file(tensors, given.out, {name: json.dumps(value) for name, value in told.items()})
    return 0


@dataclass(frozen=True)
class Asked:
    """What to run a case through: the source, its vocab, and a look into some batches."""

    source: Source
    vocab: list[str]
    inside: Inside | None
    tapped: set[int]


def load(path: Path) -> Any:
    """A SavedModel as `hub.load` gives it.

    Raises:
        UserError: there is none.
    """
    if not (path / "saved_model.pb").is_file():
        raise UserError(f"{path} is no SavedModel: it has no saved_model.pb; try `nox -s export`")
    return hub.load(str(path))


def taps(contract: Path) -> dict[str, str]:
    """The taps that a contract names: tensors of the source by the names they have in a run."""
    told = json.loads(contract.read_text(encoding="utf-8")).get("taps", [])
    return {f"{runs.TAPS}{tap['name']}": tap["tensor"] for tap in told}


def assign(model: Any, stored: Batch) -> None:
    """Gives the model's variables the values that a bundle has stored, by name."""
    for variable in model.signatures["serving_default"].graph.variables:
        value = stored.get(variable.name.split(":")[0])
        if value is not None:
            variable.assign(value)


def answers(asked: Asked, picked: list[cases.Case]) -> tuple[Batch, dict[str, Any]]:
    """Every tensor of every batch by its name in the file, and the texts' tokens."""
    tensors: Batch = {}
    told: dict[str, dict[str, Any]] = {"tokens": {}}
    for special in runs.SPECIALS:
        for number, group in groupby(picked, key=lambda case: case.batch):
            prefix = runs.key(special, number)
            batch = asked.source.encode([case.text for case in group], special == "added")
            told["tokens"][prefix] = tokens(batch, asked.vocab)
            inside = {}
            if asked.inside is not None and number in asked.tapped:
                inside = asked.inside.run(asked.source.feeds(batch))
            batch |= asked.source.run(batch) | inside
            tensors |= {
                f"{prefix}.{name}": np.ascontiguousarray(value) for name, value in batch.items()
            }
            print(f"python: special tokens {special}, batch {number + 1}", file=sys.stderr)
    few = [case.text for case in picked if case.batch == 0][:FEW]
    for name, batch in variants(asked.source.encode(few, True)).items():
        batch |= asked.source.run(batch)
        tensors |= {
            f"{runs.key(name, 0)}.{key}": np.ascontiguousarray(v) for key, v in batch.items()
        }
    return tensors, told


def tokens(batch: Batch, vocab: list[str]) -> list[list[str]]:
    """The tokens of each text, padding left out."""
    rows = zip(batch["input_ids"], batch["attention_mask"], strict=True)
    return [[vocab[i] for i in ids[mask == 1]] for ids, mask in rows]


def variables(model: Any) -> Batch:
    """The float variables of the model's signature by their names, as float32."""
    held = model.signatures["serving_default"].graph.variables
    return {
        variable.name.split(":")[0]: np.ascontiguousarray(variable.numpy(), np.float32)
        for variable in held
        if variable.dtype.is_floating
    }


def shown(asked: str, tensors: Batch, told: dict[str, Any]) -> str:
    """One value of what was computed: a name, and in brackets the place in it."""
    name, _, place = asked.partition("[")
    index = tuple(int(number) for number in place.rstrip("]").split(",") if number)
    front, _, last = name.rpartition(".")
    if last in told:
        return json.dumps(told[last][front][index[0]], ensure_ascii=False)
    return str(tensors[name][index])


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
