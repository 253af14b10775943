"""The proof can fail: an altered table entry is found, reduced to a few characters and named."""

import json
import sys
from pathlib import Path

import pytest

from export.tokenizer import TokenizerSpec, library_versions
from export.tokenizer.probe import read_tables
from export.tokenizer.tables import own_symbol, serialise
from export.tokenizer.texts import texts_in_context
from parity_tests.tokenizer.__main__ import main
from parity_tests.tokenizer.explain import shrink
from parity_tests.tokenizer.material import every_character_vocab, make_random_vocab
from parity_tests.tokenizer.proof import compare_texts, job_of_bundle
from parity_tests.tokenizer.sides import TokenizerPair, TokenizerProcess
from support.tokenizer_tables import ALONE, LETTER
from tests.hostile import contracts


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """One comparison of every known character between letters, with changed tables."""
    vocab = every_character_vocab()
    spec = TokenizerSpec("tf-text-fast")

    def run(alter):
        tables = read_tables(spec, vocab)
        alter(tables)
        path = tmp_path_factory.mktemp("tables") / "tokenizer_tables.bin"
        path.write_bytes(serialise(tables))
        with TokenizerProcess() as side:
            return compare_texts(
                TokenizerPair(side, spec, vocab, path), "x", texts_in_context("latin", 50)
            )

    return run


def test_unaltered_tables_pass(compared):
    row = compared(lambda tables: None)
    assert row.different == 0
    assert row.texts > 1000


@pytest.mark.parametrize(
    ("character", "symbols"),
    [("ａ", own_symbol(ord("b"), LETTER)), ("、", own_symbol(ord("、"), LETTER)), ("e", ())],
)
def test_changed_table_entry_is_named(compared, character, symbols):
    def alter(tables):
        tables.folds[ord(character)] = symbols

    row = compared(alter)
    assert row.different == 1
    (difference,) = row.differences
    assert character in difference.shrunk and len(difference.shrunk) <= 3
    assert difference.character.startswith(f"U+{ord(character):04X}")
    assert difference.rule.startswith("table entry: the table makes it")


def test_a_letter_made_a_word_is_described(compared):
    row = compared(lambda tables: tables.folds.update({0xE9: own_symbol(0xE9, ALONE)}))
    rule = row.differences[0].rule
    assert "the table makes it U+00E9 (word by itself)" in rule
    assert "the runtime makes it U+0065 (letter)" in rule


def test_shrinking_ends_at_the_shortest_failing_text():
    def failing(texts):
        return [i for i, text in enumerate(texts) if text.count("x") >= 2]

    assert shrink("ab x cd ef x gh x" * 5, failing) == "xx"


def test_versions_other_than_the_bundles_are_reported(tmp_path, capsys):
    older = {"python": "3.9.1", "tensorflow-text": "2.19.0"}
    (tmp_path / "vocab.txt").write_bytes(make_random_vocab(1)[0].raw)
    for made_by, noticed in [(older, True), (library_versions("tf-text", None), False)]:
        document = contracts.bundle_contract()
        document["tokenizer"] |= {"algorithm": "tf-text", "options": {"lower_case": True}}
        document["provenance"]["tokenizer"] = made_by
        (tmp_path / "bundle.json").write_text(json.dumps(document))
        job = job_of_bundle(tmp_path, Path(sys.executable))
        assert job.interpreter == Path(sys.executable)
        said = capsys.readouterr().err
        assert ("was made with python 3.9.1, tensorflow-text 2.19.0" in said) == noticed


def test_an_interpreter_needs_a_bundle(capsys):
    assert main(["--tokenizer-python", sys.executable]) == 2
    assert "--tokenizer-python needs --bundle" in capsys.readouterr().err
