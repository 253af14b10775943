"""Runs the model and the tokenizer in Python, as their users do (counterpart of run_node.js).

Only three things come from the bundle: the taps, the exported signature, and the roles of inputs
whose names do not say them. All else comes from the model and the vocab themselves, so that a wrong
contract is caught. Writes the file that runs.py describes.
"""

import argparse
import json
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text  # registers the ops that a model may need
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from export.confined import confinement
from export.source.vetting import load_saved_model
from parity_tests import cases
from parity_tests.runners import costs, long_texts, runs, tokenizer_source
from parity_tests.runners.costs import TapReader
from parity_tests.runners.long_texts import LongRule
from parity_tests.runners.python_tokenizer import Encoded, PythonTokenizer, make_tokenizer
from parity_tests.runners.source import SourceModel
from parity_tests.runners.variants import INVARIANCE_TEXTS, make_variants, measure_movement
from support import printing
from support.command_line import command
from support.contracts import read_contract
from support.errors import UserError
from support.tfjs_weights import WEIGHT_PREFIX

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
    output = parser.add_mutually_exclusive_group(required=True)
    output.add_argument("--out", type=Path, help="where the answers go")
    output.add_argument("--show", help="print one value instead, as run_node.js does")
    parser.add_argument("--weights", type=Path, help="where the model's variables go")
    parser.add_argument("--stored", type=Path, help="safetensors: put into the model's variables")
    parser.add_argument("--contract", type=Path, help="bundle.json: taps, signature, roles")
    parser.add_argument("--taps", default="", help="numbers of the batches whose taps are read")
    parser.add_argument("--costs", action="store_true", help="measure what float32 costs")
    parser.add_argument("--long", help="JSON of a LongRule: read long texts so, and nothing else")
    options = parser.parse_args(arguments)
    contract = read_contract(options.contract) if options.contract else {}
    tokenizer = make_tokenizer(tokenizer_source.parse_tokenizer_source(options))
    recorded = {spec["name"]: spec["role"] for spec in contract.get("inputs", [])}
    chosen = contract.get("signature") or {}
    model = open_saved_model(options.model, chosen.get("tags"))
    source = SourceModel(model, tokenizer, chosen.get("name"), recorded)
    if options.stored:
        _assign_stored_weights(source.signature, load_file(options.stored))
    setup = RunSetup(
        source,
        tokenizer,
        TapReader(source.signature, _source_taps(contract)) if options.contract else None,
        {int(number) for number in options.taps.split(",") if number},
    )
    picked = cases.read_cases(options.cases)
    if options.long:
        tensors = _compute_long_answers(setup, picked, LongRule.from_json(options.long))
        versions = json.dumps(_installed_versions())
        save_file(tensors, options.out, {"versions": versions})
        return 0
    tensors, metadata = _compute_answers(setup, picked)
    if options.show:
        weights = {
            f"{WEIGHT_PREFIX}{name}": value
            for name, value in _float_variables(source.signature).items()
        }
        print(_format_value(options.show, tensors | weights, metadata))
        return 0
    if options.costs:
        roles = {spec["role"]: spec["name"] for spec in contract.get("outputs", [])}
        taps, head = _source_taps(contract), roles.get("sequence_output", "sequence_output")
        tensors |= costs.measure_costs(source, taps, setup.tap_reader, tensors, head)
    metadata |= {
        "versions": _installed_versions(),
        "facts": source.facts() | {"moved": _measure_promises(setup, picked)},
    }
    if options.weights:
        save_file(_float_variables(source.signature), options.weights)
    save_file(tensors, options.out, {name: json.dumps(value) for name, value in metadata.items()})
    return 0


@dataclass(frozen=True)
class RunSetup:
    """What a case runs through: the model, its tokenizer, and the taps of some batches."""

    source: SourceModel
    tokenizer: PythonTokenizer
    tap_reader: TapReader | None
    tapped: set[int]


def open_saved_model(path: Path, tags: list[str] | None = None) -> Any:
    """Loads a SavedModel as `hub.load` does; `tags` select one of its graphs.

    Raises:
        UserError: there is none, it does more than compute, or it does not load.
    """
    if not (path / "saved_model.pb").is_file():
        raise UserError(f"{path} is no SavedModel: it has no saved_model.pb; try `nox -s export`")
    return load_saved_model(path, tags)


def _source_taps(contract: dict[str, Any]) -> dict[str, str]:
    """Returns the taps of a contract: tensors of the source by their names in a run."""
    return {f"{runs.TAPS}{tap['name']}": tap["tensor"] for tap in contract.get("taps", [])}


def _assign_stored_weights(signature: Any, stored: Batch) -> None:
    """Assigns the stored values of a bundle to the model's variables, by name."""
    for variable in signature.graph.variables:
        value = stored.get(variable.name.split(":")[0])
        if value is not None:
            variable.assign(value)


def _compute_answers(setup: RunSetup, picked: list[cases.TextCase]) -> tuple[Batch, dict[str, Any]]:
    """Computes every tensor of every batch by its name in the file, and the metadata: tokens."""
    tensors: Batch = {}
    metadata: dict[str, dict[str, Any]] = {"tokens": {}}
    source = setup.source
    for special in runs.SPECIALS:
        for number, group in groupby(picked, key=lambda case: case.batch):
            prefix = runs.batch_key(special, number)
            encoded = setup.source.encode(list(group), special == "added")
            metadata["tokens"][prefix] = _ids_to_tokens(encoded, setup.tokenizer.tokens)
            batch = source.batch(encoded)
            taps = {}
            if setup.tap_reader is not None and number in setup.tapped:
                taps = source.run_with(setup.tap_reader.run, batch)
            batch |= source.run(batch) | taps
            tensors |= {
                f"{prefix}.{name}": np.ascontiguousarray(value) for name, value in batch.items()
            }
            printing.say(f"python: special tokens {special}, batch {number + 1}")
    for name, batch in make_variants(
        source.batch(setup.source.encode(_invariance_cases(picked), True)), source.roles
    ).items():
        batch |= source.run(batch)
        tensors |= {
            f"{runs.batch_key(name, 0)}.{key}": np.ascontiguousarray(v) for key, v in batch.items()
        }
    return tensors, metadata


def _compute_long_answers(setup: RunSetup, picked: list[cases.TextCase], rule: LongRule) -> Batch:
    """Computes ids and outputs of the rows of each text, by name; the rows have no padding.

    All rows of a text have the same length, so each text is a run of its own.
    """
    tensors: Batch = {}
    for case, rows in zip(
        picked, long_texts.encode_rows(setup.tokenizer, picked, rule), strict=True
    ):
        batch = setup.source.batch(rows)
        batch |= setup.source.run(batch)
        prefix = runs.batch_key("added", case.batch)
        tensors |= {f"{prefix}.{n}": np.ascontiguousarray(v) for n, v in batch.items()}
    return tensors


def _invariance_cases(picked: list[cases.TextCase]) -> list[cases.TextCase]:
    """Returns the cases that are used for invariances."""
    return [case for case in picked if case.batch == 0][:INVARIANCE_TEXTS]


def _measure_promises(setup: RunSetup, picked: list[cases.TextCase]) -> dict[str, float]:
    """Measures how far the outputs move where an invariance says that they do not."""
    source = setup.source
    batch = source.batch(setup.source.encode(_invariance_cases(picked), True))
    spare = None if source.length else source.positions - batch["input_ids"].shape[1]
    return measure_movement(source.run, batch, spare)


def _ids_to_tokens(encoded: list[Encoded], vocab: list[str]) -> list[list[str]]:
    """Returns the tokens of each text, without padding."""
    return [[vocab[i] for i in ids] for ids, _ in encoded]


def _float_variables(signature: Any) -> Batch:
    """Returns the float variables of the model's signature by name, as float32."""
    return {
        variable.name.split(":")[0]: np.ascontiguousarray(variable.numpy(), np.float32)
        for variable in signature.graph.variables
        if variable.dtype.is_floating
    }


def _format_value(shown: str, tensors: Batch, metadata: dict[str, Any]) -> str:
    """Formats one computed value.

    Args:
        shown: a name, and in brackets the index.
        tensors: by name.
        metadata: see `_compute_answers`.
    """
    name, _, index_text = shown.partition("[")
    index = tuple(int(number) for number in index_text.rstrip("]").split(",") if number)
    front, _, last = name.rpartition(".")
    if last in metadata:
        return json.dumps(metadata[last][front][index[0]], ensure_ascii=False)
    return str(tensors[name][index])


def _installed_versions() -> dict[str, str]:
    """Returns the versions of everything that computed."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "tensorflow_text": tensorflow_text.__version__,
        "tensorflow_hub": version("tensorflow_hub"),
        "numpy": np.__version__,
    }


if __name__ == "__main__":
    # The judge confines this process; a person who runs it with --show does not.
    named_paths = [Path(one) for one in sys.argv[1:] if Path(one).exists()]
    confinement.rerun_confined("parity_tests.runners.run_python", named_paths, printing.say)
    sys.exit(main())
