"""Reads `saved_model.pb` as protobuf messages, without TensorFlow and without loading anything.

TensorFlow takes seconds to import, and an untrusted file should be checked before TensorFlow reads
it. The message definitions are TensorFlow's own, with every field and `oneof`: they come from the
modules of the installed TensorFlow, which are read and not imported (40 ms). A reduced schema would
be unsafe, because a file could mean one thing here and another thing to the loader: protobuf
keeps only the last member of a `oneof`.
"""

import ast
import importlib.util
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeGuard

from support.errors import EnvironmentProblem, UserError
from support.input_files import read_plain_file

FILE = "saved_model.pb"
ROOT_PROTO = "tensorflow/core/protobuf/saved_model.proto"
ASSETS = "saved_model_assets"
# The limit of protobuf.
MAX_BYTES = 2 << 30
# The names of TensorFlow's DataType numbers that occur in text models.
DTYPE_NAMES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string",
    9: "int64", 10: "bool", 14: "bfloat16", 17: "uint16", 19: "float16", 20: "resource",
    21: "variant", 22: "uint32", 23: "uint64",
}  # fmt: skip


def read_saved_model(directory: Path) -> Any:
    """Reads the SavedModel message of a directory.

    Raises:
        UserError: the file is no such message.
    """
    from google.protobuf.message import DecodeError

    file = directory / FILE
    saved_model = message_class()()
    try:
        saved_model.ParseFromString(read_plain_file(file, MAX_BYTES, "a SavedModel"))
    except DecodeError as error:
        raise UserError(
            f"{file} is damaged: got bytes that are no SavedModel; copy or download it again"
        ) from error
    if not saved_model.meta_graphs:
        raise UserError(f"{file} is empty: got no graph, expected one; copy or download it again")
    return saved_model


def node_lists(meta_graph: Any) -> list[tuple[str, Any]]:
    """Returns the nodes of the main graph, under the name `""`, and of each library function."""
    library = meta_graph.graph_def.library.function
    return [("", meta_graph.graph_def.node), *((f.signature.name, f.node_def) for f in library)]


def tensor_names(info: Any) -> list[str]:
    """Returns the tensors of an input or output: one, or several for a sparse or ragged one."""
    kind = info.WhichOneof("encoding")
    if kind == "coo_sparse":
        sparse = info.coo_sparse
        names = (sparse.values_tensor_name, sparse.indices_tensor_name)
        return [*names, sparse.dense_shape_tensor_name]
    if kind == "composite_tensor":
        return [name for part in info.composite_tensor.components for name in tensor_names(part)]
    return [info.name]


def find_strings(message: Any) -> Iterator[str]:
    """Yields every string in a message at any depth: values, keys of maps, and bytes."""
    for field, value in message.ListFields():
        values = [value]
        if field.is_repeated:
            values = [*value, *value.values()] if isinstance(value, Mapping) else value
        for one in values:
            if isinstance(one, str):
                yield one
            elif isinstance(one, bytes):
                yield one.decode("utf-8", errors="replace")
            elif hasattr(one, "ListFields"):
                yield from find_strings(one)


def dtype_name(number: int) -> str:
    """Returns the name of a DataType."""
    return DTYPE_NAMES.get(number, f"dtype {number}")


def read_shape(proto: Any) -> list[int | None] | None:
    """Returns a shape with None for free axes, or None if the rank is unknown."""
    if proto.unknown_rank:
        return None
    return [None if dim.size < 0 else dim.size for dim in proto.dim]


def read_assets(meta_graph: Any) -> list[Any]:
    """Returns the assets as a loader finds them: TF1 lists them in a collection.

    Raises:
        UserError: the collection has something other than assets.
    """
    from google.protobuf.message import DecodeError

    if meta_graph.asset_file_def:
        return list(meta_graph.asset_file_def)
    asset = message_class("AssetFileDef")
    try:
        listed = meta_graph.collection_def[ASSETS].any_list.value
        return [asset.FromString(one.value) for one in listed]
    except DecodeError as error:
        raise UserError(f"{FILE} is damaged: its collection {ASSETS} has no assets") from error


def find_initializers(meta_graph: Any, collection: str) -> list[str]:
    """Returns the nodes that initialise the variables in a collection of a TF1 graph.

    Raises:
        UserError: the collection has something other than variables.
    """
    from google.protobuf.message import DecodeError

    listed = meta_graph.collection_def[collection].bytes_list.value
    variable = message_class("VariableDef")
    try:
        return [variable.FromString(one).initializer_name for one in listed]
    except DecodeError as error:
        raise UserError(f"{FILE} is damaged: its collection {collection} has no variables") from (
            error
        )


@cache
def message_class(name: str = "SavedModel") -> Any:
    """Returns the class of a TensorFlow message, from a separate pool.

    Raises:
        EnvironmentProblem: TensorFlow, which has the definitions, is not installed.
    """
    from google.protobuf import message_factory

    return message_factory.GetMessageClass(
        definition_pool().FindMessageTypeByName(f"tensorflow.{name}")
    )


@cache
def definition_pool() -> Any:
    """Returns a pool with the definition of SavedModel and of its parts.

    Raises:
        EnvironmentProblem: see `message_class`.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool

    found = importlib.util.find_spec("tensorflow")
    if found is None or not found.submodule_search_locations:
        raise EnvironmentProblem("TensorFlow is not installed; run `nox -s export` once")
    packages = Path(found.submodule_search_locations[0]).parent
    pool = descriptor_pool.DescriptorPool()
    added: set[str] = set()

    def add(proto: str) -> None:
        if proto in added:
            return
        added.add(proto)
        file = descriptor_pb2.FileDescriptorProto.FromString(
            _serialized_definition(proto, packages)
        )
        for dependency in file.dependency:
            add(dependency)
        pool.Add(file)

    add(ROOT_PROTO)
    return pool


def _serialized_definition(proto: str, packages: Path) -> bytes:
    """Returns the definition of a `.proto` file from its generated module.

    Raises:
        EnvironmentProblem: the module is missing, or has another form.
    """
    module_path = proto.replace(".proto", "_pb2.py")
    if proto.startswith("google/"):
        found = importlib.util.find_spec(module_path.removesuffix(".py").replace("/", "."))
        module = Path(str(found and found.origin))
    else:
        module = packages / module_path
    try:
        calls = [node for node in ast.walk(ast.parse(module.read_bytes())) if _is_definition(node)]
        (definition,) = (ast.literal_eval(call.args[0]) for call in calls)
    except (OSError, ValueError) as error:
        raise EnvironmentProblem(
            f"{module} has no definition of {proto}; install the packages of locks/python.txt"
        ) from error
    return bytes(definition)


def _is_definition(node: ast.AST) -> TypeGuard[ast.Call]:
    """Whether a syntax node of a generated module is the call with the definition."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "AddSerializedFile"
    )
