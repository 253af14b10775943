"""Fills an encoder, or a masked language model's head, from an opened checkpoint."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from export.checkpoints.checkpoint import Checkpoint
from export.checkpoints.slots import Slot, encoder_slots, head_slots
from export.checkpoints.unused import refuse_unplaced
from export.errors import UserError
from export.quiet import tensorflow

if TYPE_CHECKING:
    from export.architectures.encoder import Encoder
    from export.architectures.mlm_head import MlmHead


def load_encoder(checkpoint: Checkpoint) -> "Encoder":
    """The checkpoint's encoder with its weights, float32.

    Raises:
        UserError: a variable is missing, misshapen, no float or not finite; see `Variables.read`
            and `refuse_unplaced`.
    """
    tensorflow()
    import tf_keras

    from export.architectures.encoder import INPUTS, Encoder

    encoder = Encoder(checkpoint.config, checkpoint.config.architecture)
    # Symbolic inputs make the variables and leave batch and sequence free in what is saved.
    encoder({name: tf_keras.Input([None], dtype="int32", name=name) for name in INPUTS})
    fill(checkpoint, encoder_slots(encoder))
    refuse_unplaced(checkpoint)
    return encoder


def load_head(checkpoint: Checkpoint) -> "MlmHead":
    """The checkpoint's masked language model head; ask `has_head` first.

    Raises:
        UserError: see `load_encoder`; or its decoder is not the table of word embeddings.
    """
    tensorflow()
    from export.architectures.mlm_head import MlmHead

    head = MlmHead(checkpoint.config)
    fill(checkpoint, head_slots(head))
    refuse_untied(checkpoint)
    return head


def fill(checkpoint: Checkpoint, slots: Iterable[Slot]) -> None:
    """Reads and assigns every slot, one at a time, so that one copy of the weights is in memory."""
    naming = checkpoint.naming
    for slot in slots:
        name = naming.name(slot.part, slot.leaf, slot.block)
        if name is None:
            raise AssertionError(f"no name for {slot.part}/{slot.leaf}")
        shape = tuple(slot.variable.shape.as_list())
        if naming.transposes and slot.leaf == "kernel":
            slot.variable.assign(checkpoint.variables.read(name, shape[::-1]).T)
        else:
            slot.variable.assign(checkpoint.variables.read(name, shape))


def refuse_untied(checkpoint: Checkpoint) -> None:
    """Stops where a decoder of its own is stored (Hugging Face's `tie_word_embeddings: false`)."""
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
