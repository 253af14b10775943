"""The first op that differs, in conversions by TF.js's own converter and in damaged ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.tokenizer import read_vocab
from export.tokenizer.vocab import SPECIAL_TOKENS
from support.quiet_tensorflow import tensorflow
from tests.python.conftest import ROOT

tf, _ = tensorflow()


def stock(model: Path, out: Path) -> Path:
    """Converts the SavedModel with TF.js's own converter."""
    command = [sys.executable, "-m", "bench.conversion.stock", str(model), str(out)]
    # With oneDNN, the converter's optimiser leaves ops that TF.js does not know.
    plain = os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0"}
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=plain)
    return out


def bisect(graph: Path, model: Path, *more: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "parity_tests.bisect", "--graph-model", str(graph)]
    command += ["--model", str(model), "--json", *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def config(architecture: str = "bert"):
    from export.encoder_config import EncoderConfig

    return EncoderConfig(architecture, 40, 2, 32, 4, 64, 32, max_position_embeddings=16)


@pytest.fixture(scope="module")
def strings(tmp_path_factory):
    """Returns a model of token strings, and its stock conversion."""
    from export.architectures import encoder
    from export.architectures.string_tokens import save_string_tokens

    place = tmp_path_factory.mktemp("strings")
    tokens = [*SPECIAL_TOKENS.values(), "你", "好", *map(chr, range(97, 122))]
    (place / "vocab.txt").write_text("\n".join([*tokens, *"0123456789"][:40]), encoding="utf-8")
    vocab = read_vocab(place / "vocab.txt", print)
    model = encoder.seeded_encoder(replace(config(), vocab_size=len(vocab.tokens)), "e", 1)
    save_string_tokens(model, vocab, place / "model", 3)
    return place / "model", stock(place / "model", place / "tfjs")


@pytest.mark.parametrize("backend", ["wasm", "cpu"])
def test_a_stock_conversion_of_token_strings_fails_at_its_op(strings, backend):
    model, graph = strings
    code, result = bisect(graph, model, "--backend", backend)
    assert (code, result["verdict"]) == (1, "drift")
    # The table is initialised from a file, which TF.js cannot read, or its lookup is flat.
    assert "Lookup" in str(result["op"]) or "InitializeTable" in result["message"], result


@pytest.fixture(scope="module")
def table_in_graph(tmp_path_factory):
    """Returns a lookup whose table is in the graph, so that TF.js loads it."""
    place = tmp_path_factory.mktemp("table")
    keys = tf.constant(["[PAD]", "[UNK]", "[CLS]", "你", "好"])
    init = tf.lookup.KeyValueTensorInitializer(keys, tf.range(5, dtype=tf.int32))
    table = tf.lookup.StaticHashTable(init, 1)
    weights = tf.Variable(np.arange(10, dtype=np.float32).reshape(5, 2))
    module = tf.Module()
    module.table, module.weights = table, weights

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.string, "tokens")])
    def serve(tokens):
        ids = tf.where(tf.equal(tokens, ""), 0, table.lookup(tokens))
        return {"out": tf.gather(weights, ids)}

    tf.saved_model.save(module, str(place / "model"), signatures={"serving_default": serve})
    return place / "model", stock(place / "model", place / "tfjs")


def test_wrong_ids_without_an_error_are_found_at_their_op(table_in_graph):
    """On wasm the comparison with '' is wrong, and nothing throws."""
    model, graph = table_in_graph
    one = graph / "one.json"
    one.write_text(json.dumps({"tokens": [["[CLS]", "你", "好", "xyzzy", ""]]}), encoding="utf-8")
    code, result = bisect(graph, model, "--inputs", str(one))
    assert (code, result["op"], result["check"]) == (1, "Equal", "values")
    code, result = bisect(graph, model)
    assert code == 1
    assert result["op"] in ("Equal", "LookupTableFindV2")
    code, result = bisect(graph, model, "--backend", "cpu")
    assert (code, result["op"]) == (1, "LookupTableFindV2"), "a batch of two comes back flat"


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """Returns a model of ids and its stock conversion."""
    from export.architectures import encoder

    place = tmp_path_factory.mktemp("named")
    encoder.save_encoder(encoder.seeded_encoder(config(), "e", 1), place / "model")
    return place / "model", stock(place / "model", place / "tfjs")


def test_a_good_conversion_passes(named):
    model, graph = named
    code, result = bisect(graph, model, "--backend", "cpu")
    assert (code, result["verdict"]) == (0, "pass")
    assert result["compared"] > 50


def damaged(graph: Path, out: Path, change) -> Path:
    out.mkdir()
    for file in graph.iterdir():
        (out / file.name).write_bytes(file.read_bytes())
    document = json.loads((out / "model.json").read_text(encoding="utf-8"))
    change({node["name"]: node for node in document["modelTopology"]["node"]})
    (out / "model.json").write_text(json.dumps(document), encoding="utf-8")
    return out


def test_a_damaged_op_is_named(named, tmp_path):
    model, graph = named
    name = "StatefulPartitionedCall/e/layer_1/self/Softmax"

    def change(nodes):
        (softmax,) = (n for n in nodes if n.endswith("layer_1/self/Softmax"))
        nodes[softmax]["op"] = "LogSoftmax"
        nonlocal name
        name = softmax

    code, result = bisect(damaged(graph, tmp_path / "g", change), model, "--backend", "cpu")
    assert (code, result["node"], result["op"]) == (1, name, "LogSoftmax")
    assert result["inputs"]
    assert set(result["inputs"].values()) <= {"equal", "not compared"}


def test_an_op_that_tfjs_lacks_is_found_at_its_node(named, tmp_path):
    model, graph = named

    def change(nodes):
        name = next(n for n in nodes if n.endswith("layer_0/self/Softmax"))
        nodes[name]["op"] = "Erfc"

    code, result = bisect(damaged(graph, tmp_path / "g", change), model)
    assert (code, result["op"], result["check"]) == (1, "Erfc", "throws")
    assert "Erfc" in result["message"]


def test_a_missing_model_is_a_user_error(named, tmp_path):
    command = [sys.executable, "-m", "parity_tests.bisect", "--graph-model", str(tmp_path)]
    done = subprocess.run(
        [*command, "--model", str(named[0])], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path} holds no TF.js GraphModel")
