"""Makes tiny bundles whose models decide by themselves, to be damaged."""

import json
import struct
from pathlib import Path
from typing import Any

from tests.hostile import toys

Decision = dict[str, Any]

SINGLE: Decision = {"task": "single_label", "activation": "softmax", "labels": ["a", "b"]}
MULTI: Decision = {
    "task": "multi_label",
    "activation": "sigmoid",
    "labels": ["a", "b"],
    "threshold": 0.5,
}
REGRESSION: Decision = {"task": "regression", "activation": "none", "labels": ["stars"]}
TOKENS: Decision = {
    "task": "token_labels",
    "activation": "softmax",
    "labels": ["O", "B-X", "I-X"],
    "scheme": "BIO",
}
DECISIONS = {decision["task"]: decision for decision in (SINGLE, MULTI, REGRESSION, TOKENS)}
"""One of each task, by the task."""


def decide(decision: Decision, **changes: Any) -> Decision:
    """Returns the `classifier` of a contract, with changes."""
    return {"output": "logits", **decision, **changes}


def write_deciding_bundle(
    directory: Path,
    decision: Decision,
    contract: toys.Change | None = None,
    width: int | None = None,
    score: float = 0.5,
) -> Path:
    """Writes a sealed bundle whose output `logits` has the same score for each label.

    Args:
        directory: its directory.
        decision: `classifier` of its contract, without `output`.
        contract: changes the contract at the end.
        width: how many scores the model gives; by default one for each label.
        score: each of them, divided by the width of a vector for labels of texts.
    """
    count = len(decision["labels"])
    of_tokens = decision["task"] == "token_labels"
    shape = ["batch", "sequence", count] if of_tokens else ["batch", count]

    def change(document: dict[str, Any]) -> dict[str, Any]:
        logits = {"name": "logits", "role": "logits", "dtype": "float32", "shape": shape}
        document["outputs"].append(logits)
        document["classifier"] = decide(decision)
        return (contract(document) if contract is not None else None) or document

    document, shard = model_with_scores(of_tokens, width or count, score)
    files = {"model.json": json.dumps(document).encode(), toys.SHARD: shard}
    return toys.write_bundle(directory, files, change)


def model_with_scores(of_tokens: bool, width: int, score: float) -> tuple[dict[str, Any], bytes]:
    """Returns `model.json` and the weights of a toy that has scores too.

    Args:
        of_tokens: whether each token has scores, or the text as a whole.
        width: how many scores there are.
        score: all of them.
    """
    size = json.loads((toys.EMBEDDED / "bundle.json").read_text("utf-8"))["tokenizer"]["vocab_size"]
    document = toys.model_document(size)
    nodes, weights = document["modelTopology"]["node"], document["weightsManifest"][0]["weights"]
    real, whole = {"type": "DT_FLOAT"}, {"type": "DT_INT32"}
    table = [size, width] if of_tokens else [toys.WIDTH, width]
    nodes.append(constant("scores", real, table))
    weights.append({"name": "scores", "dtype": "float32", "shape": table})
    shard = struct.pack(f"<{size * toys.WIDTH}f", *([1.0] * size * toys.WIDTH))
    shard += struct.pack("<i", 0) + struct.pack("<f", score) * (table[0] * width)
    if of_tokens:
        gather = next(node for node in nodes if node["op"] == "GatherV2")
        nodes.append(gather | {"name": "logits", "input": ["scores", "input_ids", "zero"]})
        return document, shard
    nodes.append(constant("one", whole, []))
    weights.append({"name": "one", "dtype": "int32", "shape": []})
    largest = {"T": real, "Tidx": whole, "keep_dims": {"b": False}}
    nodes.append(
        {"name": "pooled", "op": "Max", "input": ["sequence_output", "one"], "attr": largest}
    )
    plain = {"T": real, "transpose_a": {"b": False}, "transpose_b": {"b": False}}
    nodes.append({"name": "logits", "op": "MatMul", "input": ["pooled", "scores"], "attr": plain})
    return document, shard + struct.pack("<i", 1)


def constant(name: str, dtype: dict[str, str], shape: list[int]) -> dict[str, Any]:
    """Returns a node whose value is a weight."""
    tensor = {"dtype": dtype["type"], "tensorShape": {"dim": [{"size": str(n)} for n in shape]}}
    return {"name": name, "op": "Const", "attr": {"dtype": dtype, "value": {"tensor": tensor}}}
