"""Gives a converted model the inputs and outputs of those that Hugging Face publishes.

    python -m bench.peers.as_published CONVERTED OUT

int64 inputs, which are cast to int32 once, and one output, `last_hidden_state`: transformers.js
takes no others.
"""

import sys

import onnx
from onnx import TensorProto, helper

OURS, THEIRS = "sequence_output", "last_hidden_state"


def _rename_ends(graph: onnx.GraphProto) -> None:
    """Renames inputs and outputs of the graph and casts the inputs."""
    for graph_input in graph.input:
        narrow = f"{graph_input.name}_int32"
        for node in graph.node:
            node.input[:] = [narrow if name == graph_input.name else name for name in node.input]
        graph_input.type.tensor_type.elem_type = TensorProto.INT64
        cast = helper.make_node("Cast", [graph_input.name], [narrow], to=TensorProto.INT32)
        graph.node.insert(0, cast)
    for output in list(graph.output):
        if output.name == OURS:
            output.name = THEIRS
        else:
            graph.output.remove(output)
    graph.node.append(helper.make_node("Identity", [OURS], [THEIRS]))


if __name__ == "__main__":
    model = onnx.load(sys.argv[1])
    _rename_ends(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, sys.argv[2])
