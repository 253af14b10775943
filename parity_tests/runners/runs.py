"""What a runner leaves behind: one safetensors file of one side's answers.

Tensors are called `<special>.b<batch>.<name>`: `special` is `added` or `none` (whether [CLS] and
[SEP] stand around the ids), or what invariances.py asks for; batches are counted from 000, and
names are `input_ids`,
`attention_mask`, `token_type_ids` (int32[batch, sequence]), each output by the name the model's
signature gives it (float32), `taps/<name>` for what was looked at inside the model, and
`probabilities` (float32[batch, labels]) where a classifier was given. The metadata holds JSON:
`versions`, by name; `tokens` and, with a classifier, `labels`, both by `<special>.b<batch>`: the
tokens of each text, and the label decided for it; of Node also `starts`, where in its text each
token begins, in UTF-16 units, and `kind`, what ran: the `graph_model`, or the `saved_model` that it
was made from, which gives no taps; of Python also `facts`, see `Source.facts`. What costs.py
measures stands there as the special tokens `float32_cost` and `float64`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from numerics.budgets import Cost, unpack_costs
from support.errors import EnvironmentProblem

SPECIALS = ("added", "none")
IDS = ("input_ids", "attention_mask", "token_type_ids")
PROBABILITIES = "probabilities"
TAPS = "taps/"


@dataclass(frozen=True)
class RunOutput:
    """One side's answers to the first cases of a case file; `costs` of Python's, by place."""

    batches: dict[tuple[str, int], dict[str, NDArray[Any]]]
    versions: dict[str, str]
    tokens: dict[tuple[str, int], list[list[str]]] = field(default_factory=dict)
    labels: dict[tuple[str, int], list[str]] = field(default_factory=dict)
    starts: dict[tuple[str, int], list[list[int]]] = field(default_factory=dict)
    facts: dict[str, Any] | None = None
    kind: str = "graph_model"
    costs: Mapping[str, Cost] = field(default_factory=dict)

    def outputs_alone(self) -> "RunOutput":
        """This run without what was looked at inside."""
        batches = {
            place: {name: value for name, value in batch.items() if not name.startswith(TAPS)}
            for place, batch in self.batches.items()
        }
        return replace(self, batches=batches)

    def outputs(self) -> list[str]:
        """Names of the model's outputs, as a model computes them: sequence, pooled, rest."""
        plain = [batch for (special, _), batch in self.batches.items() if special in SPECIALS]
        names = {name for batch in plain for name in batch} - {*IDS, PROBABILITIES}
        names = {name for name in names if not name.startswith(TAPS)}
        known = ["sequence_output", "pooled_output"]
        return [*(n for n in known if n in names), *sorted(names - set(known))]

    def has(self, name: str) -> bool:
        """Whether any batch has a tensor of this name."""
        return any(name in batch for batch in self.batches.values())


def batch_key(special: str, batch: int) -> str:
    """The front part of a tensor's name, and the key of its texts' tokens.

    >>> batch_key("added", 7)
    'added.b007'
    """
    return f"{special}.b{batch:03d}"


def read_run(path: Path) -> RunOutput:
    """Reads a runner's file.

    Raises:
        EnvironmentProblem: it is not there or not whole: the runner did not end well.
    """
    batches: dict[tuple[str, int], dict[str, NDArray[Any]]] = {}
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118
                special, batch, inner = name.split(".", 2)
                tensors = batches.setdefault((special, int(batch[1:])), {})
                tensors[inner] = file.get_tensor(name)
            told = {name: json.loads(text) for name, text in file.metadata().items()}
            costs = unpack_costs(batches.pop(("float32_cost", 0), {}))
            return RunOutput(
                batches,
                told["versions"],
                by_batch(told.get("tokens", {})),
                by_batch(told.get("labels", {})),
                by_batch(told.get("starts", {})),
                told.get("facts"),
                told.get("kind", "graph_model"),
                costs,
            )
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise EnvironmentProblem(f"{path} is not a whole run: {error}; run it again") from None


def by_batch(told: dict[str, Any]) -> dict[tuple[str, int], Any]:
    """Metadata by special tokens and batch number."""
    parts = {name: name.split(".b") for name in told}
    return {(special, int(number)): told[name] for name, (special, number) in parts.items()}
