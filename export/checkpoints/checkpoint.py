"""An opened checkpoint: what its encoder is, what its names mean, and its variables."""

from dataclasses import dataclass, field, replace

from export.architectures.config import EncoderConfig
from export.checkpoints.naming import Naming
from export.checkpoints.variables import Variables
from export.errors import UserError


@dataclass(frozen=True)
class Checkpoint:
    """The variables are still in their files; `load_encoder` reads them.

    `config_file` is where the config was read; `notices` what a person is to be told of it.
    """

    config: EncoderConfig
    naming: Naming
    variables: Variables
    config_file: str
    notices: list[str] = field(default_factory=list)

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
    config = checkpoint.config
    there = config.num_hidden_layers
    if layers is None:
        return checkpoint
    if not 1 <= layers <= there:
        raise UserError(f"--layers: got {layers}, expected 1 to {there}, the checkpoint's layers")
    groups = config.layer_groups[:layers]
    return replace(
        checkpoint, config=replace(config, num_hidden_layers=layers, layer_groups=groups)
    )
