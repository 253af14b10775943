"""`python -m export inspect` describes each kind of model, without running any."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from export.__main__ import main
from export.graph.verdict import assess_endpoints
from export.inspection import Inspection, count_lines, inspect_model
from export.source.signature_choice import AskedSignature, Signature, TensorInfo
from support.errors import UserError
from tests.python import untrusted_models


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    untrusted_models.own_encoder(root / "encoder")
    untrusted_models.own_tokenizer(root / "tokenizer")
    untrusted_models.string_tokens(root / "tokens")
    untrusted_models.writes_when_loaded(root / "evil", root / "marker")
    return root


def inspect_named(models: Path, name: str) -> Inspection:
    return inspect_model(str(models / name))


def dtypes_and_shapes(tensors: list[TensorInfo]) -> dict[str, tuple[str, list[int | None] | None]]:
    return {tensor.name: (tensor.dtype, tensor.shape) for tensor in tensors}


def test_encoder_is_described(models: Path) -> None:
    found = inspect_named(models, "encoder")
    (signature,) = found.signatures
    ids = ("int32", [None, None])
    assert signature.name == "serving_default"
    assert dtypes_and_shapes(signature.inputs) == {
        "input_ids": ids,
        "attention_mask": ids,
        "token_type_ids": ids,
    }
    assert dtypes_and_shapes(signature.outputs) == {
        "sequence_output": ("float32", [None, None, 4]),
        "pooled_output": ("float32", [None, 4]),
    }
    assert (found.verdict.exportable, found.verdict.contract) == (True, "named")
    assert found.tensorflow_version == tf.__version__
    assert found.vocabs == []


def test_weight_counts_equal_those_of_the_checkpoint(models: Path) -> None:
    found = inspect_named(models, "encoder")
    reader = tf.train.load_checkpoint(str(models / "encoder" / "variables" / "variables"))
    shapes = {
        name: shape
        for name, shape in reader.get_variable_to_shape_map().items()
        if reader.get_variable_to_dtype_map()[name] == tf.float32
    }
    numbers = sum(int(tf.TensorShape(shape).num_elements()) for shape in shapes.values())
    assert found.weights == {"float32": {"variables": len(shapes), "numbers": numbers}}

    sizes = {
        file.relative_to(models / "encoder"): file.stat().st_size
        for file in (models / "encoder").rglob("*")
        if file.is_file()
    }
    assert found.bytes_on_disk["total"] == sum(sizes.values())
    assert found.bytes_on_disk["saved_model.pb"] == sizes[Path("saved_model.pb")]
    variables = sum(size for path, size in sizes.items() if path.parts[0] == "variables")
    assert found.bytes_on_disk["variables"] == variables


def test_op_counts_equal_those_of_tensorflow(models: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    content = (models / "encoder" / "saved_model.pb").read_bytes()
    graph = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0].graph_def
    expected: dict[str, int] = {}
    for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
        for node in nodes:
            expected[node.op] = expected.get(node.op, 0) + 1
    assert inspect_named(models, "encoder").ops == expected


def test_tokenizer_is_described(models: Path) -> None:
    found = inspect_named(models, "tokenizer")
    assert (found.verdict.exportable, found.verdict.contract) == (True, "tokenizer")
    assert [(v.where, v.tokens) for v in found.vocabs] == [("assets/vocab.txt", 8)]
    assert found.weights == {}


def test_string_token_model_is_described(models: Path) -> None:
    found = inspect_named(models, "tokens")
    assert (found.verdict.exportable, found.verdict.contract) == (True, "tokens-3")
    # The tokens, and the empty string.
    assert [v.tokens for v in found.vocabs] == [len(untrusted_models.TOKENS) + 1]


def test_verdict_names_the_refused_op(models: Path) -> None:
    found = inspect_named(models, "evil")
    assert not found.verdict.exportable
    assert "got op WriteFile in " in found.verdict.reason
    assert found.ops["WriteFile"] == 1
    assert not (models / "marker").exists()


FREE: list[int | None] = [None, None]
IDS = TensorInfo("input_ids", "int32", [None, None])
OUT = [TensorInfo("x", "float32", [None, None, 4])]


@pytest.mark.parametrize(
    "inputs, outputs, contract, reason",
    [
        ([TensorInfo("ids", "int32", None)], OUT, "named", "ids in, as ids"),
        ([TensorInfo("Input-Token", "float32", FREE)], OUT, "named", "ids in, as Input-Token"),
        (
            [TensorInfo("ids", "int64", [1, 64])],
            [TensorInfo("x", "float32", [1, 64, 4])],
            "named",
            "ids",
        ),
        ([TensorInfo("args_0", "string", FREE)], OUT * 4, "tokens-4", "args_0"),
        ([TensorInfo("t", "string", [None])], OUT, None, "got input t string[?], expected int32"),
        (
            [TensorInfo("image", "float32", [*FREE, *FREE])],
            OUT,
            None,
            "image float32[?, ?, ?, ?], expect",
        ),
        (
            [TensorInfo("when", "int32", FREE)],
            OUT,
            None,
            "say what it means with --input ROLE=when",
        ),
        (
            [IDS, TensorInfo("ids", "int32", None)],
            OUT,
            None,
            "got inputs input_ids (input_ids), ids",
        ),
        ([], OUT, None, "got inputs none"),
        (
            [
                IDS,
                TensorInfo("mask", "int32", [None, 64]),
                TensorInfo("types", "int32", [None, 32]),
            ],
            OUT,
            None,
            "mask int32[?, 64], types int32[?, 32], expected one size of the sequence",
        ),
        (
            [TensorInfo("ids", "int32", [2, None])],
            [TensorInfo("x", "float32", [])],
            None,
            "takes 2 texts at a time, got output x of shape [], expected 2 rows",
        ),
    ],
)
def test_each_signature_has_the_expected_verdict(
    inputs: list[TensorInfo], outputs: list[TensorInfo], contract: str | None, reason: str
) -> None:
    signature = Signature("only", inputs, outputs)
    if contract is None:
        with pytest.raises(UserError, match=re.escape(reason)):
            assess_endpoints(signature, AskedSignature(), "m")
    else:
        verdict = assess_endpoints(signature, AskedSignature(), "m")
        assert verdict.contract == contract
        assert reason in verdict.reason


def test_only_a_line_feed_ends_a_token(tmp_path: Path) -> None:
    file = tmp_path / "vocab.txt"
    for content, lines in ((b"", 0), (b"a\nb\n", 2), (b"a\nb", 2), ("a\u2028b\r\nc".encode(), 2)):
        file.write_bytes(content)
        assert count_lines(file) == lines


def test_command_prints_text_and_json(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(models / "tokenizer")]) == 0
    text = capsys.readouterr().out
    assert "  in   text: string[?]" in text
    assert "  out  input_ids: int32[?, ?]" in text
    assert "vocab: 8 tokens in assets/vocab.txt" in text
    assert "verdict: can be exported as tokenizer" in text
    assert main(["inspect", str(models / "evil")]) == 0
    assert "verdict: cannot be exported: " in capsys.readouterr().out
    assert main(["inspect", str(models / "encoder"), "--sha256", "0" * 64]) == 2
    assert capsys.readouterr().err.startswith("error: --sha256 is for an archive or a URL")
    assert main(["inspect", "nothing"]) == 2


def test_json_without_tensorflow(models: Path) -> None:
    code = (
        "import sys; from export.__main__ import main; "
        f"main(['inspect', {str(models / 'tokens')!r}, '--json']); "
        "assert not any(name.startswith('tensorflow') for name in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    document = json.loads(run.stdout)
    assert document["verdict"]["contract"] == "tokens-3"
    assert document["signatures"][0]["inputs"] == [
        {
            "name": "args_0",
            "dtype": "string",
            "shape": [None, None],
            "node": "serving_default_args_0:0",
        }
    ]


def test_sparse_output_is_described_and_refused(tmp_path: Path) -> None:
    def ragged(input_ids: Any) -> dict[str, Any]:
        x = tf.one_hot(input_ids, 4)
        return {"sequence_output": tf.RaggedTensor.from_tensor(x), "pooled_output": x[:, 0]}

    ids = [tf.TensorSpec([None, None], tf.int32, "input_ids")]
    made = untrusted_models.save_function(ragged, tmp_path / "m", ids)
    reason = inspect_model(str(made)).verdict.reason
    assert "got sequence_output, which is no plain tensor" in reason
