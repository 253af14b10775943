"""Faults in what a bundle decides by itself: the contract's `classifier`, and the head."""

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

from fault_injection.copies import SealedCopy, Weights, short_name
from fault_injection.graph import GraphParts, norm_numbers
from fault_injection.registry import kind
from fault_injection.sources import CleanBundle
from fault_injection.target import Target
from support.contracts import CONTRACT

Fits = Callable[[CleanBundle], bool]
HEAD = "/classifier_0/"
"""In the names of the weights of the label layer."""
INT = {"type": "DT_INT32"}
ALL_AXES, OTHER_AXES, NO_AXIS = {"i": "7"}, {"i": "5"}, {"i": "0"}
"""Bit masks of three axes; `OTHER_AXES` are those beside the positions."""


def decides(*tasks: str) -> Fits:
    """Returns whether a bundle decides by itself, one of these tasks."""
    return lambda clean: (
        clean.source.classifier is not None and (clean.source.classifier.task in tasks)
    )


WITH_LABELS = ("single_label", "multi_label", "token_labels")
any_task = decides(*WITH_LABELS, "regression")


# Wrong claims of the contract.


def _entry(target: Target) -> dict[str, Any]:
    """Returns the contract's `classifier`."""
    entry: dict[str, Any] = target.bundle.about["classifier"]
    return entry


@kind("bundle", stages="contract", fits=decides(*WITH_LABELS), times=5)
def label_map_rotated(target: Target, choose: Random) -> str:
    """The contract has the labels in another order than the scores."""
    labels = _entry(target)["labels"]
    before = list(labels)
    by = choose.randrange(1, len(labels))
    labels[:] = labels[by:] + labels[:by]
    return f"labels {before} became {labels}"


@kind("bundle", stages="contract", fits=decides(*WITH_LABELS))
def label_names_lost(target: Target, choose: Random) -> str:
    """The contract has numbers for labels, as of a model that does not name them."""
    labels = _entry(target)["labels"]
    before = list(labels)
    labels[:] = map(str, range(len(labels)))
    return f"labels {before} became {labels}"


@kind("bundle", stages="contract", fits=decides(*WITH_LABELS), times=4)
def activation_lost(target: Target, choose: Random) -> str:
    """The contract says that the logits are probabilities."""
    entry = _entry(target)
    before, entry["activation"] = entry["activation"], "none"
    return f"activation: {before} became none"


@kind("bundle", stages="contract", fits=decides("single_label", "multi_label"), times=4)
def task_exchanged(target: Target, choose: Random) -> str:
    """The contract takes several labels for one of them, or the other way round."""
    entry = _entry(target)
    before = entry["task"]
    if before == "multi_label":
        del entry["threshold"]
        entry |= {"task": "single_label", "activation": "softmax"}
    else:
        entry |= {"task": "multi_label", "activation": "sigmoid", "threshold": 0.5}
    return f"task: {before} became {entry['task']}, with activation {entry['activation']}"


@kind("bundle", stages="contract", fits=decides("multi_label"), times=4)
def threshold_changed(target: Target, choose: Random) -> str:
    """The contract has another threshold."""
    entry = _entry(target)
    before, entry["threshold"] = entry["threshold"], choose.choice((0.0, 0.3, 0.5, 1.0))
    return f"threshold: {before} became {entry['threshold']}"


@kind("bundle", stages="contract", fits=decides("token_labels"))
def beginning_and_inside_exchanged(target: Target, choose: Random) -> str:
    """The labels of a span's first token and of its further ones are exchanged."""
    labels = _entry(target)["labels"]
    other = {"B": "I", "I": "B"}
    entity = choose.choice(sorted({label[2:] for label in labels if label != "O"}))
    labels[:] = [
        f"{other[label[0]]}-{entity}" if label.endswith(f"-{entity}") else label for label in labels
    ]
    return f"B-{entity} and I-{entity} exchanged: {labels}"


@kind("bundle", stages="contract", fits=decides("token_labels"))
def scheme_wrong(target: Target, choose: Random) -> str:
    """The contract has another scheme, by which the same labels make other spans."""
    entry = _entry(target)
    before, entry["scheme"] = entry["scheme"], choose.choice(("none", "BIOES"))
    return f"scheme: {before} became {entry['scheme']}"


@kind("bundle", stages="contract", fits=any_task)
def classifier_lost(target: Target, choose: Random) -> str:
    """The contract has no classifier."""
    target.bundle.about["classifier"] = None
    return "classifier became null"


@kind("bundle", stages="contract", fits=lambda clean: clean.source.classifier is None)
def classifier_invented(target: Target, choose: Random) -> str:
    """The contract takes a vector of an encoder for the scores of a classifier."""
    about = target.bundle.about
    spec = next(spec for spec in about["outputs"] if spec["role"] == "pooled_output")
    about["classifier"] = {
        "task": "single_label",
        "output": spec["name"],
        "activation": "softmax",
        "labels": [str(number) for number in range(spec["shape"][-1])],
    }
    return f"a classifier of {spec['shape'][-1]} labels on {spec['name']}"


# The head's weights, and its place in the graph.


@kind("bundle", stages="weights", fits=decides(*WITH_LABELS), times=4)
def label_units_swapped(target: Target, choose: Random) -> str:
    """Two units of the label layer are exchanged, with their biases."""
    weights = target.weights
    count = len(_entry(target)["labels"])
    first, second = choose.sample(range(count), 2)
    order = list(range(count))
    order[first], order[second] = second, first
    for name in weights.names(HEAD):
        weights.arrays[name] = np.ascontiguousarray(weights.arrays[name][..., order])
    weights.write()
    return f"units {first} and {second} of the label layer exchanged"


@kind("bundle", stages="weights", fits=any_task, times=4)
def label_bias_lost(target: Target, choose: Random) -> str:
    """The label layer has no bias."""
    (name,) = target.weights.names(f"{HEAD}bias")
    target.weights.arrays[name][:] = 0
    target.weights.write()
    return f"{short_name(name)} became zeros"


def _has_sibling(clean: CleanBundle) -> bool:
    """Returns whether there is a bundle of the same task, shape and dtype, and other weights."""
    return any_task(clean) and clean.sibling is not None


@kind("bundle", stages="weights", fits=_has_sibling)
def label_layer_of_another_model(target: Target, choose: Random) -> str:
    """The label layer is that of another fine-tuned model."""
    assert target.clean.sibling is not None
    other = Weights(SealedCopy(target.clean.sibling.path, target.directory / "other", CONTRACT))
    pairs = zip(target.weights.names(HEAD), other.names(HEAD), strict=True)
    for name, of_other in pairs:
        target.weights.arrays[name] = other.arrays[of_other]
    target.weights.write()
    return f"label layer of {target.clean.sibling.name}"


@kind("graph", stages="logits", fits=decides("token_labels"))
def scores_of_the_next_token(target: Target, choose: Random) -> str:
    """Each token has the scores of the next one."""
    graph = target.graph
    (scores,) = graph.inputs("logits")
    place = graph.constant("place", [0, 1, 0], "int32")
    strides = graph.constant("strides", [1, 1, 1], "int32")
    axis = graph.constant("axis", 1, "int32")
    index = {"Index": INT, "ellipsis_mask": NO_AXIS, "new_axis_mask": NO_AXIS}
    index["shrink_axis_mask"] = NO_AXIS
    # scores[:, 1:, :] and scores[:, :1, :]: an axis in a mask begins at 0, or ends at its end.
    parts = [
        graph.add("StridedSlice", name, scores, place, place, strides, **index, **masks)
        for name, masks in (
            ("later", {"begin_mask": OTHER_AXES, "end_mask": ALL_AXES}),
            ("first", {"begin_mask": ALL_AXES, "end_mask": OTHER_AXES}),
        )
    ]
    shifted = graph.add("ConcatV2", "shifted", *parts, axis, N={"i": "2"}, Tidx=INT)
    graph.rewire("logits", scores, shifted)
    graph.write()
    return "logits of position i + 1 at position i"


@kind(
    "graph",
    stages="logits",
    fits=lambda clean: (
        decides("single_label", "multi_label", "regression")(clean) and clean.source.pooled
    ),
    times=3,
)
def scores_without_the_pooler(target: Target, choose: Random) -> str:
    """The label layer takes position 0 of the last layer, as some models' heads do."""
    graph, parts = target.graph, GraphParts(target.graph)
    first = parts.user_of_op(parts.normed(norm_numbers(parts.layers - 1)[1]), "StridedSlice")
    (kernel,) = graph.weights.names(f"{HEAD}kernel")
    (layer,) = graph.users(kernel)
    graph.rewire(layer, graph.inputs(layer)[0], first)
    graph.write()
    return "logits of position 0 of sequence_output, not of pooled_output"
