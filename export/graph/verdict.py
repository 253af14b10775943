"""Decides whether a SavedModel can be exported, from its file alone: nothing is loaded or run.

`inspect` prints this verdict and `model` begins with it, so the two always agree. If only the
loaded graph can decide (a loop whose rounds depend on the text), the verdict is not certain.
"""

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from export.bundle import ClassifierContract
from export.classifier_task import read_task
from export.graph.preflight import KERNELS_BY_OP, KERNELS_FILE, TARGET_BACKENDS
from export.source import call_graph, messages, roles
from export.source.call_graph import Node
from export.source.signature_choice import (
    AskedSignature,
    Signature,
    TensorInfo,
    choose_graph,
    choose_signature,
    read_signatures,
)
from export.source.vetting import vet
from support.errors import UserError

INTEGER_DTYPES = {"int32", "int64"}
# Ops without a TF.js kernel that freezing or a rewrite removes.
REMOVED_OPS = {
    "Einsum", "Erfc", "Gather", "Pad", "PartitionedCall", "PlaceholderWithDefault",
    "PreventGradient", "ReadVariableOp", "ResourceGather", "StatefulPartitionedCall",
    "VarHandleOp", "Variable", "VariableV2", "IdentityN", "EnsureShape", "CheckNumerics",
}  # fmt: skip
# Only the loaded graph shows whether these can be removed.
CONTROL_FLOW = {
    "While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase", "Switch", "Merge",
}  # fmt: skip
TF1_LOOP = "NextIteration"
# Lookups in a partitioned variable of TF1, whose parts are merged.
PARTITION_OPS = {"DynamicPartition", "DynamicStitch", "ParallelDynamicStitch"}
PARTITION_NAME = re.compile(r"/part_\d+$")
LIST_OP_PREFIXES = ("TensorList", "TensorArray", "EmptyTensorList")
LOOP_ADVICE = "save the model without it (a Keras LSTM or GRU: with unroll=True and a fixed length)"
LOOKUP = "LookupTableFindV2"
# Ops on token strings around their lookup, which are removed with it.
STRING_OPS = {
    LOOKUP, "LookupTableSizeV2", "StringToHashBucketFast", "StringToHashBucket",
    "StringToHashBucketStrong", "HashTableV2", "MutableHashTableV2",
}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """The verdict; `contract` is one of the catalog's, or None; `reason` is one line.

    `tags` and `signature` are those that are exported, `inputs` and `outputs` the roles by name.
    If `certain` is false, the loaded graph may change the verdict. `classifier` is what the model's
    own file says that it decides, if `build` wrote one.
    """

    exportable: bool
    contract: str | None
    reason: str
    tags: tuple[str, ...] = ()
    signature: str | None = None
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    certain: bool = True
    classifier: ClassifierContract | None = None


def assess_model(directory: Path, saved_model: Any, asked: AskedSignature) -> Verdict:
    """Returns the verdict on a SavedModel; `saved_model` is its message."""
    try:
        vet(directory)
        graph = choose_graph(saved_model, asked.tags, directory.name)
        signature = choose_signature(read_signatures(graph), asked.signature, directory.name)
        verdict = _assess_signature(graph, signature, asked, directory.name)
        return replace(verdict, classifier=read_task(directory))
    except UserError as error:
        return Verdict(False, None, str(error))


def require_exportable(directory: Path, asked: AskedSignature) -> Verdict:
    """Returns the verdict on a model that is to be exported.

    Raises:
        UserError: it cannot be exported; the message is the line that `inspect` prints.
    """
    verdict = assess_model(directory, messages.read_saved_model(directory), asked)
    if not verdict.exportable:
        raise UserError(verdict.reason)
    if verdict.contract == "tokenizer":
        raise UserError(
            f"{directory.name} is a tokenizer, expected a model; export it with `python -m export "
            "vocab --tokenizer-model`, or give it beside a model with --tokenizer-model"
        )
    return verdict


def _assess_signature(
    graph: Any, signature: Signature, asked: AskedSignature, where: str
) -> Verdict:
    """Returns the verdict on a signature.

    Args:
        graph: the meta graph.
        signature: its signature.
        asked: the user's choice of inputs and outputs.
        where: the model, for messages.

    Raises:
        UserError: it cannot be exported: it fits no contract, or runs an op that TF.js lacks.
    """
    verdict = assess_endpoints(signature, asked, where)
    verdict = replace(verdict, tags=tuple(graph.meta_info_def.tags), signature=signature.name)
    if verdict.contract == "tokenizer":
        return verdict
    _refuse_several_tensors(signature.inputs + signature.outputs, where)
    nodes = call_graph.find_run_nodes(
        graph,
        [tensor.node for tensor in signature.outputs],
        [tensor.node for tensor in signature.inputs],
    )
    takes_strings = str(verdict.contract).startswith("tokens")
    if takes_strings and LOOKUP not in {node.op for node in nodes}:
        raise UserError(
            f"{where}: the model takes strings and has no lookup table of tokens, expected one; "
            "only models that look single tokens up can be carried over"
        )
    if TF1_LOOP in {node.op for node in nodes}:
        raise UserError(
            f"{where}: the model has a loop of TF1 ({TF1_LOOP}), expected none; save it again "
            "under `tf.compat.v1.enable_control_flow_v2()`, or with its rounds written out"
        )
    _refuse_loops_over_lists(nodes, where)
    _refuse_missing_kernels(nodes, where)
    constructs = sorted({node.op for node in nodes if node.op in CONTROL_FLOW})
    if not constructs:
        return verdict
    return replace(
        verdict,
        certain=False,
        reason=f"{verdict.reason}; it has control flow ({', '.join(constructs)}), and whether that "
        "can be written out shows only in the export",
    )


def assess_endpoints(signature: Signature, asked: AskedSignature, where: str) -> Verdict:
    """Returns the verdict from the inputs and outputs alone.

    Raises:
        UserError: they fit no contract.
    """
    inputs, outputs = signature.inputs, signature.outputs
    if len(inputs) == 1 and inputs[0].dtype == "string":
        only = inputs[0]
        if all(output.dtype in INTEGER_DTYPES for output in outputs) and only.rank in (1, None):
            return Verdict(True, "tokenizer", f"texts in as {only.name}, integers out")
        if only.rank in (2, None):
            out = roles.output_roles(outputs, dict(asked.outputs), where)
            reason = f"a matrix of tokens in as {only.name}"
            return Verdict(True, f"tokens-{len(outputs)}", reason, outputs=out)
    into = roles.input_roles(inputs, dict(asked.inputs), where)
    out = roles.output_roles(outputs, dict(asked.outputs), where)
    _refuse_outputs_without_batch(inputs, outputs, where)
    reason = "ids in, as " + ", ".join(tensor.name for tensor in inputs)
    return Verdict(True, "named", reason, inputs=into, outputs=out)


def _refuse_several_tensors(tensors: list[TensorInfo], where: str) -> None:
    """Refuses sparse and ragged inputs and outputs.

    Raises:
        UserError: there is one.
    """
    for tensor in tensors:
        if not tensor.node:
            raise UserError(
                f"{where}: got {tensor.name}, which is no plain tensor (it is sparse or ragged), "
                "expected plain ones; save the model with `.to_tensor()` or `tf.sparse.to_dense`"
            )


def _refuse_outputs_without_batch(
    inputs: list[TensorInfo], outputs: list[TensorInfo], where: str
) -> None:
    """Refuses outputs without a batch axis if the batch size is fixed.

    Such a model runs batch by batch, and its outputs are concatenated.

    Raises:
        UserError: an output does not have one row for each text.
    """
    rows = next((t.shape[0] for t in inputs if t.shape and t.shape[0]), None)
    for tensor in outputs:
        size = tensor.shape[0] if tensor.shape else rows
        if rows and (tensor.rank == 0 or size not in (rows, None)):
            raise UserError(
                f"{where}: the model takes {rows} texts at a time, got output {tensor.name} of "
                f"shape {tensor.shape}, expected {rows} rows"
            )


def _refuse_loops_over_lists(nodes: list[Node], where: str) -> None:
    """Refuses lists of tensors: TF.js has none, and no rewrite removes them.

    Raises:
        UserError: the message names the op and its node.
    """
    for node in sorted(nodes, key=lambda node: (node.op, node.name)):
        if node.op.startswith(LIST_OP_PREFIXES):
            raise UserError(
                f"{where}: the model has a loop over a list ({node.op}, node {node.name}), as a "
                f"recurrent layer, tf.map_fn or tf.scan has; {LOOP_ADVICE}"
            )


def _refuse_missing_kernels(nodes: list[Node], where: str) -> None:
    """Refuses ops that depend on the inputs and that a TF.js backend lacks.

    Raises:
        UserError: the message names the op, a node and the backends.
    """
    kernels: dict[str, list[str]] = json.loads(KERNELS_FILE.read_text(encoding="utf-8"))["kernels"]
    away = REMOVED_OPS | CONTROL_FLOW | STRING_OPS
    if any(PARTITION_NAME.search(node.name) for node in nodes):
        away |= PARTITION_OPS
    for node in sorted(nodes, key=lambda node: (node.op, node.name)):
        if not node.from_inputs or node.op in away:
            continue
        needed = KERNELS_BY_OP.get(node.op, (node.op,))
        without = [t for t in TARGET_BACKENDS if not all(one in kernels[t] for one in needed)]
        if without:
            raise UserError(
                f"{where}: TF.js has no {node.op} on {' and '.join(without)} (node {node.name}); "
                "export the model without it, or report it: a rewrite may be missing"
            )
