"""Python's answers: the model and tokenizer as their users use them (pairs with run_node.js).

Nothing here is read off the bundle but where to look inside the model, which of its signatures was
exported, and what its inputs mean where their names tell nothing: what a model or vocab says about
itself is the reference, so a contract that says otherwise is caught. Writes what runs.py describes.
"""

import argparse
import json
import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tensorflow_text  # registers the ops that a model may need
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from export.confined import confinement
from export.source.vetting import load_saved_model
from parity_tests import cases
from parity_tests.runners import costs, runs, tokenizer_source
from parity_tests.runners.costs import TapReader
from parity_tests.runners.python_tokenizer import Encoded, PythonTokenizer, make_tokenizer
from parity_tests.runners.source import SourceModel
from parity_tests.runners.variants import INVARIANCE_TEXTS, make_variants, measure_movement
from support import printing
from support.command_line import command
from support.errors import UserError

Batch = dict[str, NDArray[Any]]


@command()
def main(arguments: list[str] | None = None) -> int:
    """Runs both variants of every batch; exit code 0, or 2 with one line on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m parity_tests.runners.run_python", description=__doc__
    )
    for name in ("model", "cases"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    tokenizer_source.add_options(parser)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--out", type=Path, help="where the answers go")
    place.add_argument("--show", help="print one value instead, as run_node.js does")
    parser.add_argument("--weights", type=Path, help="where the model's variables go")
    parser.add_argument("--stored", type=Path, help="safetensors: put into the model's variables")
    parser.add_argument("--contract", type=Path, help="bundle.json: taps, signature, roles")
    parser.add_argument("--taps", default="", help="numbers of the batches to look into")
    parser.add_argument("--costs", action="store_true", help="measure what float32 costs")
    given = parser.parse_args(arguments)
    told_by_bundle = json.loads(given.contract.read_text("utf-8")) if given.contract else {}
    tokenizer = make_tokenizer(tokenizer_source.parse_tokenizer_source(given))
    recorded = {spec["name"]: spec["role"] for spec in told_by_bundle.get("inputs", [])}
    chosen = told_by_bundle.get("signature") or {}
    model = load_model(given.model, chosen.get("tags"))
    source = SourceModel(model, tokenizer, chosen.get("name"), recorded)
    if given.stored:
        assign_stored_weights(source.signature, load_file(given.stored))
    asked = RunSetup(
        source,
        tokenizer,
        TapReader(source.signature, source_taps(told_by_bundle)) if given.contract else None,
        {int(number) for number in given.taps.split(",") if number},
    )
    picked = cases.read_cases(given.cases)
    tensors, told = compute_answers(asked, picked)
    if given.show:
        held = {
            f"weights/{name}": value for name, value in float_variables(source.signature).items()
        }
        print(format_value(given.show, tensors | held, told))
        return 0
    if given.costs:
        roles = {spec["role"]: spec["name"] for spec in told_by_bundle.get("outputs", [])}
        places, head = source_taps(told_by_bundle), roles.get("sequence_output", "sequence_output")
        tensors |= costs.measure_costs(source, places, asked.inside, tensors, head)
    told |= {
        "versions": installed_versions(),
        "facts": source.facts() | {"moved": measure_promises(asked, picked)},
    }
    if given.weights:
        save_file(float_variables(source.signature), given.weights)
    save_file(tensors, given.out, {name: json.dumps(value) for name, value in told.items()})
    return 0


@dataclass(frozen=True)
class RunSetup:
    """What to run a case through: the source, its tokenizer, and a look into some batches."""

    source: SourceModel
    tokenizer: PythonTokenizer
    inside: TapReader | None
    tapped: set[int]


def load_model(path: Path, tags: list[str] | None = None) -> Any:
    """A SavedModel as `hub.load` gives it; `tags` tell which of its graphs.

    Raises:
        UserError: there is none, it does more than compute, or it does not load.
    """
    if not (path / "saved_model.pb").is_file():
        raise UserError(f"{path} is no SavedModel: it has no saved_model.pb; try `nox -s export`")
    return load_saved_model(path, tags)


def source_taps(contract: dict[str, Any]) -> dict[str, str]:
    """The taps that a contract names: tensors of the source by the names they have in a run."""
    return {f"{runs.TAPS}{tap['name']}": tap["tensor"] for tap in contract.get("taps", [])}


def assign_stored_weights(signature: Any, stored: Batch) -> None:
    """Gives the model's variables the values that a bundle has stored, by name."""
    for variable in signature.graph.variables:
        value = stored.get(variable.name.split(":")[0])
        if value is not None:
            variable.assign(value)


def compute_answers(asked: RunSetup, picked: list[cases.TextCase]) -> tuple[Batch, dict[str, Any]]:
    """Every tensor of every batch by its name in the file, and the texts' tokens."""
    tensors: Batch = {}
    told: dict[str, dict[str, Any]] = {"tokens": {}}
    source = asked.source
    for special in runs.SPECIALS:
        for number, group in groupby(picked, key=lambda case: case.batch):
            prefix = runs.batch_key(special, number)
            encoded = asked.source.encode(list(group), special == "added")
            told["tokens"][prefix] = ids_to_tokens(encoded, asked.tokenizer.tokens)
            batch = source.batch(encoded)
            inside = {}
            if asked.inside is not None and number in asked.tapped:
                inside = source.run_with(asked.inside.run, batch)
            batch |= source.run(batch) | inside
            tensors |= {
                f"{prefix}.{name}": np.ascontiguousarray(value) for name, value in batch.items()
            }
            print(f"python: special tokens {special}, batch {number + 1}", file=sys.stderr)
    for name, batch in make_variants(
        source.batch(asked.source.encode(invariance_cases(picked), True)), source.roles
    ).items():
        batch |= source.run(batch)
        tensors |= {
            f"{runs.batch_key(name, 0)}.{key}": np.ascontiguousarray(v) for key, v in batch.items()
        }
    return tensors, told


def invariance_cases(picked: list[cases.TextCase]) -> list[cases.TextCase]:
    """The cases that are asked for more than their answers."""
    return [case for case in picked if case.batch == 0][:INVARIANCE_TEXTS]


def measure_promises(asked: RunSetup, picked: list[cases.TextCase]) -> dict[str, float]:
    """By how much the outputs move where a claim says that they do not; see `variants.measure_movement`."""
    source = asked.source
    batch = source.batch(asked.source.encode(invariance_cases(picked), True))
    room = None if source.length else source.positions - batch["input_ids"].shape[1]
    return measure_movement(source.run, batch, room)


def ids_to_tokens(encoded: list[Encoded], vocab: list[str]) -> list[list[str]]:
    """The tokens of each text, padding left out."""
    return [[vocab[i] for i in ids] for ids, _ in encoded]


def float_variables(signature: Any) -> Batch:
    """The float variables of the model's signature by their names, as float32."""
    return {
        variable.name.split(":")[0]: np.ascontiguousarray(variable.numpy(), np.float32)
        for variable in signature.graph.variables
        if variable.dtype.is_floating
    }


def format_value(asked: str, tensors: Batch, told: dict[str, Any]) -> str:
    """One value of what was computed: a name, and in brackets the place in it."""
    name, _, place = asked.partition("[")
    index = tuple(int(number) for number in place.rstrip("]").split(",") if number)
    front, _, last = name.rpartition(".")
    if last in told:
        return json.dumps(told[last][front][index[0]], ensure_ascii=False)
    return str(tensors[name][index])


def installed_versions() -> dict[str, str]:
    """Of everything that computed."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "tensorflow_text": tensorflow_text.__version__,
        "tensorflow_hub": version("tensorflow_hub"),
        "numpy": np.__version__,
    }


if __name__ == "__main__":
    # The judge has confined it; a person who asks to be shown a value has not.
    given_paths = [Path(one) for one in sys.argv[1:] if Path(one).exists()]
    confinement.rerun_confined("parity_tests.runners.run_python", given_paths, printing.say)
    sys.exit(main())
