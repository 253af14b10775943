"""Holds a config against the variables it is to describe, before anything is built or read."""

import re
from dataclasses import replace

from export.checkpoints.checkpoint import Checkpoint
from export.errors import UserError


def checked(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint, without a pooler where its variables have none; says so in its notices.

    Raises:
        UserError: a size in the config is not that of the variable, or it has more layers or
            other groups than there are.
    """
    refuse_other_layers(checkpoint)
    refuse_other_sizes(checkpoint)
    names = checkpoint.variables.names
    pooler = [checkpoint.naming.name("pooler", leaf) for leaf in ("kernel", "bias")]
    if not checkpoint.config.has_pooler or any(name in names for name in pooler):
        return checkpoint
    notice = f"{checkpoint.variables.where}: has no pooler, so the model gives no pooled_output"
    config = replace(checkpoint.config, saved_pooler=False)
    return replace(checkpoint, config=config, notices=[*checkpoint.notices, notice])


def refuse_other_layers(checkpoint: Checkpoint) -> None:
    """Stops where the config has more layers, or other groups, than the variables."""
    config, naming = checkpoint.config, checkpoint.naming
    scope = naming.scopes["query"]
    if "{0}" not in scope:
        return
    # What stands before and between the numbers; the rest of the name is the same in all layers.
    parts = re.split(r"\{[01]\}", f"{scope}{naming.leaves['kernel']}")
    pattern = re.compile(r"(\d+)".join(map(re.escape, parts)))
    found = [
        tuple(map(int, m.groups())) for m in map(pattern.fullmatch, checkpoint.variables.names) if m
    ]
    if not found:
        return
    if not config.shared_layers:
        there = 1 + max(numbers[0] for numbers in found)
        refuse_unless(
            config.num_hidden_layers <= there,
            checkpoint,
            f"num_hidden_layers: got {config.num_hidden_layers}, but the variables are those of "
            f"{there} layers",
        )
        return
    groups, inner = (len({numbers[i] for numbers in found}) for i in (0, 1))
    for key, got, there in (
        ("num_hidden_groups", len(set(config.layer_groups)) or 1, groups),
        ("inner_group_num", config.inner_group_num, inner),
    ):
        refuse_unless(
            got == there, checkpoint, f"{key}: {got} in use, but the variables have {there}"
        )


def refuse_other_sizes(checkpoint: Checkpoint) -> None:
    """Stops where a size in the config is not that of the variable that has it."""
    config = checkpoint.config
    width = "hidden_size" if config.architecture == "bert" else "embedding_size"
    kernel = 1 if checkpoint.naming.transposes else 0
    sizes = [
        ("vocab_size", "embeddings", "word_embeddings", 0),
        (width, "embeddings", "word_embeddings", 1),
        ("max_position_embeddings", "embeddings", "position_embeddings", 0),
        ("type_vocab_size", "embeddings", "token_type_embeddings", 0),
        ("hidden_size", "query", "kernel", kernel),
        ("intermediate_size", "intermediate", "kernel", 1 - kernel),
    ]
    for key, part, leaf, axis in sizes:
        name = str(checkpoint.naming.name(part, leaf, config.blocks[0]))
        got, shape = getattr(config, key), checkpoint.variables.shapes.get(name)
        if shape is None:
            # Nothing contradicts the size then, and an encoder of any size would be built first.
            raise UserError(
                f"{checkpoint.variables.where}: got no variable {name} among its "
                f"{len(checkpoint.variables.names)}, expected it with {key} {got}; is the config "
                "the one of this checkpoint?"
            )
        refuse_unless(
            len(shape) == 2 and got == shape[axis],
            checkpoint,
            f"{key}: got {got}, but {name} is {list(shape)}"
            + (f", which has {shape[axis]}" if len(shape) == 2 else ", which is no matrix"),
        )


def refuse_unless(holds: bool, checkpoint: Checkpoint, problem: str) -> None:
    """Stops with what is wrong with the config."""
    if not holds:
        raise UserError(f"{checkpoint.config_file}: {problem}; give the config of this checkpoint")
