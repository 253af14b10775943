"""An opened checkpoint: what its encoder is, what its names mean, and its variables."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.checkpoints.naming import Naming
from export.encoder_config import EncoderConfig
from support.errors import UserError

# A checkpoint's variables by name: read when asked for, checked, and remembered as used.

# What can be read as float32; integers are counters, 8-bit floats need scales of their own.
FLOAT_DTYPES = ("float16", "bfloat16", "float32", "float64")
Shape = tuple[int, ...]
Weights = NDArray[np.float32]


class Variables:
    """The variables of one checkpoint.

    `shapes` has every variable of the files; `fetch` gives one in the dtype of its file. `derived`
    holds what a reader computes from others where a publisher keeps a weight in another form than
    the encoder wants it; `aliases` the names in the files of variables that the publisher's code
    names otherwise by now.
    """

    def __init__(
        self, where: str, shapes: Mapping[str, Shape], fetch: Callable[[str], NDArray[Any]]
    ) -> None:
        self.where = where
        self.shapes = dict(shapes)
        self.names = frozenset(shapes)
        self.used: set[str] = set()
        self.derived: dict[str, Callable[[], Weights]] = {}
        self.aliases: dict[str, str] = {}
        self._fetch = fetch

    def read(self, name: str, shape: Shape) -> Weights:
        """The variable, or what is derived under its name, as float32 of `shape`.

        Raises:
            UserError: it is missing, misshapen, no float, or holds NaN or infinity.
        """
        derive = self.derived.get(name)
        return self.stored(name, shape) if derive is None else derive()

    def stored(self, name: str, shape: Shape) -> Weights:
        """The variable as the file has it, widened to float32; see `read`."""
        name = self.aliases.get(name, name)
        if name not in self.names:
            raise UserError(
                f"{self.where}: got no variable {name} among its {len(self.names)}, expected "
                f"float{list(shape)}; is the config the one of this checkpoint?"
            )
        # Before reading: what a damaged index claims may not fit into memory.
        stored = tuple(self.shapes[name])
        if stored != shape:
            raise UserError(
                f"{self.where}: {name}: got the shape {list(stored)}, expected float{list(shape)}; "
                "is the config the one of this checkpoint?"
            )
        value = self._fetch(name)
        if value.dtype.name not in FLOAT_DTYPES or value.shape != shape:
            raise UserError(
                f"{self.where}: {name}: got {value.dtype.name}{list(value.shape)}, expected "
                f"float{list(shape)}; is the config the one of this checkpoint?"
            )
        # An overflow becomes an infinity, which the next lines name.
        with np.errstate(over="ignore"):
            weights = value.astype(np.float32)
        bad = weights.size - int(np.count_nonzero(np.isfinite(weights)))
        if bad:
            raise UserError(
                f"{self.where}: {name}: got NaN or infinity in {bad} of {weights.size} values, "
                "expected finite float32; take a checkpoint from before training diverged"
            )
        self.used.add(name)
        return weights


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


def keep_first_layers(checkpoint: Checkpoint, layers: int | None) -> Checkpoint:
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
