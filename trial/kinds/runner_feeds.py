"""What Node feeds the model: padding, mask, types, rows."""

from random import Random

from trial.patient import Patient
from trial.registry import kind

ENCODER = "node_bridge/encoder.js"
FEED = "return [name, tf.tensor(piece, [rows, width], 'int32')];"
"""What makes a tensor of one input."""


@kind("runner", stages="ids")
def mask_all_ones(patient: Patient, choose: Random) -> str:
    """The mask shows the padding."""
    return patient.runner.edit(ENCODER, "fill(padding === 'attended' ? 1 : 0)", "fill(1)")


@kind("runner", stages="ids")
def padding_on_the_left(patient: Patient, choose: Random) -> str:
    """Texts stand at the end of their rows."""
    return patient.runner.edit(
        ENCODER,
        "const start = row * shape[1];",
        "const start = (row + 1) * shape[1] - encoding.ids.length;",
    )


@kind("runner", stages="ids")
def padded_with_unknown(patient: Patient, choose: Random) -> str:
    """[UNK] stands where [PAD] should."""
    return patient.runner.edit(
        ENCODER, "fill(tokenizer.special_tokens.pad.id)", "fill(tokenizer.special_tokens.unk.id)"
    )


@kind("runner", stages="ids")
def ids_overflow(patient: Patient, choose: Random) -> str:
    """Ids are kept in 8 bits: those above 127 begin again."""
    return patient.runner.edit(
        ENCODER, "ids.set(encoding.ids, start);", "ids.set(Int8Array.from(encoding.ids), start);"
    )


@kind("runner", stages="ids")
def types_of_the_second_text(patient: Patient, choose: Random) -> str:
    """All types are 1."""
    return patient.runner.edit(
        ENCODER,
        "const types = new Int32Array(size);",
        "const types = new Int32Array(size).fill(1);",
    )


@kind("runner", stages="ids")
def last_token_masked(patient: Patient, choose: Random) -> str:
    """The mask ends a position early."""
    return patient.runner.edit(
        ENCODER,
        "mask.fill(1, start, start + encoding.ids.length);",
        "mask.fill(1, start, start + Math.max(0, encoding.ids.length - 1));",
    )


@kind("runner", stages="embeddings")
def fed_ids_rotated(patient: Patient, choose: Random) -> str:
    """The model gets the ids one position further than they are told to be."""
    return patient.runner.edit(
        ENCODER,
        FEED,
        "const fed = role === 'input_ids' ? Int32Array.from(piece, (_, i) => "
        "piece[(i + 1) % piece.length]) : piece;\n"
        "        return [name, tf.tensor(fed, [rows, width], 'int32')];",
    )


@kind("runner", stages="embeddings")
def fed_mask_for_types(patient: Patient, choose: Random) -> str:
    """The model gets the mask as its types."""
    return patient.runner.edit(
        ENCODER,
        "shape: [count, width] } = batch[role];",
        "shape: [count, width] } = batch[role === 'token_type_ids' ? 'attention_mask' : role];",
    )


@kind("runner", stages="layer_0/attention_scores")
def fed_mask_of_ones(patient: Patient, choose: Random) -> str:
    """The model gets a mask that shows everything."""
    return patient.runner.edit(
        ENCODER,
        FEED,
        "return [name, tf.tensor(role === 'attention_mask' ? piece.map(() => 1) : piece, "
        "[rows, width], 'int32')];",
    )


@kind("runner", stages=("invariances", "embeddings"))
def fed_types_of_zeros(patient: Patient, choose: Random) -> str:
    """The model gets types of 0 whatever they are, which a single text does not show."""
    return patient.runner.edit(
        ENCODER,
        FEED,
        "return [name, tf.tensor(role === 'token_type_ids' ? piece.map(() => 0) : piece, "
        "[rows, width], 'int32')];",
    )
