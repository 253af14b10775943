"""SavedModels that try to evade the vetting: their effect when loaded, and their refusal."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers ops

from export.inspection import inspect_model
from export.source.vetting import vet
from support.errors import UserError
from tests.hostile.saved_models import OTHERS, READS, WRITES
from tests.python import untrusted_models

IDS = {"input_ids", "input_mask", "segment_ids"}


def run_all_signatures(made: Path) -> list[Any]:
    """Loads a model without vetting it, and runs its signatures."""
    loaded = tf.saved_model.load(str(made))
    found: list[Any] = []
    for signature in loaded.signatures.values():
        (_, names) = signature.structured_input_signature
        if set(names) == IDS:
            feeds = {name: tf.zeros([1, 2], tf.int32) for name in names}
        else:
            feeds = {name: tf.constant(["secret words"]) for name in names}
        found.append(signature(**feeds))
    found.append(loaded)
    return found


@pytest.mark.parametrize("name", WRITES)
def test_model_that_writes_files_is_refused(name: str, tmp_path: Path) -> None:
    make, said = WRITES[name]
    marker = tmp_path / "marker"
    made = make(tmp_path / "m", marker)
    with pytest.raises(UserError, match=said):
        vet(made)
    # Without the vetting it has an effect.
    assert not list(tmp_path.glob("marker*"))
    run_all_signatures(made)
    assert list(tmp_path.glob("marker*"))


@pytest.mark.parametrize("name", READS)
def test_model_that_reads_files_is_refused(name: str, tmp_path: Path) -> None:
    make, said = READS[name]
    secret = tmp_path / "secret"
    # As long as the vocab that it replaces.
    secret.write_text("".join(f"secret{i}\n" for i in range(8)))
    made = make(tmp_path / "m", secret)
    with pytest.raises(UserError, match=said):
        vet(made)
    # Without the vetting it has an effect.
    *answers, loaded = run_all_signatures(made)
    assert b"secret7" in all_strings(answers) | table_tokens(loaded)


def all_strings(answers: list[Any]) -> set[bytes]:
    """Returns the strings in the results of signatures."""
    values = [value.numpy() for answer in answers for value in answer.values()]
    return {text for value in values if value.dtype == object for text in np.ravel(value)}


def table_tokens(loaded: Any) -> set[bytes]:
    """Returns the tokens in the tables of a loaded tokenizer."""
    found: set[bytes] = set()
    for signature in loaded.signatures.values():
        for handle in signature.captured_inputs:
            if handle.dtype == tf.resource:
                keys, _ = tf.raw_ops.LookupTableExportV2(
                    table_handle=handle, Tkeys=tf.string, Tvalues=tf.int64
                )
                found |= set(keys.numpy())
    return found


def test_a_model_with_flipped_bits_loads_or_gives_one_error_line(tmp_path: Path) -> None:
    made = untrusted_models.save_function(untrusted_models.string_lengths, tmp_path / "m")
    file, draw = made / "saved_model.pb", random.Random(1)
    whole = file.read_bytes()
    refused = 0
    for _ in range(150):
        flipped = bytearray(whole)
        for _ in range(draw.choice([1, 1, 4])):
            flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
        file.write_bytes(flipped)
        try:
            inspect_model(str(made))
            vet(made)
        except UserError as error:
            refused += 1
            assert str(error).count("\n") == 0
    assert 20 < refused < 150


@pytest.mark.parametrize("name", OTHERS)
def test_ambiguous_models_are_refused(name: str, tmp_path: Path) -> None:
    make, said = OTHERS[name]
    with pytest.raises(UserError, match=said):
        vet(make(tmp_path / "m", tmp_path / "file"))
