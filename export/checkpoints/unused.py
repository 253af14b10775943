"""Names what a build leaves in the checkpoint, by what it is for."""

import re

from export.checkpoints.checkpoint import Checkpoint
from export.checkpoints.variables import Variables
from export.errors import UserError

REST, CUT = "others", "layers cut off"
# The first that matches counts.
KINDS = (
    (
        "optimizer",
        r"/(adam|lamb)_[mv]$|/(Adam|LAMB|Momentum|RMSProp|ExponentialMovingAverage)\w*$"
        r"|(^|/)beta[12]_power$|^global_step$",
    ),
    ("generator", r"^generator(/|_)"),
    ("masked language model head", r"^(cls[/.])?predictions[/.]"),
    ("sentence pair head", r"^cls[/.]seq_relationship|^sop_classifier\."),
    ("discriminator head", r"^discriminator_predictions[/.]"),
    # Fine-tuned: `run_classifier.py` of google-research/bert, and Hugging Face's classes.
    (
        "classifier head",
        r"^(output_weights|output_bias)$|^(classifier|qa_outputs|cls[/.]squad)[/.]",
    ),
    (
        CUT,
        r"encoder[/.]layer[_.]\d+[/.]|encoder/transformer/group_\d+/|\.albert_layer_groups\.\d+\.",
    ),
    ("position numbers", r"embeddings\.(position|token_type)_ids$"),
    ("pooler", r"(^|[/.])pooler[/.]"),
)
NUMBER = re.compile(r"(?:layer|group|groups)[._](\d+)[./]")


def by_kind(variables: Variables) -> dict[str, list[str]]:
    """The names of the variables that nothing has read, sorted, by kind."""
    kinds: dict[str, list[str]] = {}
    for name in sorted(variables.names - variables.used):
        kind = next((kind for kind, pattern in KINDS if re.search(pattern, name)), REST)
        kinds.setdefault(kind, []).append(name)
    return kinds


def refuse_unplaced(checkpoint: Checkpoint) -> None:
    """Stops where a variable of the encoder was not read and is none of the known leftovers.

    It belongs to another structure, e.g. a bias by distance or an adapter: without it the numbers
    would be wrong.
    """
    root = checkpoint.naming.scopes["embeddings"].removesuffix("embeddings")
    inside = (f"{root}embeddings", f"{root}encoder")
    kinds = by_kind(checkpoint.variables)
    built = {str(first) for first, _ in checkpoint.config.blocks}
    names = [name for name in kinds.get(REST, []) if name.startswith(inside)]
    names += [n for n in kinds.get(CUT, []) if (m := NUMBER.search(n)) and m[1] in built]
    if names:
        raise UserError(
            f"{checkpoint.variables.where}: got {', '.join(names[:3])}, {len(names)} variables of "
            f"the encoder that {checkpoint.config.architecture} has not; it is another structure"
        )


def lines(variables: Variables) -> list[str]:
    """What a person is told: one line that sums up, then one with the names of each kind."""
    kinds = by_kind(variables)
    count = sum(len(names) for names in kinds.values())
    if not count:
        return [f"all {len(variables.names)} variables of the checkpoint are used"]
    summary = ", ".join(f"{len(names)} {kind}" for kind, names in kinds.items())
    first = f"{count} of {len(variables.names)} variables of the checkpoint are not used: {summary}"
    return [first, *(f"  {kind}: {', '.join(braced(names))}" for kind, names in kinds.items())]


def braced(names: list[str]) -> list[str]:
    """The names with those that differ in the layer's number alone written as one.

    >>> braced(["layer_2/kernel", "layer_3/kernel", "step"])
    ['layer_{2,3}/kernel', 'step']
    """
    numbers: dict[tuple[str, str], list[str]] = {}
    for name in names:
        found = re.fullmatch(r"(.*?(?:layer|group)s?[_.])(\d+)([_./].*)", name)
        before, number, after = found.groups() if found else (name, "", "")
        numbers.setdefault((before, after), []).append(number)
    return [
        before + (",".join(found) if len(found) == 1 else f"{{{','.join(found)}}}") + after
        for (before, after), found in numbers.items()
    ]
