"""Python's model runner: the role of each input, and the inputs that a signature gets."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.tokenizer import read_vocab
from export.tokenizer.hub_tokenizer import read_table as entries_for_export
from parity_tests.cases import TextCase
from parity_tests.runners.lookup_table import main as table_vocab
from parity_tests.runners.lookup_table import read_table_entries
from parity_tests.runners.python_tokenizer import ClassTokenizer, PythonTokenizer
from parity_tests.runners.source import SourceModel, assign_roles, choose_signature
from parity_tests.runners.tokenizer_source import TokenizerSource
from parity_tests.runners.variants import measure_movement, unclaimed_reasons
from support.errors import UserError
from support.quiet_tensorflow import tensorflow

tf, _ = tensorflow()
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "你", "好", "书", "很"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PythonTokenizer:
    from export.tokenizer import TokenizerSpec

    file = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    file.write_text("".join(f"{token}\n" for token in TOKENS), "utf-8", newline="\n")
    vocab = read_vocab(file, lambda line: None)
    return ClassTokenizer(TokenizerSource(vocab=file, spec=TokenizerSpec("bert")), vocab)


def model(function: Any, *specs: Any, **attributes: Any) -> Any:
    """Saves and loads a module with one signature; `attributes` become attributes of it."""
    module = tf.Module()
    for name, value in attributes.items():
        setattr(module, name, value)
    module.serve = tf.function(function, input_signature=list(specs))
    with tempfile.TemporaryDirectory() as place:
        tf.saved_model.save(module, place, signatures={"serving_default": module.serve})
        return tf.saved_model.load(place)


def spec(name: str, dtype: Any = tf.int32, shape: Any = (None, None)) -> Any:
    return tf.TensorSpec(shape, dtype, name)


@pytest.mark.parametrize(
    ("names", "recorded", "expected"),
    [
        (["ids"], {}, {"input_ids": "ids"}),
        (["padding_mask", "token_ids"], {}, {"attention_mask": "padding_mask"}),
        (
            ["Input-Token", "Input-Segment"],
            {},
            {"input_ids": "Input-Token", "token_type_ids": "Input-Segment"},
        ),
        (
            ["args_0", "args_0_1"],
            {"args_0": "attention_mask", "args_0_1": "input_ids"},
            {"input_ids": "args_0_1", "attention_mask": "args_0"},
        ),
        # The names count where the contract disagrees.
        (
            ["input_ids", "input_mask"],
            {"input_ids": "attention_mask", "input_mask": "input_ids"},
            {"input_ids": "input_ids", "attention_mask": "input_mask"},
        ),
    ],
)
def test_roles_come_from_names_or_from_the_contract(
    names: list[str], recorded: dict[str, str], expected: dict[str, str]
) -> None:
    assert assign_roles(names, recorded).items() >= expected.items()


@pytest.mark.parametrize("names", [["args_0", "args_0_1"], ["mask"], []])
def test_ambiguous_inputs_are_refused(names: list[str]) -> None:
    with pytest.raises(UserError, match="the model's inputs are"):
        assign_roles(names, {})


def test_the_recorded_signature_has_priority() -> None:
    module = tf.Module()
    module.signatures = {"a": 1, "serving_default": 2}
    assert (choose_signature(module, "a"), choose_signature(module, None)) == (1, 2)
    module.signatures = {"encode": 3}
    assert choose_signature(module, None) == 3
    module.signatures = {"a": 1, "b": 2}
    with pytest.raises(UserError, match="the signatures a, b, expected serving_default"):
        choose_signature(module, None)


def test_inputs_are_cast_to_the_dtypes_of_the_signature(tokenizer: PythonTokenizer) -> None:
    def serve(ids: Any, mask: Any, types: Any) -> dict[str, Any]:
        shown = tf.where(mask, tf.cast(ids, tf.float64), -1.0)
        return {"half": tf.cast(shown + tf.cast(types, tf.float64), tf.float16), "ids": ids}

    specs = (spec("ids", tf.int64), spec("mask", tf.bool), spec("types", tf.float32))
    source = SourceModel(model(serve, *specs), tokenizer)
    batch = source.batch(source.encode([TextCase(0, 0, "你", "好书"), TextCase(1, 0, "")], True))
    got = source.run(batch)
    assert batch["input_ids"].tolist() == [[2, 5, 3, 6, 7, 3], [2, 3, 0, 0, 0, 0]]
    assert got["half"].tolist() == [[2, 5, 3, 7, 8, 4], [2, 3, -1, -1, -1, -1]]
    assert {name: value.dtype.name for name, value in got.items()} == {
        "half": "float32",
        "ids": "int32",
    }


def test_texts_are_padded_and_cut_to_a_fixed_length(tokenizer: PythonTokenizer) -> None:
    specs = (spec("ids", shape=(1, 4)), spec("mask", shape=(1, 4)))
    source = SourceModel(model(lambda ids, mask: {"out": ids * mask}, *specs), tokenizer)
    assert (source.positions, source.length, source.rows) == (4, 4, 1)
    batch = source.batch(source.encode([TextCase(0, 0, "你好书很"), TextCase(1, 0, "书")], True))
    assert batch["input_ids"].tolist() == [[2, 5, 6, 3], [2, 7, 3, 0]]
    assert source.run(batch)["out"].tolist() == batch["input_ids"].tolist()
    facts = source.facts()
    assert facts["outputs"] == {"out": ["int32", [1, 4]]}
    assert set(unclaimed_reasons(facts)) == {"padded", "types"}


def test_a_fixed_batch_size_is_kept(tokenizer: PythonTokenizer) -> None:
    """Three rows in batches of two: the last batch is padded, and the extra row is dropped."""

    def serve(ids: Any) -> dict[str, Any]:
        return {"out": ids + tf.reduce_sum(tf.ones_like(ids[:, 0]))}

    source = SourceModel(model(serve, spec("ids", shape=(2, None))), tokenizer)
    batch = source.batch(
        source.encode([TextCase(i, 0, text) for i, text in enumerate("你好书")], False)
    )
    rows = source.run(batch)["out"][:, 0].tolist()
    assert rows == [5 + 2, 6 + 2, 7 + 2]


def test_ids_beyond_the_model_are_a_user_error(
    tokenizer: PythonTokenizer,
) -> None:
    words = tf.Variable(tf.zeros([6, 2]))
    small = model(lambda ids: {"out": tf.gather(words, ids)}, spec("ids"), words=words)
    source = SourceModel(small, tokenizer)
    batch = source.batch(source.encode([TextCase(0, 0, "书")], False))
    with pytest.raises(UserError, match="does not take what its tokenizer gives"):
        source.run(batch)


@pytest.mark.parametrize(
    ("entries", "padding", "inputs"),
    [
        ({"": -1}, "masked", {"input_ids", "attention_mask"}),
        ({"": 0}, "attended", {"input_ids"}),
        ({}, "attended", {"input_ids"}),
    ],
)
def test_a_model_of_token_strings_gets_strings(
    tokenizer: PythonTokenizer, entries: dict[str, int], padding: str, inputs: set[str]
) -> None:
    known = {token: i for i, token in enumerate(TOKENS)} | entries
    pairs = tf.lookup.KeyValueTensorInitializer(list(known), [*known.values()], tf.string, tf.int64)
    table = tf.lookup.StaticHashTable(pairs, 1)
    strings = model(
        lambda args_0: {"ids": table.lookup(args_0), "text": tf.strings.length(args_0)},
        spec("args_0", tf.string),
        table=table,
    )
    source = SourceModel(strings, tokenizer)
    assert (source.padding, source.roles) == (padding, inputs)
    batch = source.batch(source.encode([TextCase(0, 0, "你好"), TextCase(1, 0, "书")], True))
    got = source.run(batch)
    assert got["ids"][0].tolist() == [2, 5, 6, 3]
    assert got["text"].tolist() == [[5, 3, 3, 5], [5, 3, 5, 0]], "'' stands for padding"
    assert batch["attention_mask"].tolist()[1] == [1, 1, 1, int(padding == "attended")]


def test_tables_of_both_dtypes_are_read_by_exporter_and_judge() -> None:
    """TensorFlow aborts the process where a table of int32 is exported as int64."""
    for dtype in (tf.int32, tf.int64):
        entries = tf.lookup.KeyValueTensorInitializer(["a", "b"], [0, 1], tf.string, dtype)
        handle = tf.lookup.StaticHashTable(entries, 1).resource_handle
        assert read_table_entries(handle) == {"a": 0, "b": 1}
        assert entries_for_export(handle) == {b"a": 0, b"b": 1}
    numbers = tf.lookup.KeyValueTensorInitializer([3], [0], tf.int64, tf.int64)
    assert read_table_entries(tf.lookup.StaticHashTable(numbers, 1).resource_handle) is None


def test_the_vocab_of_a_lookup_table_is_written_in_the_order_of_its_ids(tmp_path: Path) -> None:
    known = {token: i for i, token in enumerate(TOKENS)} | {"": -1}
    pairs = tf.lookup.KeyValueTensorInitializer(list(known), [*known.values()], tf.string, tf.int32)
    module = tf.Module()
    module.table = tf.lookup.StaticHashTable(pairs, 1)
    module.serve = tf.function(
        lambda args_0: {"ids": module.table.lookup(args_0)},
        input_signature=[spec("args_0", tf.string)],
    )
    place = tmp_path / "model"
    tf.saved_model.save(module, str(place), signatures={"serving_default": module.serve})
    out = tmp_path / "vocab.txt"
    assert table_vocab([str(place), str(out)]) == 0
    assert out.read_text(encoding="utf-8").splitlines() == TOKENS


def test_a_model_that_reads_its_padding_does_not_promise_padding_invariance() -> None:
    """The model sums by hand over all positions, or over those that the mask shows."""
    ids = np.array([[1, 2], [3, 0]], np.int32)
    mask = np.array([[1, 1], [1, 0]], np.int32)
    batch = {"input_ids": ids, "attention_mask": mask, "token_type_ids": mask * 0}

    def whole(batch: dict[str, Any]) -> dict[str, Any]:
        return {"sum": batch["input_ids"].sum(axis=1, keepdims=True).astype(np.float32)}

    def shown(batch: dict[str, Any]) -> dict[str, Any]:
        return whole(batch | {"input_ids": batch["input_ids"] * batch["attention_mask"]})

    assert measure_movement(whole, batch, 10) == {
        "reordered": 0,
        "masked": 1,
        "padded": 0,
        "alone": 0,
    }
    assert measure_movement(shown, batch, 10) == {
        "reordered": 0,
        "masked": 0,
        "padded": 0,
        "alone": 0,
    }
    assert measure_movement(shown, batch, 3)["padded"] == 0
    assert "padded" not in measure_movement(shown, batch, 2)
    assert "padded" not in measure_movement(shown, batch, None)


@pytest.mark.parametrize("name", ["position_embeddings", "table"])
@pytest.mark.parametrize("length", [None, 6])
def test_positions_are_limited_to_what_the_model_runs(
    length: int | None, name: str, tokenizer: PythonTokenizer
) -> None:
    """The exporter guesses the positions by the same name. Only the runs show that they are right.

    So the same number must be found where the name says nothing.
    """
    # A table of 8 rows, whose row 0 is for padding, takes texts of 7.
    table = tf.Variable(np.ones((8, 2), np.float32), name=name)

    def counted(input_ids: Any) -> Any:
        shown = tf.cast(input_ids != 0, tf.int32)
        return {"sequence_output": tf.gather(table, tf.cumsum(shown, axis=1) * shown)}

    loaded = model(counted, spec("input_ids", shape=(None, length)), table=table)
    assert SourceModel(loaded, tokenizer).positions == (length or 7)
