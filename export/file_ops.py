"""The ops that a SavedModel cannot do without although they read or write files, and their place.

- `SaveV2`, `MergeV2Checkpoints` and `RestoreV2` stand in every SavedModel: its saver, the two
  nodes that the `saver_def` names, of which the one that restores may not write. A TF1 graph keeps
  those of other savers besides: of `Saver.restore` before it was saved, of
  `init_from_checkpoint`. These nobody runs: a loader runs the restoring node, what initialises
  tables and local variables, and signatures. Reached from one of these, or in a function, they
  would work on any file at all.
- `InitializeTableFromTextFile` reads a vocab. Its file name must come from an asset: passed on
  from call to call as an argument, never computed and never a constant.
"""

from collections.abc import Iterator
from typing import Any

from export.call_graph import data_inputs, named_in, plain, reached, traced, upstream
from export.saved_model_messages import graphs, initializers

SAVERS = {"SaveV2", "MergeV2Checkpoints", "RestoreV2"}
READER = "RestoreV2"
TABLES = {"InitializeTableFromTextFile", "InitializeTableFromTextFileV2"}
CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
VARIABLE_USES = {"AssignVariableOp", "ReadVariableOp", "VarIsInitializedOp"}
LOCAL_VARIABLES = "local_variables"
MAIN = ""
# Stands for an input whose origin is not followed; no node and no argument is called so.
UNKNOWN = "<unknown>"


def misplaced(meta_graph: Any) -> list[str]:
    """Each file op away from its place, in words."""
    return [*misplaced_savers(meta_graph), *misplaced_tables(meta_graph)]


def misplaced_savers(meta_graph: Any) -> Iterator[str]:
    """Checkpoint ops that something else than the saver reaches."""
    functions = dict(graphs(meta_graph))
    main = {node.name: node for node in functions[MAIN]}
    saver = meta_graph.saver_def
    saves = upstream(main, [saver.save_tensor_name])
    restores = upstream(main, [saver.restore_op_name])
    run_by_others = upstream(main, entry_points(meta_graph))
    # Whatever no saver takes could be run by a loader unknown here, if it names a function.
    others = (set(main) - saves - restores) | run_by_others
    by_others = reached(functions, callable_functions(meta_graph), [main[n] for n in others])
    by_restore = reached(functions, nodes=[main[n] for n in restores])
    by_saver = by_restore | reached(functions, nodes=[main[n] for n in saves])

    for function, nodes in functions.items():
        for node in nodes:
            if node.op not in SAVERS:
                continue
            if function == MAIN:
                is_misplaced = node.name in run_by_others
                in_restore = node.name in restores
            else:
                is_misplaced = function not in by_saver - by_others
                in_restore = function in by_restore
            if is_misplaced or (in_restore and node.op != READER):
                yield f"op {node.op} outside the saver{named(function)}"


def entry_points(meta_graph: Any) -> list[str]:
    """What a loader or a person runs of the main graph besides the saver.

    Outputs of signatures (the one that TensorFlow adds for the start among them), every node that a
    collection lists, and what initialises local variables: loading in TF2 does that by itself.
    """
    outputs = [
        tensor.name or UNKNOWN
        for signature in meta_graph.signature_def.values()
        for tensor in signature.outputs.values()
    ]
    listed = [name for c in meta_graph.collection_def.values() for name in c.node_list.value]
    return outputs + listed + initializers(meta_graph, LOCAL_VARIABLES)


def callable_functions(meta_graph: Any) -> list[str]:
    """The functions that Python or a gradient can call."""
    library = meta_graph.graph_def.library
    return [
        *meta_graph.object_graph_def.concrete_functions,
        *(gradient.gradient_func for gradient in library.gradient),
        *(gradient.gradient_func for gradient in library.registered_gradients),
    ]


def misplaced_tables(meta_graph: Any) -> Iterator[str]:
    """Tables read from a file that is no asset.

    `takes_file` has the arguments, by function and position, that become a file name. It grows by
    the arguments of callers until the main graph and the object graph have given them all.
    """
    bodies = [
        (function, {node.name: node for node in nodes}) for function, nodes in graphs(meta_graph)
    ]
    arguments = {
        function.signature.name: [argument.name for argument in function.signature.input_arg]
        for function in meta_graph.graph_def.library.function
    }
    takes_file: set[tuple[str, int]] = set()
    size = -1
    while size < len(takes_file):
        size = len(takes_file)
        for function, nodes in bodies:
            for node in nodes.values():
                for source in file_inputs(node, takes_file):
                    origin = traced(nodes, source)
                    if function == MAIN and is_asset(meta_graph, nodes, origin):
                        continue
                    if origin in nodes or origin not in arguments.get(function, []):
                        yield f"op {node.op} on a file that is no asset{named(function)}"
                        return
                    takes_file.add((function, arguments[function].index(origin)))
    for name, index in sorted(takes_file):
        if not is_given_asset(meta_graph, name, index - len(arguments[name])):
            yield f"function {name} on a file that is no asset"


def file_inputs(node: Any, takes_file: set[tuple[str, int]]) -> list[str]:
    """Those inputs of a node that are file names of tables."""
    inputs = data_inputs(node)
    if node.op in TABLES:
        return inputs[1:2]
    indices = [index for name, index in takes_file if name in named_in(node)]
    # How a branch or a loop passes its arguments on is not followed.
    known = node.op in CALLS
    return [inputs[i] if known and i < len(inputs) else UNKNOWN for i in indices]


def is_asset(meta_graph: Any, nodes: dict[str, Any], name: str) -> bool:
    """Whether a node of the main graph is an asset's path, or a variable that only holds one."""
    assets = {plain(asset.tensor_info.name) for asset in meta_graph.asset_file_def}
    if name in assets:
        return True
    if name not in nodes or nodes[name].op != "ReadVariableOp":
        return False
    variable = next(iter(data_inputs(nodes[name])), UNKNOWN)
    users = [node for node in nodes.values() if variable in data_inputs(node)]
    written = [traced(nodes, data_inputs(n)[-1]) for n in users if n.op == "AssignVariableOp"]
    return {n.op for n in users} <= VARIABLE_USES and bool(written) and set(written) <= assets


def is_given_asset(meta_graph: Any, function: str, from_end: int) -> bool:
    """Whether what Python binds to an argument, counted from the last, is an asset.

    A function that Python cannot call is bound to nothing.
    """
    concrete = meta_graph.object_graph_def.concrete_functions
    if function not in concrete:
        return True
    bound = concrete[function].bound_inputs
    nodes = meta_graph.object_graph_def.nodes
    if -from_end > len(bound) or not 0 <= bound[from_end] < len(nodes):
        return False
    return bool(nodes[bound[from_end]].HasField("asset"))


def named(function: str) -> str:
    """Where, in words."""
    return f" in {function}" if function else ""
