"""The variables of our encoder that a checkpoint fills, each with its part, layer and leaf."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from export.checkpoints.naming import TABLES

if TYPE_CHECKING:
    from export.architectures.encoder import Encoder
    from export.architectures.mlm_head import MlmHead

LEAVES = ("kernel", "bias", "gamma", "beta")


@dataclass(frozen=True)
class Slot:
    """One variable; `part` and `leaf` are those of `naming`, `layer` is None outside of layers."""

    part: str
    layer: int | None
    leaf: str
    variable: Any


def encoder_slots(encoder: "Encoder") -> Iterator[Slot]:
    """Every variable of a built encoder, once."""
    for table in TABLES:
        yield Slot("embeddings", None, table, getattr(encoder.embeddings, table))
    yield from of("embeddings_norm", encoder.embeddings.norm)
    if encoder.projection is not None:
        yield from of("projection", encoder.projection)
    for i, block in enumerate(encoder.blocks):
        for part in ("query", "key", "value"):
            yield from of(part, getattr(block.attention, part), i)
        for part in ("attention_output", "attention_norm", "intermediate"):
            yield from of(part, getattr(block, part), i)
        yield from of("output", block.output_dense, i)
        yield from of("output_norm", block.output_norm, i)
    if encoder.pooler is not None:
        yield from of("pooler", encoder.pooler)


def head_slots(head: "MlmHead") -> Iterator[Slot]:
    """Every variable of a built head, once."""
    yield from of("head_dense", head.dense)
    yield from of("head_norm", head.norm)
    yield Slot("head", None, "output_bias", head.output_bias)


def of(part: str, layer: Any, number: int | None = None) -> Iterator[Slot]:
    """The slots of one dense or layer norm layer of Keras."""
    for leaf in LEAVES:
        if hasattr(layer, leaf):
            yield Slot(part, number, leaf, getattr(layer, leaf))
