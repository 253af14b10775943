"""Faults in the classifier's directory: labels, weights, another bundle's head."""

from random import Random

import numpy as np

from fault_injection.copies import SealedCopy, Weights
from fault_injection.registry import kind
from fault_injection.sources import CleanBundle
from fault_injection.target import Target
from support.contracts import DESCRIPTION, MODEL_FILE
from support.tfjs_weights import Array


def has_head(clean: CleanBundle) -> bool:
    """Returns whether the bundle has a classifier."""
    return clean.head is not None


def _has_sibling_head(clean: CleanBundle) -> bool:
    """Returns whether the bundle of the same shape and other weights has a classifier too."""
    return has_head(clean) and clean.sibling is not None and clean.sibling.head is not None


@kind("head", stages="label", fits=has_head, times=5)
def labels_permuted(target: Target, choose: Random) -> str:
    """The labels have another order than the probabilities."""
    labels = target.head.about["labels"]
    before = list(labels)
    labels.append(labels.pop(0))
    return f"labels {before} became {labels}"


@kind("head", stages="probabilities", fits=has_head)
def head_exponent_bit(target: Target, choose: Random) -> str:
    """One bit of the exponent of each of the label layer's largest weights is flipped."""
    weights = Weights(target.head)
    kernel = _label_kernel(weights)
    values = weights.arrays[kernel]
    index = int(np.argmax(np.abs(values)))
    flat: Array = values.reshape(-1)
    before = float(flat[index])
    # Bit 25 makes a weight 16 times as large or as small. The second highest bit of the exponent,
    # which weights below 1 have set, would make it vanish.
    flat.view("<u4")[index] ^= 1 << 25
    weights.write()
    return f"bit 25 of {kernel}[{index}]: {before:g} became {float(flat[index]):g}"


@kind("head", stages="probabilities", fits=has_head)
def label_columns_swapped(target: Target, choose: Random) -> str:
    """The label layer's units have another order than the labels."""
    weights = Weights(target.head)
    kernel = _label_kernel(weights)
    weights.arrays[kernel] = np.ascontiguousarray(weights.arrays[kernel][:, ::-1])
    weights.write()
    return f"columns of {kernel} reversed"


@kind("head", stages="probabilities", fits=has_head)
def head_bias_lost(target: Target, choose: Random) -> str:
    """The hidden layer has no bias, as if features had never been scaled."""
    weights = Weights(target.head)
    bias = next(name for name, value in weights.arrays.items() if value.ndim == 1)
    weights.arrays[bias][:] = 0
    weights.write()
    return f"{bias} became zeros"


@kind("head", stages="probabilities", fits=_has_sibling_head, times=5)
def head_of_another_bundle(target: Target, choose: Random) -> str:
    """The head was trained on another bundle, but names this one."""
    assert target.clean.sibling is not None and target.clean.sibling.head is not None
    other = SealedCopy(target.clean.sibling.head, target.directory / "other", DESCRIPTION)
    for name in target.head.about["files"]:
        target.head.write(name, other.read(name))
    return f"weights of the head of {target.clean.sibling.name}"


@kind("head", stages="probabilities", fits=has_head)
def head_activation_wrong(target: Target, choose: Random) -> str:
    """The hidden layer has ReLU, and was trained with tanh."""
    model = target.head.document(MODEL_FILE)
    text = str(model)
    assert text.count("'activation': 'tanh'") == 1
    _replace_value(model, "activation", "tanh", "relu")
    return "the hidden layer's activation: tanh became relu"


def _label_kernel(weights: Weights) -> str:
    """Returns the name of the last layer's matrix."""
    return [name for name, value in weights.arrays.items() if value.ndim == 2][-1]


def _replace_value(value: object, key: str, old: str, new: str) -> None:
    """Replaces a value wherever a key has it.

    Args:
        value: a JSON document.
        key: of the replaced values.
        old: the value to replace.
        new: its replacement.
    """
    if isinstance(value, dict):
        if value.get(key) == old:
            value[key] = new
        for inner in value.values():
            _replace_value(inner, key, old, new)
    elif isinstance(value, list):
        for inner in value:
            _replace_value(inner, key, old, new)
