"""A small part of the material of the fault injection, made quickly."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import export.tokenizer
from export import node_check
from export.architectures import encoder
from export.source.signature_choice import DEFAULT_SIGNATURE
from export.tokenizer import probe
from fault_injection import build
from fault_injection.material import train_head
from fault_injection.sources import SOURCES, CleanMaterial
from support.contracts import TABLES_FILE
from tests.python.conftest import Embedded

BUILT = {
    "bert_tanh": "float32",
    "bert_tanh_b": "float32",
    "bert_large": "float32",
    "outlier": "float16",
    "moods": "float32",
    "moods_b": "float32",
    "topics": "uint16",
    "entities": "uint8",
}
"""The dtype of each source: one bundle for each case that a kind of fault tells apart."""
HEADS = ("bert_tanh", "bert_tanh_b", "moods")
TRAINING_TEXTS = 40
# The other planes take most of the time; the tables are read with marks of these.
PROBED = [*range(0xD800), *range(0xE000, 0x10000), *range(0x1D100, 0x1D200)]
PROBED += range(0x20000, 0x30000)


def read_tables(embedded: Embedded) -> build.ReadTables:
    """Returns a quick reader of tables: the embedded default's, the others of fewer characters."""
    known = {build.SPECS["lower"]: (embedded.bundle / TABLES_FILE).read_bytes()}
    read = export.tokenizer.serialised_tables
    return lambda spec, vocab, python: known.get(spec) or read(spec, vocab, python)


def save_without_keras(model: Any, directory: Path) -> None:
    """Saves a SavedModel with the signature alone, in a fifth of the time."""
    module = tf.Module()
    module.owned = model.variables
    tf.saved_model.save(module, str(directory), {DEFAULT_SIGNATURE: model.serve})


def make_some_material(embedded: Embedded, root: Path) -> CleanMaterial:
    """Makes the models and bundles of BUILT, and the heads of HEADS.

    This process has TensorFlow anyway, so it makes everything. The judge runs the bundles in Node,
    so the exporter need not. The tokenizer that is judged is the embedded one, whose tables other
    tests read too.
    """
    made = CleanMaterial(root)
    shutil.copytree(embedded.tokenizer_model, made.root / "tokenizers" / "lower")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node_check, "check_in_node", lambda *_, **__: None)
        patch.setattr(encoder, "save_encoder", save_without_keras)
        patch.setattr(probe, "SCALARS", PROBED)
        patch.setattr(export.tokenizer, "serialised_tables", export.tokenizer.serialised_tables)
        build.cache_tables(read_tables(embedded))
        for name in build.SPECS:
            build.write_tables(name, embedded.vocab, made.tables(name))
        for source in SOURCES:
            if source.name in BUILT:
                some = replace(source, dtypes=(BUILT[source.name],))
                build.build_source(some, embedded.vocab, made.root)
    for name in HEADS:
        data = embedded.data / "train.jsonl"
        train_head(made, name, data, lambda line: None, TRAINING_TEXTS)
    return made
