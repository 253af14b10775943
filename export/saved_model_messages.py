"""Reads `saved_model.pb` as protobuf messages, without TensorFlow and without loading anything.

TensorFlow takes seconds to import, and a stranger's file should be judged before it comes near it.
The schema is TensorFlow's, cut to the fields that are looked at here; others are skipped unread. A
test compares every number with TensorFlow's own.
"""

from functools import cache
from pathlib import Path
from typing import Any

from export.errors import UserError

FILE = "saved_model.pb"
PACKAGE = "export_saved_model"
# A field is `name number type`; `*` repeats it, `>` makes it a map from strings. Enums are int32.
SCHEMA = """
SavedModel: meta_graphs 2 *MetaGraphDef
MetaGraphDef: meta_info_def 1 MetaInfoDef, graph_def 2 GraphDef, saver_def 3 SaverDef
MetaGraphDef: collection_def 4 >CollectionDef
MetaGraphDef: signature_def 5 >SignatureDef, asset_file_def 6 *AssetFileDef
MetaGraphDef: object_graph_def 7 SavedObjectGraph
MetaInfoDef: tags 4 *string, tensorflow_version 5 string
CollectionDef: node_list 1 NodeList, bytes_list 2 BytesList
BytesList: value 1 *bytes
VariableDef: initializer_name 2 string
NodeList: value 1 *string
SaverDef: filename_tensor_name 1 string, save_tensor_name 2 string, restore_op_name 3 string
SignatureDef: inputs 1 >TensorInfo, outputs 2 >TensorInfo
TensorInfo: name 1 string, dtype 2 int32, tensor_shape 3 TensorShapeProto
AssetFileDef: tensor_info 1 TensorInfo, filename 2 string
GraphDef: node 1 *NodeDef, library 2 FunctionDefLibrary
FunctionDefLibrary: function 1 *FunctionDef, gradient 2 *GradientDef
FunctionDefLibrary: registered_gradients 3 *RegisteredGradient
GradientDef: gradient_func 2 string
RegisteredGradient: gradient_func 1 string
FunctionDef: signature 1 OpDef, node_def 3 *NodeDef, ret 4 >string
OpDef: name 1 string, input_arg 2 *ArgDef, output_arg 3 *ArgDef
ArgDef: name 1 string
NodeDef: name 1 string, op 2 string, input 3 *string, attr 5 >AttrValue
AttrValue: list 1 ListValue, type 6 int32, shape 7 TensorShapeProto, tensor 8 TensorProto
AttrValue: func 10 NameAttrList
ListValue: func 9 *NameAttrList
NameAttrList: name 1 string, attr 2 >AttrValue
TensorShapeProto: dim 2 *Dim, unknown_rank 3 bool
Dim: size 1 int64
TensorProto: dtype 1 int32, tensor_shape 2 TensorShapeProto
SavedObjectGraph: nodes 1 *SavedObject, concrete_functions 2 >SavedConcreteFunction
SavedObject: asset 5 SavedAsset
SavedAsset: asset_file_def_index 1 int32
SavedConcreteFunction: bound_inputs 2 *int32
"""
SCALARS = {"string": 9, "int32": 5, "int64": 3, "bool": 8, "bytes": 12}
MESSAGE, OPTIONAL, REPEATED = 11, 1, 3
# The names of TensorFlow's DataType numbers that a model of text has.
DTYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string",
    9: "int64", 10: "bool", 14: "bfloat16", 17: "uint16", 19: "float16", 20: "resource",
    21: "variant", 22: "uint32", 23: "uint64",
}  # fmt: skip


def read(directory: Path) -> Any:
    """The SavedModel message of a directory.

    Raises:
        UserError: the file is not such a message.
    """
    from google.protobuf.message import DecodeError

    file = directory / FILE
    saved_model = message_class()()
    try:
        saved_model.ParseFromString(file.read_bytes())
    except DecodeError as error:
        raise UserError(
            f"{file} is damaged: got bytes that are no SavedModel; copy or download it again"
        ) from error
    if not saved_model.meta_graphs:
        raise UserError(f"{file} is empty: got no graph, expected one; copy or download it again")
    return saved_model


def graphs(meta_graph: Any) -> list[tuple[str, Any]]:
    """The nodes of the main graph, under the name `""`, and of each library function."""
    library = meta_graph.graph_def.library.function
    return [("", meta_graph.graph_def.node), *((f.signature.name, f.node_def) for f in library)]


def dtype_name(number: int) -> str:
    """A DataType in words."""
    return DTYPES.get(number, f"dtype {number}")


def shape_of(proto: Any) -> list[int | None] | None:
    """A shape with None where an axis is free, or None where even the rank is."""
    if proto.unknown_rank:
        return None
    return [None if dim.size < 0 else dim.size for dim in proto.dim]


def initializers(meta_graph: Any, collection: str) -> list[str]:
    """The nodes that initialise the variables which a collection of a TF1 graph lists.

    Raises:
        UserError: the collection holds something else than variables.
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
    """The class of a kind of messages, in a pool of its own beside TensorFlow's."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(
        name=f"{PACKAGE}.proto", package=PACKAGE, syntax="proto3"
    )
    messages: dict[str, Any] = {}
    for line in SCHEMA.strip().splitlines():
        owner, _, fields = line.partition(": ")
        if owner not in messages:
            messages[owner] = file.message_type.add(name=owner)
        for field in fields.split(", "):
            add_field(messages[owner], *field.split())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


def add_field(owner: Any, name: str, number: str, kind: str) -> None:
    """Adds one field of the schema; a map is, as on the wire, a repeated pair of key and value."""
    label = REPEATED if kind[0] in "*>" else OPTIONAL
    field = owner.field.add(name=name, number=int(number), label=label)
    target = kind.lstrip("*>")
    if kind.startswith(">"):
        entry_name = "".join(part.capitalize() for part in name.split("_")) + "Entry"
        entry = owner.nested_type.add(name=entry_name)
        entry.options.map_entry = True
        add_field(entry, "key", "1", "string")
        add_field(entry, "value", "2", target)
        target = f"{owner.name}.{entry_name}"
    if target in SCALARS:
        field.type = SCALARS[target]
    else:
        field.type = MESSAGE
        field.type_name = f".{PACKAGE}.{target}"
