"""A dense layer's bias inside its matrix product."""

from collections import Counter

from tensorflow.core.framework import node_def_pb2

from export.graph import FrozenGraph
from export.rewrites.elementary import copy
from export.rewrites.splice import Tensors


def fuse_biases(frozen: FrozenGraph) -> FrozenGraph:
    """`MatMul` and `BiasAdd` become one `_FusedMatMul`, without an activation.

    XNNPACK adds a bias for nothing; by itself each is a pass over the whole layer, 1 % of
    albert_tiny on wasm. (With the pooler's tanh inside, as TF.js's converter has it, wasm throws.)
    Where a reshape to batch and sequence stands between the two, the bias moves before it.
    """
    nodes = {node.name: node for node in frozen.graph_def.node}
    uses = Counter(n.split(":")[0] for node in frozen.graph_def.node for n in node.input)
    places = {}
    for node in frozen.graph_def.node:
        if node.op != "BiasAdd" or node.attr["data_format"].s not in (b"", b"NHWC"):
            continue
        before = nodes[node.input[0]]
        reshape = before if before.op == "Reshape" and uses[before.name] == 1 else None
        product = nodes[before.input[0]] if reshape is not None else before
        if product.op == "MatMul" and uses[product.name] == 1:
            places[node.name] = (product, reshape)
    if not places:
        return frozen
    tensors, result = Tensors(frozen.graph_def), copy(frozen)
    for node in [node for node in result.node if node.name in places]:
        product, reshape = places[node.name]
        bias, dtype = node.input[1], node.attr["T"].type
        width = tensors[product.name].shape[-1]
        if reshape is None:
            fused = node
        elif width is not None and width == tensors[reshape.name].shape[-1]:
            name = node.name
            fused = result.node.add(name=f"{name}/fused")
            node.CopyFrom(reshape)
            node.name, node.input[0] = name, fused.name
        else:
            continue
        fuse(fused, product, bias, dtype)
    return frozen.with_graph(result)


def fuse(node: node_def_pb2.NodeDef, product: node_def_pb2.NodeDef, bias: str, dtype: int) -> None:
    """Makes a node the product with its bias."""
    name = node.name
    node.Clear()
    node.name, node.op = name, "_FusedMatMul"
    node.input[:] = [*product.input, bias]
    node.attr["T"].type = dtype
    for attribute in ("transpose_a", "transpose_b"):
        node.attr[attribute].CopyFrom(product.attr[attribute])
    node.attr["num_args"].i = 1
    node.attr["fused_ops"].list.s.append(b"BiasAdd")
    node.attr["epsilon"].f = 0.0
