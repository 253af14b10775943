"""Parity of other people's models, with their own vocab and tokenizer class, without the demo's.

Small checkpoints as Hugging Face and Google write them go through `build`, `model` and parity. The
reference is made from the user's own files; a bundle with a changed vocab line or the other case
option must fail at the tokens.
"""

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.__main__ import main as export
from parity_tests import __main__ as command
from parity_tests import cases
from parity_tests.judgement import judge_bundle
from parity_tests.provenance import Contract
from parity_tests.reference import Reference, prepare_reference
from parity_tests.reports.report import ParityReport
from parity_tests.runners import tokenizer_source
from support.quiet_tensorflow import tensorflow
from tests.python import publishers
from tests.python.resealing import edit_json, replace_line, reseal

tf, _ = tensorflow()
CHINESE = "这本书很好不的是了我一般推荐房间干净服务热情在京東臺灣，。！？（）…①㈱é"
TOKENS = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *map(chr, range(33, 127)),
    *(f"##{chr(c)}" for c in (*range(97, 123), *range(65, 91))),
    *CHINESE,
    *("Apple", "apple", "iPhone", "iphone"),
]
TEXTS = (
    "这本书很好，值得推荐！",
    "Apple iPhone é 很好",
    "ＡＢＣ１２３：房间干净…①㈱",
    "在京東，服务热情。Café 不好？",
    "apple 书",
    "一般",
    "我的房间（不好）是 iPhone 的" * 4,
    "The room was OK, 很干净。" * 6,
)
BACKENDS = {"wasm": 8}


@dataclass(frozen=True)
class Person:
    """A user's files, and the options with which they export and judge them."""

    model: Path
    bundle: Path
    options: tuple[str, ...]
    other_case: str


def checkpoint(place: Path, family: str, form: str, facts: dict[str, Any] | None) -> Path:
    """Writes a checkpoint with a vocab and, in Hugging Face's form, its tokenizer's case."""
    made = publishers.publisher(family, form, positions=64)
    made.config |= {"vocab_size": len(TOKENS)} | ({"layer_norm_eps": 1e-12} if form == "hf" else {})
    made.arrays.clear()
    publishers.add_random_arrays(made, np.random.default_rng(7))
    made.write(place)
    (place / "vocab.txt").write_text("".join(f"{t}\n" for t in TOKENS), "utf-8", newline="\n")
    if facts is not None:
        (place / "tokenizer_config.json").write_text(json.dumps(facts))
    return place


def exported(model: Path, bundle: Path, *options: str) -> Path:
    assert export(["model", str(model), "--out", str(bundle), *options]) == 0
    return bundle


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def texts(place: Path) -> Path:
    file = place / "texts.jsonl"
    lines = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in TEXTS]
    file.write_text("".join(lines), encoding="utf-8")
    return file


@pytest.fixture(scope="module", params=["hugging_face_cased", "hugging_face_uncased", "google"])
def person(request: pytest.FixtureRequest, place: Path) -> Person:
    """Three users: one names nothing, one names the class, one names class and case."""
    name = request.param
    form = "tf1" if name == "google" else "hf"
    facts = {"tokenizer_class": "BertTokenizer", "do_lower_case": name != "hugging_face_cased"}
    family = "albert" if name == "google" else "bert"
    found = checkpoint(place / name, family, form, None if form == "tf1" else facts)
    model = place / f"{name}.model"
    assert export(["build", str(found), "--out", str(model)]) == 0
    options, other = {
        "hugging_face_cased": ((), "--uncased"),
        "hugging_face_uncased": (("--tokenizer", "tf-text"), "--cased"),
        "google": (("--tokenizer", "tf-text-fast", "--uncased"), "--cased"),
    }[name]
    bundle = exported(model, place / f"{name}.bundle", *options)
    return Person(model, bundle, options, other)


def reference_of(
    model: Path, bundle: Path, texts: Path, out: Path, *options: str
) -> tuple[Reference, tokenizer_source.TokenizerSource]:
    """Prepares the Python side as the command does."""
    contract = Contract.read(bundle)
    parsed = command.parse_options(list(options))
    source = tokenizer_source.choose_tokenizer(parsed, contract, model, out)
    file = out.with_suffix(".jsonl")
    pairs = contract.has_input("token_type_ids")
    cases.write_cases(file, cases.pick_cases(cases.read_texts(texts), 8, pairs=pairs))
    return prepare_reference(model, source, file, out, bundle / "bundle.json"), source


@pytest.fixture(scope="module")
def reference(person: Person, texts: Path) -> Reference:
    out = person.bundle.with_suffix(".reference")
    options = list(person.options)
    if not options:
        # Of the class `bert`, whose package loads quickly.
        options = ["--tokenizer-python", sys.executable]
    found, source = reference_of(person.model, person.bundle, texts, out, *options)
    assert source.vocab is not None and source.vocab.parent.parent == person.model
    return found


def judged(bundle: Path, reference: Reference, out: Path) -> ParityReport:
    return judge_bundle(bundle, reference, BACKENDS, out)


def statuses(result: ParityReport, stage: str) -> set[str]:
    """Returns the statuses of a stage, at least one."""
    found = {row.status for row in result.rows if row.stage == stage}
    assert found, f"the report has no row of {stage}"
    return found


def test_parity_holds_for_every_model(person: Person, reference: Reference, tmp_path: Path) -> None:
    result = judged(person.bundle, reference, tmp_path)
    assert (result.verdict, result.failures) == ("pass", [])
    assert {part.status for part in result.stored_parts.values()} == {"pass"}
    assert statuses(result, "tokens") == statuses(result, "ids") == {"pass"}
    pairs = [text for text in result.cases if text.pair is not None]
    assert len(pairs) == 5
    cut = reference.run.batches["added", 1]["attention_mask"].sum(axis=1)
    assert (cut == cases.PAIR_LENGTH).sum() == 3, "long pairs are cut"
    types = reference.run.batches["added", 1]["token_type_ids"]
    assert types.any(axis=1).all(), "each pair has a second type"


def test_an_altered_vocab_line_fails_at_the_tokens(
    person: Person, reference: Reference, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(person.bundle, tmp_path / "bundle"))
    replace_line(bundle / "vocab.txt", "好", "坏")
    reseal(bundle)
    result = judged(bundle, reference, tmp_path / "out")
    assert (result.verdict, result.first_stage_off) == ("drift", "vocab")
    assert statuses(result, "tokens") == {"drift"}


def test_the_other_case_option_fails_at_the_tokens(
    person: Person, reference: Reference, tmp_path: Path
) -> None:
    algorithm = json.loads((person.bundle / "bundle.json").read_text())["tokenizer"]["algorithm"]
    options = ("--tokenizer", algorithm, person.other_case)
    bundle = exported(person.model, tmp_path / "bundle", *options)
    result = judged(bundle, reference, tmp_path / "out")
    assert (result.verdict, result.first_stage_off) == ("drift", "contract")
    assert "tokenizer.options" in result.stored_parts["contract"].failures[0]
    assert statuses(result, "tokens") == {"drift"}


def whole(*arguments: object) -> int:
    """Runs the command on few texts; returns the exit code."""
    quick = ["--backends", "wasm:8", "--tokenizer-proof", "none"]
    return command.main([*map(str, arguments), *quick])


def test_the_command_takes_everything_from_its_options(
    place: Path, texts: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """An altered line in the named vocab fails too, and its repro folder prints both."""
    model, out = place / "hugging_face_cased.model", tmp_path / "out"
    if not model.exists():
        found = checkpoint(tmp_path / "hf", "bert", "hf", {"do_lower_case": False})
        model = tmp_path / "model"
        assert export(["build", str(found), "--out", str(model)]) == 0
    bundle = exported(model, tmp_path / "bundle", "--tokenizer", "bert")
    both = ("--bundle", bundle, "--model", model, "--texts", texts, "--out", out)
    assert whole(*both) == 0
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert report["source"]["tokenizer"]["model"] is None
    assert report["source"]["tokenizer"]["algorithm"] == "bert"
    assert report["source"]["tokenizer"]["options"]["lower_case"] is False
    assert report["source"]["tokenizer"]["vocab"] == str(model / "assets" / "vocab.txt")
    assert report["source"]["notes"] == []
    assert report["classifier"]["path"] is None
    assert "reference tokenizer: bert as the bundle says" in capfd.readouterr().out

    vocab = tmp_path / "vocab.txt"
    shutil.copy(model / "assets" / "vocab.txt", vocab)
    replace_line(vocab, "好", "坏")
    edit_json(
        bundle / "bundle.json", lambda c: c["provenance"].update(tokenizer={"tokenizers": "0.1"})
    )
    assert whole(*both, "--vocab", vocab) == 1
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert {row["status"] for row in report["rows"] if row["stage"] == "tokens"} == {"drift"}
    repro = json.loads((Path(report["repro"][0]) / "repro.json").read_text(encoding="utf-8"))
    assert repro["stage"] == "vocab" and "'坏'" in repro["message"]
    said = capfd.readouterr().err
    assert "note: the bundle's tokenizer is of tokenizers 0.1, the reference here of" in said


def test_a_vocab_of_another_size_is_refused(
    person: Person, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("".join(f"{token}\n" for token in TOKENS[:-1]), "utf-8", newline="\n")
    both = ("--bundle", person.bundle, "--model", person.model, "--out", tmp_path / "out")
    for option, value, message in (
        ("--vocab", vocab, f"has {len(TOKENS) - 1} lines, but"),
        ("--vocab", tmp_path / "none.txt", "is no file"),
        ("--tokenizer-python", tmp_path / "none", "expected a Python interpreter"),
        ("--tokenizer-model", tmp_path / "none", "no such file or directory"),
        ("--texts", tmp_path / "none.jsonl", "No such file or directory; give a JSON-lines file"),
    ):
        assert whole(*both, option, value) == 2
        said = capsys.readouterr().err.splitlines()
        errors = [line for line in said if not line.startswith("note: ")]
        assert len(errors) == 1 and errors[0].startswith("error: "), said
        assert message in errors[0]


def test_a_model_without_a_mask_has_no_padding_invariances(
    place: Path, texts: Path, tmp_path: Path
) -> None:
    """Without mask and types, no pairs are made, and their invariances are not tested."""
    module = tf.Module()
    drawn = np.random.default_rng(3)
    module.words = tf.Variable(drawn.normal(size=(len(TOKENS), 8)).astype("f4"), name="words")
    module.positions = tf.Variable(drawn.normal(size=(64, 8)).astype("f4"), name="position_table")

    def serve(input_word_ids: Any) -> dict[str, Any]:
        x = tf.gather(module.words, input_word_ids)
        x += module.positions[: tf.shape(input_word_ids)[1]]
        scores = tf.nn.softmax(tf.matmul(x, x, transpose_b=True))
        return {"last_hidden_state": tf.matmul(scores, x)}

    signature = [tf.TensorSpec([None, None], tf.int32, "input_word_ids")]
    module.serve = tf.function(serve, input_signature=signature)
    model = tmp_path / "model"
    tf.saved_model.save(module, str(model), signatures={"serving_default": module.serve})
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("".join(f"{token}\n" for token in TOKENS), "utf-8", newline="\n")
    options = ("--vocab", str(vocab), "--tokenizer", "bert", "--cased")
    bundle = exported(model, tmp_path / "bundle", *options)
    reference, _ = reference_of(model, bundle, texts, tmp_path / "reference", *options)
    result = judged(bundle, reference, tmp_path / "out")
    assert (result.verdict, result.failures) == ("pass", [])
    masks = {"padded", "masked", "alone", "masked_inside"}
    assert set(result.skipped_invariances) == masks | {"types"}
    claims = {row.comparison for row in result.rows if row.stage == "invariances"}
    assert claims == {"repeated", "tensors", "reordered", "reversed"}
    assert {text.pair for text in result.cases} == {None}


def test_weights_that_are_rounded_too_coarsely_fail_at_the_storage(
    place: Path, texts: Path, tmp_path: Path
) -> None:
    """One outlier makes the steps of uint8 as coarse as the other weights.

    Each weight is within half a step, the contract says uint8, and Node equals Python on the stored
    weights. So only the cost of the dtype is off. The outlier itself acts on no output: the
    embeddings have a 0 there.
    """
    module = tf.Module()
    drawn = np.random.default_rng(3)
    words, positions = (drawn.normal(size=(rows, 8)) for rows in (len(TOKENS), 64))
    words[:, 0] = positions[:, 0] = 0
    kernel = drawn.normal(size=(8, 8))
    kernel[0, 0] = 1000
    module.words = tf.Variable(words.astype("f4"), name="words")
    module.positions = tf.Variable(positions.astype("f4"), name="position_table")
    module.kernel = tf.Variable(kernel.astype("f4"), name="kernel")

    def serve(input_word_ids: Any) -> dict[str, Any]:
        x = tf.gather(module.words, input_word_ids)
        x += module.positions[: tf.shape(input_word_ids)[1]]
        return {"last_hidden_state": tf.tensordot(x, module.kernel, 1)}

    signature = [tf.TensorSpec([None, None], tf.int32, "input_word_ids")]
    module.serve = tf.function(serve, input_signature=signature)
    model = tmp_path / "model"
    tf.saved_model.save(module, str(model), signatures={"serving_default": module.serve})
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("".join(f"{token}\n" for token in TOKENS), "utf-8", newline="\n")
    options = ("--vocab", str(vocab), "--tokenizer", "bert", "--cased")
    bundle = exported(model, tmp_path / "bundle", *options, "--dtype", "uint8", "--force")
    reference, _ = reference_of(model, bundle, texts, tmp_path / "reference", *options)
    result = judged(bundle, reference, tmp_path / "out")
    assert (result.verdict, result.first_stage_off) == ("drift", "storage")
    assert [row.status for row in result.storage] == ["drift", "drift"]
    assert result.stored_parts["weights"].status == "pass"
    assert result.rows and {row.status for row in result.rows} == {"pass"}


def test_a_model_of_token_strings_is_compared_with_its_own_table(
    place: Path, texts: Path, tmp_path: Path
) -> None:
    found = checkpoint(tmp_path / "checkpoint", "bert", "tf1", None)
    model = tmp_path / "model"
    assert export(["build", str(found), "--contract", "tokens", "--out", str(model)]) == 0
    bundle = exported(model, tmp_path / "bundle", "--tokenizer", "chars")
    reference, source = reference_of(model, bundle, texts, tmp_path / "reference")
    assert reference.vocab == TOKENS
    result = judged(bundle, reference, tmp_path / "out")
    assert (result.verdict, result.failures) == ("pass", [])
    assert reference.run.facts is not None
    assert result.bundle.padding == reference.run.facts["padding"]
    assert "token types" in result.skipped_invariances["types"]


def test_a_keras_export_with_fixed_length_and_int64_inputs_passes(
    place: Path, tmp_path: Path
) -> None:
    """Keras 3's own `export`, with a list of outputs: Node and Python pad to its length."""
    import keras

    ids = keras.Input((24,), dtype="int64", name="token_ids")
    mask = keras.Input((24,), dtype="int64", name="padding_mask")
    x = keras.layers.Embedding(len(TOKENS), 16)(ids)
    shown = keras.layers.Lambda(lambda t: keras.ops.cast(t, "bool")[:, None, :])(mask)
    attended = keras.layers.MultiHeadAttention(2, 8)(x, x, attention_mask=shown)
    x = keras.layers.LayerNormalization(epsilon=1e-12)(x + attended)
    model = tmp_path / "model"
    keras.Model([ids, mask], [x, x[:, 0]]).export(model, verbose=False)
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("".join(f"{token}\n" for token in TOKENS), "utf-8", newline="\n")
    options = ("--vocab", str(vocab), "--tokenizer", "bert", "--cased")
    outputs = ("--output", "sequence_output=output_0", "--output", "pooled_output=output_1")
    bundle = exported(model, tmp_path / "bundle", *options, *outputs)

    # A file of pairs: they are compared as pairs although the model takes no types.
    rows = [{"sentence1": a, "sentence2": b} for a, b in zip(TEXTS, TEXTS[::-1], strict=True)]
    texts = tmp_path / "pairs.jsonl"
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    texts.write_text("".join(lines), encoding="utf-8")
    reference, _ = reference_of(model, bundle, texts, tmp_path / "reference", *options)
    result = judged(bundle, reference, tmp_path / "out")
    assert (result.verdict, result.failures) == ("pass", [])
    assert {part.status for part in result.stored_parts.values()} == {"pass"}
    assert set(result.skipped_invariances) >= {"padded", "types"}
    assert sum(text.pair is not None for text in result.cases) == len(rows)
    assert reference.run.batches["added", 0]["input_ids"].shape[1] == 24
    altered = Path(shutil.copytree(bundle, tmp_path / "altered"))
    replace_line(altered / "vocab.txt", "好", "坏")
    reseal(altered)
    assert statuses(judged(altered, reference, tmp_path / "out"), "tokens") == {"drift"}
