"""What a runner leaves behind: one safetensors file of one side's answers.

Tensors are called `<special>.b<batch>.<name>`: `special` is `added` or `none` (whether [CLS] and
[SEP] stand around the ids), batches are counted from 000, and names are `input_ids`,
`attention_mask`, `token_type_ids` (int32[batch, sequence]), each output by the name the model's
signature gives it (float32), and `probabilities` (float32[batch, labels]) where a classifier was
given. The metadata holds `versions`, a JSON object.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from parity_tests.errors import EnvironmentProblem

SPECIALS = ("added", "none")
IDS = ("input_ids", "attention_mask", "token_type_ids")
PROBABILITIES = "probabilities"


@dataclass(frozen=True)
class Run:
    """One side's answers to the first cases of a case file."""

    batches: dict[tuple[str, int], dict[str, NDArray[Any]]]
    versions: dict[str, str]

    def outputs(self) -> list[str]:
        """Names of everything but the ids, as a model computes them: sequence, pooled, rest."""
        names = {name for batch in self.batches.values() for name in batch} - set(IDS)
        known = ["sequence_output", "pooled_output"]
        order = [name for name in known if name in names]
        order += sorted(names - set(known) - {PROBABILITIES})
        return [*order, PROBABILITIES] if PROBABILITIES in names else order


def read(path: Path) -> Run:
    """Reads a runner's file.

    Raises:
        EnvironmentProblem: it is not there or not whole: the runner did not end well.
    """
    batches: dict[tuple[str, int], dict[str, NDArray[Any]]] = {}
    try:
        with safe_open(path, framework="numpy") as file:
            for key in file.keys():  # noqa: SIM118
                special, batch, name = key.split(".", 2)
                tensors = batches.setdefault((special, int(batch[1:])), {})
                tensors[name] = file.get_tensor(key)
            versions = json.loads(file.metadata()["versions"])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise EnvironmentProblem(f"{path} is not a whole run: {error}; run it again") from None
    return Run(batches, versions)
