"""The graph of a bundle, to be changed: nodes by name, and the places that every encoder has.

Places are found by what surrounds them: a softmax for each layer, one reciprocal root for each
normalisation, in the order in which they run.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fault_injection.copies import SealedCopy, Weights

Node = dict[str, Any]
TYPES = {"float32": "DT_FLOAT", "int32": "DT_INT32"}
TAPS = "taps/"


class Graph:
    """The nodes of a copy's `model.json`; call `write` after constants were added."""

    def __init__(self, copy: SealedCopy) -> None:
        self.topology = copy.document("model.json")["modelTopology"]
        self.list: list[Node] = self.topology["node"]
        self.nodes = {node["name"]: node for node in self.list}
        self.weights = Weights(copy)

    def inputs(self, name: str) -> list[str]:
        """The names of the nodes whose values a node takes."""
        given = self.nodes[name].get("input", [])
        return [each.split(":")[0] for each in given if not each.startswith("^")]

    def op(self, name: str) -> str:
        """A node's op."""
        return str(self.nodes[name]["op"])

    def users(self, name: str, taps: bool = False) -> list[str]:
        """The nodes that take a node; those that only show it to a judge if `taps`."""
        return [
            node["name"]
            for node in self.list
            if name in self.inputs(node["name"]) and (taps or not node["name"].startswith(TAPS))
        ]

    def order(self) -> list[str]:
        """All names, each after those that it takes."""
        done: dict[str, None] = {}

        def visit(name: str) -> None:
            if name not in done:
                for given in self.inputs(name):
                    visit(given)
                done[name] = None

        for name in self.nodes:
            visit(name)
        return list(done)

    def of_op(self, *ops: str) -> list[str]:
        """The nodes of an op, in the order in which they run."""
        return [name for name in self.order() if self.op(name) in ops]

    def rewire(self, user: str, old: str, new: str) -> None:
        """Lets a node take another in the place of one that it takes."""
        given = self.nodes[user]["input"]
        places = [i for i, name in enumerate(given) if name.split(":")[0] == old]
        assert places, f"{user} does not take {old}"
        for place in places:
            given[place] = new

    def replace(self, old: str, new: str, *but: str) -> None:
        """Lets all that take a node take another, a judge's view of it too."""
        for user in self.users(old, taps=True):
            if user not in but:
                self.rewire(user, old, new)

    def add(self, op: str, name: str, *given: str, **attributes: Any) -> str:
        """A node more; gives its name."""
        name = f"fault/{name}"
        assert name not in self.nodes, name
        node: Node = {"name": name, "op": op, "input": list(given)}
        node["attr"] = {"T": {"type": "DT_FLOAT"}} | attributes
        self.list.append(node)
        self.nodes[name] = node
        return name

    def constant(self, name: str, value: Any, dtype: str = "float32") -> str:
        """A constant more; gives its name."""
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
        """A constant's value."""
        return self.weights.arrays[name]

    def write(self) -> None:
        """Writes the constants."""
        self.weights.write()


class GraphParts:
    """Names of the nodes where a layer's parts begin and end; layers count from 0."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.softmaxes = graph.of_op("Softmax")
        self.roots = graph.of_op("Rsqrt")
        assert len(self.roots) == 1 + 2 * len(self.softmaxes)

    @property
    def layers(self) -> int:
        """How many there are."""
        return len(self.softmaxes)

    def scores(self, layer: int) -> str:
        """The sum of a layer's scaled scores and the mask's bias."""
        return self.graph.inputs(self.softmaxes[layer])[0]

    def product(self, layer: int) -> str:
        """The product of queries and keys."""
        return self.given(self.scores(layer), "BatchMatMulV2")

    def mask(self) -> str:
        """The bias that the mask makes: float32[batch, 1, 1, sequence]."""
        first, second = self.graph.inputs(self.scores(0))
        return second if first == self.product(0) else first

    def context(self, layer: int) -> str:
        """The product of the attention's weights and the values."""
        return self.user(self.softmaxes[layer], "BatchMatMulV2")

    def norm_sum(self, norm: int) -> str:
        """What a normalisation takes; norm 0 is of the embeddings, then two for each layer."""
        return self.graph.inputs(self.deviations(norm))[0]

    def deviations(self, norm: int) -> str:
        """The squared differences from the mean."""
        variance = self.graph.inputs(self.variance_sum(norm))[0]
        return self.graph.inputs(variance)[0]

    def variance_sum(self, norm: int) -> str:
        """The sum of the variance and ε."""
        return self.graph.inputs(self.roots[norm])[0]

    def normed(self, norm: int) -> str:
        """What a normalisation gives."""
        factor = self.user(self.roots[norm], "Mul")
        scaled = next(
            user
            for user in self.graph.users(factor)
            if self.norm_sum(norm) in self.graph.inputs(user)
        )
        return self.user(scaled, "AddV2")

    def residual(self, norm: int) -> tuple[str, str]:
        """Both summands before a layer's normalisation: what came in, and what was made of it."""
        first, second = self.graph.inputs(self.norm_sum(norm))
        return first, second

    def given(self, name: str, op: str) -> str:
        """The one node of an op that a node takes."""
        (found,) = [given for given in self.graph.inputs(name) if self.graph.op(given) == op]
        return found

    def user(self, name: str, op: str) -> str:
        """The one node of an op that takes a node."""
        (found,) = [user for user in self.graph.users(name) if self.graph.op(user) == op]
        return found


def norm_numbers(layer: int) -> tuple[int, int]:
    """The numbers of a layer's normalisations: after attention, after the feed-forward."""
    return 1 + 2 * layer, 2 + 2 * layer
