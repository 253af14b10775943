"""Replaces token strings by ids as the input of models of the older contract.

TF.js would look strings up wrongly, or throw. `''` is padding. In some releases it is looked up
like [PAD] and attended to; in others the table maps it to −1, which the model then masks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2
from tensorflow.python.framework import tensor_util

from export.graph.graph import InlinedGraph, skip_identities, topological_order
from export.tokenizer.hub_tokenizer import read_table, tokens_by_id
from support.errors import UserError

IDS, MASK = "input_ids", "attention_mask"
# A separate scope: the nodes of a TF1 graph can have any name.
SCOPE = "from_ids"
IDS_NODE, MASK_NODE, LOOKED_UP = f"{SCOPE}/ids", f"{SCOPE}/mask", f"{SCOPE}/looked_up"
LOOKUP = "LookupTableFindV2"
# Ops that pass the strings on, whole or cut; the caller's max_length replaces the cut.
PASSING_OPS = ("Identity", "StridedSlice", "Slice")
PAD = b"[PAD]"
MASKED_ID = -1


@dataclass(frozen=True)
class IdsModel:
    """The graph with ids as its input, and the tokens of its table in the order of their ids.

    `padding` is `masked`, with an input for the mask, or `attended`.
    """

    parts: InlinedGraph
    tokens: list[bytes]
    padding: str


def takes_strings(parts: InlinedGraph) -> bool:
    """Whether the signature has a string input."""
    nodes = {node.name: node for node in parts.graph_def.node}
    kinds = [nodes[name].attr["dtype"].type for name in parts.inputs.values()]
    return tf.string.as_datatype_enum in kinds


def replace_strings_by_ids(parts: InlinedGraph) -> IdsModel:
    """Replaces the result of the lookup by inputs: ids, and a mask if the model uses one.

    Raises:
        UserError: there are several inputs or no lookup table of tokens, or the strings are used
            for more than a lookup, their shape and a comparison with `''`.
    """
    if len(parts.inputs) != 1:
        raise UserError(
            f"the signature takes {', '.join(parts.inputs)}, expected one matrix of token strings"
        )
    nodes = {node.name: node for node in parts.graph_def.node}
    (name,) = parts.inputs.values()
    entries = read_table_entries(parts, nodes)
    masked = entries.pop(b"", None) == MASKED_ID
    tokens = tokens_by_id(entries)
    if PAD not in tokens:
        raise UserError(f"the model's lookup table has no {PAD.decode()}, expected it for padding")
    strings = _find_string_nodes(parts.graph_def, name)
    fragment = _lookup_fragment(masked)
    result = graph_pb2.GraphDef(versions=parts.graph_def.versions)
    result.node.extend(fragment.node)
    for node in parts.graph_def.node:
        new = result.node.add()
        new.CopyFrom(node)
        sources = [skip_identities(nodes, one) for one in node.input if not one.startswith("^")]
        if node.op == LOOKUP and sources[1] in strings:
            _make_cast(new, LOOKED_UP, tf.int64, tf.as_dtype(node.attr["Tout"].type))
        elif node.op.startswith("StringToHashBucket") and sources[0] in strings:
            # The bucket of an unknown token, which no id stands for.
            _make_cast(new, LOOKED_UP, tf.int64, tf.int64)
        elif node.op == "LookupTableSizeV2":
            _make_constant(new, len(tokens), tf.int64)
        elif node.op == "Shape" and sources[0] in strings:
            new.input[0] = IDS_NODE
            new.attr["T"].type = tf.int32.as_datatype_enum
        elif node.op in ("Equal", "NotEqual") and _compares_with_empty(sources, nodes, strings):
            _compare_with_pad(result, new, tokens.index(PAD))
    inputs = {IDS: IDS_NODE, MASK: MASK_NODE} if masked else {IDS: IDS_NODE}
    cut = replace(parts, graph_def=result, inputs=inputs)
    _refuse_other_uses(cut, name)
    return IdsModel(cut, tokens, "masked" if masked else "attended")


def read_table_entries(
    parts: InlinedGraph, nodes: Mapping[str, node_def_pb2.NodeDef]
) -> dict[bytes, int]:
    """Reads the id of each token from the model's only table of tokens."""
    lookups = [node for node in parts.graph_def.node if node.op == LOOKUP]
    handles = {skip_identities(nodes, node.input[0]) for node in lookups}
    tables = [parts.captured[handle] for handle in sorted(handles) if handle in parts.captured]
    read = [table if isinstance(table, dict) else read_table(table) for table in tables]
    found = [dict(entries) for entries in read if entries is not None]
    if len(found) != 1:
        raise UserError(
            f"the model takes strings, and {len(found)} lookup tables of tokens were found in it, "
            "expected one; only models that look single tokens up can be carried over"
        )
    return found[0]


def _find_string_nodes(graph_def: graph_pb2.GraphDef, name: str) -> set[str]:
    """Returns the nodes whose value is the string matrix, or a part of it."""
    strings = {name}
    for node in topological_order(graph_def):
        if node.op in PASSING_OPS and node.input[0].split(":")[0] in strings:
            strings.add(node.name)
    return strings


def _lookup_fragment(masked: bool) -> graph_pb2.GraphDef:
    """Makes the inputs and the node LOOKED_UP: int64[batch, sequence], as the table's result."""
    with tf.Graph().as_default() as graph, tf.name_scope(f"{SCOPE}/"):
        free = tf.TensorShape([None, None])
        ids = tf.cast(tf.compat.v1.placeholder(tf.int32, free, "ids"), tf.int64)
        if masked:
            mask = tf.compat.v1.placeholder(tf.int32, free, "mask")
            ids = tf.where(mask > 0, ids, tf.constant(MASKED_ID, tf.int64))
        tf.identity(ids, name="looked_up")
        return graph.as_graph_def()


def _make_cast(node: node_def_pb2.NodeDef, source: str, has: tf.DType, wanted: tf.DType) -> None:
    """Turns a node into a cast.

    Args:
        node: the node, changed in place.
        source: the tensor to cast.
        has: its dtype.
        wanted: the dtype of the result.
    """
    name = node.name
    node.Clear()
    node.name, node.op = name, "Cast"
    node.input.append(source)
    node.attr["SrcT"].type = has.as_datatype_enum
    node.attr["DstT"].type = wanted.as_datatype_enum


def _make_constant(node: node_def_pb2.NodeDef, value: int, dtype: tf.DType) -> None:
    """Turns a node into a constant, in place."""
    name = node.name
    node.Clear()
    node.name, node.op = name, "Const"
    node.attr["dtype"].type = dtype.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tensor_util.make_tensor_proto(value, dtype))


def _compares_with_empty(
    sources: list[str], nodes: Mapping[str, node_def_pb2.NodeDef], strings: set[str]
) -> bool:
    """Whether a comparison compares the strings with `''`."""
    fixed = next((nodes[one] for one in sources if nodes[one].op == "Const"), None)
    if fixed is None or not set(sources) & strings:
        return False
    value = tensor_util.MakeNdarray(fixed.attr["value"].tensor)
    return value.size == 1 and value.item() in (b"", "")


def _compare_with_pad(graph_def: graph_pb2.GraphDef, node: node_def_pb2.NodeDef, pad: int) -> None:
    """Turns a comparison of the strings into one of the ids with the id of [PAD]."""
    other = graph_def.node.add(name=f"{node.name}/pad")
    _make_constant(other, pad, tf.int32)
    node.input[:] = [IDS_NODE, other.name]
    node.attr["T"].type = tf.int32.as_datatype_enum


def _refuse_other_uses(parts: InlinedGraph, strings: str) -> None:
    """Refuses a model with an output that needs the strings themselves."""
    outputs = [name.split(":")[0] for name in parts.outputs.values()]
    needed = tf.compat.v1.graph_util.extract_sub_graph(parts.graph_def, outputs)
    left = {node.name: node for node in needed.node}
    users = sorted(
        f"{node.op} ({node.name})"
        for node in needed.node
        if strings in {skip_identities(left, n) for n in node.input if not n.startswith("^")}
        and node.op != "Identity"
    )
    if users:
        raise UserError(
            f"the model uses its token strings for more than looking ids up: "
            f"{', '.join(users[:5])}; that cannot run in TF.js"
        )
