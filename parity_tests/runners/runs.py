"""Reads the output file of a runner: one safetensors file with one side's answers.

Tensors are called `<special>.b<batch>.<name>`. `special` is `added` or `none` (with or without
[CLS] and [SEP] around the ids), or a name of invariances.py, or `float32_cost` and `float64` for
the measurements of costs.py. Batches are counted from 000. Names are:

- `input_ids`, `attention_mask`, `token_type_ids`: int32[batch, sequence]
- each output by its name in the model's signature: float32
- `taps/<name>`: a tensor inside the model
- `probabilities`: float32[batch, labels], with a classifier

The metadata has JSON: `versions` by name; by `<special>.b<batch>` the `tokens` of each text and,
with a classifier, its `labels`; from Node also `offsets`, start and end of each token in its text,
in UTF-16 units, and `kind`: `graph_model`, or `saved_model`, which has no taps; from Python also
`facts`, see `SourceModel.facts`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from numerics.budgets import Budget, Cost, unpack_costs
from support.errors import EnvironmentProblem

SPECIALS = ("added", "none")
IDS = ("input_ids", "attention_mask", "token_type_ids")
PROBABILITIES = "probabilities"
TAPS = "taps/"


@dataclass(frozen=True)
class Decision:
    """One decision of Python's.

    Attributes:
        label: what was decided.
        margin: by how much it could be off before the decision changes.
        largest: the largest value that decided, for the relative part of a budget.
        movable: how many of the compared values may be off, in opposite directions: 2 where two
            probabilities compete, 1 where one is compared with a threshold.
    """

    label: str
    margin: float
    largest: float
    movable: int = 2

    def is_undecided(self, allowed: Budget) -> bool:
        """Returns whether the decision may be another one within the budget of a probability.

        >>> near = Budget(1e-5, 0.0, "")
        >>> [Decision("a", margin, 0.5).is_undecided(near) for margin in (1.8e-5, 0.2)]
        [True, False]
        """
        return self.margin <= self.movable * (allowed.atol + allowed.rtol * self.largest)


@dataclass(frozen=True)
class RunOutput:
    """One side's answers to the first cases of a case file.

    `costs` and `decisions` are Python's; the latter say for each text what it decides, and
    `labels` what Node decided.
    """

    batches: dict[tuple[str, int], dict[str, NDArray[Any]]]
    versions: dict[str, str]
    tokens: dict[tuple[str, int], list[list[str]]] = field(default_factory=dict)
    labels: dict[tuple[str, int], list[list[str]]] = field(default_factory=dict)
    decisions: dict[tuple[str, int], list[list[Decision]]] = field(default_factory=dict)
    offsets: dict[tuple[str, int], list[list[list[int]]]] = field(default_factory=dict)
    facts: dict[str, Any] | None = None
    kind: str = "graph_model"
    costs: Mapping[str, Cost] = field(default_factory=dict)

    def without_taps(self) -> "RunOutput":
        """Returns this run without its taps."""
        batches = {
            key: {name: value for name, value in batch.items() if not name.startswith(TAPS)}
            for key, batch in self.batches.items()
        }
        return replace(self, batches=batches)

    def outputs(self) -> list[str]:
        """Returns the names of the model's outputs, in the order sequence, pooled, others."""
        plain = [batch for (special, _), batch in self.batches.items() if special in SPECIALS]
        names = {name for batch in plain for name in batch} - {*IDS, PROBABILITIES}
        names = {name for name in names if not name.startswith(TAPS)}
        known = ["sequence_output", "pooled_output"]
        return [*(n for n in known if n in names), *sorted(names - set(known))]

    def has(self, name: str) -> bool:
        """Returns whether any batch has a tensor of this name."""
        return any(name in batch for batch in self.batches.values())


def batch_key(special: str, batch: int) -> str:
    """Returns the first part of a tensor's name, which is the key of its texts' tokens.

    >>> batch_key("added", 7)
    'added.b007'
    """
    return f"{special}.b{batch:03d}"


def read_run(path: Path) -> RunOutput:
    """Reads a runner's file.

    Raises:
        EnvironmentProblem: the file is missing or incomplete: the runner did not end well.
    """
    batches: dict[tuple[str, int], dict[str, NDArray[Any]]] = {}
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118
                special, batch, inner = name.split(".", 2)
                tensors = batches.setdefault((special, int(batch[1:])), {})
                tensors[inner] = file.get_tensor(name)
            metadata = {name: json.loads(text) for name, text in file.metadata().items()}
            costs = unpack_costs(batches.pop(("float32_cost", 0), {}))
            return RunOutput(
                batches,
                metadata["versions"],
                tokens=_by_batch(metadata.get("tokens", {})),
                labels=_by_batch(metadata.get("labels", {})),
                offsets=_by_batch(metadata.get("offsets", {})),
                facts=metadata.get("facts"),
                kind=metadata.get("kind", "graph_model"),
                costs=costs,
            )
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise EnvironmentProblem(f"{path} is not a whole run: {error}; run it again") from None


def _by_batch(metadata: dict[str, Any]) -> dict[tuple[str, int], Any]:
    """Returns metadata by special tokens and batch number."""
    parts = {name: name.split(".b") for name in metadata}
    return {(special, int(number)): metadata[name] for name, (special, number) in parts.items()}
