"""The numbers that define an encoder, in the publishers' own key names."""

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from support.errors import UserError

ACTIVATIONS = ("gelu_tanh", "gelu_erf", "relu")
ARCHITECTURES = ("albert", "bert", "electra")
# The deepest published encoders have 48 layers. ALBERT's layers share weights, so no variable of a
# checkpoint contradicts a config with a million layers.
MOST_LAYERS = 256
# The modules that can follow an encoder, as sentence-transformers names them.
POOLINGS = ("cls", "max", "mean", "mean_sqrt_len_tokens")
SENTENCE_ACTIVATIONS = ("Identity", "Tanh", "ReLU")


@dataclass(frozen=True)
class EncoderConfig:
    """The configuration of one encoder; `embedding_size` differs from `hidden_size` in ALBERT.

    `activation` is `gelu_tanh`, `gelu_erf` or `relu`. A publisher's `"gelu"` means the tanh form
    in the TF1 code of BERT and ALBERT, and the erf form in Hugging Face's: the reader decides.

    `layer_groups` has the group of ALBERT's weights that each layer uses; it is empty if all layers
    use group 0. A group has `inner_group_num` sets of weights, which one layer runs in order.
    `saved_pooler` is False for a checkpoint that was saved without a pooler; see `has_pooler`.
    """

    architecture: str
    vocab_size: int
    num_hidden_layers: int
    hidden_size: int
    num_attention_heads: int
    intermediate_size: int
    embedding_size: int
    activation: str = "gelu_tanh"
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    inner_group_num: int = 1
    layer_groups: tuple[int, ...] = ()
    saved_pooler: bool = True

    def __post_init__(self) -> None:
        """Refuses numbers that no encoder can have."""
        for name, allowed in (("architecture", ARCHITECTURES), ("activation", ACTIVATIONS)):
            if getattr(self, name) not in allowed:
                raise UserError(
                    f"{name}: got {getattr(self, name)!r}, expected one of {', '.join(allowed)}"
                )
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int and (not isinstance(value, int) or value < 1):
                raise UserError(f"{field.name}: got {value!r}, expected a positive integer")
        for name, above, below in (
            # Not 0: a row of equal values would be divided by 0.
            ("layer_norm_eps", 0.0, 1.0),
            ("hidden_dropout_prob", -math.inf, 1.0),
            ("attention_probs_dropout_prob", -math.inf, 1.0),
            ("initializer_range", -math.inf, math.inf),
        ):
            value = getattr(self, name)
            if not above < value < below or (above < 0.0 and value < 0.0):
                least = "a number from 0" if above < 0.0 else "a number above 0"
                limit = "" if below == math.inf else f" and below {below:g}"
                raise UserError(f"{name}: got {value!r}, expected {least}{limit}")
        if self.num_hidden_layers > MOST_LAYERS:
            raise UserError(
                f"num_hidden_layers: got {self.num_hidden_layers}, expected at most {MOST_LAYERS}"
            )
        if self.layer_groups and len(self.layer_groups) != self.num_hidden_layers:
            raise UserError(
                f"layer_groups: got {len(self.layer_groups)}, expected {self.num_hidden_layers}, "
                "one for each layer"
            )
        if self.hidden_size % self.num_attention_heads:
            raise UserError(
                f"hidden_size {self.hidden_size} does not divide into "
                f"{self.num_attention_heads} attention heads"
            )

    @property
    def shared_layers(self) -> bool:
        """Whether every layer has the same weights, as in ALBERT."""
        return self.architecture == "albert"

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """The distinct sets of layer weights: (layer, 0), or ALBERT's (group, inner group)."""
        if not self.shared_layers:
            return [(layer, 0) for layer in range(self.num_hidden_layers)]
        groups = sorted(set(self.layer_groups)) or [0]
        return [(group, inner) for group in groups for inner in range(self.inner_group_num)]

    @property
    def schedule(self) -> list[int]:
        """The order of execution, as indices of `blocks`; an ALBERT layer runs its whole group."""
        if not self.shared_layers:
            return list(range(self.num_hidden_layers))
        index = {block: i for i, block in enumerate(self.blocks)}
        groups = self.layer_groups or (0,) * self.num_hidden_layers
        return [index[group, inner] for group in groups for inner in range(self.inner_group_num)]

    @property
    def has_pooler(self) -> bool:
        """Whether `pooled_output` comes from a dense layer with tanh.

        ELECTRA's is position 0 itself. Any other encoder without a pooler has no `pooled_output`.
        """
        return self.architecture != "electra" and self.saved_pooler


@dataclass(frozen=True)
class Pooling:
    """Makes one vector of all vectors of a text; concatenates several modes.

    `width` is the size of its input vectors, if known; `where` is its config file, for messages.
    """

    modes: tuple[str, ...]
    width: int | None
    where: str


@dataclass(frozen=True)
class Normalize:
    """Scales a vector to length 1."""


@dataclass(frozen=True)
class Dense:
    """A dense layer: kernel float32[in, out], bias float32[out] or None.

    `where` is its config file, for messages.
    """

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    activation: str
    where: str


def albert_tiny(vocab_size: int) -> EncoderConfig:
    """Returns the config of the collection's albert_tiny, for a vocab of any size."""
    shape: dict[str, Any] = {
        "num_hidden_layers": 4,
        "hidden_size": 312,
        "num_attention_heads": 12,
        "intermediate_size": 1248,
        "embedding_size": 128,
    }
    return EncoderConfig(architecture="albert", vocab_size=vocab_size, **shape)
