"""An opened checkpoint: what its encoder is, what its names mean, and its variables."""

from dataclasses import dataclass, replace

from export.architectures.config import EncoderConfig
from export.checkpoints.naming import Naming
from export.checkpoints.variables import Variables
from export.errors import UserError


@dataclass(frozen=True)
class Checkpoint:
    """The variables are still in their files; `load_encoder` reads them."""

    config: EncoderConfig
    naming: Naming
    variables: Variables

    @property
    def has_head(self) -> bool:
        """Whether the masked language model's head is in it, as in most pre-training checkpoints.

        ELECTRA's belongs to its generator, which is another encoder.
        """
        bias = self.naming.name("head", "output_bias")
        return bias is not None and bias in self.variables.names


def cut(checkpoint: Checkpoint, layers: int | None) -> Checkpoint:
    """The same with only the first `layers` of its layers, or whole for None.

    Raises:
        UserError: it has fewer.
    """
    there = checkpoint.config.num_hidden_layers
    if layers is None:
        return checkpoint
    if not 1 <= layers <= there:
        raise UserError(f"--layers: got {layers}, expected 1 to {there}, the checkpoint's layers")
    return replace(checkpoint, config=replace(checkpoint.config, num_hidden_layers=layers))
