"""The graph of a bundle, with methods that change it, and the parts that every encoder has.

Parts are found by their neighbours: there is a softmax for each layer, and one reciprocal root for
each normalisation, in the order in which they run.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fault_injection.copies import SealedCopy, Weights
from support.contracts import MODEL_FILE

Node = dict[str, Any]
TYPES = {"float32": "DT_FLOAT", "int32": "DT_INT32"}
TAPS = "taps/"


class Graph:
    """The nodes of a copy's `model.json`; call `write` after adding constants."""

    def __init__(self, copy: SealedCopy) -> None:
        self.topology = copy.document(MODEL_FILE)["modelTopology"]
        self.list: list[Node] = self.topology["node"]
        self.nodes = {node["name"]: node for node in self.list}
        self.weights = Weights(copy)

    def inputs(self, name: str) -> list[str]:
        """Returns the names of a node's inputs, without control inputs."""
        names = self.nodes[name].get("input", [])
        return [each.split(":")[0] for each in names if not each.startswith("^")]

    def op(self, name: str) -> str:
        """Returns a node's op."""
        return str(self.nodes[name]["op"])

    def users(self, name: str, taps: bool = False) -> list[str]:
        """Returns the nodes that take a node; with `taps` also the taps of it."""
        return [
            node["name"]
            for node in self.list
            if name in self.inputs(node["name"]) and (taps or not node["name"].startswith(TAPS))
        ]

    def order(self) -> list[str]:
        """Returns all names, each after its inputs."""
        done: dict[str, None] = {}

        def visit(name: str) -> None:
            if name not in done:
                for needed in self.inputs(name):
                    visit(needed)
                done[name] = None

        for name in self.nodes:
            visit(name)
        return list(done)

    def nodes_of_op(self, *ops: str) -> list[str]:
        """Returns the nodes of some ops, in the order in which they run."""
        return [name for name in self.order() if self.op(name) in ops]

    def rewire(self, user: str, old: str, new: str) -> None:
        """Replaces one input of a node by another."""
        names = self.nodes[user]["input"]
        indices = [i for i, name in enumerate(names) if name.split(":")[0] == old]
        assert indices, f"{user} does not take {old}"
        for index in indices:
            names[index] = new

    def replace(self, old: str, new: str, *but: str) -> None:
        """Replaces a node by another in all its users, taps too, except those in `but`."""
        for user in self.users(old, taps=True):
            if user not in but:
                self.rewire(user, old, new)

    def add(self, op: str, name: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node and returns its name.

        Args:
            op: its op.
            name: its name, without the prefix.
            inputs: names of its inputs.
            attributes: of the node; `T` is float32 by default.
        """
        name = f"fault/{name}"
        assert name not in self.nodes, name
        node: Node = {"name": name, "op": op, "input": list(inputs)}
        node["attr"] = {"T": {"type": "DT_FLOAT"}} | attributes
        self.list.append(node)
        self.nodes[name] = node
        return name

    def constant(self, name: str, value: Any, dtype: str = "float32") -> str:
        """Adds a constant and returns its name."""
        array: NDArray[Any] = np.asarray(value, dtype)
        name = f"fault/{name}"
        dims = [{"size": str(size)} for size in array.shape]
        shape = {"dim": dims} if dims else {}
        kind = TYPES[dtype]
        tensor = {"dtype": kind, "tensorShape": shape}
        attributes = {"dtype": {"type": kind}, "value": {"tensor": tensor}}
        node: Node = {"name": name, "op": "Const", "attr": attributes}
        self.list.append(node)
        self.nodes[name] = node
        self.weights.add(name, array)
        return name

    def value(self, name: str) -> NDArray[Any]:
        """Returns a constant's value."""
        return self.weights.arrays[name]

    def write(self) -> None:
        """Writes the constants."""
        self.weights.write()


class GraphParts:
    """The names of nodes at which a layer's parts begin and end; layers count from 0."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.softmaxes = graph.nodes_of_op("Softmax")
        self.roots = graph.nodes_of_op("Rsqrt")
        assert len(self.roots) == 1 + 2 * len(self.softmaxes)

    @property
    def layers(self) -> int:
        """The number of layers."""
        return len(self.softmaxes)

    def scores(self, layer: int) -> str:
        """Returns the sum of a layer's scaled scores and the mask's bias."""
        return self.graph.inputs(self.softmaxes[layer])[0]

    def product(self, layer: int) -> str:
        """Returns the product of queries and keys."""
        return self.input_of_op(self.scores(layer), "BatchMatMulV2")

    def mask(self) -> str:
        """Returns the bias of the mask: float32[batch, 1, 1, sequence]."""
        first, second = self.graph.inputs(self.scores(0))
        return second if first == self.product(0) else first

    def context(self, layer: int) -> str:
        """Returns the product of the attention's weights and the values."""
        return self.user_of_op(self.softmaxes[layer], "BatchMatMulV2")

    def norm_sum(self, norm: int) -> str:
        """Returns a normalisation's input; norm 0 is of the embeddings, then two for each layer."""
        return self.graph.inputs(self.deviations(norm))[0]

    def deviations(self, norm: int) -> str:
        """Returns the squared differences from the mean."""
        variance = self.graph.inputs(self.variance_sum(norm))[0]
        return self.graph.inputs(variance)[0]

    def variance_sum(self, norm: int) -> str:
        """Returns the sum of the variance and ε."""
        return self.graph.inputs(self.roots[norm])[0]

    def normed(self, norm: int) -> str:
        """Returns a normalisation's output."""
        factor = self.user_of_op(self.roots[norm], "Mul")
        scaled = next(
            user
            for user in self.graph.users(factor)
            if self.norm_sum(norm) in self.graph.inputs(user)
        )
        return self.user_of_op(scaled, "AddV2")

    def residual(self, norm: int) -> tuple[str, str]:
        """Returns both summands before a normalisation: the layer's input, and its result."""
        first, second = self.graph.inputs(self.norm_sum(norm))
        return first, second

    def input_of_op(self, name: str, op: str) -> str:
        """Returns the one input of a node that has this op."""
        (match,) = [each for each in self.graph.inputs(name) if self.graph.op(each) == op]
        return match

    def user_of_op(self, name: str, op: str) -> str:
        """Returns the one user of a node that has this op."""
        (match,) = [user for user in self.graph.users(name) if self.graph.op(user) == op]
        return match


def norm_numbers(layer: int) -> tuple[int, int]:
    """Returns a layer's normalisations: after attention, after the feed-forward."""
    return 1 + 2 * layer, 2 + 2 * layer
