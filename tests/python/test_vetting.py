"""Untrusted SavedModels that only compute are allowed, others are refused before loading."""

import ast
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2
from tensorflow.core.framework import variable_pb2
from tensorflow.core.protobuf import saved_model_pb2

from export.source import hub, messages
from export.source.vetting import ALLOWED_FILE, allowed_ops, vet
from support.errors import UserError
from tests.python import untrusted_models, zoo
from tests.python.malicious_graphs import EDITS, EVIL, nest_function

# Examples of ops that read, write, call out or stop the process; the list has only allowed ops.
FORBIDDEN = """
ReadFile WriteFile MatchingFiles WholeFileReaderV2 TextLineDataset TFRecordDatasetV2 LoadDataset
SaveDatasetV2 Save SaveSlices Restore RestoreSlice ImmutableConst GenerateVocabRemapping
LoadAndRemapMatrix DecodeProtoV2 CreateSummaryFileWriter FileSystemSetConfiguration DebugIdentityV2
PyFunc EagerPyFunc PyFuncStateless Print PrintV2 RemoteCall SymbolicGradient Recv Send Abort
"""
EXPORT = Path(__file__).parents[2] / "export"


@pytest.mark.parametrize(
    "make",
    [
        untrusted_models.own_encoder,
        untrusted_models.own_tokenizer,
        untrusted_models.string_tokens,
        untrusted_models.vocab_table,
        untrusted_models.fast_tokenizer,
        untrusted_models.trained_keras,
    ],
    ids=lambda make: make.__name__,
)
def test_honest_models_pass(make: Callable[[Path], Path], tmp_path: Path) -> None:
    made = make(tmp_path / "m")
    # An allowed model loads.
    tf.saved_model.load(str(made))
    vet(made)


@pytest.mark.parametrize("name", EVIL)
@pytest.mark.parametrize("depth", ["plain", "nested"])
def test_harmful_op_is_refused_by_name(name: str, depth: str, tmp_path: Path) -> None:
    op, function = EVIL[name]
    made = untrusted_models.save_function(
        nest_function(function) if depth == "nested" else function, tmp_path / "m"
    )
    with pytest.raises(UserError, match=rf"got .*{op}.*nothing was loaded"):
        hub.resolve(str(made))


def test_model_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    made = untrusted_models.writes_when_loaded(tmp_path / "m", marker)
    # Without the vetting, loading writes the file.
    tf.saved_model.load(str(made))
    assert marker.exists()
    marker.unlink()
    with pytest.raises(UserError, match="got op WriteFile in __inference__initializer"):
        hub.resolve(str(made))
    assert not marker.exists()


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = untrusted_models.save_function(
        untrusted_models.string_lengths, tmp_path_factory.mktemp("harmless") / "m"
    )
    vet(made)
    return made


@pytest.mark.parametrize("name", EDITS)
def test_edited_graph_is_refused(name: str, harmless: Path, tmp_path: Path) -> None:
    change, message = EDITS[name]
    made = untrusted_models.edit_graph(shutil.copytree(harmless, tmp_path / "m"), change)
    with pytest.raises(UserError, match=message):
        vet(made)


@pytest.mark.parametrize("other", ["saved_model.cpb", "saved_model.pbtxt"])
def test_second_graph_is_vetted_too(other: str, harmless: Path, tmp_path: Path) -> None:
    made = Path(shutil.copytree(harmless, tmp_path / "m"))
    (made / other).touch()
    with pytest.raises(UserError, match=f"holds {other}, expected saved_model.pb alone"):
        vet(made)


@pytest.fixture(scope="module")
def with_vocab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrusted_models.vocab_table(tmp_path_factory.mktemp("vocab") / "m")


@pytest.mark.parametrize(
    "name", ["../../secret", "/etc/passwd", "..\\secret", "gs://bucket/vocab", "missing.txt"]
)
def test_asset_outside_the_folder_is_refused(name: str, with_vocab: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    made = shutil.copytree(with_vocab, tmp_path / "m")

    def change(meta_graph: Any) -> None:
        meta_graph.asset_file_def[0].filename = name

    with pytest.raises(UserError, match="got an asset .*, expected a file inside its folder"):
        vet(untrusted_models.edit_graph(made, change))


def test_vocab_that_is_no_asset_is_refused(with_vocab: Path, tmp_path: Path) -> None:
    def take_away(meta_graph: Any) -> None:
        del meta_graph.asset_file_def[:]

    def bind_another(meta_graph: Any) -> None:
        graph = meta_graph.object_graph_def
        other = next(i for i, node in enumerate(graph.nodes) if node.WhichOneof("kind") != "asset")
        for name, function in graph.concrete_functions.items():
            if "initializer" in name:
                function.bound_inputs[:] = [other] * len(function.bound_inputs)

    for i, change in enumerate((take_away, bind_another)):
        made = untrusted_models.edit_graph(shutil.copytree(with_vocab, tmp_path / str(i)), change)
        with pytest.raises(UserError, match="on a file that is no asset"):
            vet(made)


def test_links_out_and_special_files_are_refused(with_vocab: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine")
    made = Path(shutil.copytree(with_vocab, tmp_path / "m"))
    vocab = next((made / "assets").iterdir())
    vocab.unlink()
    vocab.symlink_to(secret)
    with pytest.raises(UserError, match="is a link out of"):
        vet(made)
    vocab.unlink()
    shutil.copy(secret, made / "inside")
    vocab.symlink_to(made / "inside")
    vet(made)
    os.mkfifo(made / "pipe")
    with pytest.raises(UserError, match="pipe is no plain file"):
        vet(made)


def test_list_of_allowed_ops_has_no_file_ops() -> None:
    names = ALLOWED_FILE.read_text(encoding="utf-8").splitlines()
    assert names == sorted(set(names))
    assert allowed_ops() == set(names)
    registered = {name for name in dir(tf.raw_ops) if name[0].isupper()}
    text_ops = {"CaseFoldUTF8", "NormalizeUTF8", "WordpieceTokenizeWithOffsets"}
    assert text_ops <= allowed_ops()
    forbidden = set(FORBIDDEN.split())
    assert forbidden <= registered
    assert not allowed_ops() & forbidden
    for op in allowed_ops():
        assert not any(
            word in op for word in ("Dataset", "Reader", "Summary", "Rpc", "PyFunc", "Debug", "TPU")
        )


def test_definitions_are_tensorflows_own() -> None:
    def compare(ours: Any, theirs: Any, seen: set[str]) -> None:
        if ours.full_name in seen:
            return
        seen.add(ours.full_name)
        definitions = [descriptor_pb2.DescriptorProto() for _ in range(2)]
        for descriptor, definition in zip((ours, theirs), definitions, strict=True):
            descriptor.CopyToProto(definition)
        # Every field, and every oneof.
        assert definitions[0] == definitions[1]
        for field in ours.fields:
            if field.message_type is not None:
                compare(field.message_type, theirs.fields_by_name[field.name].message_type, seen)

    seen: set[str] = set()
    ours = messages.message_class().DESCRIPTOR
    compare(ours, saved_model_pb2.SavedModel.DESCRIPTOR, seen)
    assert len(seen) > 60
    oneofs = {"tensorflow.TensorInfo", "tensorflow.SavedObject", "tensorflow.AttrValue"}
    assert oneofs <= seen
    variable = messages.message_class("VariableDef").DESCRIPTOR
    compare(variable, variable_pb2.VariableDef.DESCRIPTOR, seen)


def test_strings_in_a_message_are_all_found() -> None:
    graph = messages.message_class("MetaGraphDef")()
    graph.object_graph_def.concrete_functions["key of a map"].bound_inputs.append(1)
    thing = graph.object_graph_def.nodes.add()
    thing.bare_concrete_function.concrete_function_name = "field"
    thing.bare_concrete_function.argument_keywords.append("list")
    thing.children.add(local_name="child")
    graph.graph_def.node.add().attr["attribute"].s = b"bytes"
    graph.graph_def.node[0].attr["nested"].list.func.add(name="function in a list")
    assert set(messages.find_strings(graph)) == {
        "key of a map", "field", "list", "child", "attribute", "bytes", "nested",
        "function in a list",
    }  # fmt: skip


def names_in(node: ast.AST) -> set[str]:
    """Returns the names that a syntax tree uses or imports."""
    if isinstance(node, ast.Name):
        return {node.id}
    if isinstance(node, ast.Attribute):
        return {node.attr}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.name for alias in node.names} | {getattr(node, "module", "")}
    return {str(node.arg)} if isinstance(node, ast.keyword) else set()


def test_nothing_in_export_runs_python_that_a_model_carries() -> None:
    # load_model runs the code of a Lambda layer, a pickle runs any code.
    runs = {"load_model", "pickle", "marshal", "dill", "joblib", "shelve", "allow_pickle", "eval"}
    files = list(EXPORT.rglob("*.py"))
    assert len(files) > 50
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            assert not names_in(node) & runs, file


def restored() -> Any:
    return tf.raw_ops.RestoreV2(
        prefix="/tmp/evil", tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32]
    )[0]


def saving() -> Any:
    return tf.raw_ops.SaveV2(
        prefix="/tmp/evil", tensor_names=["x"], shape_and_slices=[""], tensors=[tf.constant(1.0)]
    )


def answer_with_a_restore(outputs: dict[str, Any]) -> Any:
    outputs["x"] = tf.reshape(restored(), [1, 1])


def wait_for_a_save(outputs: dict[str, Any]) -> Any:
    with tf.control_dependencies([saving()]):
        outputs["x"] = tf.identity(outputs["pooled_output"])


def start_with_a_save(outputs: dict[str, Any]) -> Any:
    return saving()


def initialise_tables_with_a_save(outputs: dict[str, Any]) -> Any:
    zoo.tf1.add_to_collection(zoo.tf1.GraphKeys.TABLE_INITIALIZERS, saving())


def initialise_a_local_variable_with_a_restore(outputs: dict[str, Any]) -> Any:
    zoo.tf1.get_variable(
        "local",
        initializer=tf.ensure_shape(restored(), []),
        collections=[zoo.tf1.GraphKeys.LOCAL_VARIABLES],
        use_resource=False,
    )


# Uses of a checkpoint op that is not the saver's, when a TF1 model is loaded or run.
TF1_EVIL = {
    "answer": (answer_with_a_restore, "op RestoreV2 outside the saver"),
    "wait": (wait_for_a_save, "op SaveV2 outside the saver"),
    "start": (start_with_a_save, "op SaveV2 outside the saver"),
    "tables": (initialise_tables_with_a_save, "op SaveV2 outside the saver"),
    "local variable": (initialise_a_local_variable_with_a_restore, "op RestoreV2 outside the sav"),
}


def tf1_model(out: Path, add: Callable[[dict[str, Any]], Any]) -> Path:
    """Saves a TF1 model with an addition to its graph; `add` may return the initialiser."""
    with tf.Graph().as_default(), zoo.tf1.Session() as session:
        placeholders, outputs = zoo.tf1_graph()
        session.run(zoo.tf1.global_variables_initializer())
        start = add(outputs)
        zoo.tf1.saved_model.simple_save(session, str(out), placeholders, outputs, start)
    return out


@pytest.mark.parametrize("name", TF1_EVIL)
def test_checkpoint_ops_of_tf1_that_would_run_are_refused(name: str, tmp_path: Path) -> None:
    add, message = TF1_EVIL[name]
    with pytest.raises(UserError, match=message):
        vet(tf1_model(tmp_path / "m", add))


@pytest.mark.parametrize("add", [lambda outputs: saving() and None, lambda outputs: None])
def test_checkpoint_ops_of_tf1_that_never_run_are_allowed(
    add: Callable[[dict[str, Any]], Any], tmp_path: Path
) -> None:
    made = tf1_model(tmp_path / "m", add)
    vet(made)
    tf.saved_model.load(str(made))
    assert not Path("/tmp/evil.index").exists()


def test_usual_tf1_model_is_allowed(tmp_path: Path) -> None:
    # Saver.restore, a sharded saver and init_from_checkpoint in one graph.
    vet(zoo.tf1_restored(tmp_path / "m"))
    vet(zoo.tf1_strings(tmp_path / "strings", asset=True))


def test_tf1_asset_outside_the_folder_is_refused(tmp_path: Path) -> None:
    # TF1's list of assets is a collection.
    made = zoo.tf1_strings(tmp_path / "m", asset=True)
    (tmp_path / "secret").touch()

    def change(meta_graph: Any) -> None:
        (listed,) = meta_graph.collection_def["saved_model_assets"].any_list.value
        listed.value = listed.value.replace(b"m.vocab.txt", b"../secret.x")

    with pytest.raises(UserError, match="got an asset '../secret.x', expected a file inside"):
        vet(untrusted_models.edit_graph(made, change))
