"""Malicious SavedModels: functions to save, and edits of a saved graph."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def nest_function(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Wraps a function in two calls and a branch."""
    inner = tf.function(function)
    middle = tf.function(lambda text: inner(text))
    return lambda text: tf.cond(tf.size(text) > 3, lambda: middle(text), lambda: {"x": text})


def run_after(operation: Any, text: Any) -> dict[str, Any]:
    with tf.control_dependencies([operation]):
        return {"x": tf.identity(text)}


def write_to_a_file(text: Any) -> Any:
    return run_after(tf.io.write_file("/tmp/evil", "x"), text)


def print_to_a_file(text: Any) -> Any:
    return run_after(tf.print("x", output_stream="file:///tmp/evil"), text)


def map_a_file(text: Any) -> Any:
    constant = tf.raw_ops.ImmutableConst(
        dtype=tf.uint8, shape=[4], memory_region_name="/etc/passwd"
    )
    return {"x": tf.as_string(constant)}


def save_a_checkpoint(text: Any) -> Any:
    saved = tf.raw_ops.SaveV2(
        prefix="/tmp/evil", tensor_names=["x"], shape_and_slices=[""], tensors=[text]
    )
    return run_after(saved, text)


def restore_a_checkpoint(text: Any) -> Any:
    restored = tf.raw_ops.RestoreV2(
        prefix=text[0], tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.string]
    )
    return {"x": tf.reshape(restored[0], [-1])}


# The action → the error message, and the function.
EVIL: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "read": ("op ReadFile", lambda text: {"x": tf.io.read_file("/etc/passwd")[None]}),
    "read a file of the input": (
        "op ReadFile",
        lambda text: {"x": tf.map_fn(tf.io.read_file, text)},
    ),
    "write": ("op WriteFile", write_to_a_file),
    "list": ("op MatchingFiles", lambda text: {"x": tf.io.matching_files("/home/*")}),
    "python": ("op EagerPyFunc", lambda t: {"x": tf.py_function(lambda x: x, [t], tf.string)}),
    "numpy": ("op PyFunc", lambda t: {"x": tf.numpy_function(lambda x: x, [t], tf.string)}),
    "print": ("op PrintV2", print_to_a_file),
    "map a file": ("op ImmutableConst", map_a_file),
    "save": ("op SaveV2 outside the saver", save_a_checkpoint),
    "restore": ("op RestoreV2 outside the saver", restore_a_checkpoint),
    "table of a file": (
        "on a file that is no asset",
        lambda t: {"x": lookup_from_file("/etc/passwd")},
    ),
    "table of a file of the input": (
        "on a file that is no asset",
        lambda t: {"x": lookup_from_file(t[0])},
    ),
}


def lookup_from_file(file: Any) -> Any:
    table = tf.raw_ops.HashTableV2(key_dtype=tf.int64, value_dtype=tf.string)
    initialise = tf.raw_ops.InitializeTableFromTextFileV2(
        table_handle=table, filename=file, key_index=-1, value_index=-2
    )
    with tf.control_dependencies([initialise]):
        return tf.raw_ops.LookupTableFindV2(
            table_handle=table, keys=tf.zeros([1], tf.int64), default_value=tf.constant("")
        )


def add_node(op: str) -> Callable[[Any], None]:
    """Adds a node to the main graph."""
    return lambda meta_graph: meta_graph.graph_def.node.add(name="evil", op=op) and None


def add_function_of_the_same_name(meta_graph: Any) -> None:
    """Adds a second function of the same name, so that a dict by name would have only one."""
    function = meta_graph.graph_def.library.function[0]
    meta_graph.graph_def.library.function.add().CopyFrom(function)


def let_the_restore_write(meta_graph: Any) -> None:
    """Makes the saver's saving node the one that runs when the model is loaded."""
    save = meta_graph.saver_def.save_tensor_name.partition(":")[0]
    meta_graph.saver_def.restore_op_name = save


def let_the_start_write(meta_graph: Any) -> None:
    """Makes the saving node the op that TensorFlow runs first."""
    save = meta_graph.saver_def.save_tensor_name.partition(":")[0]
    meta_graph.collection_def["saved_model_main_op"].node_list.value.append(save)


def let_a_signature_write(meta_graph: Any) -> None:
    """Makes the saving node the output of a signature."""
    outputs = meta_graph.signature_def["serving_default"].outputs
    next(iter(outputs.values())).name = meta_graph.saver_def.save_tensor_name


def hide_an_output(meta_graph: Any) -> None:
    """Adds a sparse output, whose tensors are named in other fields."""
    info = meta_graph.signature_def["serving_default"].outputs["sparse"]
    info.coo_sparse.values_tensor_name = meta_graph.saver_def.save_tensor_name


EDITS: dict[str, tuple[Callable[[Any], None], str]] = {
    "in the main graph": (add_node("ReadFile"), "got op ReadFile, expected"),
    "of the future": (add_node("LoadAnything"), "got op LoadAnything, expected"),
    "a function as an op": (add_node("__inference_f"), "got op __inference_f, expected"),
    "namesake": (add_function_of_the_same_name, "two functions called '__inference"),
    "restore writes": (let_the_restore_write, "SaveV2 outside the saver"),
    "start writes": (let_the_start_write, "SaveV2 outside the saver"),
    "signature writes": (let_a_signature_write, "SaveV2 outside the saver"),
    "sparse output": (hide_an_output, "SaveV2 outside the saver"),
}
