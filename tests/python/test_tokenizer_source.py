"""Python's tokenizer comes from the options, else the model's files, else the bundle."""

import json
from pathlib import Path
from typing import Any

import pytest

from export.tokenizer import TokenizerSpec
from parity_tests.__main__ import parse_options
from parity_tests.provenance import Contract
from parity_tests.runners import tokenizer_source
from parity_tests.runners.tokenizer_source import TokenizerSource
from support.errors import UserError

pytestmark = pytest.mark.quick

LINES = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n好\n"


def contract(algorithm: str, **options: bool) -> Contract:
    tokenizer = {"algorithm": algorithm, "options": options, "vocab_size": 6}
    return Contract(Path("bundle"), "", {"tokenizer": tokenizer})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    assets = tmp_path / "model" / "assets"
    assets.mkdir(parents=True)
    (assets / "vocab.txt").write_text(LINES, encoding="utf-8")
    # A SavedModel of one empty graph: a model is vetted before its assets are read.
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"\x08\x01\x12\x00")
    return assets.parent


def write_config(model: Path, **facts: Any) -> None:
    known = {"tokenizer_class": "BertTokenizer"} | facts
    (model / "assets" / "tokenizer_config.json").write_text(json.dumps(known))


def choose_source(model: Path, claimed: Contract, *options: str) -> TokenizerSource:
    return tokenizer_source.choose_tokenizer(
        parse_options(list(options)), claimed, model, model.parent
    )


LOWER = contract("bert", lower_case=True, strip_accents=True, split_chinese=True)


def test_the_models_files_come_before_the_bundle(model: Path) -> None:
    write_config(model, do_lower_case=False)
    found = choose_source(model, LOWER)
    assert found.spec == TokenizerSpec("bert", lower_case=False)
    assert found.vocab == model / "assets" / "vocab.txt"
    assert "do_lower_case" in found.origin


def test_options_come_before_the_models_files(model: Path) -> None:
    write_config(model, do_lower_case=False, strip_accents=False, tokenize_chinese_chars=False)
    found = choose_source(model, LOWER, "--uncased", "--strip-accents")
    assert found.spec is not None
    assert found.spec.options == {
        "lower_case": True,
        "strip_accents": True,
        "split_chinese": False,
    }
    found = choose_source(model, LOWER, "--tokenizer", "tf-text-fast")
    assert found.spec == TokenizerSpec("tf-text-fast", lower_case=False)


def test_the_bundle_decides_if_nothing_else_does(model: Path) -> None:
    claimed = contract("bert", lower_case=True, strip_accents=False, split_chinese=False)
    found = choose_source(model, claimed)
    assert found.spec is not None and found.spec.options == claimed.document["tokenizer"]["options"]
    assert "options as the bundle says" in found.origin


def test_changed_case_changes_the_accents_too(model: Path) -> None:
    found = choose_source(model, LOWER, "--cased")
    assert found.spec is not None and not found.spec.strips_accents


@pytest.mark.parametrize(
    "spec",
    [
        TokenizerSpec("bert", False, True, False),
        TokenizerSpec("bert", True, False),
        TokenizerSpec("tf-text", False),
        TokenizerSpec("chars"),
    ],
)
def test_the_arguments_of_a_tokenizer_give_the_same_tokenizer(spec: TokenizerSpec) -> None:
    source = TokenizerSource(vocab=Path("v"), spec=spec, python=Path("p"))
    again = tokenizer_source.parse_tokenizer_source(parse_options(source.arguments()))
    assert again.spec is not None and again.spec.options_key == spec.options_key
    assert (again.vocab, again.python, again.model) == (Path("v"), Path("p"), None)


def test_options_that_contradict_each_other_are_refused(model: Path) -> None:
    for options in (["--tokenizer", "bert"], ["--cased"], ["--tokenizer-python", "p"]):
        with pytest.raises(UserError, match="expected one of the two"):
            choose_source(model, LOWER, "--tokenizer-model", str(model), *options)
    with pytest.raises(UserError, match="tf-text takes no --no-split-chinese"):
        choose_source(model, LOWER, "--tokenizer", "tf-text", "--no-split-chinese")


def test_other_versions_are_reported(model: Path) -> None:
    source = choose_source(model, LOWER)
    here = source.versions()
    assert set(here) == {"python", "tokenizers"}
    for made, note in (
        (here | {"python": "3.8.0"}, ""),
        (
            {"tokenizers": "0.1"},
            f"tokenizers 0.1, the reference here of tokenizers {here['tokenizers']}",
        ),
    ):
        document = LOWER.document | {"provenance": {"tokenizer": made}}
        found = tokenizer_source.version_note(Contract(Path("bundle"), "", document), source)
        assert note in found and bool(found) == bool(note)
