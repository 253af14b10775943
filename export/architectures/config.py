"""The numbers that define an encoder, in the publishers' own key names."""

from dataclasses import dataclass, fields
from typing import Any

from export.errors import UserError

ACTIVATIONS = ("gelu_tanh", "gelu_erf", "relu")
ARCHITECTURES = ("albert", "bert", "electra")


@dataclass(frozen=True)
class EncoderConfig:
    """One encoder. Sizes are counts; `embedding_size` differs from `hidden_size` in ALBERT.

    `activation` is `gelu_tanh`, `gelu_erf` or `relu`. A publisher's `"gelu"` means the tanh form
    in the TF1 code of BERT and ALBERT and the erf form in Hugging Face's: the reader decides.
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
    def has_pooler(self) -> bool:
        """Whether `pooled_output` is a tanh dense layer; ELECTRA's is position 0 itself."""
        return self.architecture != "electra"


def albert_tiny(vocab_size: int) -> EncoderConfig:
    """The published albert_tiny of the Chinese collection, for a vocab of any size."""
    shape: dict[str, Any] = {
        "num_hidden_layers": 4,
        "hidden_size": 312,
        "num_attention_heads": 12,
        "intermediate_size": 1248,
        "embedding_size": 128,
    }
    return EncoderConfig(architecture="albert", vocab_size=vocab_size, **shape)
