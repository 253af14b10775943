"""Makes SavedModels that read or write a file in ways that an inexact vetting does not see.

Each maker takes a directory to make and a file: one that the model writes as soon as it is loaded
or run, or one that it reads. Tests prove that they do, so that each is a real attack. No such model
is committed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2
from tensorflow.core.protobuf import (
    meta_graph_pb2,
    saved_model_pb2,
    saved_object_graph_pb2,
)

from tests.python import untrusted_models, zoo

tf1 = tf.compat.v1
FIELDS = meta_graph_pb2.MetaGraphDef.DESCRIPTOR.fields_by_name


def bytes_field(field: int, payload: bytes) -> bytes:
    """Returns a field of bytes as protobuf writes it."""
    return varint(field << 3 | 2) + varint(len(payload)) + payload


def varint(number: int) -> bytes:
    """Returns a number as protobuf writes it."""
    head = bytes([number & 0x7F | (0x80 if number > 0x7F else 0)])
    return head if number <= 0x7F else head + varint(number >> 7)


def read_meta_graph(saved_model: Path) -> Any:
    """Reads the only graph of a file."""
    raw = (saved_model / "saved_model.pb").read_bytes()
    return saved_model_pb2.SavedModel.FromString(raw).meta_graphs[0]


def write_meta_graph(saved_model: Path, meta_graph: bytes) -> None:
    """Writes a file with these bytes as its only graph."""
    raw = saved_model_pb2.SavedModel(saved_model_schema_version=1).SerializeToString()
    (saved_model / "saved_model.pb").write_bytes(raw + bytes_field(2, meta_graph))


def checkpoint_writer(file: Path) -> Any:
    """Makes an op that writes a checkpoint at a path of its own."""
    return tf.raw_ops.SaveV2(
        prefix=str(file), tensor_names=["x"], shape_and_slices=[""], tensors=[tf.constant(1.0)]
    )


class SavesWhenLoaded(untrusted_models.WritesWhenLoaded):
    """A resource whose initializer writes a checkpoint."""

    def _initialize(self) -> None:
        checkpoint_writer(Path(self.marker))


def bare_concrete_function(out: Path, marker: Path) -> Path:
    """Makes a model whose initializer is named only by a `bare_concrete_function`.

    In the main graph it is at the position that saving a checkpoint runs.
    """
    module = untrusted_models.module_with_signature(untrusted_models.string_lengths)
    module.resource = SavesWhenLoaded(marker)
    tf.saved_model.save(module, str(out), signatures={"serving_default": module.serve})

    def hide(meta_graph: Any) -> None:
        writer = next(
            f.signature.name
            for f in meta_graph.graph_def.library.function
            if "_initializer_" in f.signature.name and has_op(f.node_def, "SaveV2")
        )
        for thing in meta_graph.object_graph_def.nodes:
            if thing.HasField("function") and writer in thing.function.concrete_functions:
                thing.bare_concrete_function.concrete_function_name = writer
            if thing.HasField("bare_concrete_function"):
                # Without the function's own entry there is no signature for it.
                thing.bare_concrete_function.ClearField("function_spec")
        del meta_graph.object_graph_def.concrete_functions[writer]
        # Nothing describes its outputs either: it has none.
        (function,) = (
            f for f in meta_graph.graph_def.library.function if f.signature.name == writer
        )
        del function.signature.output_arg[:]
        function.ret.clear()
        nodes = {node.name: node for node in meta_graph.graph_def.node}
        call = next(node.name for node in nodes.values() if node.attr["f"].func.name == writer)
        nodes[call].attr["Tout"].list.ClearField("type")
        nodes[call].attr.pop("_output_shapes", None)
        for node in nodes.values():
            remaining = [name for name in node.input if name != f"^{call}"]
            node.input[:] = remaining
        save = meta_graph.saver_def.save_tensor_name.partition(":")[0]
        nodes[save].input.append(f"^{call}")

    return untrusted_models.edit_graph(out, hide)


def has_op(nodes: Any, op: str) -> bool:
    """Returns whether one of the nodes has this op."""
    return any(node.op == op for node in nodes)


def sparse_output_behind_a_name(out: Path, marker: Path) -> Path:
    """Makes a model with an output that has a name and then, overriding it, a sparse tensor."""
    with tf.Graph().as_default(), tf1.Session() as session:
        inputs, outputs = zoo.tf1_graph()
        session.run(tf1.global_variables_initializer())
        with tf.control_dependencies([checkpoint_writer(marker)]):
            tf.zeros([1], name="values")
        tf.zeros([1, 1], tf.int64, name="indices")
        tf.ones([1], tf.int64, name="size")
        tf1.saved_model.simple_save(session, str(out), inputs, outputs)
    meta_graph = read_meta_graph(out)
    plain = meta_graph.signature_def["serving_default"].outputs["pooled_output"]
    sparse = meta_graph_pb2.TensorInfo(dtype=plain.dtype)
    sparse.coo_sparse.values_tensor_name = "values:0"
    sparse.coo_sparse.indices_tensor_name = "indices:0"
    sparse.coo_sparse.dense_shape_tensor_name = "size:0"
    both = plain.SerializeToString() + sparse.SerializeToString()
    signature = meta_graph_pb2.SignatureDef()
    signature.CopyFrom(meta_graph.signature_def["serving_default"])
    del signature.outputs["pooled_output"]
    output = bytes_field(2, bytes_field(1, b"pooled_output") + bytes_field(2, both))
    raw = bytes_field(1, b"serving_default") + bytes_field(
        2, signature.SerializeToString() + output
    )
    del meta_graph.signature_def["serving_default"]
    rest = meta_graph.SerializeToString()
    write_meta_graph(out, rest + bytes_field(FIELDS["signature_def"].number, raw))
    return out


def constant_behind_an_asset(out: Path, secret: Path) -> Path:
    """Makes a model with an asset that another file's path overrides."""
    untrusted_models.vocab_table(out)
    meta_graph = read_meta_graph(out)
    path = meta_graph.graph_def.node.add(name="path", op="Const")
    path.attr["dtype"].type = tf.string.as_datatype_enum
    path.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(str(secret)))
    graph = saved_object_graph_pb2.SavedObjectGraph()
    graph.CopyFrom(meta_graph.object_graph_def)
    constant = saved_object_graph_pb2.SavedObject()
    constant.constant.operation = "path"
    things = b""
    for thing in graph.nodes:
        raw = thing.SerializeToString()
        is_asset = thing.WhichOneof("kind") == "asset"
        things += bytes_field(1, raw + (constant.SerializeToString() if is_asset else b""))
    del graph.nodes[:]
    meta_graph.ClearField("object_graph_def")
    raw_graph = bytes_field(FIELDS["object_graph_def"].number, graph.SerializeToString() + things)
    write_meta_graph(out, meta_graph.SerializeToString() + raw_graph)
    return out


def table_in_a_signature(out: Path, file: Callable[[], Any], asset: str) -> Path:
    """Makes a TF1 model with an output that has the lines of a file.

    Args:
        out: its directory.
        file: makes the tensor of the file's path.
        asset: the node that is listed as its asset.
    """
    with tf.Graph().as_default(), tf1.Session() as session:
        inputs, outputs = zoo.tf1_graph()
        table = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)
        initializer = tf.raw_ops.InitializeTableFromTextFileV2(
            table_handle=table, filename=file(), key_index=-2, value_index=-1
        )
        with tf.control_dependencies([initializer]):
            lines, _ = tf.raw_ops.LookupTableExportV2(
                table_handle=table, Tkeys=tf.string, Tvalues=tf.int64
            )
        session.run(tf1.global_variables_initializer())
        outputs["lines"] = lines
        tf1.saved_model.simple_save(session, str(out), inputs, outputs)
    (out / "assets").mkdir()
    (out / "assets" / "vocab.txt").write_text("harmless\n")

    def list_it(meta_graph: Any) -> None:
        listed = meta_graph.asset_file_def.add(filename="vocab.txt")
        listed.tensor_info.name = asset

    return untrusted_models.edit_graph(out, list_it)


def constant_listed_as_an_asset(out: Path, secret: Path) -> Path:
    """Lists a constant path as an asset, which is read when the loader passes no asset."""
    return table_in_a_signature(out, lambda: tf.constant(str(secret), name="path"), "path:0")


def second_output_of_an_asset(out: Path, secret: Path) -> Path:
    """Makes the asset the first output of a node, and the path of another file its second."""

    def paths() -> Any:
        both = tf.constant(["harmless", str(secret)])
        return tf.unstack(both, name="paths")[1]

    return table_in_a_signature(out, paths, "paths:0")


def misaligned_captures(out: Path, secret: Path) -> Path:
    """Makes more captures than arguments: an extra one is at the index of the asset."""
    untrusted_models.vocab_table(out)

    def misalign(meta_graph: Any) -> None:
        graph = meta_graph.object_graph_def
        asset = next(i for i, t in enumerate(graph.nodes) if t.WhichOneof("kind") == "asset")
        path = meta_graph.graph_def.node.add(name="path", op="Const")
        path.attr["dtype"].type = tf.string.as_datatype_enum
        path.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(str(secret)))
        other = graph.nodes.add()
        other.constant.operation = "path"
        graph.nodes[0].children.add(node_id=len(graph.nodes) - 1, local_name="other")
        for function in graph.concrete_functions.values():
            if asset in function.bound_inputs:
                first = function.bound_inputs[:]
                first[first.index(asset)] = len(graph.nodes) - 1
                # Counted from the end, the asset has its old index.
                function.bound_inputs[:] = [*first, *function.bound_inputs]

    return untrusted_models.edit_graph(out, misalign)


def function_in_an_ops_name(out: Path, marker: Path) -> Path:
    """Adds a function with the name of an op, which a node of that op would call."""
    untrusted_models.save_function(untrusted_models.string_lengths, out)

    def shadow(meta_graph: Any) -> None:
        function = meta_graph.graph_def.library.function.add()
        function.signature.name = "StringLength"
        node = function.node_def.add(name="evil", op="NoOp")
        node.attr["path"].CopyFrom(attr_value_pb2.AttrValue(s=str(marker).encode()))

    return untrusted_models.edit_graph(out, shadow)


def restore_of_another_file(out: Path, secret: Path) -> Path:
    """Makes the restoring of the weights read from another path."""
    untrusted_models.save_function(untrusted_models.string_lengths, out)

    def redirect(meta_graph: Any) -> None:
        for function in meta_graph.graph_def.library.function:
            for node in function.node_def:
                if node.op == "RestoreV2":
                    path = function.node_def.add(name="path", op="Const")
                    path.attr["dtype"].type = tf.string.as_datatype_enum
                    path.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(str(secret)))
                    node.input[0] = "path:output:0"

    return untrusted_models.edit_graph(out, redirect)


def restore_of_another_file_in_tf1(out: Path, secret: Path) -> Path:
    """Does the same in a graph of TF1."""
    zoo.tf1_simple(out)

    def redirect(meta_graph: Any) -> None:
        path = meta_graph.graph_def.node.add(name="path", op="Const")
        path.attr["dtype"].type = tf.string.as_datatype_enum
        path.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(str(secret)))
        for node in meta_graph.graph_def.node:
            if node.op == "RestoreV2":
                node.input[0] = "path"

    return untrusted_models.edit_graph(out, redirect)


def swapped_by_its_interface(out: Path, marker: Path) -> Path:
    """Makes a function of the saver that an optimizer may swap for another."""
    untrusted_models.save_function(untrusted_models.string_lengths, out)

    def offer(meta_graph: Any) -> None:
        for function in meta_graph.graph_def.library.function:
            if has_op(function.node_def, "SaveV2"):
                function.attr["api_implements"].s = b"anything"

    return untrusted_models.edit_graph(out, offer)


# Models that write their file when loaded or run: maker and part of the message, by name.
WRITES: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "bare concrete function": (bare_concrete_function, "op SaveV2 outside the saver"),
    "sparse output behind a name": (sparse_output_behind_a_name, "op SaveV2 outside the saver"),
}
# Models that output the lines of the file.
READS: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "constant behind an asset": (constant_behind_an_asset, "on a file that is no asset"),
    "constant listed as an asset": (constant_listed_as_an_asset, "where a signature runs it"),
    "second output of an asset": (second_output_of_an_asset, "on a file that is no asset"),
    "misaligned captures": (misaligned_captures, "on a file that is no asset"),
}
# Models that are refused although no loader is known to be vulnerable.
OTHERS: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "function in an op's name": (function_in_an_ops_name, "a function called 'StringLength'"),
    "restore of another file": (restore_of_another_file, "another file than the model's own in"),
    "restore of another file in TF1": (restore_of_another_file_in_tf1, "another file than the mo"),
    "swapped by its interface": (swapped_by_its_interface, "op SaveV2 outside the saver"),
}
