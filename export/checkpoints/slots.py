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
    """One variable; `part` and `leaf` are those of `naming`, `block` of `EncoderConfig.blocks`."""

    part: str
    leaf: str
    variable: Any
    block: tuple[int, int] = (0, 0)


def encoder_slots(encoder: "Encoder") -> Iterator[Slot]:
    """Every variable of a built encoder, once."""
    for table in TABLES:
        yield Slot("embeddings", table, getattr(encoder.embeddings, table))
    yield from of("embeddings_norm", encoder.embeddings.norm)
    if encoder.projection is not None:
        yield from of("projection", encoder.projection)
    for place, block in zip(encoder.config.blocks, encoder.blocks, strict=True):
        for part in ("query", "key", "value"):
            yield from of(part, getattr(block.attention, part), place)
        for part in ("attention_output", "attention_norm", "intermediate"):
            yield from of(part, getattr(block, part), place)
        yield from of("output", block.output_dense, place)
        yield from of("output_norm", block.output_norm, place)
    if encoder.pooler is not None:
        yield from of("pooler", encoder.pooler)


def head_slots(head: "MlmHead") -> Iterator[Slot]:
    """Every variable of a built head, once."""
    yield from of("head_dense", head.dense)
    yield from of("head_norm", head.norm)
    yield Slot("head", "output_bias", head.output_bias)


def of(part: str, layer: Any, block: tuple[int, int] = (0, 0)) -> Iterator[Slot]:
    """The slots of one dense or layer norm layer of Keras."""
    for leaf in LEAVES:
        if hasattr(layer, leaf):
            yield Slot(part, leaf, getattr(layer, leaf), block)
