"""The verdict of `inspect` is the result of the export, for every kind of model."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

from export import model as exporter
from export.__main__ import main
from export.graph.verdict import assess_model, require_exportable
from export.inspection import inspect_model
from export.source import messages
from export.source.signature_choice import AskedSignature, asked_from_options
from tests.python import untrusted_models, zoo
from tests.python.conftest import ROOT

REFUSED = [name for name, (_, end) in zoo.ZOO.items() if end and name != "loop"]
EXPORTED = [name for name, (_, end) in zoo.ZOO.items() if not end]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("zoo")
    (place / "vocab.txt").write_text("\n".join(zoo.TOKENS) + "\n", encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def made(root: Path) -> Any:
    """Returns a function that makes a model of the zoo by name, once."""

    def of(name: str) -> Path:
        out = root / "models" / name.replace(" ", "_")
        return out if out.exists() else zoo.ZOO[name][0](out)

    return of


@pytest.fixture(scope="module")
def exported(root: Path, made: Any) -> Any:
    """Returns a function that exports a model of the zoo once; it returns bundle and messages."""
    done: dict[tuple[str, ...], tuple[Path, list[str]]] = {}

    def of(name: str, *options: str) -> tuple[Path, list[str]]:
        key = (name, *options)
        if key not in done:
            out = root / "bundles" / str(len(done))
            lines: list[str] = []
            run_export(made(name), root / "vocab.txt", out, options, lines)
            done[key] = out, lines
        return done[key]

    return of


def run_export(
    model: Path, vocab: Path, out: Path, options: tuple[str, ...], lines: list[str]
) -> None:
    """Runs `python -m export model`.

    Args:
        model: the model.
        vocab: its vocab.
        out: the directory of the bundle.
        options: further options.
        lines: gets the progress messages.
    """
    from export import __main__ as command

    arguments = ["model", str(model), "--vocab", str(vocab), "--out", str(out)]
    parsed = command.build_parser().parse_args([*arguments, "--tokenizer", "chars", *options])
    request = exporter.ExportRequest(
        handle=parsed.handle,
        tokenizer=command.choice_from_options(parsed),
        asked=asked_from_options(parsed),
        with_saved_model=parsed.with_saved_model,
        own=True,
    )
    exporter.export_model(request, parsed.out, lines.append)


def run_verify(bundle: Path) -> dict[str, Any]:
    """Runs `verify.js` on cpu, where every op of the zoo is correct."""
    command = ["node", "node_bridge/verify.js", "--bundle", str(bundle), "--backend", "cpu"]
    run = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True)
    assert run.stdout, run.stderr
    document: dict[str, Any] = json.loads(run.stdout)
    return document


def contract_of(bundle: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    return document


@pytest.mark.parametrize("name", EXPORTED)
def test_models_that_inspect_allows_are_exported_and_correct_in_node(
    name: str, made: Any, exported: Any
) -> None:
    verdict = inspect_model(str(made(name))).verdict
    assert verdict.exportable, verdict.reason
    bundle, _ = exported(name)
    found = run_verify(bundle)
    assert found["passed"], found["checks"]
    assert len(found["checks"]) == 1 + len(contract_of(bundle)["outputs"])


@pytest.mark.parametrize("name", REFUSED)
def test_export_refuses_with_the_line_of_inspect(
    name: str, root: Path, made: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    model = made(name)
    verdict = inspect_model(str(model)).verdict
    assert not verdict.exportable
    assert zoo.ZOO[name][1] in verdict.reason
    out = root / "refused"
    code = main(["model", str(model), "--vocab", str(root / "vocab.txt"), "--out", str(out)])
    assert code == 2
    assert capsys.readouterr().err == f"error: {verdict.reason}\n"
    assert not out.exists()


def test_control_flow_makes_the_verdict_uncertain(made: Any) -> None:
    # Only the loaded graph shows whether the number of rounds is known.
    verdict = inspect_model(str(made("loop"))).verdict
    assert verdict.exportable and not verdict.certain
    assert "it has control flow (" in verdict.reason
    assert "While" in verdict.reason


@pytest.mark.parametrize(
    "name, batch, sequence",
    [
        ("length 16", "batch", 16),
        ("1 x 16", 1, 16),
        ("1 x free", 1, "sequence"),
        ("3 x 16", 3, 16),
    ],
)
def test_fixed_shapes_are_in_the_contract_and_the_golden_cases_fit(
    name: str, batch: Any, sequence: Any, exported: Any, made: Any
) -> None:
    bundle, _ = exported(name)
    contract = contract_of(bundle)
    assert [spec["shape"] for spec in contract["inputs"]] == [[batch, sequence]] * 2
    outputs = {spec["name"]: spec["shape"] for spec in contract["outputs"]}
    assert outputs["sequence_output"] == [batch, sequence, zoo.HIDDEN]
    assert contract["max_length"] == (16 if sequence == 16 else zoo.POSITIONS)
    golden = load_file(bundle / "golden.safetensors")
    ids, mask = golden["input_ids"], golden["attention_mask"]
    assert len(ids) > 3
    assert ids.shape[1] == contract["max_length"]
    # The source itself, batch by batch; the last batch is padded with rows of zeros.
    rows = batch if isinstance(batch, int) else len(ids)
    source = tf.saved_model.load(str(made(name))).signatures["serving_default"]
    for start in range(0, len(ids), rows):
        real = min(rows, len(ids) - start)
        pad = ((0, rows - real), (0, 0))
        answer = source(
            input_ids=tf.constant(np.pad(ids[start : start + real], pad)),
            attention_mask=tf.constant(np.pad(mask[start : start + real], pad)),
        )
        for output in ("sequence_output", "pooled_output"):
            expected = answer[output].numpy()[:real]
            np.testing.assert_allclose(
                golden[output][start : start + real], expected, rtol=0, atol=1e-6
            )


def test_fixed_batch_model_takes_any_number_of_texts(exported: Any, tmp_path: Path) -> None:
    # 1 to 7 texts through a model of 3 x 16, compared with the same weights with free axes.
    bundles = [exported(name)[0] for name in ("3 x 16", "free")]
    command = ["node", str(Path(__file__).with_name("fixed_against_free.js")), *map(str, bundles)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 1e-5


@pytest.mark.parametrize("name", ["int64", "bert4keras", "bool mask"])
def test_a_model_of_other_dtypes_becomes_a_bundle_of_int32(name: str, exported: Any) -> None:
    bundle, lines = exported(name, "--with-saved-model")
    specs = contract_of(bundle)["inputs"]
    assert {spec["dtype"] for spec in specs} == {"int32"}
    other = "token_type_ids" if name == "bert4keras" else "attention_mask"
    assert {spec["role"] for spec in specs} == {"input_ids", other}
    # Native TensorFlow would need the model's own dtypes.
    assert not (bundle / "saved_model").exists()
    assert any("takes other dtypes than int32" in line for line in lines)


def test_a_bundle_of_a_fixed_shape_has_its_saved_model(exported: Any) -> None:
    bundle, _ = exported("3 x 16", "--with-saved-model")
    assert (bundle / "saved_model" / "saved_model.pb").exists()


def test_numbered_outputs_are_reported_with_the_option_to_use(exported: Any) -> None:
    bundle, lines = exported("keras 3")
    assert {spec["role"] for spec in contract_of(bundle)["outputs"]} == {"output_0", "output_1"}
    (message,) = [line for line in lines if line.startswith("outputs: ")]
    assert "output_0 float32[batch, sequence, 4] has no role; output_1 float32[batch, 4]" in message
    (notice,) = [line for line in lines if line.startswith("notice: no output is seq")]
    assert "--output sequence_output=output_0;" in notice
    options = ["--output", "sequence_output=output_0", "--output", "pooled_output=output_1"]
    bundle, lines = exported("keras 3", *options)
    roles = {spec["name"]: spec["role"] for spec in contract_of(bundle)["outputs"]}
    assert roles == {"output_0": "sequence_output", "output_1": "pooled_output"}
    assert not any("no output is sequence_output" in line for line in lines)


def test_numbered_outputs_of_model_garden_get_roles_by_structure(exported: Any, made: Any) -> None:
    bundle, _ = exported("model garden")
    roles = {spec["name"]: spec["role"] for spec in contract_of(bundle)["outputs"]}
    assert roles["bert_encoder_4"] == "sequence_output"
    assert roles["bert_encoder_3"] == "pooled_output"
    assert roles["bert_encoder_1"] == "bert_encoder_1"
    # The second layer, not the first.
    assert inspect_model(str(made("model garden"))).verdict.exportable


def test_input_option_sets_the_role_of_an_input(exported: Any) -> None:
    bundle, _ = exported("odd name", "--input", "input_ids=foo")
    roles = {spec["name"]: spec["role"] for spec in contract_of(bundle)["inputs"]}
    assert roles == {"attention_mask": "attention_mask", "foo": "input_ids"}
    assert run_verify(bundle)["passed"]


@pytest.mark.parametrize(
    "name, options, said",
    [
        ("keras 3", ["--output", "sequence_output=x"], "expected one of its outputs: output_0, ou"),
        ("keras 3", ["--output", "sequence_output=output_1"], "float32[?, 4], expected float32 of"),
        ("keras 3", ["--output", "embedding=output_1"], "expected one of sequence_output, pooled"),
        (
            "keras 3",
            ["--output", "sequence_output=output_0", "--output", "sequence_output=output_1"],
            "expected each role once",
        ),
        (
            "keras 3",
            ["--output", "sequence_output=output_0", "--output", "pooled_output=output_0"],
            "expected one role for each output",
        ),
        ("free", ["--input", "input_ids=x"], "expected one of its inputs: attention_mask, input"),
        ("free", ["--input", "token_type_ids=input_ids"], "expected one input_ids and at most"),
        ("two signatures", ["--signature", "c"], "got signatures a, b, expected one called c"),
        ("hub module", ["--tags", "serve"], "got graphs with the tags '', 'train', expected one"),
    ],
)
def test_wrong_role_options_give_one_error_line(
    name: str,
    options: list[str],
    said: str,
    made: Any,
    root: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["model", str(made(name)), "--vocab", str(root / "vocab.txt")]
    assert main([*arguments, "--out", str(root / "refused"), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    # inspect reports the same.
    if "each role once" not in said:
        assert main(["inspect", str(made(name)), *options]) == 0
        assert said in capsys.readouterr().out


def test_signature_option_chooses_the_signature(exported: Any) -> None:
    bundle, _ = exported("two signatures", "--signature", "b")
    assert contract_of(bundle)["signature"] == {"name": "b", "tags": ["serve"]}


@pytest.mark.parametrize(
    "options, signature, factor",
    [
        (["--signature", "tokens"], {"name": "tokens", "tags": []}, 1.0),
        (["--signature", "tokens", "--tags", ""], {"name": "tokens", "tags": []}, 1.0),
        (["--signature", "tokens", "--tags", "train"], {"name": "tokens", "tags": ["train"]}, 0.5),
    ],
)
def test_tf1_hub_module_is_exported(
    options: list[str], signature: dict[str, Any], factor: float, exported: Any
) -> None:
    bundle, _ = exported("hub module", *options)
    assert contract_of(bundle)["signature"] == signature
    # The same weights without a hub module.
    plain, _ = exported("tf1")
    got, expected = (load_file(b / "golden.safetensors") for b in (bundle, plain))
    np.testing.assert_allclose(
        got["sequence_output"], expected["sequence_output"] * factor, rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(
    "name", ["tf1", "tf1 resource", "tf1 restored", "tf1 partitioned", "hub module"]
)
def test_tf1_weights_have_the_variables_names_and_values(name: str, exported: Any) -> None:
    options = ["--signature", "tokens"] if name == "hub module" else []
    bundle, _ = exported(name, *options)
    (group,) = json.loads((bundle / "model.json").read_text())["weightsManifest"]
    shapes = {w["name"]: w["shape"] for w in group["weights"] if w["name"].startswith("weights/")}
    assert shapes["weights/bert/word_embeddings"] == [zoo.VOCAB, zoo.HIDDEN]
    assert shapes["weights/bert/position_embeddings"] == [zoo.POSITIONS, zoo.HIDDEN]
    assert "weights/bert/pooler/dense/kernel" in shapes


def test_partitions_are_merged_in_the_order_of_the_lookup(exported: Any) -> None:
    bundle, _ = exported("tf1 partitioned")
    (group,) = json.loads((bundle / "model.json").read_text())["weightsManifest"]
    data = b"".join((bundle / path).read_bytes() for path in group["paths"])
    offset = 0
    for weight in group["weights"]:
        size = 4 * int(np.prod(weight["shape"]))
        if weight["name"] == "weights/bert/word_embeddings":
            rows = np.frombuffer(data[offset : offset + size], np.float32).reshape(weight["shape"])
        offset += size
    # The variable has 3 parts of 4 rows, and a lookup distributes the ids in turn: id 5 is the
    # second row of part 2, which is row 9 of the whole.
    whole = zoo.seeded_values("word_embeddings", zoo.VOCAB, zoo.HIDDEN)
    expected = whole[[0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]]
    np.testing.assert_array_equal(rows, expected)


def test_a_tokenizer_is_not_exported_as_a_model(tmp_path: Path) -> None:
    from support.errors import UserError

    tokenizer = untrusted_models.own_tokenizer(tmp_path / "tokenizer")
    message = messages.read_saved_model(tokenizer)
    assert assess_model(tokenizer, message, AskedSignature()).contract == "tokenizer"
    with pytest.raises(UserError, match=re.escape("vocab --tokenizer-model")):
        require_exportable(tokenizer, AskedSignature())


@pytest.mark.parametrize("name", ["counted positions", "counted positions, 1 x free"])
def test_max_length_is_what_the_model_runs_on(name: str, exported: Any) -> None:
    # Position 0 of the table's 24 rows is that of padding.
    bundle, lines = exported(name)
    assert contract_of(bundle)["max_length"] == zoo.POSITIONS - 1
    assert any(line.startswith(f"a text may have {zoo.POSITIONS - 1} positions") for line in lines)
    # In Node, without special tokens, the same number of tokens.
    long = json.dumps({"text": "你" * 2 * zoo.POSITIONS})
    command = ["node", "node_bridge/encode.js", "--bundle", str(bundle), "--jsonl"]
    out = bundle.with_suffix(".safetensors")
    run = subprocess.run(
        [*command, "--out", str(out)], cwd=ROOT, capture_output=True, text=True, input=long
    )
    assert run.returncode == 0, run.stderr
    assert load_file(out)["input_ids"].shape == (1, zoo.POSITIONS - 1)
