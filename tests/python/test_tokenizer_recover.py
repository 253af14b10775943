"""A hub tokenizer's vocab, algorithm and options are recovered, or it is refused."""

from itertools import islice

import pytest

from export.tokenizer import TokenizerSpec, recover, save_tokenizer_model
from export.tokenizer.texts import texts_from_alphabet
from export.tokenizer.vocab import SPECIAL_TOKENS
from parity_tests.tokenizer.material import vocab_from_lines
from support.errors import UserError
from support.quiet_tensorflow import tensorflow

LINES = [
    *SPECIAL_TOKENS.values(),
    "ab",
    "Ab",
    "##b",
    "é",
    "e",
    "a",
    "A",
    "##a",
    "你",
    "好",
    "，",
    ",",
]
VOCAB = vocab_from_lines([*LINES, "①", "1", "\u2028", "か", "##か", "\ue000", "z", "s", "-"])


@pytest.fixture(autouse=True)
def short_probe(monkeypatch):
    """Shortens the full probe, which takes half a minute; test_bundle's export runs all of it."""
    whole = recover.full_probe
    monkeypatch.setattr(recover, "full_probe", lambda vocab: islice(whole(vocab), 300))


def save_tokenizer(directory, tokenize, *resources):
    """Saves a tokenizer SavedModel of a function of string[texts]."""
    tf, _ = tensorflow()

    class Model(tf.Module):  # type: ignore[misc,name-defined]
        """Owns the resources of the function, so that they are saved."""

        def __init__(self):
            super().__init__()
            self.resources = list(resources)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def __call__(self, text):
            return tokenize(text)

    tf.saved_model.save(Model(), str(directory))
    return directory


def table():
    """Returns the vocab as a lookup table without a file."""
    tf, _ = tensorflow()
    keys = [token.encode() for token in VOCAB.tokens]
    values = tf.range(len(keys), dtype=tf.int64)
    init = tf.lookup.KeyValueTensorInitializer(tf.constant(keys), values)
    return tf.lookup.StaticVocabularyTable(init, 1)


def plain_tokenizer(lower_case):
    _, tf_text = tensorflow()
    lookup = table()
    tokenizer = tf_text.BertTokenizer(lookup, lower_case=lower_case)
    return lookup, lambda text: tokenizer.tokenize(text).merge_dims(1, 2)


def recover_from(directory, vocab=None):
    said: list[str] = []
    return recover.recover_tokenizer(directory, vocab, said.append)


@pytest.mark.parametrize("lower_case", [True, False])
def test_newest_contract_is_recovered(tmp_path, lower_case):
    save_tokenizer_model(VOCAB, tmp_path, lower_case)
    found = recover_from(tmp_path)
    assert found.spec == TokenizerSpec("tf-text", lower_case)
    assert (found.vocab.raw, found.vocab.tokens) == (VOCAB.raw, VOCAB.tokens)
    assert not found.adds_special_tokens


def test_table_without_a_file_and_added_special_tokens_are_recovered(tmp_path):
    tf, _ = tensorflow()
    lookup, encode = plain_tokenizer(lower_case=False)
    cls, sep = (VOCAB.special[role].id for role in ("cls", "sep"))

    def framed(text):
        ids = tf.cast(encode(text), tf.int32)
        ends = tf.fill([ids.nrows(), 1], 1)
        return {"input_word_ids": tf.concat([ends * cls, ids, ends * sep], 1).to_tensor(0)}

    found = recover_from(save_tokenizer(tmp_path, framed, lookup))
    assert found.spec == TokenizerSpec("tf-text", lower_case=False)
    assert found.vocab.tokens == VOCAB.tokens
    assert found.adds_special_tokens


@pytest.mark.parametrize("lower_case", [True, False])
def test_a_fast_tokenizer_is_recovered_only_with_its_vocab(tmp_path, lower_case):
    tf, tf_text = tensorflow()
    tokenizer = tf_text.FastBertTokenizer(
        [token.encode() for token in VOCAB.tokens],
        token_out_type=tf.int32,
        lower_case_nfd_strip_accents=lower_case,
    )
    directory = save_tokenizer(tmp_path, tokenizer.tokenize)
    with pytest.raises(UserError, match="no lookup table holds its vocab.*--vocab"):
        recover_from(directory)
    assert recover_from(directory, VOCAB).spec == TokenizerSpec("tf-text-fast", lower_case)
    swapped = list(VOCAB.tokens)
    swapped[-3:-1] = swapped[-2], swapped[-3]
    with pytest.raises(UserError, match="no known tokenizer.* → s"):
        recover_from(directory, vocab_from_lines(swapped))


def test_table_with_gaps_is_refused(tmp_path):
    tf, _ = tensorflow()

    def tokenize(text):
        folded = tf.strings.regex_replace(tf.strings.lower(text), r"[ \t\n\v\f\r]", "-")
        return lookup.lookup(tf.strings.unicode_split(folded, "UTF-8"))

    lowered = dict.fromkeys(token.lower().encode() for token in VOCAB.tokens)
    keys = list(lowered)
    ids = [[token.lower().encode() for token in VOCAB.tokens].index(key) for key in keys]
    init = tf.lookup.KeyValueTensorInitializer(keys, tf.constant(ids, tf.int64))
    lookup = tf.lookup.StaticHashTable(init, VOCAB.special["unk"].id)
    with pytest.raises(UserError, match="ids with gaps"):
        recover_from(save_tokenizer(tmp_path, tokenize, lookup))


def test_unknown_tokenizer_is_refused_with_examples(tmp_path):
    tf, _ = tensorflow()
    lookup, encode = plain_tokenizer(lower_case=True)

    def odd(text):
        return encode(tf.strings.regex_replace(text, "é", "好"))

    with pytest.raises(UserError, match="the nearest is tf-text.*'é' → 好") as caught:
        recover_from(save_tokenizer(tmp_path, odd, lookup))
    assert "\n" not in str(caught.value)


def test_model_that_cuts_texts_is_refused(tmp_path):
    lookup, encode = plain_tokenizer(lower_case=True)

    def cutting(text):
        return encode(text)[:, :64]

    with pytest.raises(UserError, match="cuts texts at 64 tokens"):
        recover_from(save_tokenizer(tmp_path, cutting, lookup))


def test_a_vocab_that_is_not_the_models_is_refused(tmp_path):
    save_tokenizer_model(VOCAB, tmp_path, lower_case=True)
    lines = [*VOCAB.tokens]
    lines[6] = "AB"
    with pytest.raises(UserError, match="got 'AB' in line 7, the model has 'Ab'"):
        recover_from(tmp_path, vocab_from_lines(lines))
    with pytest.raises(UserError, match="got 28 lines, the model has 26 tokens"):
        recover_from(tmp_path, vocab_from_lines([*VOCAB.tokens, "x", "y"]))


def test_model_that_is_no_tokenizer_is_refused(tmp_path):
    tf, _ = tensorflow()
    directory = save_tokenizer(tmp_path, lambda text: tf.strings.length(text))
    with pytest.raises(UserError, match=r"is no tokenizer.*got: int32\[1\]"):
        recover_from(directory)


def test_a_difference_that_only_the_full_probe_shows_is_found(tmp_path, monkeypatch):
    tf, _ = tensorflow()
    lookup, encode = plain_tokenizer(lower_case=True)

    def odd(text):
        return encode(tf.strings.regex_replace(text, "\U00013000", "好"))

    directory = save_tokenizer(tmp_path, odd, lookup)
    assert recover_from(directory).spec.algorithm == "tf-text"
    texts = [*texts_from_alphabet(["你", "a"], 50, 1), "\U00013000"]
    monkeypatch.setattr(recover, "full_probe", lambda vocab: iter(texts))
    with pytest.raises(UserError, match="no known tokenizer gives what it gives"):
        recover_from(directory)
