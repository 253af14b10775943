"""The classifier's directory: labels, weights, another bundle's head."""

from random import Random

import numpy as np

from fault_injection.copies import HEAD, Array, SealedCopy, Weights
from fault_injection.registry import kind
from fault_injection.sources import CleanBundle
from fault_injection.target import Target


def has_head(clean: CleanBundle) -> bool:
    """Whether there is a classifier."""
    return clean.head is not None


def has_sibling_head(clean: CleanBundle) -> bool:
    """Whether the bundle of the same shape and other weights has one too."""
    return has_head(clean) and clean.sibling is not None and clean.sibling.head is not None


@kind("head", stages="label", fits=has_head, times=5)
def labels_permuted(target: Target, choose: Random) -> str:
    """The labels stand in another order than the probabilities."""
    labels = target.head.about["labels"]
    before = list(labels)
    labels.append(labels.pop(0))
    return f"labels {before} became {labels}"


@kind("head", stages="probabilities", fits=has_head)
def head_exponent_bit(target: Target, choose: Random) -> str:
    """One bit of the exponent of each of the label layer's largest weights is flipped."""
    weights = Weights(target.head)
    kernel = label_kernel(weights)
    values = weights.arrays[kernel]
    place = int(np.argmax(np.abs(values)))
    flat: Array = values.reshape(-1)
    before = float(flat[place])
    # The exponents of weights below 1 have their second highest bit set: without it they vanish,
    # with the bit below it changed they are 16 times as large or as small.
    flat.view("<u4")[place] ^= 1 << 25
    weights.write()
    return f"bit 25 of {kernel}[{place}]: {before:g} became {float(flat[place]):g}"


@kind("head", stages="probabilities", fits=has_head)
def label_columns_swapped(target: Target, choose: Random) -> str:
    """The label layer's units stand in another order than the labels."""
    weights = Weights(target.head)
    kernel = label_kernel(weights)
    weights.arrays[kernel] = np.ascontiguousarray(weights.arrays[kernel][:, ::-1])
    weights.write()
    return f"columns of {kernel} in the other order"


@kind("head", stages="probabilities", fits=has_head)
def head_bias_lost(target: Target, choose: Random) -> str:
    """The hidden layer has no bias: features are as if they had never been scaled."""
    weights = Weights(target.head)
    bias = next(name for name, value in weights.arrays.items() if value.ndim == 1)
    weights.arrays[bias][:] = 0
    weights.write()
    return f"{bias} became zeros"


@kind("head", stages="probabilities", fits=has_sibling_head, times=5)
def head_of_another_bundle(target: Target, choose: Random) -> str:
    """The head that was trained on another bundle, with this one's name on it."""
    assert target.clean.sibling is not None and target.clean.sibling.head is not None
    other = SealedCopy(target.clean.sibling.head, target.place / "other", HEAD)
    for name in target.head.about["files"]:
        target.head.write(name, other.read(name))
    return f"weights of the head of {target.clean.sibling.name}"


@kind("head", stages="probabilities", fits=has_head)
def head_activation_wrong(target: Target, choose: Random) -> str:
    """The hidden layer has ReLU, and was trained with tanh."""
    model = target.head.document("model.json")
    text = str(model)
    assert text.count("'activation': 'tanh'") == 1
    replace_value(model, "activation", "tanh", "relu")
    return "the hidden layer's activation: tanh became relu"


def label_kernel(weights: Weights) -> str:
    """The matrix of the last layer."""
    return [name for name, value in weights.arrays.items() if value.ndim == 2][-1]


def replace_value(value: object, key: str, old: str, new: str) -> None:
    """Replaces a value wherever the key has it."""
    if isinstance(value, dict):
        if value.get(key) == old:
            value[key] = new
        for inner in value.values():
            replace_value(inner, key, old, new)
    elif isinstance(value, list):
        for inner in value:
            replace_value(inner, key, old, new)
