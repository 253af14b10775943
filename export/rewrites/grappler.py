"""TensorFlow's own graph optimiser, which folds constants and removes what is not needed."""

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.grappler import tf_optimizer

from export.graph import FrozenGraph
from export.signature import signature_def
from export.signature_choice import SIGNATURE

# Without `remap`, Grappler leaves dense layers as MatMul and BiasAdd, which every backend runs:
# fused with a tanh, as in each pooler, they fail on wasm.
OPTIMIZERS = ["pruning", "constfold", "arithmetic", "dependency", "pruning"]


def simplify(frozen: FrozenGraph) -> FrozenGraph:
    """The same function with fewer nodes."""
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(frozen.graph_def, name="")
        for name in frozen.kept:
            # Grappler keeps what this collection names.
            graph.add_to_collection("train_op", graph.get_operation_by_name(name))
        meta_graph = tf.compat.v1.train.export_meta_graph(graph=graph)
    meta_graph.signature_def[SIGNATURE].CopyFrom(signature_def(frozen))
    config = config_pb2.ConfigProto()
    config.graph_options.rewrite_options.min_graph_nodes = -1
    config.graph_options.rewrite_options.optimizers[:] = OPTIMIZERS
    return frozen.with_graph(tf_optimizer.OptimizeGraph(config, meta_graph)).pruned()
