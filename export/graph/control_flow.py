"""Loops and branches of a graph, written out: a TF.js bundle holds none.

TensorFlow's inlining leaves `While`, `If`, `Case` and some calls as nodes with functions of the
graph's library. A loop is unrolled where the number of its rounds follows from constants. A branch
is chosen where its condition does, else both sides are computed and one is selected.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import function_pb2, graph_pb2, node_def_pb2
from tensorflow.python.framework import function_def_to_graph, op_def_registry, tensor_util

from export.graph.verdict import LOOP_ADVICE
from support.errors import UserError

CALLS = ("PartitionedCall", "StatefulPartitionedCall")
LOOPS = ("While", "StatelessWhile")
CONDITIONS = ("If", "StatelessIf")
CASES = ("Case", "StatelessCase")
FUNCTIONAL = (*CALLS, *LOOPS, *CONDITIONS, *CASES)
TF1_CONTROL_FLOW = {"Enter", "Exit", "LoopCond", "Merge", "NextIteration", "Switch"}
MAX_ROUNDS = 4096
MAX_NODES = 200_000
BRANCH_ATTRIBUTE = "_branch_of"
# Two trials of the free axes: branches whose shapes agree in both are taken to agree.
TEST_SIZES = (3, 5, 7), (11, 13, 17)


def lower_control_flow(graph_def: graph_pb2.GraphDef, outputs: Sequence[str]) -> graph_pb2.GraphDef:
    """The graph without functional nodes; `outputs` are the tensors that keep their names.

    Raises:
        UserError: a loop or branch that cannot be written out; the message names it.
    """
    if not any(node.op in FUNCTIONAL for node in graph_def.node):
        return graph_def
    return _Lowering(graph_def, {name.split(":")[0] for name in outputs}).run()


class _Body:
    """A function of the library as a graph: its nodes, its arguments and its results."""

    def __init__(self, function: function_pb2.FunctionDef) -> None:
        graph_def, flat = function_def_to_graph.function_def_to_graph_def(function)
        self.nodes = list(graph_def.node)
        self.arguments: list[str] = [argument.name for argument in function.signature.input_arg]
        returned = (function.ret[result.name] for result in function.signature.output_arg)
        self.results = [flat.get(name, name) for name in returned]
        self.dtypes = [result.type for result in function.signature.output_arg]

    def depends_on(self, tensor: str) -> set[int]:
        """The places of the arguments that a tensor is computed from; -1 for a stateful op."""
        nodes = {node.name: node for node in self.nodes}
        found, seen, stack = set(), set(), [node_name(tensor)]
        while stack:
            name = stack.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in self.arguments:
                found.add(self.arguments.index(name))
            elif is_stateful(nodes[name]):
                found.add(-1)
            else:
                stack += [node_name(n) for n in nodes[name].input if not n.startswith("^")]
        return found


class _Lowering:
    """The work on one graph."""

    def __init__(self, graph_def: graph_pb2.GraphDef, kept: set[str]) -> None:
        self.library = graph_def.library
        self.versions = graph_def.versions
        self.nodes = {node.name: node for node in graph_def.node}
        self.kept = kept
        self.bodies: dict[str, _Body] = {}
        self.stands_for: dict[str, str] = {}

    def run(self) -> graph_pb2.GraphDef:
        """Writes out node by node; what a body brings along is written out in its turn."""
        waiting = [name for name, node in self.nodes.items() if node.op in FUNCTIONAL]
        with tf.Graph().as_default():
            # A body that calls another function needs it to be known.
            tf.import_graph_def(graph_pb2.GraphDef(library=self.library, versions=self.versions))
            while waiting:
                node = self.nodes.pop(waiting.pop(0))
                before = set(self.nodes)
                node.input[:] = [self.resolved(n) for n in node.input if not n.startswith("^")]
                results, dtypes = self.written_out(node)
                for port, tensor in enumerate(results):
                    self.stands_for[f"{node.name}:{port}"] = tensor
                if node.name in self.kept:
                    self.add("IdentityN", node.name, results, T=dtypes)
                waiting += [name for name in self.nodes.keys() - before if self.is_functional(name)]
                if len(self.nodes) > MAX_NODES:
                    raise UserError(
                        f"{construct_name(node)} ({node.name}) makes a graph of more than "
                        f"{MAX_NODES:,} nodes; {LOOP_ADVICE}"
                    )
        result = graph_pb2.GraphDef(versions=self.versions)
        for node in self.nodes.values():
            node.input[:] = [n if n.startswith("^") else self.resolved(n) for n in node.input]
            result.node.add().CopyFrom(node)
        return result

    def is_functional(self, name: str) -> bool:
        """Whether a node has functions."""
        return self.nodes[name].op in FUNCTIONAL

    def resolved(self, name: str) -> str:
        """The tensor that stands for one now."""
        while tensor_name(name) in self.stands_for:
            name = self.stands_for[tensor_name(name)]
        return name

    def body(self, name: str) -> _Body:
        """A function of the library."""
        if name not in self.bodies:
            function = next(f for f in self.library.function if f.signature.name == name)
            self.bodies[name] = _Body(function)
        return self.bodies[name]

    def written_out(self, node: node_def_pb2.NodeDef) -> tuple[list[str], list[int]]:
        """A functional node's results, and their dtypes."""
        if node.op in CALLS:
            return self.inline(self.body(node.attr["f"].func.name), list(node.input), node.name)
        if node.op in LOOPS:
            return self.unrolled(node)
        names = (
            [node.attr[side].func.name for side in ("else_branch", "then_branch")]
            if node.op in CONDITIONS
            else [branch.name for branch in node.attr["branches"].list.func]
        )
        return self.chosen(node, [self.body(name) for name in names])

    def chosen(
        self, node: node_def_pb2.NodeDef, branches: list[_Body]
    ) -> tuple[list[str], list[int]]:
        """One branch, or all of them and a selection. Those of `If` are no and yes."""
        condition, given = node.input[0], list(node.input[1:])
        value = self.constant(condition)
        two = node.op in CONDITIONS
        if value is not None:
            index = int(bool(value)) if two else int(value)
            index = index if 0 <= index < len(branches) else len(branches) - 1
            return self.inline(branches[index], given, node.name)
        if any(dtype in (tf.variant, tf.resource) for dtype in branches[0].dtypes):
            raise UserError(
                f"{construct_name(node)} whose condition depends on the input has a list for a "
                f"result (node {node.name}); {LOOP_ADVICE}"
            )
        sides = [
            self.inline(branch, given, f"{node.name}/branch_{i}")[0]
            for i, branch in enumerate(branches)
        ]
        results = sides[-1]
        for i in reversed(range(len(branches) - 1)):
            name = f"{node.name}/is_{i}"
            self.compare(name, condition, i, two, node)
            results = [
                self.select(f"{node.name}/select_{i}_{k}", name, pair, dtype, node)
                for k, (*pair, dtype) in enumerate(
                    zip(sides[i], results, branches[0].dtypes, strict=True)
                )
            ]
        return results, branches[0].dtypes

    def compare(
        self, name: str, condition: str, index: int, two: bool, node: node_def_pb2.NodeDef
    ) -> None:
        """Adds the node that says whether the branch `index` is taken."""
        dtype = tf.as_dtype(node.attr["Tcond"].type) if two else tf.int32
        if dtype == tf.bool:
            self.add("LogicalNot", name, [condition])
            return
        if dtype == tf.string:
            raise UserError(
                f"{construct_name(node)} has a string for a condition (node {node.name})"
            )
        number = self.const(f"{name}/number", np.asarray(index, dtype.as_numpy_dtype))
        self.add("Equal", name, [condition, number], T=dtype.as_datatype_enum)

    def select(
        self, name: str, condition: str, pair: list[str], dtype: int, node: node_def_pb2.NodeDef
    ) -> str:
        """Adds a choice; its mark says which branch it was, for `refuse_unequal_branches`."""
        self.add("SelectV2", name, [condition, *pair], T=dtype)
        self.nodes[name].attr[
            BRANCH_ATTRIBUTE
        ].s = f"{construct_name(node)} (node {node.name})".encode()
        return name

    def unrolled(self, node: node_def_pb2.NodeDef) -> tuple[list[str], list[int]]:
        """All rounds of a loop, one after another."""
        condition = self.body(node.attr["cond"].func.name)
        body = self.body(node.attr["body"].func.name)
        if tf.variant.as_datatype_enum in body.dtypes:
            raise UserError(
                f"the model has a loop over a list, as a recurrent layer, tf.map_fn or tf.scan "
                f"has (node {node.name}); {LOOP_ADVICE}"
            )
        start = {
            i: value
            for i, name in enumerate(node.input)
            if body.dtypes[i] != tf.resource and (value := self.constant(name)) is not None
        }
        known = set(start)
        while lost := {i for i in known if not body.depends_on(body.results[i]) <= known}:
            known -= lost
        if not condition.depends_on(condition.results[0]) <= known:
            raise UserError(
                f"the number of rounds of {construct_name(node)} depends on the input (node "
                f"{node.name}); {LOOP_ADVICE}"
            )
        states = run_rounds(condition, body, {i: start[i] for i in known}, node)
        given = list(node.input)
        for i, state in enumerate(states):
            for place, value in state.items():
                given[place] = self.const(f"{node.name}/round_{i}/state_{place}", value)
            if i < len(states) - 1:
                given = self.inline(body, given, f"{node.name}/round_{i}", node.name)[0]
        return given, body.dtypes

    def inline(
        self, body: _Body, given: list[str], prefix: str, constants_at: str | None = None
    ) -> tuple[list[str], list[int]]:
        """Adds a body's nodes under a prefix; constants, under one that all rounds share."""
        names: dict[str, str] = dict(zip(body.arguments, given, strict=True))
        for node in body.nodes:
            if node.name not in names:
                shared = node.op == "Const" and constants_at is not None
                names[node.name] = f"{constants_at if shared else prefix}/body/{node.name}"

        def renamed(tensor: str) -> str:
            source, colon, port = tensor.partition(":")
            if source in body.arguments:
                return names[source]
            return f"{names[source]}{colon}{port}"

        for node in body.nodes:
            name = names[node.name]
            if node.name in body.arguments or name in self.nodes:
                continue
            new = node_def_pb2.NodeDef()
            new.CopyFrom(node)
            new.name = name
            new.input[:] = [renamed(n) for n in node.input if not n.startswith("^")]
            new.attr.pop("_class", None)
            self.nodes[name] = new
        return [renamed(result) for result in body.results], body.dtypes

    def constant(self, tensor: str) -> Any:
        """The value of a tensor that constants alone go into; None for others."""
        needed: dict[str, node_def_pb2.NodeDef] = {}
        stack = [node_name(self.resolved(tensor))]
        while stack:
            name = stack.pop()
            if name in needed:
                continue
            node = self.nodes.get(name)
            if node is None or node.op in (*FUNCTIONAL, "Placeholder") or is_stateful(node):
                return None
            needed[name] = node
            stack += [node_name(self.resolved(n)) for n in node.input if not n.startswith("^")]
        part = graph_pb2.GraphDef(versions=self.versions)
        for node in needed.values():
            new = part.node.add()
            new.CopyFrom(node)
            new.input[:] = [self.resolved(n) for n in node.input if not n.startswith("^")]
        return make_evaluator(part, [self.resolved(tensor)], [])([])[0]

    def const(self, name: str, value: Any) -> str:
        """Adds a constant; its name."""
        proto = tensor_util.make_tensor_proto(value)
        self.nodes[name] = node_def_pb2.NodeDef(op="Const", name=name)
        self.nodes[name].attr["dtype"].type = proto.dtype
        self.nodes[name].attr["value"].tensor.CopyFrom(proto)
        return name

    def add(self, op: str, name: str, inputs: list[str], **types: Any) -> None:
        """Adds a node whose attributes are dtypes or lists of these."""
        node = node_def_pb2.NodeDef(op=op, name=name, input=inputs)
        for key, value in types.items():
            if isinstance(value, list):
                node.attr[key].list.type.extend(value)
            else:
                node.attr[key].type = value
        self.nodes[name] = node


def run_rounds(
    condition: _Body, body: _Body, state: dict[int, Any], node: node_def_pb2.NodeDef
) -> list[dict[int, Any]]:
    """The known part of a loop's state before each round and after the last.

    Raises:
        UserError: more than 4,096 rounds.
    """
    places = sorted(state)
    goes_on = make_evaluator(
        body_graph(condition), condition.results[:1], argument_tensors(condition, places)
    )
    step = make_evaluator(
        body_graph(body), [body.results[i] for i in places], argument_tensors(body, places)
    )
    states = [state]
    values = [state[i] for i in places]
    while bool(np.all(goes_on(values)[0])):
        values = step(values)
        states.append(dict(zip(places, values, strict=True)))
        if len(states) > MAX_ROUNDS + 1:
            raise UserError(
                f"{construct_name(node)} has more than {MAX_ROUNDS:,} rounds (node {node.name}); "
                f"{LOOP_ADVICE}"
            )
    return states


def argument_tensors(body: _Body, places: list[int]) -> list[str]:
    """The arguments at some places."""
    return [f"{body.arguments[i]}:0" for i in places]


def body_graph(body: _Body) -> graph_pb2.GraphDef:
    """A body as a graph."""
    graph_def = graph_pb2.GraphDef()
    for node in body.nodes:
        new = graph_def.node.add()
        new.CopyFrom(node)
        new.input[:] = [name for name in node.input if not name.startswith("^")]
    return graph_def


def make_evaluator(
    graph_def: graph_pb2.GraphDef, wanted: list[str], given: list[str]
) -> Callable[[list[Any]], list[Any]]:
    """The function from values of the tensors `given` to those of `wanted`."""
    kept = [node_name(name) for name in [*wanted, *given]]
    part = tf.compat.v1.graph_util.extract_sub_graph(graph_def, kept)
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(part, name="")
    session = tf.compat.v1.Session(graph=graph)
    fetches = [tensor_name(name) for name in wanted]

    def run(values: list[Any]) -> list[Any]:
        got: list[Any] = session.run(fetches, dict(zip(given, values, strict=True)))
        return got

    return run


def refuse_unequal_branches(graph_def: graph_pb2.GraphDef) -> None:
    """Stops at a branch whose sides give other shapes, and at what no lowering reaches.

    Both sides are computed and one is selected, and a selection would broadcast.

    Raises:
        UserError: names the construct, the node and the way out.
    """
    for node in graph_def.node:
        if node.op in TF1_CONTROL_FLOW:
            raise UserError(
                f"the model has a loop or branch of TensorFlow 1 ({node.op}, node {node.name}); "
                "save it for inference, without tf.cond and tf.while_loop"
            )
        if node.op.startswith(("TensorList", "TensorArray", "EmptyTensorList")):
            raise UserError(f"the model has a {node.op} (node {node.name}); {LOOP_ADVICE}")
    marked = {
        node.name: list(node.input[1:]) for node in graph_def.node if BRANCH_ATTRIBUTE in node.attr
    }
    for sizes in TEST_SIZES if marked else ():
        graph = infer_with_sizes(graph_def, sizes)
        for node in graph_def.node:
            if node.name in marked:
                sides = (graph.get_tensor_by_name(tensor_name(n)) for n in marked[node.name])
                one, other = (side.shape for side in sides)
                if not one.is_fully_defined() or one != other:
                    raise unequal_branches_error(node, one, other)


def refuse_unfit_branches(graph_def: graph_pb2.GraphDef, feeds: Mapping[str, tf.Tensor]) -> None:
    """Stops where the sides of a branch cannot be selected from at all.

    `feeds` are the tensors that take the place of placeholders.

    Raises:
        UserError: as `refuse_unequal_branches`.
    """
    marked = [node for node in graph_def.node if BRANCH_ATTRIBUTE in node.attr]
    if not marked:
        return
    with tf.Graph().as_default():
        given = {name: tf.compat.v1.placeholder(t.dtype, t.shape) for name, t in feeds.items()}
        wanted = [tensor_name(name) for node in marked for name in node.input[1:]]
        sides = tf.import_graph_def(keep_first_sides(graph_def), given, wanted, name="")
    for node, one, other in zip(marked, sides[::2], sides[1::2], strict=True):
        if not one.shape.is_compatible_with(other.shape):
            raise unequal_branches_error(node, one.shape, other.shape)


def unequal_branches_error(
    node: node_def_pb2.NodeDef, one: tf.TensorShape, other: tf.TensorShape
) -> UserError:
    """The error of a branch whose sides give other shapes."""
    return UserError(
        f"the sides of {node.attr[BRANCH_ATTRIBUTE].s.decode()} give the shapes {one} and {other}, "
        "expected one that is known to be the same; save the model without it"
    )


def keep_first_sides(graph_def: graph_pb2.GraphDef) -> graph_pb2.GraphDef:
    """The graph with the first side of each branch in its place, so that all shapes fit."""
    result = graph_pb2.GraphDef()
    result.CopyFrom(graph_def)
    for node in result.node:
        if BRANCH_ATTRIBUTE in node.attr:
            node.op = "Identity"
            node.input[:] = node.input[1:2]
    return result


def infer_with_sizes(graph_def: graph_pb2.GraphDef, sizes: tuple[int, ...]) -> tf.Graph:
    """`first_sides` with numbers for the free axes of its inputs, all shapes inferred."""
    trial = keep_first_sides(graph_def)
    for node in trial.node:
        node.attr.pop("_output_shapes", None)
        if node.op == "Placeholder":
            for dim, size in zip(node.attr["shape"].shape.dim, sizes, strict=False):
                dim.size = size if dim.size == -1 else dim.size
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(trial, name="")
    return graph


def construct_name(node: node_def_pb2.NodeDef) -> str:
    """What a person calls a functional node."""
    if node.op in LOOPS:
        return "a tf.while_loop"
    return "a tf.cond" if node.op in CONDITIONS else "a tf.case" if node.op in CASES else "a call"


def is_stateful(node: node_def_pb2.NodeDef) -> bool:
    """Whether a node may give another value next time, or reads a variable."""
    op = op_def_registry.get(node.op)
    return op is None or bool(op.is_stateful)


def tensor_name(name: str) -> str:
    """A tensor's full name, with its port."""
    return name if ":" in name else f"{name}:0"


def node_name(tensor: str) -> str:
    """The node of a tensor."""
    return tensor.removeprefix("^").split(":")[0]
