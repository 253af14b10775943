"""Every row of the catalog has a build, failures are reported, and one row runs completely.

The publishers' rows are tested without the publishers' packages: with answers made by hand, and
with a script that replaces theirs.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from export.source import catalog
from parity_tests.conformance import __main__ as command
from parity_tests.conformance.classifiers import published_classifiers
from parity_tests.conformance.fixtures import entries_by_build, make_vocab_lines
from parity_tests.conformance.published import (
    CEILING,
    ROUNDING,
    compare_answers,
    conform_published,
    find_different_ids,
    published_models,
)
from parity_tests.conformance.publishers import cases, reference
from parity_tests.conformance.rows import ConformanceRow, markdown_table
from parity_tests.conformance.trained import compare_with_transformers
from tests.python.conftest import ROOT


def test_every_row_of_the_catalog_has_a_build():
    names = [entry.name for group in entries_by_build() for entry in group]
    assert sorted(names) == sorted(entry.name for entry in catalog.read_entries())


def test_rows_that_share_a_build_are_the_same_model():
    groups = entries_by_build()
    assert groups
    for group in groups:
        assert len({(entry.configuration, entry.contract) for entry in group}) == 1


def test_the_vocab_has_the_size_of_the_collections_vocab():
    lines = make_vocab_lines(21128)
    assert len(lines) == len(set(lines)) == 21128


def test_time_and_memory_of_a_command_are_measured(tmp_path):
    """Measured by a small process, as in the command: a child begins with its parent's peak."""
    code = "import sys; x = bytearray(300 << 20); print('out'); sys.exit('no such thing')"
    script = (
        "import pathlib, sys; from parity_tests.runners.measure import run_measured; "
        f"log = pathlib.Path({str(tmp_path / 'log')!r}); "
        f"done = run_measured([sys.executable, '-c', {code!r}], log); "
        "peak = done.peak_bytes >> 20; "
        "print(done.code, done.stdout.strip(), done.last_error_line, peak, sep='|')"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True)
    *said, peak = done.stdout.decode().strip().split("|")
    assert said == ["1", "out", "no such thing"]
    assert 300 < int(peak) < 400
    assert list(tmp_path.iterdir()) == []


def test_the_table_has_every_build_and_says_what_failed():
    good = ConformanceRow(
        "one", ["two"], "named", "d", True, "", 16.0, 1.5, 900.0, 0.2, 150.0, {"x": 2e-6}
    )
    bad = ConformanceRow("three", [], "tokens-3", "h", said="export: no such op")
    lines = markdown_table([good, bad]).split("\n")
    assert len({len(line) for line in lines}) == 1
    assert (
        "one, two" in lines[2]
        and "2.0e-06" in lines[2]
        and lines[2].endswith("| ok                 |")
    )
    assert "export: no such op" in lines[3]


def test_a_difference_from_transformers_fails():
    golden = {
        "input_ids": np.array([[2, 3]], np.int32),
        "attention_mask": np.array([[1, 0]], np.int32),
        "sequence_output": np.zeros((1, 2, 3), np.float32),
        "pooled_output": np.zeros((1, 3), np.float32),
    }
    theirs = {"own_ids": golden["input_ids"], **{k: v.copy() for k, v in golden.items()}}
    theirs["sequence_output"][0, 1] = 9.0  # masked: not compared

    def said(**changed):
        row = ConformanceRow("trained", [], "named", "trained", ok=True)
        compare_with_transformers(row, golden, theirs | changed)
        return row.ok, row.said

    assert said() == (True, "")
    assert said(own_ids=np.array([[2, 4]], np.int32))[0] is False
    off = np.full((1, 3), 2e-4, np.float32)
    assert said(pooled_output=off) == (
        False,
        "pooled_output: 0.0002 from transformers, expected 0.0001",
    )


def test_one_row_is_built_exported_and_compared(tmp_path, capsys):
    out = tmp_path / "conformance.json"
    assert command.main(["--rows", "albert_tiny", "--out", str(out)]) == 0
    (row,) = json.loads(out.read_text("utf-8"))
    assert row["name"] == "albert_tiny" and row["ok"]
    assert set(row["max_abs"]) == {"sequence_output", "pooled_output"}
    # 21,128 × 128 embeddings, positions, types, and one layer for all four.
    assert 15 < row["parameters_mib"] < 17
    assert "albert_tiny" in capsys.readouterr().out


def test_an_unknown_row_is_refused(tmp_path, capsys):
    assert command.main(["--rows", "gpt", "--out", str(tmp_path / "x.json")]) == 2
    assert "the catalog has no gpt" in capsys.readouterr().err


ALL_ROWS = {
    "transformers/bert",
    "transformers/bert_cased",
    "transformers/bert_masked_lm",
    "transformers/albert",
    "transformers/albert_groups",
    "transformers/electra",
    "transformers/sentence_transformer",
    "keras_hub/bert",
    "keras_hub/albert",
    "keras_hub/electra",
    "model_garden/bert",
    "model_garden/albert",
    "google/bert_checkpoint",
    "google/bert_saved_model",
    "google/albert_checkpoint",
    "google/albert_saved_model",
}


CLASSIFIER_ROWS = {
    "transformers/bert_sequence",
    "transformers/albert_sequence",
    "transformers/electra_sequence",
    "transformers/electra_multi_label",
    "transformers/albert_regression",
    "transformers/bert_token",
    "transformers/albert_token",
    "transformers/electra_token",
    "transformers/minilm_sequence",
    "google/bert_classifier",
    "google/albert_classifier",
    "google/albert_regression",
    "keras_hub/bert_text_classifier",
    "keras_hub/albert_text_classifier",
}


def test_every_publisher_row_has_a_script():
    """A script imports other scripts and reference.py alone, so it shares no mistake with us."""
    assert {model.name for model in published_models()} == ALL_ROWS
    assert {model.name for model in published_classifiers()} == CLASSIFIER_ROWS
    ours = ("export", "node_bridge", "numerics", "parity_tests", "support")
    for model in [*published_models(), *published_classifiers()]:
        script = ROOT / "parity_tests" / "conformance" / "publishers" / f"{model.script}.py"
        lines = [line.split() for line in script.read_text("utf-8").split("\n")]
        own = [x[1] for x in lines if x[:1] in (["from"], ["import"]) and x[1].startswith(ours)]
        parts = [name.removeprefix("parity_tests.conformance.publishers.") for name in own]
        scripts = {other.script for other in published_models()}
        assert "reference" in parts and set(parts) <= {"reference", *scripts}


def test_the_publishers_texts_have_every_kind_of_character():
    """The texts have every difference between tokenizers, and the vocab shows it in the ids."""
    texts = [case["text"] for case in cases.CASES]
    tokens = cases.small_vocab_lines()
    assert len(tokens) == len(set(tokens)) and 200 < len(tokens) < 400
    assert "" in texts and any(len(text) > reference.LONGEST for text in texts)
    for either, other in [("，", ","), ("１", "1"), ("Ａ", "A"), ("é", "e"), ("Play", "play")]:
        assert {either, other} <= set(tokens)
    everything = "".join(texts)
    assert all(sign in everything for sign in "，１ＡéPé😀㈱")
    lengths = [len(pair["sentence1"]) + len(pair["sentence2"]) for pair in cases.PAIRS]
    assert min(lengths) + 3 < reference.LONGEST < max(lengths)


def answers():
    """Returns a publisher's reference and Node's equal answer, as they write them."""
    generator = np.random.default_rng(3)
    exact = generator.normal(0.0, 1.0, (2, 3, 4))
    single = (exact + 1e-6).astype(np.float32)
    theirs = reference.pad_rows([([2, 9, 3], [0, 0, 0]), ([2, 3], [0, 0])])
    theirs |= {"sequence_output": single, "sequence_output.float64": exact}
    ours = {name: theirs[name].copy() for name in ("input_ids", "attention_mask")}
    return theirs, ours | {"hidden": single.copy()}


def said_of(theirs, ours, roles=("sequence_output",)):
    row = ConformanceRow("toy", [], "named", "publisher")
    said = compare_answers(
        row, "wasm", dict(zip(roles, ["hidden", "pool"], strict=False)), theirs, ours
    )
    return said, row


def test_node_equals_the_publisher():
    theirs, ours = answers()
    said, row = said_of(theirs, ours)
    assert said == ""
    assert set(row.max_abs) == {
        "sequence_output, wasm against float64",
        "sequence_output, wasm against float32",
        "sequence_output, float32 against float64",
    }
    assert row.max_abs["sequence_output, wasm against float32"] == 0.0
    rounding = row.max_abs["sequence_output, float32 against float64"]
    assert 0.9e-6 < rounding < 1.2e-6
    assert row.budget == pytest.approx(ROUNDING * rounding)


def test_a_difference_from_the_publisher_fails():
    theirs, ours = answers()
    ours["hidden"][0, 1, 2] += 1e-5
    said, _ = said_of(theirs, ours)
    assert said.startswith("sequence_output: 1.") and "from float64, expected at most" in said

    theirs, ours = answers()
    ours["hidden"][0, 1, 2] = np.nan
    assert "nan from float64" in said_of(theirs, ours)[0]

    theirs, ours = answers()
    ours["hidden"][1, 2] = 50.0  # masked: not compared
    assert said_of(theirs, ours)[0] == ""


def test_the_tolerance_for_a_publishers_rounding_is_limited():
    """A reference whose own float32 is far off does not allow Node to be far off."""
    theirs, ours = answers()
    theirs["sequence_output"] = theirs["sequence_output"] + np.float32(1.0)
    ours["hidden"][0, 0, 0] += 0.01
    said, row = said_of(theirs, ours)
    assert said and row.budget == pytest.approx(
        CEILING * np.abs(theirs["sequence_output.float64"][:1]).max(), rel=0.5
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda ours: ours["input_ids"].__setitem__((0, 1), 8), "ids of case 0: got [2, 8, 3]"),
        # A text cut elsewhere: the ids are the same, there are fewer of them.
        (lambda ours: ours["attention_mask"].__setitem__((0, 2), 0), "ids of case 0: got [2, 9]"),
        (lambda ours: ours.update(hidden=ours["hidden"][..., :2]), "got shape (5, 2)"),
        (
            lambda ours: ours.update({k: v[:1] for k, v in ours.items()}),
            "got 1 texts, expected 2",
        ),
    ],
)
def test_different_ids_and_shapes_fail(change, expected):
    theirs, ours = answers()
    change(ours)
    assert expected in said_of(theirs, ours)[0]


def test_of_many_ids_those_near_the_difference_are_shown():
    ids = [*range(100)]
    ours, theirs = (reference.pad_rows([(x, [0] * len(x))]) for x in (ids[:-1], ids))
    assert find_different_ids(theirs, ours) == (
        "ids of case 0 from position 91: got [91, 92, 93, 94, 95, 96, 97, 98], "
        "expected [91, 92, 93, 94, 95, 96, 97, 98, 99]"
    )


def test_a_missing_output_fails():
    theirs, ours = answers()
    assert said_of(theirs, ours, roles=("default",))[0] == (
        "the bundle has no sequence_output, only default"
    )
    del theirs["sequence_output.float64"]
    assert said_of(theirs, ours)[0] == "the reference has no outputs"


def test_the_extra_padding_of_a_fixed_length_bundle_is_ignored():
    theirs, ours = answers()
    wider = np.full((2, 2, 4), 7.0, np.float32)
    ours["hidden"] = np.concatenate([ours["hidden"], wider], axis=1)
    for name in ("input_ids", "attention_mask"):
        ours[name] = np.pad(ours[name], [(0, 0), (0, 2)])
    assert said_of(theirs, ours)[0] == ""


def test_a_publisher_script_that_fails_is_a_failed_row(tmp_path):
    """This Python has no torch: the row fails, and no files remain."""
    (model,) = (m for m in published_models() if m.name == "transformers/bert")
    row = conform_published(model, Path(sys.executable), tmp_path)
    assert not row.ok and "transformers_models: " in row.said
    assert "No module named" in row.said
    assert list(tmp_path.iterdir()) == []


def test_reference_files_have_float32_and_float64(tmp_path):
    inputs = reference.pad_rows([([2, 3], [0, 0])])
    value = np.zeros((1, 4))
    with pytest.raises(TypeError, match="expected float32 and float64"):
        reference.write_reference(tmp_path, inputs, {"x": value}, {"x": value}, ["numpy"])
    outputs = {"x": value.astype(np.float32)}
    reference.write_reference(tmp_path, inputs, outputs, {"x": value}, ["numpy"])
    assert (tmp_path / "reference.safetensors").exists()


def test_a_publisher_script_reads_the_texts_unchanged(tmp_path):
    cases.write_cases(tmp_path, [*cases.CASES, *cases.PAIRS], cases.small_vocab_lines())
    read = reference.read_cases(tmp_path)
    assert [case.text for case in read if case.pair is None] == [c["text"] for c in cases.CASES]
    assert [(c.text, c.pair) for c in read if c.pair is not None] == [
        (pair["sentence1"], pair["sentence2"]) for pair in cases.PAIRS
    ]
    assert reference.read_tokens(tmp_path) == cases.small_vocab_lines()


def test_a_publishers_row_needs_its_python(tmp_path, capsys):
    out = str(tmp_path / "x.json")
    assert command.main(["--rows", "keras_hub/bert", "--out", out]) == 2
    assert "keras_hub/bert needs --publishers-python PYTHON" in capsys.readouterr().err
