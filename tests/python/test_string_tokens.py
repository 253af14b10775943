"""Models that take token strings: their lookup is cut away, and ids give what the strings gave."""

import json
import subprocess
import sys

import numpy as np
import pytest

from parity_tests.runners.runners import find_node
from support.errors import UserError
from support.quiet_tensorflow import tensorflow
from tests.python.conftest import ROOT
from tests.python.graphs import source_of

tf, _ = tensorflow()
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "你", "好"]
STRINGS = tf.TensorSpec([None, None], tf.string, "args_0")
TABLE = tf.Variable(np.random.default_rng(0).normal(size=(len(TOKENS), 3)).astype(np.float32))


def lookup(entries, default):
    keys, values = list(entries), [entries[key] for key in entries]
    init = tf.lookup.KeyValueTensorInitializer(keys, tf.constant(values, tf.int64))
    return tf.lookup.StaticHashTable(init, default)


def plain_table():
    return lookup({token: i for i, token in enumerate(TOKENS)}, 1)


def cut(function, held):
    """Cuts the lookup away; returns what was found, the frozen graph and the function."""
    from export.graph import graph
    from export.graph.string_tokens import replace_strings_by_ids, takes_strings

    source, plain = source_of(function, [TABLE, *held], STRINGS)
    parts = graph.inline_calls(source)
    assert takes_strings(parts)
    found = replace_strings_by_ids(parts)
    return found, graph.freeze(source, found.parts), plain


ROWS = [["[CLS]", "你", "好", "[SEP]", ""], ["[CLS]", "a", "[SEP]", "", ""]]


def feeds_of(frozen):
    ids = np.array([[TOKENS.index(t or "[PAD]") for t in row] for row in ROWS], np.int32)
    mask = np.array([[int(bool(t)) for t in row] for row in ROWS], np.int32)
    given = {"input_ids": ids, "attention_mask": mask}
    return {endpoint.name: given[endpoint.name] for endpoint in frozen.inputs}


def assert_same(frozen, plain):
    got = frozen.run(feeds_of(frozen))
    for name, value in plain(tf.constant(ROWS)).items():
        np.testing.assert_allclose(got[name], value.numpy(), rtol=1e-6)


def attended(table, tokens):
    """'' looked up like [PAD], every position attended to, rows cut."""
    tokens = tokens[:, :512]
    ids = tf.where(tf.equal(tokens, ""), tf.constant(0, tf.int64), table.lookup(tokens))
    mask = tf.ones(tf.shape(tokens))
    x = tf.gather(TABLE, ids)
    return {"sequence_output": x * tf.reduce_sum(mask, 1)[:, None, None], "third": x + 1.0}


def test_padding_that_is_attended_to():
    table = plain_table()
    found, frozen, plain = cut(lambda tokens: attended(table, tokens), [table])
    assert found.tokens == [token.encode() for token in TOKENS]
    assert found.padding == "attended"
    assert [e.name for e in frozen.inputs] == ["input_ids"]
    assert sorted(e.name for e in frozen.outputs) == ["sequence_output", "third"]
    assert_same(frozen, plain)


def test_padding_that_the_table_marks_is_masked():
    table = lookup({token: i for i, token in enumerate(TOKENS)} | {"": -1}, 1)

    def masked(tokens):
        found = table.lookup(tokens)
        mask = tf.cast(found >= 0, tf.float32)
        x = tf.gather(TABLE, tf.abs(found))
        return {"sequence_output": x * mask[:, :, None]}

    found, frozen, plain = cut(masked, [table])
    assert found.padding == "masked"
    assert found.tokens == [token.encode() for token in TOKENS]
    assert sorted(e.name for e in frozen.inputs) == ["attention_mask", "input_ids"]
    assert_same(frozen, plain)


def test_a_table_with_buckets_for_unknown_tokens():
    init = tf.lookup.KeyValueTensorInitializer(TOKENS, tf.range(len(TOKENS), dtype=tf.int64))
    table = tf.lookup.StaticVocabularyTable(init, 1)

    def bucketed(tokens):
        ids = table.lookup(tf.where(tokens == "", "[PAD]", tokens))
        return {"sequence_output": tf.gather(TABLE, tf.minimum(ids, len(TOKENS) - 1))}

    with pytest.raises(UserError, match="token strings for more than looking ids up: "):
        cut(bucketed, [table])
    _, frozen, plain = cut(
        lambda tokens: {
            "sequence_output": tf.gather(
                TABLE, tf.where(tokens == "", tf.constant(0, tf.int64), table.lookup(tokens))
            )
        },
        [table],
    )
    assert_same(frozen, plain)


def test_strings_that_are_used_otherwise_are_refused_by_name():
    table = plain_table()

    def measured(tokens):
        x = tf.gather(TABLE, table.lookup(tokens))
        return {"out": x * tf.cast(tf.strings.length(tokens), tf.float32)[:, :, None]}

    with pytest.raises(UserError, match=r"more than looking ids up: StringLength \("):
        cut(measured, [table])


def test_a_model_without_a_table_or_with_two():
    one, two = plain_table(), lookup({"a": 0, "b": 1}, 0)
    with pytest.raises(UserError, match="0 lookup tables of tokens were found"):
        cut(lambda tokens: {"out": tf.strings.to_number(tokens)}, [])
    with pytest.raises(UserError, match="2 lookup tables of tokens were found"):
        cut(lambda tokens: {"out": one.lookup(tokens) + two.lookup(tokens)}, [one, two])


def test_a_table_without_padding_or_with_gaps():
    without = lookup({token: i for i, token in enumerate(TOKENS[1:])}, 0)
    with pytest.raises(UserError, match=r"has no \[PAD\]"):
        cut(lambda tokens: {"out": tf.gather(TABLE, without.lookup(tokens))}, [without])
    gaps = lookup({"[PAD]": 0, "a": 2}, 0)
    with pytest.raises(UserError, match="ids with gaps"):
        cut(lambda tokens: {"out": tf.gather(TABLE, gaps.lookup(tokens))}, [gaps])


@pytest.mark.parametrize(("outputs", "pooler"), [(3, False), (4, True)])
def test_the_whole_way_to_node(tmp_path, embedded, outputs, pooler):
    """Exported without a vocab file: the model brings its own. Node gives what Python gave."""
    from export.architectures import encoder
    from export.architectures.string_tokens import save_string_tokens
    from export.encoder_config import EncoderConfig
    from export.tokenizer import read_vocab

    vocab = read_vocab(embedded.vocab, print)
    sizes = (len(vocab.tokens), 2, 32, 4, 64, 32)
    config = EncoderConfig("bert", *sizes, activation="gelu_erf", saved_pooler=pooler)
    model, bundle = tmp_path / "model", tmp_path / "bundle"
    save_string_tokens(encoder.seeded_encoder(config, "toy", 1), vocab, model, outputs)
    command = [sys.executable, "-m", "export", "model", model, "--tokenizer", "bert"]
    export = [*command, "--out", bundle, "--with-saved-model"]
    exported = subprocess.run(export, cwd=ROOT, check=True, capture_output=True, text=True)
    assert "its SavedModel is left out: it takes token strings" in exported.stderr
    assert not (bundle / "saved_model").exists()
    assert (bundle / "vocab.txt").read_text("utf-8").split("\n")[:-1] == vocab.tokens
    contract = json.loads((bundle / "bundle.json").read_text("utf-8"))
    assert contract["padding"] == "attended"
    names = ["embedding_output", "mlm_logits", "pooled_output", "sequence_output"]
    expected = [names[0], names[3]] if outputs == 3 else names
    assert [spec["name"] for spec in contract["outputs"]] == expected
    verify = [find_node(), ROOT / "node_bridge" / "verify.js", "--bundle", bundle, "--json"]
    # Of fewer texts too, which are as wide as all: the model attends to their padding.
    for texts in ([], ["--texts", "1"], ["--texts", "3"]):
        done = subprocess.run([*verify, *texts], capture_output=True, check=False)
        answer = json.loads(done.stdout)
        assert answer["passed"] and len(answer["checks"]) == 1 + len(expected)

    other = tmp_path / "vocab.txt"
    swapped = [*vocab.tokens[:-2], vocab.tokens[-1], vocab.tokens[-2]]
    other.write_text("".join(f"{token}\n" for token in swapped), "utf-8")
    arguments = [*command, "--vocab", other, "--out", tmp_path / "no"]
    refused = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert f"in line {len(swapped) - 1}, the model has" in refused.stderr
