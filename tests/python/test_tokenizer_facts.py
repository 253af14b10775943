"""A model's own tokenizer files decide, or nothing does; transformers is the reference.

The expected values were measured with transformers 4.57.6 and 5.24.0 (AutoTokenizer on such
directories); both agree on every row here.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import BertWordPieceTokenizer, Tokenizer

from export.__main__ import main
from export.tokenizer import TokenizerSpec, facts, make_reference
from export.tokenizer.vocab import SPECIAL_TOKENS, parse_vocab
from export.tokenizer_choice import AskedTokenizer, TokenizerChoice, resolve_spec
from support.errors import UserError
from tests.python.publishers import VOCAB, publisher

LINES = [*SPECIAL_TOKENS.values(), "a", "A", "à", "À", "中", "文", "##文", "[unused1]"]
RAW = "".join(f"{line}\n" for line in LINES).encode()
BERT = {"tokenizer_class": "BertTokenizer"}
PLAIN = {"tokenizer_class": "PreTrainedTokenizerFast"}


def tokenizer_json(**options: Any) -> dict[str, Any]:
    """Returns a tokenizer.json as the package `tokenizers` writes it."""
    ids = {token: i for i, token in enumerate(LINES)}
    document: dict[str, Any] = json.loads(
        BertWordPieceTokenizer(ids, **({"strip_accents": None} | options)).to_str()
    )
    return document


def write_files(place: Path, vocab: bytes | None = RAW, **files: Any) -> Path:
    """Writes files to a directory, for example `tokenizer_config={...}`."""
    place.mkdir(exist_ok=True)
    if vocab is not None:
        (place / "vocab.txt").write_bytes(vocab)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (place / f"{name}.json").write_text(text, encoding="utf-8")
    return place


def read_folder_facts(place: Path) -> facts.TokenizerFacts:
    found = facts.read_folder(place)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("config", "stored", "expected", "why"),
    [
        ({"do_lower_case": False}, None, {"lower_case": False}, "says do_lower_case false"),
        ({"do_lower_case": True}, None, {}, "says do_lower_case true"),
        ({}, None, {}, "says nothing of do_lower_case, and transformers' default is true"),
        ({"do_lower_case": False}, {"lowercase": True}, {"lower_case": False}, "takes false"),
        ({"do_lower_case": True}, {"lowercase": False}, {}, "tokenizer.json says lowercase false"),
        (BERT, {"lowercase": False}, {}, "the package transformers takes true"),
        (PLAIN, {"lowercase": False}, {"lower_case": False}, "tokenizer.json says lowercase false"),
        (PLAIN | {"do_lower_case": True}, {"lowercase": False}, {"lower_case": False}, "lowercase"),
        (None, {"lowercase": False}, {"lower_case": False}, "would lower-case without one"),
        ({"strip_accents": False}, None, {"strip_accents": False}, ""),
        ({"do_lower_case": True}, {"strip_accents": False}, {}, "strip_accents false"),
        (BERT, {"handle_chinese_chars": False}, {}, "handle_chinese_chars false"),
        ({"tokenize_chinese_chars": False}, None, {"split_chinese": False}, ""),
        ({"tokenizer_class": "ElectraTokenizerFast"}, None, {}, "default is true"),
    ],
)
def test_tokenizer_is_read_from_the_files(
    tmp_path: Path,
    config: dict[str, Any] | None,
    stored: dict[str, Any] | None,
    expected: dict[str, Any],
    why: str,
) -> None:
    files: dict[str, Any] = {} if config is None else {"tokenizer_config": config}
    if stored is not None:
        files["tokenizer"] = tokenizer_json(**stored)
    found = read_folder_facts(write_files(tmp_path / "d", **files))
    assert found.problem == ""
    assert found.spec is not None
    assert found.spec.options == TokenizerSpec("bert", **expected).options
    assert why in found.why
    assert found.vocab == tmp_path / "d" / "vocab.txt"


def test_ids_are_those_of_the_file_itself(tmp_path: Path) -> None:
    """For a tokenizer.json of the class without a family, `tokenizers` itself is the reference."""
    document = tokenizer_json(lowercase=False, handle_chinese_chars=False)
    place = write_files(tmp_path / "d", tokenizer=document, tokenizer_config=PLAIN)
    spec = read_folder_facts(place).spec
    assert spec is not None
    theirs = Tokenizer.from_file(str(place / "tokenizer.json"))
    texts = ["A À à 中文", "[MASK]a", "a\u0301"]
    expected = [e.ids for e in theirs.encode_batch(texts, add_special_tokens=True)]
    ours = make_reference(spec, parse_vocab(RAW, "v"))
    assert ours.encode(texts, special_tokens=True) == expected


def test_a_vocab_alone_does_not_choose_a_tokenizer(tmp_path: Path) -> None:
    found = read_folder_facts(write_files(tmp_path / "d"))
    assert (found.spec, found.says_nothing) == (None, True)
    assert facts.read_folder(tmp_path) is None
    assert facts.read_facts(tmp_path / "no_model") is None


def changed_tokenizer_json(path: str, value: Any) -> dict[str, Any]:
    """Returns a tokenizer.json with one value replaced; a nested path is `a.b`."""
    document = tokenizer_json()
    *above, last = path.split(".")
    inner = document
    for key in above:
        inner = inner[key]
    inner[last] = value
    return {"tokenizer": document}


def config(**options: Any) -> dict[str, Any]:
    return {"tokenizer_config": options}


UNUSED = {"content": "[unused1]", "lstrip": False, "rstrip": False, "special": True}
STRIPPING = {"content": "[MASK]", "lstrip": True}
OTHER_VOCAB = {token: i for i, token in enumerate([*LINES[:5], "A", "a", *LINES[7:]])}


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (config(tokenizer_class="BertJapaneseTokenizer"), "tokenizer_class BertJapaneseTokenizer"),
        (config(tokenizer_class="RobertaTokenizerFast"), "tokenizer_class RobertaTokenizer"),
        (config(tokenizer_class="PreTrainedTokenizerFast"), "without a tokenizer.json"),
        (config(auto_map={"AutoTokenizer": ["x.Y", None]}), "code of its own"),
        (config(do_basic_tokenize=False), "do_basic_tokenize false"),
        (config(never_split=["x"]), "never_split x"),
        (config(truncation_side="left"), "truncation_side left"),
        (config(unk_token="<unk>"), "unk_token '<unk>'"),
        (config(mask_token=STRIPPING), "mask_token with lstrip"),
        (config(mask_token=None), "no mask_token"),
        (config(additional_special_tokens=["[unused1]"]), "added token '[unused1]'"),
        (config(extra_special_tokens={"image_token": "<image>"}), "added token '<image>'"),
        (config(added_tokens_decoder={"12": UNUSED}), "added token '[unused1]'"),
        (config(added_tokens_decoder={"9" * 5000: {"content": "[CLS]"}}), "[CLS] with id"),
        ({"special_tokens_map": {"sep_token": "</s>"}}, "sep_token '</s>'"),
        ({"added_tokens": {"[new]": 10**30}}, "added token '[new]'"),
        ({"added_tokens": {"[CLS]": 10**30}}, "[CLS] with id 1000"),
        (changed_tokenizer_json("normalizer", {"type": "Lowercase"}), "normalizer Lowercase"),
        (changed_tokenizer_json("normalizer", None), "normalizer none"),
        (changed_tokenizer_json("normalizer.clean_text", False), "clean_text false"),
        (
            changed_tokenizer_json("pre_tokenizer", {"type": "Whitespace"}),
            "pre_tokenizer Whitespace",
        ),
        (changed_tokenizer_json("post_processor", None), "post_processor none"),
        (
            changed_tokenizer_json("post_processor.sep", ["[MASK]", 4]),
            "other special tokens around",
        ),
        (changed_tokenizer_json("post_processor.sep", ["[SEP]", 9]), "[SEP] with id 9"),
        (changed_tokenizer_json("model.type", "BPE"), "model BPE"),
        (changed_tokenizer_json("model.unk_token", "a"), "unk_token a"),
        (
            changed_tokenizer_json("model.continuing_subword_prefix", ""),
            "continuing_subword_prefix",
        ),
        (
            changed_tokenizer_json("model.max_input_chars_per_word", 64),
            "max_input_chars_per_word 64",
        ),
        (changed_tokenizer_json("model.vocab", OTHER_VOCAB), "two vocabs: 'a' has id 6"),
        (
            changed_tokenizer_json("added_tokens", [{"id": 12, "content": "[unused1]"}]),
            "'[unused1]'",
        ),
    ],
)
def test_unsupported_features_are_named(
    tmp_path: Path, files: dict[str, Any], problem: str
) -> None:
    found = read_folder_facts(write_files(tmp_path / "d", **files))
    assert problem in found.problem
    assert found.spec is None
    with pytest.raises(UserError, match="has what this kit does not") as caught:
        resolve_spec(AskedTokenizer(), found, "m", print)
    assert "--tokenizer bert|" in str(caught.value)
    lines: list[str] = []
    assert resolve_spec(AskedTokenizer("bert", False), found, "m", lines.append).lower_case is False
    assert lines[-1].startswith("NOTICE: the model asks for ") and problem in lines[-1]


@pytest.mark.parametrize("value", ["false", 0, 1, [], {}, "", None, 1.5])
@pytest.mark.parametrize("key", ["do_lower_case", "tokenize_chinese_chars", "strip_accents"])
def test_an_option_of_another_type_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    place = write_files(tmp_path / "d", tokenizer_config={key: value})
    if key == "strip_accents" and value is None:
        assert read_folder_facts(place).spec == TokenizerSpec("bert")
        return
    with pytest.raises(UserError, match=f"{key}: got .*, expected true or false"):
        facts.read_folder(place)


@pytest.mark.parametrize(
    "files",
    [
        *(
            {name: text}
            for name in ("tokenizer_config", "tokenizer", "added_tokens")
            for text in ("", "[]", "null", "{", '"x"', "[" * 100_000)
        ),
        config(tokenizer_class=1),
        config(padding_side=None),
        config(never_split="x"),
        config(unk_token=7),
        config(unk_token={"content": None}),
        config(mask_token={"content": "[MASK]", "lstrip": "no"}),
        config(added_tokens_decoder=[]),
        config(added_tokens_decoder={"x": "y"}),
        config(added_tokens_decoder={"²": UNUSED}),
        config(additional_special_tokens="x"),
        {"special_tokens_map": {"cls_token": []}},
        {"added_tokens": {"x": "1"}},
        {"added_tokens": {"x": True}},
        changed_tokenizer_json("model", None),
        changed_tokenizer_json("model.vocab", []),
        changed_tokenizer_json("model.vocab", {"a": "1"}),
        changed_tokenizer_json("normalizer", "x"),
        changed_tokenizer_json("normalizer.lowercase", "true"),
        changed_tokenizer_json("pre_tokenizer", {"type": 3}),
        changed_tokenizer_json("added_tokens", {}),
        changed_tokenizer_json("added_tokens", [3]),
        changed_tokenizer_json("added_tokens", [{"content": "x", "id": None}]),
    ],
    ids=range(40),
)
def test_damaged_files_give_one_error_line(
    tmp_path: Path, files: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    place = write_files(tmp_path / "d", **files)
    assert main(["vocab", str(place / "vocab.txt"), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and "expected" in error or "is no JSON" in error
    assert not (tmp_path / "out").exists()


HF = facts.TokenizerFacts(None, TokenizerSpec("bert", False, True), "it says so")


@pytest.mark.parametrize(
    ("asked", "expected", "notices"),
    [
        (AskedTokenizer(), TokenizerSpec("bert", False, True), 0),
        (AskedTokenizer("bert"), TokenizerSpec("bert", False, True), 0),
        (AskedTokenizer("tf-text"), TokenizerSpec("tf-text", False), 1),
        (AskedTokenizer("chars"), TokenizerSpec("chars"), 1),
        (AskedTokenizer(lower_case=True), TokenizerSpec("bert"), 1),
        (AskedTokenizer("tf-text-fast", True), TokenizerSpec("tf-text-fast"), 1),
        (AskedTokenizer(strip_accents=False), TokenizerSpec("bert", False), 1),
    ],
)
def test_options_decide_and_contradictions_are_reported(
    asked: AskedTokenizer, expected: TokenizerSpec, notices: int
) -> None:
    lines: list[str] = []
    assert resolve_spec(asked, HF, "m", lines.append).options_key == expected.options_key
    assert lines[0].startswith("tokenizer: ")
    assert [line.startswith("NOTICE: ") for line in lines[1:]] == [True] * notices


def test_unknown_tokenizer_is_refused() -> None:
    nothing = facts.TokenizerFacts(Path("vocab.txt"), None, "a vocab alone")
    for found in (None, nothing):
        for asked in (AskedTokenizer(), AskedTokenizer(lower_case=True)):
            with pytest.raises(UserError, match="nothing says.*--tokenizer .*--uncased or --cased"):
                resolve_spec(asked, found, "m", print)
        lines: list[str] = []
        assert resolve_spec(AskedTokenizer("tf-text"), found, "m", lines.append) == TokenizerSpec(
            "tf-text"
        )
        assert "nothing says the case, so lower case" in lines[0]


def test_files_beside_the_vocab_decide_if_the_model_has_none(tmp_path: Path) -> None:
    place = write_files(tmp_path / "d", tokenizer_config={"do_lower_case": False})
    choice = TokenizerChoice(place / "vocab.txt")
    lines: list[str] = []
    chosen = choice.choose(None, "m", lines.append)
    assert chosen.spec == TokenizerSpec("bert", lower_case=False)
    assert "do_lower_case false" in lines[-1]
    assert choice.choose(None, "m", print, HF).spec == HF.spec


def test_build_copies_the_tokenizer_files(tmp_path: Path) -> None:
    place = write_files(tmp_path / "d", tokenizer_config={}, tokenizer=tokenizer_json())
    (place / "model.safetensors").touch()
    found = facts.collect_files(place)
    assert set(found) == {"vocab.txt", "tokenizer_config.json", "tokenizer.json"}
    assert found["vocab.txt"] == RAW
    assert facts.collect_files(place / "model.safetensors") == found
    assert facts.collect_files(place / "bert_model.ckpt") == found
    (place / "vocab.txt").unlink()
    assert facts.collect_files(place) == found  # the vocab in tokenizer.json, as lines
    gaps = tokenizer_json()
    gaps["model"]["vocab"]["[unused1]"] = 99
    assert "vocab.txt" not in facts.collect_files(write_files(tmp_path / "e", None, tokenizer=gaps))


def test_attributes_of_tf_hub_models_are_read(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    file = tmp_path / "vocab.txt"
    file.write_bytes(RAW)
    module = tf.Module()
    module.do_lower_case = tf.Variable(False, trainable=False)
    module.vocab_file = tf.saved_model.Asset(str(file))
    tf.saved_model.save(module, str(tmp_path / "m"))
    found = facts.read_loaded_model(tf.saved_model.load(str(tmp_path / "m")), tmp_path / "m")
    assert found is not None
    assert found.spec == TokenizerSpec("bert", lower_case=False)
    assert found.vocab == tmp_path / "m" / "assets" / "vocab.txt"
    assert found.vocab.read_bytes() == RAW
    assert "do_lower_case says false" in found.why
    for other in (tf.Variable(1.0), tf.Variable([True]), "yes", None):
        module = tf.Module()
        module.do_lower_case = other
        assert facts.read_loaded_model(module, tmp_path) is None


def test_the_case_option_of_a_checkpoint_reaches_the_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exports a cased checkpoint with padded embeddings, without any tokenizer option."""
    source = publisher("bert", "hf").write(tmp_path / "checkpoint")
    lines = [*LINES, *(f"[unused{i}]" for i in range(2, VOCAB - len(LINES) - 1))]
    raw = "".join(f"{line}\n" for line in lines).encode()
    write_files(source, raw, tokenizer_config={"do_lower_case": False})
    model, out = tmp_path / "model", tmp_path / "bundle"
    assert main(["build", str(source), "--out", str(model)]) == 0
    assert "do_lower_case false" in capsys.readouterr().err
    assert (model / "assets" / "vocab.txt").read_bytes() == raw

    assert main(["model", str(model), "--out", str(out)]) == 0
    err = capsys.readouterr().err
    assert "tokenizer: bert, cased; tokenizer_config.json says do_lower_case false\n" in err
    padded = f"has {VOCAB} rows, the vocab {len(lines)} lines: the last {VOCAB - len(lines)} rows"
    assert padded in err
    tokenizer = json.loads((out / "bundle.json").read_text("utf-8"))["tokenizer"]
    assert tokenizer["options"] == {
        "lower_case": False,
        "strip_accents": False,
        "split_chinese": True,
    }
    assert (tokenizer["vocab_size"], tokenizer["embedding_rows"]) == (len(lines), VOCAB)
    assert (out / "vocab.txt").read_bytes() == raw
    assert main(["model", str(model), "--out", str(out)]) == 0
    assert "is up to date" in capsys.readouterr().err

    (model / "assets" / "tokenizer_config.json").unlink()
    arguments = ["model", str(model), "--out", str(tmp_path / "other")]
    assert main(arguments) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and "give the one of your Python side: --tokenizer" in error
    assert not (tmp_path / "other").exists()
