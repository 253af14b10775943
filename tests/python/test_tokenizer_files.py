"""The files for other programs: tokenizer.json, and the tokenizer as a hub SavedModel."""

import json
import shutil
import subprocess

import numpy as np
import pytest
from tokenizers import Tokenizer

from export.tokenizer import TokenizerSpec, make_reference, save_tokenizer_model, write_tokenizer
from export.tokenizer.texts import texts_from_alphabet
from export.tokenizer.vocab import SPECIAL_TOKENS
from parity_tests.tokenizer.material import make_random_vocab, vocab_from_lines
from support.node import find_node
from support.sha256 import path_sha256

VOCAB = vocab_from_lines(
    [*SPECIAL_TOKENS.values(), "a", "##b", "𠀀", "##𠀀", "你", "好", ",", "，"]
)
LIBRARY = """
import { readFileSync } from 'node:fs';
import { Tokenizer } from '@huggingface/tokenizers';
const [file, ...texts] = process.argv.slice(1);
const tokenizer = new Tokenizer(JSON.parse(readFileSync(file, 'utf8')), {});
const answers = texts.map((text) => tokenizer.encode(text, { add_special_tokens: false }).tokens);
console.log(JSON.stringify(answers));
"""


@pytest.mark.parametrize("seed", range(5))
def test_tokenizer_json_gives_the_same_ids_in_python(tmp_path, seed):
    vocab, alphabet = make_random_vocab(seed)
    spec = TokenizerSpec("bert", lower_case=bool(seed % 2))
    write_tokenizer(tmp_path, vocab, spec)
    loaded = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    texts = list(texts_from_alphabet(alphabet, 300, seed))
    ids = [encoding.ids for encoding in loaded.encode_batch(texts, add_special_tokens=False)]
    assert ids == make_reference(spec, vocab).encode(texts)


def test_hugging_face_s_javascript_differs_beyond_the_first_plane(tmp_path):
    """A known bug of @huggingface/tokenizers 0.2.0; this test fails when it is fixed."""
    spec = TokenizerSpec("bert")
    write_tokenizer(tmp_path, VOCAB, spec)
    texts = ["a你b，", "a𠀀b"]
    command = [find_node(), "--input-type=module", "-e", LIBRARY, str(tmp_path / "tokenizer.json")]
    done = subprocess.run([*command, *texts], capture_output=True, check=True)
    theirs = json.loads(done.stdout)
    rust = [[VOCAB.tokens[i] for i in row] for row in make_reference(spec, VOCAB).encode(texts)]
    assert theirs[0] == rust[0] == ["a", "你", "[UNK]", "，"]
    assert rust[1] == ["a", "𠀀", "[UNK]"]
    assert theirs[1] == ["a", "##𠀀", "##b"]


@pytest.mark.parametrize("algorithm", ["bert", "tf-text", "tf-text-fast", "chars"])
def test_equal_input_gives_equal_bytes(tmp_path, algorithm):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_tokenizer(tmp_path / name, VOCAB, TokenizerSpec(algorithm))
    assert path_sha256(tmp_path / "one") == path_sha256(tmp_path / "two")
    assert (tmp_path / "one" / "vocab.txt").read_bytes() == VOCAB.raw
    assert (tmp_path / "one" / "tokenizer.json").exists() == (algorithm == "bert")


def test_saved_model_has_the_newest_contract(tmp_path):
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  registers the ops

    save_tokenizer_model(VOCAB, tmp_path / "made", lower_case=True)
    shutil.move(tmp_path / "made", tmp_path / "moved")
    tokenizer = tf.saved_model.load(str(tmp_path / "moved"))
    you, good, comma = (VOCAB.tokens.index(t) for t in ("你", "好", ","))
    answer = tokenizer(["你好"])
    assert answer["input_ids"].numpy().tolist() == [[you, good]]
    answer = tokenizer(["你好，", "好", ""])
    expected = {
        "input_ids": [[you, good, comma], [good, 0, 0], [0, 0, 0]],
        "attention_mask": [[1, 1, 1], [1, 0, 0], [0, 0, 0]],
        "token_type_ids": [[0, 0, 0]] * 3,
    }
    assert {key: value.numpy().tolist() for key, value in answer.items()} == expected
    assert {value.dtype for value in answer.values()} == {tf.int32}
    served = tokenizer.signatures["serving_default"](text=tf.constant(["你好"]))
    np.testing.assert_array_equal(served["input_ids"], [[you, good]])
    assert (tmp_path / "moved" / "assets" / "vocab.txt").read_bytes() == VOCAB.raw


def test_two_saves_are_equal(tmp_path):
    """Runs in separate processes: TensorFlow numbers functions per process."""
    script = (
        "import sys; from pathlib import Path; from export.tokenizer import *; "
        "save_tokenizer_model(read_vocab(Path(sys.argv[1]), print), Path(sys.argv[2]), True)"
    )
    import sys

    vocab = tmp_path / "vocab.txt"
    vocab.write_bytes(VOCAB.raw)
    for name in ("one", "two"):
        arguments = [sys.executable, "-c", script, str(vocab), str(tmp_path / name)]
        subprocess.run(arguments, check=True, capture_output=True)
    assert path_sha256(tmp_path / "one") == path_sha256(tmp_path / "two")
