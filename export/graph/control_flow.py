"""Removes loops and branches from a graph: a TF.js bundle has none.

After TensorFlow's inlining, `While`, `If`, `Case` and some calls remain as nodes that use functions
of the graph's library. A loop is unrolled if constants decide the number of its rounds. A branch is
chosen if constants decide its condition; else all branches are computed and one is selected.
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
# Two sets of sizes for the free axes: branches whose shapes agree for both count as equal.
TEST_SIZES = (3, 5, 7), (11, 13, 17)


def lower_control_flow(graph_def: graph_pb2.GraphDef, outputs: Sequence[str]) -> graph_pb2.GraphDef:
    """Returns the graph without functional nodes; the tensors `outputs` keep their names.

    Raises:
        UserError: a loop or branch cannot be removed; the message names it.
    """
    if not any(node.op in FUNCTIONAL for node in graph_def.node):
        return graph_def
    return _Lowering(graph_def, {name.split(":")[0] for name in outputs}).run()


class _Body:
    """A function of the library as a graph: its nodes, arguments and results."""

    def __init__(self, function: function_pb2.FunctionDef) -> None:
        graph_def, flat = function_def_to_graph.function_def_to_graph_def(function)
        self.nodes = list(graph_def.node)
        self.arguments: list[str] = [argument.name for argument in function.signature.input_arg]
        returned = (function.ret[result.name] for result in function.signature.output_arg)
        self.results = [flat.get(name, name) for name in returned]
        self.dtypes = [result.type for result in function.signature.output_arg]

    def depends_on(self, tensor: str) -> set[int]:
        """Returns the indices of the arguments that a tensor depends on; -1 for a stateful op."""
        nodes = {node.name: node for node in self.nodes}
        found, seen, stack = set(), set(), [_node_name(tensor)]
        while stack:
            name = stack.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in self.arguments:
                found.add(self.arguments.index(name))
            elif _is_stateful(nodes[name]):
                found.add(-1)
            else:
                stack += [_node_name(n) for n in nodes[name].input if not n.startswith("^")]
        return found


class _Lowering:
    """The lowering of one graph; the nodes `outputs` keep their names."""

    def __init__(self, graph_def: graph_pb2.GraphDef, outputs: set[str]) -> None:
        self.library = graph_def.library
        self.versions = graph_def.versions
        self.nodes = {node.name: node for node in graph_def.node}
        self.outputs = outputs
        self.bodies: dict[str, _Body] = {}
        self.stands_for: dict[str, str] = {}

    def run(self) -> graph_pb2.GraphDef:
        """Lowers one functional node after another, including those that come from a body."""
        waiting = [name for name, node in self.nodes.items() if node.op in FUNCTIONAL]
        with tf.Graph().as_default():
            # A body that calls another function needs its definition.
            tf.import_graph_def(graph_pb2.GraphDef(library=self.library, versions=self.versions))
            while waiting:
                node = self.nodes.pop(waiting.pop(0))
                before = set(self.nodes)
                node.input[:] = [self.resolve(n) for n in node.input if not n.startswith("^")]
                results, dtypes = self.replace(node)
                for port, tensor in enumerate(results):
                    self.stands_for[f"{node.name}:{port}"] = tensor
                if node.name in self.outputs:
                    self.add_node("IdentityN", node.name, results, T=dtypes)
                waiting += [name for name in self.nodes.keys() - before if self.is_functional(name)]
                if len(self.nodes) > MAX_NODES:
                    raise UserError(
                        f"{_construct_name(node)} ({node.name}) makes a graph of more than "
                        f"{MAX_NODES:,} nodes; {LOOP_ADVICE}"
                    )
        result = graph_pb2.GraphDef(versions=self.versions)
        for node in self.nodes.values():
            node.input[:] = [n if n.startswith("^") else self.resolve(n) for n in node.input]
            result.node.add().CopyFrom(node)
        return result

    def is_functional(self, name: str) -> bool:
        """Whether a node calls functions."""
        return self.nodes[name].op in FUNCTIONAL

    def resolve(self, name: str) -> str:
        """Returns the tensor that now replaces a tensor."""
        while _tensor_name(name) in self.stands_for:
            name = self.stands_for[_tensor_name(name)]
        return name

    def body(self, name: str) -> _Body:
        """Returns a function of the library."""
        if name not in self.bodies:
            function = next(f for f in self.library.function if f.signature.name == name)
            self.bodies[name] = _Body(function)
        return self.bodies[name]

    def replace(self, node: node_def_pb2.NodeDef) -> tuple[list[str], list[int]]:
        """Replaces a functional node; returns its results and their dtypes."""
        if node.op in CALLS:
            return self.inline(self.body(node.attr["f"].func.name), list(node.input), node.name)
        if node.op in LOOPS:
            return self.unroll_loop(node)
        names = (
            [node.attr[side].func.name for side in ("else_branch", "then_branch")]
            if node.op in CONDITIONS
            else [branch.name for branch in node.attr["branches"].list.func]
        )
        return self.select_branch(node, [self.body(name) for name in names])

    def select_branch(
        self, node: node_def_pb2.NodeDef, branches: list[_Body]
    ) -> tuple[list[str], list[int]]:
        """Inlines one branch, or all of them with a selection; those of `If` are false and true."""
        condition, arguments = node.input[0], list(node.input[1:])
        value = self.constant_value(condition)
        two = node.op in CONDITIONS
        if value is not None:
            index = int(bool(value)) if two else int(value)
            index = index if 0 <= index < len(branches) else len(branches) - 1
            return self.inline(branches[index], arguments, node.name)
        if any(dtype in (tf.variant, tf.resource) for dtype in branches[0].dtypes):
            raise UserError(
                f"{_construct_name(node)} whose condition depends on the input has a list for a "
                f"result (node {node.name}); {LOOP_ADVICE}"
            )
        sides = [
            self.inline(branch, arguments, f"{node.name}/branch_{i}")[0]
            for i, branch in enumerate(branches)
        ]
        results = sides[-1]
        for i in reversed(range(len(branches) - 1)):
            name = f"{node.name}/is_{i}"
            self.add_comparison(name, condition, i, two, node)
            results = [
                self.add_selection(f"{node.name}/select_{i}_{k}", name, pair, dtype, node)
                for k, (*pair, dtype) in enumerate(
                    zip(sides[i], results, branches[0].dtypes, strict=True)
                )
            ]
        return results, branches[0].dtypes

    def add_comparison(
        self, name: str, condition: str, index: int, two: bool, node: node_def_pb2.NodeDef
    ) -> None:
        """Adds a node that says whether a branch is taken.

        Args:
            name: the name of the new node.
            condition: the tensor of the condition.
            index: the index of the branch.
            two: whether the node is an `If`, with two branches.
            node: the functional node.
        """
        dtype = tf.as_dtype(node.attr["Tcond"].type) if two else tf.int32
        if dtype == tf.bool:
            self.add_node("LogicalNot", name, [condition])
            return
        if dtype == tf.string:
            raise UserError(
                f"{_construct_name(node)} has a string for a condition (node {node.name})"
            )
        number = self.add_constant(f"{name}/number", np.asarray(index, dtype.as_numpy_dtype))
        self.add_node("Equal", name, [condition, number], T=dtype.as_datatype_enum)

    def add_selection(
        self, name: str, condition: str, pair: list[str], dtype: int, node: node_def_pb2.NodeDef
    ) -> str:
        """Adds a selection and marks it for `refuse_unequal_branches`; returns its name.

        Args:
            name: the name of the new node.
            condition: the tensor of the condition.
            pair: the tensors for true and for false.
            dtype: their dtype.
            node: the functional node.
        """
        self.add_node("SelectV2", name, [condition, *pair], T=dtype)
        self.nodes[name].attr[
            BRANCH_ATTRIBUTE
        ].s = f"{_construct_name(node)} (node {node.name})".encode()
        return name

    def unroll_loop(self, node: node_def_pb2.NodeDef) -> tuple[list[str], list[int]]:
        """Inlines all rounds of a loop, one after another."""
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
            if body.dtypes[i] != tf.resource and (value := self.constant_value(name)) is not None
        }
        known = set(start)
        while lost := {i for i in known if not body.depends_on(body.results[i]) <= known}:
            known -= lost
        if not condition.depends_on(condition.results[0]) <= known:
            raise UserError(
                f"the number of rounds of {_construct_name(node)} depends on the input (node "
                f"{node.name}); {LOOP_ADVICE}"
            )
        states = _run_rounds(condition, body, {i: start[i] for i in known}, node)
        arguments = list(node.input)
        for i, state in enumerate(states):
            for index, value in state.items():
                arguments[index] = self.add_constant(f"{node.name}/round_{i}/state_{index}", value)
            if i < len(states) - 1:
                arguments = self.inline(body, arguments, f"{node.name}/round_{i}", node.name)[0]
        return arguments, body.dtypes

    def inline(
        self, body: _Body, arguments: list[str], prefix: str, constants_at: str | None = None
    ) -> tuple[list[str], list[int]]:
        """Adds the nodes of a body; returns its results and their dtypes.

        Args:
            body: the body.
            arguments: the tensors of its arguments.
            prefix: the prefix of the new nodes' names.
            constants_at: the prefix of constants, which all rounds share; None: `prefix`.
        """
        names: dict[str, str] = dict(zip(body.arguments, arguments, strict=True))
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

    def constant_value(self, tensor: str) -> Any:
        """Returns the value of a tensor that depends on constants only; None for others."""
        needed: dict[str, node_def_pb2.NodeDef] = {}
        stack = [_node_name(self.resolve(tensor))]
        while stack:
            name = stack.pop()
            if name in needed:
                continue
            node = self.nodes.get(name)
            if node is None or node.op in (*FUNCTIONAL, "Placeholder") or _is_stateful(node):
                return None
            needed[name] = node
            stack += [_node_name(self.resolve(n)) for n in node.input if not n.startswith("^")]
        part = graph_pb2.GraphDef(versions=self.versions)
        for node in needed.values():
            new = part.node.add()
            new.CopyFrom(node)
            new.input[:] = [self.resolve(n) for n in node.input if not n.startswith("^")]
        return _make_evaluator(part, [self.resolve(tensor)], [])([])[0]

    def add_constant(self, name: str, value: Any) -> str:
        """Adds a constant and returns its name."""
        proto = tensor_util.make_tensor_proto(value)
        self.nodes[name] = node_def_pb2.NodeDef(op="Const", name=name)
        self.nodes[name].attr["dtype"].type = proto.dtype
        self.nodes[name].attr["value"].tensor.CopyFrom(proto)
        return name

    def add_node(self, op: str, name: str, inputs: list[str], **types: Any) -> None:
        """Adds a node.

        Args:
            op: its op.
            name: its name.
            inputs: its inputs.
            **types: its attributes, which are dtypes or lists of dtypes.
        """
        node = node_def_pb2.NodeDef(op=op, name=name, input=inputs)
        for key, value in types.items():
            if isinstance(value, list):
                node.attr[key].list.type.extend(value)
            else:
                node.attr[key].type = value
        self.nodes[name] = node


def _run_rounds(
    condition: _Body, body: _Body, state: dict[int, Any], node: node_def_pb2.NodeDef
) -> list[dict[int, Any]]:
    """Runs a loop's known part; returns its state before each round and after the last.

    Args:
        condition: the body of the condition.
        body: the body of the loop.
        state: the known values at the start, by index.
        node: the loop.

    Raises:
        UserError: more than 4,096 rounds.
    """
    indices = sorted(state)
    goes_on = _make_evaluator(
        _body_graph(condition), condition.results[:1], _argument_tensors(condition, indices)
    )
    step = _make_evaluator(
        _body_graph(body), [body.results[i] for i in indices], _argument_tensors(body, indices)
    )
    states = [state]
    values = [state[i] for i in indices]
    while bool(np.all(goes_on(values)[0])):
        values = step(values)
        states.append(dict(zip(indices, values, strict=True)))
        if len(states) > MAX_ROUNDS + 1:
            raise UserError(
                f"{_construct_name(node)} has more than {MAX_ROUNDS:,} rounds (node {node.name}); "
                f"{LOOP_ADVICE}"
            )
    return states


def _argument_tensors(body: _Body, indices: list[int]) -> list[str]:
    """Returns the tensors of the arguments at some indices."""
    return [f"{body.arguments[i]}:0" for i in indices]


def _body_graph(body: _Body) -> graph_pb2.GraphDef:
    """Returns a body as a graph."""
    graph_def = graph_pb2.GraphDef()
    for node in body.nodes:
        new = graph_def.node.add()
        new.CopyFrom(node)
        new.input[:] = [name for name in node.input if not name.startswith("^")]
    return graph_def


def _make_evaluator(
    graph_def: graph_pb2.GraphDef, wanted: list[str], arguments: list[str]
) -> Callable[[list[Any]], list[Any]]:
    """Returns a function from the values of the tensors `arguments` to those of `wanted`."""
    needed = [_node_name(name) for name in [*wanted, *arguments]]
    part = tf.compat.v1.graph_util.extract_sub_graph(graph_def, needed)
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(part, name="")
    session = tf.compat.v1.Session(graph=graph)
    fetches = [_tensor_name(name) for name in wanted]

    def run(values: list[Any]) -> list[Any]:
        got: list[Any] = session.run(fetches, dict(zip(arguments, values, strict=True)))
        return got

    return run


def refuse_unequal_branches(graph_def: graph_pb2.GraphDef) -> None:
    """Refuses branches whose sides have different shapes, and TensorFlow 1's control flow.

    Both sides are computed and one is selected; the selection would broadcast.

    Raises:
        UserError: the message names the construct, the node and a remedy.
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
        graph = _infer_with_sizes(graph_def, sizes)
        for node in graph_def.node:
            if node.name in marked:
                sides = (graph.get_tensor_by_name(_tensor_name(n)) for n in marked[node.name])
                one, other = (side.shape for side in sides)
                if not one.is_fully_defined() or one != other:
                    raise _unequal_branches_error(node, one, other)


def refuse_unfit_branches(graph_def: graph_pb2.GraphDef, feeds: Mapping[str, tf.Tensor]) -> None:
    """Refuses branches whose sides have incompatible shapes, so that no selection is possible.

    `feeds` are the tensors that replace placeholders.

    Raises:
        UserError: see `refuse_unequal_branches`.
    """
    marked = [node for node in graph_def.node if BRANCH_ATTRIBUTE in node.attr]
    if not marked:
        return
    with tf.Graph().as_default():
        arguments = {name: tf.compat.v1.placeholder(t.dtype, t.shape) for name, t in feeds.items()}
        wanted = [_tensor_name(name) for node in marked for name in node.input[1:]]
        sides = tf.import_graph_def(_keep_first_sides(graph_def), arguments, wanted, name="")
    for node, one, other in zip(marked, sides[::2], sides[1::2], strict=True):
        if not one.shape.is_compatible_with(other.shape):
            raise _unequal_branches_error(node, one.shape, other.shape)


def _unequal_branches_error(
    node: node_def_pb2.NodeDef, one: tf.TensorShape, other: tf.TensorShape
) -> UserError:
    """Returns the error for a branch whose sides have different shapes."""
    return UserError(
        f"the sides of {node.attr[BRANCH_ATTRIBUTE].s.decode()} give the shapes {one} and {other}, "
        "expected one that is known to be the same; save the model without it"
    )


def _keep_first_sides(graph_def: graph_pb2.GraphDef) -> graph_pb2.GraphDef:
    """Returns the graph with the first side instead of each selection, so that all shapes fit."""
    result = graph_pb2.GraphDef()
    result.CopyFrom(graph_def)
    for node in result.node:
        if BRANCH_ATTRIBUTE in node.attr:
            node.op = "Identity"
            node.input[:] = node.input[1:2]
    return result


def _infer_with_sizes(graph_def: graph_pb2.GraphDef, sizes: tuple[int, ...]) -> tf.Graph:
    """Infers all shapes of `_keep_first_sides`, with numbers for the free axes of the inputs."""
    sized = _keep_first_sides(graph_def)
    for node in sized.node:
        node.attr.pop("_output_shapes", None)
        if node.op == "Placeholder":
            for dim, size in zip(node.attr["shape"].shape.dim, sizes, strict=False):
                dim.size = size if dim.size == -1 else dim.size
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(sized, name="")
    return graph


def _construct_name(node: node_def_pb2.NodeDef) -> str:
    """Returns the user's term for a functional node."""
    if node.op in LOOPS:
        return "a tf.while_loop"
    return "a tf.cond" if node.op in CONDITIONS else "a tf.case" if node.op in CASES else "a call"


def _is_stateful(node: node_def_pb2.NodeDef) -> bool:
    """Whether a node may return another value in the next run, or reads a variable."""
    op = op_def_registry.get(node.op)
    return op is None or bool(op.is_stateful)


def _tensor_name(name: str) -> str:
    """Returns a tensor's full name, with its port."""
    return name if ":" in name else f"{name}:0"


def _node_name(tensor: str) -> str:
    """Returns the name of a tensor's node."""
    return tensor.removeprefix("^").split(":")[0]
