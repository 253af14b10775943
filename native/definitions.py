"""Writes TensorFlow's protobuf definitions for Node: `python -m native.definitions`.

Node vets a SavedModel by TensorFlow's own definitions before TensorFlow loads it. The file is
committed, since a machine that only runs bundles has no Python; a test fails when it is outdated.
"""

from google.protobuf import descriptor_pb2

from export.source.messages import ROOT_PROTO, definition_pool
from support import ROOT

FILE = ROOT / "node_bridge" / "bundle" / "saved_model" / "definitions.binpb"


def descriptor_set() -> bytes:
    """Serialises a FileDescriptorSet of saved_model.proto and its imports, dependencies first."""
    pool = definition_pool()
    found = descriptor_pb2.FileDescriptorSet()
    added: set[str] = set()

    def add(name: str) -> None:
        if name in added:
            return
        added.add(name)
        file = pool.FindFileByName(name)
        for dependency in file.dependencies:
            add(dependency.name)
        file.CopyToProto(found.file.add())

    add(ROOT_PROTO)
    return bytes(found.SerializeToString(deterministic=True))


if __name__ == "__main__":
    FILE.write_bytes(descriptor_set())
