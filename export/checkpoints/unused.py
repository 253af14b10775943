"""Names what a build leaves in the checkpoint, by what it is for."""

import re

from export.checkpoints.variables import Variables

# The first that matches counts.
KINDS = (
    ("optimizer", r"/(adam|lamb)_[mv]$|/(Adam|LAMB)\w*$|^beta[12]_power$|^global_step$"),
    ("generator", r"^generator(/|_)"),
    ("masked language model head", r"^(cls[/.])?predictions[/.]"),
    ("sentence pair head", r"^cls[/.]seq_relationship|^sop_classifier\."),
    ("discriminator head", r"^discriminator_predictions[/.]"),
    ("layers cut off", r"encoder[/.]layer[_.]\d+[/.]"),
    ("position numbers", r"position_ids$"),
    ("pooler", r"(^|[/.])pooler[/.]"),
)
REST = "others"


def by_kind(variables: Variables) -> dict[str, list[str]]:
    """The names of the variables that nothing has read, sorted, by kind."""
    kinds: dict[str, list[str]] = {}
    for name in sorted(variables.names - variables.used):
        kind = next((kind for kind, pattern in KINDS if re.search(pattern, name)), REST)
        kinds.setdefault(kind, []).append(name)
    return kinds


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
        found = re.fullmatch(r"(.*layer[_.])(\d+)([_./].*)", name)
        before, number, after = found.groups() if found else (name, "", "")
        numbers.setdefault((before, after), []).append(number)
    return [
        before + (",".join(found) if len(found) == 1 else f"{{{','.join(found)}}}") + after
        for (before, after), found in numbers.items()
    ]
