"""Models that take token strings: with the lookup replaced, ids give the same results."""

import json
import subprocess
import sys

import numpy as np
import pytest

from support.errors import UserError
from support.node import find_node
from support.quiet_tensorflow import tensorflow
from tests.python.conftest import ROOT
from tests.python.graphs import save_and_load

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


def replace_lookup(function, variables):
    """Replaces the lookup; returns the result, the frozen graph and the function."""
    from export.graph import graph
    from export.graph.string_tokens import replace_strings_by_ids, takes_strings

    source, plain = save_and_load(function, [TABLE, *variables], STRINGS)
    parts = graph.inline_calls(source)
    assert takes_strings(parts)
    found = replace_strings_by_ids(parts)
    return found, graph.freeze(source, found.parts), plain


ROWS = [["[CLS]", "你", "好", "[SEP]", ""], ["[CLS]", "a", "[SEP]", "", ""]]


def feeds_of(frozen):
    ids = np.array([[TOKENS.index(t or "[PAD]") for t in row] for row in ROWS], np.int32)
    mask = np.array([[int(bool(t)) for t in row] for row in ROWS], np.int32)
    feeds = {"input_ids": ids, "attention_mask": mask}
    return {endpoint.name: feeds[endpoint.name] for endpoint in frozen.inputs}


def assert_same(frozen, plain):
    got = frozen.run(feeds_of(frozen))
    for name, value in plain(tf.constant(ROWS)).items():
        np.testing.assert_allclose(got[name], value.numpy(), rtol=1e-6)


def model_that_attends_to_padding(table, tokens):
    """Looks '' up like [PAD], attends to every position, and cuts rows."""
    tokens = tokens[:, :512]
    ids = tf.where(tf.equal(tokens, ""), tf.constant(0, tf.int64), table.lookup(tokens))
    mask = tf.ones(tf.shape(tokens))
    x = tf.gather(TABLE, ids)
    return {"sequence_output": x * tf.reduce_sum(mask, 1)[:, None, None], "third": x + 1.0}


def test_a_model_of_token_strings_without_a_mask_attends_to_padding():
    table = plain_table()
    found, frozen, plain = replace_lookup(
        lambda tokens: model_that_attends_to_padding(table, tokens), [table]
    )
    assert found.tokens == [token.encode() for token in TOKENS]
    assert found.padding == "attended"
    assert [e.name for e in frozen.inputs] == ["input_ids"]
    assert sorted(e.name for e in frozen.outputs) == ["sequence_output", "third"]
    assert_same(frozen, plain)


def test_a_model_of_token_strings_with_a_mask_ignores_padding():
    table = lookup({token: i for i, token in enumerate(TOKENS)} | {"": -1}, 1)

    def masked(tokens):
        found = table.lookup(tokens)
        mask = tf.cast(found >= 0, tf.float32)
        x = tf.gather(TABLE, tf.abs(found))
        return {"sequence_output": x * mask[:, :, None]}

    found, frozen, plain = replace_lookup(masked, [table])
    assert found.padding == "masked"
    assert found.tokens == [token.encode() for token in TOKENS]
    assert sorted(e.name for e in frozen.inputs) == ["attention_mask", "input_ids"]
    assert_same(frozen, plain)


def test_a_table_with_buckets_for_unknown_tokens_is_accepted():
    init = tf.lookup.KeyValueTensorInitializer(TOKENS, tf.range(len(TOKENS), dtype=tf.int64))
    table = tf.lookup.StaticVocabularyTable(init, 1)

    def bucketed(tokens):
        ids = table.lookup(tf.where(tokens == "", "[PAD]", tokens))
        return {"sequence_output": tf.gather(TABLE, tf.minimum(ids, len(TOKENS) - 1))}

    with pytest.raises(UserError, match="token strings for more than looking ids up: "):
        replace_lookup(bucketed, [table])
    _, frozen, plain = replace_lookup(
        lambda tokens: {
            "sequence_output": tf.gather(
                TABLE, tf.where(tokens == "", tf.constant(0, tf.int64), table.lookup(tokens))
            )
        },
        [table],
    )
    assert_same(frozen, plain)


def test_ops_that_read_the_token_strings_are_refused_by_name():
    table = plain_table()

    def measured(tokens):
        x = tf.gather(TABLE, table.lookup(tokens))
        return {"out": x * tf.cast(tf.strings.length(tokens), tf.float32)[:, :, None]}

    with pytest.raises(UserError, match=r"more than looking ids up: StringLength \("):
        replace_lookup(measured, [table])


def test_model_without_a_table_or_with_two_is_refused():
    one, two = plain_table(), lookup({"a": 0, "b": 1}, 0)
    with pytest.raises(UserError, match="0 lookup tables of tokens were found"):
        replace_lookup(lambda tokens: {"out": tf.strings.to_number(tokens)}, [])
    with pytest.raises(UserError, match="2 lookup tables of tokens were found"):
        replace_lookup(lambda tokens: {"out": one.lookup(tokens) + two.lookup(tokens)}, [one, two])


def test_table_without_padding_or_with_gaps_is_refused():
    without = lookup({token: i for i, token in enumerate(TOKENS[1:])}, 0)
    with pytest.raises(UserError, match=r"has no \[PAD\]"):
        replace_lookup(lambda tokens: {"out": tf.gather(TABLE, without.lookup(tokens))}, [without])
    gaps = lookup({"[PAD]": 0, "a": 2}, 0)
    with pytest.raises(UserError, match="ids with gaps"):
        replace_lookup(lambda tokens: {"out": tf.gather(TABLE, gaps.lookup(tokens))}, [gaps])


@pytest.mark.parametrize(("outputs", "pooler"), [(3, False), (4, True)])
def test_outputs_in_node_equal_python(tmp_path, embedded, outputs, pooler):
    """Exports without a vocab file: the model has its own. Node computes the same as Python."""
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
    # Fewer texts must have the same width: the model attends to their padding.
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
