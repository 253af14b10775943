"""Checks the use of the few file ops that a SavedModel needs.

- `SaveV2`, `MergeV2Checkpoints` and `RestoreV2` are in every SavedModel: they belong to its saver,
  the two nodes in `saver_def`. The restoring node runs when a model is loaded: it must not write,
  and may read only the file name from the loader. A TF1 graph also contains the nodes of other
  savers: of `Saver.restore` before the save, of `init_from_checkpoint`. Nothing runs these: a
  loader runs the restoring node, the initialisers of tables and local variables, and signatures.
  If one of these reached a saver's node, or if a function that is not only the saver's had one, it
  would work on any file.
- `InitializeTableFromTextFile` reads a vocab. Its file name must come from an asset: it may be
  passed from call to call as an argument, but not computed, and it may not be a constant. A loader
  replaces the nodes of assets by their paths only while it initialises: in a signature, which runs
  later, the node would have the value that is written in the file.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from export.source.call_graph import (
    data_inputs,
    find_upstream,
    function_names,
    reachable_functions,
    reference_name,
    trace_identities,
)
from export.source.messages import (
    find_initializers,
    find_strings,
    node_lists,
    read_assets,
    tensor_names,
)

SAVER_OPS = {"SaveV2", "MergeV2Checkpoints", "RestoreV2"}
RESTORE_OP = "RestoreV2"
TABLE_FILE_OPS = {"InitializeTableFromTextFile", "InitializeTableFromTextFileV2"}
CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
VARIABLE_USES = {"AssignVariableOp", "ReadVariableOp", "VarIsInitializedOp"}
# Nodes of one output whose value a loader replaces.
REPLACED_BY_LOADER = {"Const", "Placeholder", "PlaceholderWithDefault"}
LOCAL_VARIABLES = "local_variables"
# A loader runs these outputs, and all nodes in collections, with the assets' paths.
INIT_SIGNATURE = "__saved_model_init_op"
# Grappler may replace a function by another with the same value of this attribute.
SWAPPED_BY = "api_implements"
MAIN_GRAPH = ""
# An input whose origin is unknown; no node and no argument has this name.
UNKNOWN = "<unknown>"


def find_misplaced(meta_graph: Any) -> list[str]:
    """Describes each file op that is not allowed where it is."""
    program = Program(meta_graph)
    return [
        *_find_misplaced_savers(program),
        *_find_foreign_restores(program),
        *_find_misplaced_tables(program),
    ]


@dataclass(frozen=True)
class Program:
    """A meta graph, with cached properties."""

    meta_graph: Any

    @cached_property
    def functions(self) -> dict[str, dict[str, Any]]:
        """The nodes by name, of the main graph under `MAIN_GRAPH`, and of each function."""
        return {
            function: {node.name: node for node in nodes}
            for function, nodes in node_lists(self.meta_graph)
        }

    @property
    def main(self) -> dict[str, Any]:
        """The nodes of the main graph."""
        return self.functions[MAIN_GRAPH]

    @cached_property
    def arguments(self) -> dict[str, list[str]]:
        """The arguments of each function that takes exactly one tensor per argument."""
        return {
            function.signature.name: [argument.name for argument in function.signature.input_arg]
            for function in self.meta_graph.graph_def.library.function
            if not any(a.number_attr or a.type_list_attr for a in function.signature.input_arg)
        }

    @cached_property
    def calls(self) -> dict[str, list[tuple[Any, set[str]]]]:
        """By function, the nodes that call functions, each with the callees' names."""
        return {
            function: [
                (node, names) for node in nodes.values() if (names := set(function_names(node)))
            ]
            for function, nodes in self.functions.items()
        }

    @cached_property
    def callable(self) -> set[str]:
        """The functions that Python, a gradient or an optimiser can call.

        Those are the functions whose name occurs in any field of an object, of a gradient, or of a
        function's attributes: an object can refer to a function in five ways.
        """
        library = self.meta_graph.graph_def.library
        graph = self.meta_graph.object_graph_def
        named = set(find_strings(graph))
        for one in [*library.gradient, *library.registered_gradients]:
            named.add(one.gradient_func)
        for function in library.function:
            named |= {text for value in function.attr.values() for text in find_strings(value)}
            if SWAPPED_BY in function.attr:
                named.add(function.signature.name)
        return named & set(self.functions)

    @cached_property
    def results(self) -> list[str]:
        """The outputs of the signatures that run when a model is used."""
        return [
            name
            for key, signature in self.meta_graph.signature_def.items()
            for info in signature.outputs.values()
            for name in tensor_names(info)
            if key != INIT_SIGNATURE
        ]

    @cached_property
    def started(self) -> list[str]:
        """The nodes of the main graph that a loader runs at the start, besides the saver's.

        These are the nodes in collections, and the initialisers of local variables, which loading
        in TF2 runs automatically.
        """
        init = self.meta_graph.signature_def.get(INIT_SIGNATURE)
        outputs = [n for info in init.outputs.values() for n in tensor_names(info)] if init else []
        collections = self.meta_graph.collection_def.values()
        listed = [name for collection in collections for name in collection.node_list.value]
        return outputs + listed + find_initializers(self.meta_graph, LOCAL_VARIABLES)

    @cached_property
    def restores(self) -> set[str]:
        """The nodes of the main graph that run during restoring."""
        return find_upstream(self.main, [self.meta_graph.saver_def.restore_op_name])

    def reached(self, names: Iterable[str] = (), nodes: Iterable[str] = ()) -> set[str]:
        """Returns the functions with these names, those these nodes call, and their callees."""
        bodies = {name: [node for node, _ in calls] for name, calls in self.calls.items()}
        wanted = set(nodes)
        return reachable_functions(
            bodies, names, [node for node in bodies[MAIN_GRAPH] if node.name in wanted]
        )


def _find_misplaced_savers(program: Program) -> Iterator[str]:
    """Describes the checkpoint ops that something other than the saver reaches."""
    main, restores = program.main, program.restores
    saves = find_upstream(main, [program.meta_graph.saver_def.save_tensor_name])
    run_by_others = find_upstream(main, program.results + program.started)
    # An unknown loader might run any node that no saver uses and that calls a function.
    others = (set(main) - saves - restores) | run_by_others
    by_others = program.reached(program.callable, others)
    by_restore = program.reached(nodes=restores)
    by_saver = by_restore | program.reached(nodes=saves)

    for function, nodes in program.functions.items():
        for node in nodes.values():
            if node.op not in SAVER_OPS:
                continue
            if function == MAIN_GRAPH:
                is_misplaced = node.name in run_by_others
                in_restore = node.name in restores
            else:
                is_misplaced = function not in by_saver - by_others
                in_restore = function in by_restore
            if is_misplaced or (in_restore and node.op != RESTORE_OP):
                yield f"op {node.op} outside the saver{_in_function(function)}"


def _find_foreign_restores(program: Program) -> Iterator[str]:
    """Describes the ops that restore from another file than the model's while it is loaded."""
    own_file = reference_name(program.meta_graph.saver_def.filename_tensor_name)
    files = _trace_file_names(program, {RESTORE_OP}, 0)
    read = {origin for node, origin in files.in_main if node in program.restores}
    is_own = own_file in program.main and program.main[own_file].op in REPLACED_BY_LOADER
    if files.unknown or (read and not (is_own and read == {own_file})):
        where = files.unknown.partition(" in ")[2]
        yield f"op {RESTORE_OP} on another file than the model's own{_in_function(where)}"


def _find_misplaced_tables(program: Program) -> Iterator[str]:
    """Describes the tables that are read from a file that is no asset."""
    files = _trace_file_names(program, TABLE_FILE_OPS, 1)
    # These run without the assets' paths: a node would have the path that is written in the file.
    later = find_upstream(program.main, program.results) | program.restores
    if files.unknown:
        yield f"op {files.unknown} on a file that is no asset"
    for node, origin in files.in_main:
        if not is_asset(program, origin):
            yield f"op {program.main[node].op} on a file that is no asset"
        elif node in later:
            yield f"op {program.main[node].op} where a signature runs it, not at the start alone"
    for name, index in sorted(files.arguments):
        if not _is_bound_asset(program, name, index - len(program.arguments[name])):
            yield f"function {name} on a file that is no asset"


@dataclass
class FileNames:
    """The origins of the file names of some ops.

    `arguments` has the functions and the positions of arguments that become a file name; `in_main`
    the nodes of the main graph that take one, each with its origin; `unknown` describes the first
    op in a function whose file name is not an argument.
    """

    arguments: set[tuple[str, int]]
    in_main: list[tuple[str, str]]
    unknown: str = ""


def _trace_file_names(program: Program, ops: set[str], position: int) -> FileNames:
    """Traces the input `position` of these ops back through all calls.

    It adds the arguments of callers until all origins are in the main graph or in Python.
    """
    found = FileNames(set(), [])
    size = -1
    while size < len(found.arguments):
        size = len(found.arguments)
        found.in_main = []
        for function, nodes in program.functions.items():
            takers = [
                (node, (data_inputs(node) + [UNKNOWN] * (position + 1))[position])
                for node in nodes.values()
                if node.op in ops
            ]
            for node, called in program.calls[function]:
                inputs = data_inputs(node)
                for name, index in found.arguments:
                    if name in called:
                        # The arguments of branches and loops are not traced.
                        known = node.op in CALLS and index < len(inputs)
                        takers.append((node, inputs[index] if known else UNKNOWN))
            for node, source in takers:
                origin = trace_identities(nodes, source)
                if function == MAIN_GRAPH:
                    found.in_main.append((node.name, origin))
                elif origin in nodes or origin not in program.arguments.get(function, []):
                    found.unknown = f"{node.op}{_in_function(function)}"
                    return found
                else:
                    index = program.arguments[function].index(origin)
                    found.arguments.add((function, index))
    return found


def is_asset(program: Program, name: str) -> bool:
    """Whether a node of the main graph is an asset's path, or a variable that only stores one."""
    nodes = program.main
    assets = {
        reference_name(asset.tensor_info.name)
        for asset in read_assets(program.meta_graph)
        # A loader replaces only one output of a node.
        if _op_of_node(nodes, reference_name(asset.tensor_info.name)) in REPLACED_BY_LOADER
    }
    if name in assets:
        return True
    if _op_of_node(nodes, name) != "ReadVariableOp":
        return False
    variable = next(iter(data_inputs(nodes[name])), UNKNOWN)
    users = [node for node in nodes.values() if variable in data_inputs(node)]
    written = [
        trace_identities(nodes, data_inputs(n)[-1]) for n in users if n.op == "AssignVariableOp"
    ]
    return {n.op for n in users} <= VARIABLE_USES and bool(written) and set(written) <= assets


def _op_of_node(nodes: dict[str, Any], name: str) -> str:
    """Returns the op of the node with this name, or ""."""
    return str(nodes[name].op) if name in nodes else ""


def _is_bound_asset(program: Program, function: str, from_end: int) -> bool:
    """Whether Python binds an asset to an argument, which is counted from the last.

    Python binds nothing to a function that it cannot call.
    """
    if function not in program.callable:
        return True
    graph = program.meta_graph.object_graph_def
    if function not in graph.concrete_functions:
        return False
    bound = graph.concrete_functions[function].bound_inputs
    if not -from_end <= len(bound) <= len(program.arguments[function]):
        return False
    if not 0 <= bound[from_end] < len(graph.nodes):
        return False
    thing = graph.nodes[bound[from_end]]
    # A registered name decides the object's class, whatever its kind is.
    return thing.WhichOneof("kind") == "asset" and not thing.registered_name


def _in_function(function: str) -> str:
    """Returns ` in FUNCTION` for messages, or "" for the main graph."""
    return f" in {function}" if function else ""
