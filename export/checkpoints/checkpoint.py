"""An opened checkpoint: its encoder's config, the meaning of its names, and its variables."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.bundle import ClassifierContract
from export.checkpoints.naming import Naming
from export.encoder_config import EncoderConfig
from support.errors import UserError

# Dtypes that can be read as float32. Integers are counters; 8-bit floats need scales.
FLOAT_DTYPES = ("float16", "bfloat16", "float32", "float64")
Shape = tuple[int, ...]
Weights = NDArray[np.float32]


class Variables:
    """The variables of one checkpoint: reads, checks and records each on demand.

    `shapes` has every variable of the files; `fetch` reads one in its own dtype. `derived` has
    functions that compute a weight which the publisher stores in another form than the encoder
    needs; `aliases` maps current names of the publisher's code to the older names in the files.
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
        """Reads a variable, or computes the derived one of this name, as float32 of `shape`.

        Raises:
            UserError: it is missing, has another shape, is no float, or has NaN or infinity.
        """
        derive = self.derived.get(name)
        return self.read_stored(name, shape) if derive is None else derive()

    def read_stored(self, name: str, shape: Shape) -> Weights:
        """Reads a variable from its file, converted to float32; see `read`."""
        name = self.aliases.get(name, name)
        if name not in self.names:
            raise UserError(
                f"{self.where}: got no variable {name} among its {len(self.names)}, expected "
                f"float{list(shape)}; is the config the one of this checkpoint?"
            )
        # Check before reading: a damaged index may declare a size that does not fit into memory.
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
        # An overflow becomes an infinity, which the next lines report.
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
class ClassifierHead:
    """The head of a fine-tuned classifier: dense layers on one of the encoder's outputs.

    Attributes:
        on: the encoder's output that it takes, `pooled_output` or `sequence_output`.
        layers: the names of each layer's kernel, stored as [out, in], and bias. Between two layers
            is GELU in the erf form.
        decides: the task and its labels, one for each output of the last layer.
    """

    on: str
    layers: tuple[tuple[str, str], ...]
    decides: ClassifierContract


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose variables `load_encoder` reads later.

    `config_file` is the file of the config, `notices` has messages for the user. `classifier` is
    the head of a fine-tuned classifier, None if there is none that can be carried over.
    """

    config: EncoderConfig
    naming: Naming
    variables: Variables
    config_file: str
    notices: list[str] = field(default_factory=list)
    classifier: ClassifierHead | None = None

    @property
    def has_head(self) -> bool:
        """Whether it has the masked language model's head, as most pre-training checkpoints have.

        ELECTRA's head belongs to its generator, which is another encoder.
        """
        bias = self.naming.name("head", "output_bias")
        return bias is not None and bias in self.variables.names


def keep_first_layers(checkpoint: Checkpoint, layers: int | None) -> Checkpoint:
    """Returns the checkpoint with only its first `layers` layers; None: with all.

    A classifier's head is left out together with the layers that it was trained on.

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
    config = replace(config, num_hidden_layers=layers, layer_groups=groups)
    if checkpoint.classifier is None or layers == there:
        return replace(checkpoint, config=config)
    notice = f"--layers {layers}: the classifier's head is left out: it is for all {there} layers"
    notices = [*checkpoint.notices, notice]
    return replace(checkpoint, config=config, classifier=None, notices=notices)
