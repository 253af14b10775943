"""Loads the weights of an encoder or a masked language model's head from a checkpoint."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from export.checkpoints.checkpoint import Checkpoint, Variables
from export.checkpoints.naming import EMBEDDING_TABLES
from support.errors import UserError
from support.quiet_tensorflow import tensorflow

# The variables of the encoder, each with its name in `naming`.

if TYPE_CHECKING:
    from export.architectures.classifier import EncoderWithHead
    from export.architectures.encoder import Encoder, MlmHead

LEAVES = ("kernel", "bias", "gamma", "beta")


@dataclass(frozen=True)
class VariableBinding:
    """A variable and its name: `part` and `leaf` of `naming`, `block` of `EncoderConfig.blocks`."""

    part: str
    leaf: str
    variable: Any
    block: tuple[int, int] = (0, 0)


def _encoder_bindings(encoder: "Encoder") -> Iterator[VariableBinding]:
    """Yields each variable of a built encoder once."""
    for table in EMBEDDING_TABLES:
        yield VariableBinding("embeddings", table, getattr(encoder.embeddings, table))
    yield from _layer_bindings("embeddings_norm", encoder.embeddings.norm)
    if encoder.projection is not None:
        yield from _layer_bindings("projection", encoder.projection)
    for number, block in zip(encoder.config.blocks, encoder.blocks, strict=True):
        for part in ("query", "key", "value"):
            yield from _layer_bindings(part, getattr(block.attention, part), number)
        for part in ("attention_output", "attention_norm", "intermediate"):
            yield from _layer_bindings(part, getattr(block, part), number)
        yield from _layer_bindings("output", block.output_dense, number)
        yield from _layer_bindings("output_norm", block.output_norm, number)
    if encoder.pooler is not None:
        yield from _layer_bindings("pooler", encoder.pooler)


def _head_bindings(head: "MlmHead") -> Iterator[VariableBinding]:
    """Yields each variable of a built head once."""
    yield from _layer_bindings("head_dense", head.dense)
    yield from _layer_bindings("head_norm", head.norm)
    yield VariableBinding("head", "output_bias", head.output_bias)


def _layer_bindings(
    part: str, layer: Any, block: tuple[int, int] = (0, 0)
) -> Iterator[VariableBinding]:
    """Yields the variables of one dense or layer norm layer of Keras."""
    for leaf in LEAVES:
        if hasattr(layer, leaf):
            yield VariableBinding(part, leaf, getattr(layer, leaf), block)


# The variables of the checkpoint that a build does not use, by purpose.

OTHER_KIND, CUT_LAYERS_KIND = "others", "layers cut off"
# The first pattern that matches counts.
KINDS = (
    (
        "optimizer",
        r"/(adam|lamb)_[mv]$|/(Adam|LAMB|Momentum|RMSProp|ExponentialMovingAverage)\w*$"
        r"|(^|/)beta[12]_power$|^global_step$",
    ),
    ("generator", r"^generator(/|_)"),
    ("masked language model head", r"^(cls[/.])?predictions[/.]"),
    ("sentence pair head", r"^cls[/.]seq_relationship|^sop_classifier\."),
    ("discriminator head", r"^discriminator_predictions[/.]"),
    # Fine-tuned: `run_classifier.py` of google-research/bert, and Hugging Face's classes.
    (
        "classifier head",
        r"^(output_weights|output_bias)$|^(classifier|qa_outputs|cls[/.]squad)[/.]",
    ),
    (
        CUT_LAYERS_KIND,
        r"encoder[/.]layer[_.]\d+[/.]|encoder/transformer/group_\d+/|\.albert_layer_groups\.\d+\.",
    ),
    ("position numbers", r"embeddings\.(position|token_type)_ids$"),
    ("pooler", r"(^|[/.])pooler[/.]"),
)
NUMBER = re.compile(r"(?:layer|group|groups)[._](\d+)[./]")


def unused_by_kind(variables: Variables) -> dict[str, list[str]]:
    """Returns the sorted names of the unread variables, by kind."""
    kinds: dict[str, list[str]] = {}
    for name in sorted(variables.names - variables.used):
        kind = next((kind for kind, pattern in KINDS if re.search(pattern, name)), OTHER_KIND)
        kinds.setdefault(kind, []).append(name)
    return kinds


def _refuse_unread_variables(checkpoint: Checkpoint) -> None:
    """Refuses a checkpoint with an unread encoder variable of no known kind.

    Such a variable belongs to another structure, for example an adapter: without it the numbers
    would be wrong.
    """
    root = checkpoint.naming.scopes["embeddings"].removesuffix("embeddings")
    inside = (f"{root}embeddings", f"{root}encoder")
    kinds = unused_by_kind(checkpoint.variables)
    built = {str(first) for first, _ in checkpoint.config.blocks}
    names = [name for name in kinds.get(OTHER_KIND, []) if name.startswith(inside)]
    names += [
        n for n in kinds.get(CUT_LAYERS_KIND, []) if (m := NUMBER.search(n)) and m[1] in built
    ]
    if names:
        raise UserError(
            f"{checkpoint.variables.where}: got {', '.join(names[:3])}, {len(names)} variables of "
            f"the encoder that {checkpoint.config.architecture} has not; it is another structure"
        )


def describe_unused(variables: Variables) -> list[str]:
    """Describes the unused variables: a summary line, then a line of names for each kind."""
    kinds = unused_by_kind(variables)
    count = sum(len(names) for names in kinds.values())
    if not count:
        return [f"all {len(variables.names)} variables of the checkpoint are used"]
    summary = ", ".join(f"{len(names)} {kind}" for kind, names in kinds.items())
    first = f"{count} of {len(variables.names)} variables of the checkpoint are not used: {summary}"
    return [
        first,
        *(f"  {kind}: {', '.join(brace_layer_numbers(names))}" for kind, names in kinds.items()),
    ]


def brace_layer_numbers(names: list[str]) -> list[str]:
    """Merges names that differ only in the layer's number.

    >>> brace_layer_numbers(["layer_2/kernel", "layer_3/kernel", "step"])
    ['layer_{2,3}/kernel', 'step']
    """
    numbers: dict[tuple[str, str], list[str]] = {}
    for name in names:
        found = re.fullmatch(r"(.*?(?:layer|group)s?[_.])(\d+)([_./].*)", name)
        before, number, after = found.groups() if found else (name, "", "")
        numbers.setdefault((before, after), []).append(number)
    return [
        before + (",".join(found) if len(found) == 1 else f"{{{','.join(found)}}}") + after
        for (before, after), found in numbers.items()
    ]


def load_encoder(checkpoint: Checkpoint) -> "Encoder":
    """Builds the checkpoint's encoder and loads its weights, float32.

    Raises:
        UserError: see `Variables.read` and `_refuse_unread_variables`.
    """
    tensorflow()
    import tf_keras

    from export.architectures.encoder import INPUTS, Encoder

    encoder = Encoder(checkpoint.config, checkpoint.config.architecture)
    # Symbolic inputs create the variables and leave batch and sequence free in the SavedModel.
    encoder({name: tf_keras.Input([None], dtype="int32", name=name) for name in INPUTS})
    _assign_weights(checkpoint, _encoder_bindings(encoder))
    _refuse_unread_variables(checkpoint)
    return encoder


def load_head(checkpoint: Checkpoint) -> "MlmHead":
    """Loads the checkpoint's masked language model head; check `has_head` first.

    Raises:
        UserError: see `load_encoder`; or the decoder is not the table of word embeddings.
    """
    tensorflow()
    from export.architectures.encoder import MlmHead

    head = MlmHead(checkpoint.config)
    _assign_weights(checkpoint, _head_bindings(head))
    _refuse_untied(checkpoint)
    return head


def load_classifier(checkpoint: Checkpoint, encoder: "Encoder") -> "EncoderWithHead | None":
    """Loads the head of the checkpoint's classifier on its loaded encoder; None if it has none.

    Raises:
        UserError: see `Variables.read`.
    """
    head = checkpoint.classifier
    if head is None:
        return None
    from export.architectures.classifier import EncoderWithHead

    width, read = checkpoint.config.hidden_size, checkpoint.variables.read
    # A layer before the last is as wide as the encoder.
    units = [width] * (len(head.layers) - 1) + [len(head.decides.labels)]
    weights = [
        (read(kernel, (out, width)).T, read(bias, (out,)))
        for (kernel, bias), out in zip(head.layers, units, strict=True)
    ]
    return EncoderWithHead(encoder, head.on, weights)


def _assign_weights(checkpoint: Checkpoint, bindings: Iterable[VariableBinding]) -> None:
    """Reads and assigns one variable at a time, so that memory has one copy of the weights."""
    naming = checkpoint.naming
    for binding in bindings:
        name = naming.name(binding.part, binding.leaf, binding.block)
        if name is None:
            raise AssertionError(f"no name for {binding.part}/{binding.leaf}")
        shape = tuple(binding.variable.shape.as_list())
        if naming.transposes and binding.leaf == "kernel":
            binding.variable.assign(checkpoint.variables.read(name, shape[::-1]).T)
        else:
            binding.variable.assign(checkpoint.variables.read(name, shape))


def _refuse_untied(checkpoint: Checkpoint) -> None:
    """Refuses a decoder with its own weights (Hugging Face's `tie_word_embeddings: false`)."""
    variables, naming, config = checkpoint.variables, checkpoint.naming, checkpoint.config
    decoder = naming.name("head_decoder", "kernel")
    words = naming.name("embeddings", "word_embeddings")
    if decoder not in variables.names or decoder is None or words is None:
        return
    shape = (config.vocab_size, config.embedding_size)
    if not np.array_equal(variables.read(decoder, shape), variables.read(words, shape)):
        raise UserError(
            f"{variables.where}: {decoder}: got weights of its own, expected those of {words}; "
            "build it with --contract named, which leaves the head out"
        )
