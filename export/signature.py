"""The endpoints of a frozen graph in TensorFlow's own form."""

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from export.graph import FrozenGraph


def signature_def(frozen: FrozenGraph) -> meta_graph_pb2.SignatureDef:
    """The signature."""
    signature = meta_graph_pb2.SignatureDef()
    for target, endpoints in (
        (signature.inputs, frozen.inputs),
        (signature.outputs, frozen.outputs),
    ):
        for endpoint in endpoints:
            target[endpoint.name].name = f"{endpoint.name}:0"
            target[endpoint.name].dtype = endpoint.dtype.as_datatype_enum
            target[endpoint.name].tensor_shape.CopyFrom(tf.TensorShape(endpoint.shape).as_proto())
    return signature
