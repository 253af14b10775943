"""What Node makes of the model's answers, and what it keeps between two runs."""

from random import Random

from trial.patient import Patient
from trial.places import Clean
from trial.registry import kind

ENCODER = "node_bridge/encoder.js"
RUN_NODE = "parity_tests/run_node.js"
ROTATED = (
    "const row = data.length / shape[0]; data.set([...data.slice(row), ...data.slice(0, row)]);"
)
GIVEN = "return Object.fromEntries(await Promise.all(read));"


def has_head(clean: Clean) -> bool:
    """Whether there is a classifier."""
    return clean.head is not None


def changed_answer(patient: Patient, code: str, only_outputs: bool = False) -> str:
    """Puts code between an answer and its reader; it changes `data` of `shape`, called `name`.

    `data` is a copy: on some backends two answers that are equal lie in one place.
    """
    condition = "if (!name.startsWith('taps/')) " if only_outputs else ""
    return patient.runner.edit(
        ENCODER,
        GIVEN,
        "const answers = Object.fromEntries(await Promise.all(read));\n"
        "      for (const [name, { shape, data: read }] of Object.entries(answers)) {\n"
        "        const data = Float32Array.from(read);\n"
        f"        {condition}{{ {code} }}\n"
        "        answers[name] = { shape, data };\n"
        "      }\n      return answers;",
    )


@kind("runner", stages="embeddings")
def answers_rounded(patient: Patient, choose: Random) -> str:
    """Everything that is read keeps 16 bits, as bfloat16."""
    code = "const bits = new Uint32Array(data.buffer, data.byteOffset, data.length); "
    return changed_answer(patient, code + "bits.forEach((b, i) => (bits[i] = b & 0xffff0000));")


@kind("runner", stages="sequence_output")
def elements_zeroed_at_random(patient: Patient, choose: Random) -> str:
    """A tenth of each output is lost, another in every run."""
    code = "data.forEach((_, i) => { if (Math.random() < 0.1) data[i] = 0; });"
    return changed_answer(patient, code, only_outputs=True)


@kind("runner", stages="embeddings")
def rows_rotated(patient: Patient, choose: Random) -> str:
    """Each text gets the answer of the one after it."""
    return changed_answer(patient, ROTATED)


@kind("runner", stages="sequence_output")
def output_rows_rotated(patient: Patient, choose: Random) -> str:
    """Each text gets the outputs of the one after it; what is inside the model is right."""
    return changed_answer(patient, ROTATED, only_outputs=True)


@kind("runner", stages="pooled_output")
def pooled_scaled(patient: Patient, choose: Random) -> str:
    """`pooled_output` is a ten-thousandth too large."""
    code = "if (name === 'pooled_output') data.forEach((x, i) => (data[i] = x * 1.0001 + 0.0001));"
    return changed_answer(patient, code)


@kind("runner", stages="invariances")
def tensors_leak(patient: Patient, choose: Random) -> str:
    """Outputs are never freed."""
    return patient.runner.edit(ENCODER, "      tf.dispose(outputs);\n", "")


@kind("runner", stages="invariances")
def answers_kept_by_ids_alone(patient: Patient, choose: Random) -> str:
    """Ids that were seen before get the earlier answer, whatever mask and types say now."""
    return patient.runner.edit(
        ENCODER,
        "const outputs = this.#execute(batch, names);",
        "const told = this.told ??= new Map();\n"
        "    const key = JSON.stringify([names, batch.input_ids.shape, ...batch.input_ids.data]);\n"
        "    if (!told.has(key)) told.set(key, batch);\n"
        "    const outputs = this.#execute(told.get(key) ?? batch, names);",
    )


@kind("runner", stages="probabilities", fits=has_head)
def vector_of_second_position(patient: Patient, choose: Random) -> str:
    """The classifier gets position 1, not [CLS]."""
    return patient.runner.edit(
        RUN_NODE,
        "const start = row * sequence * hidden;",
        "const start = row * sequence * hidden + hidden;",
    )


@kind("runner", stages="label", fits=has_head)
def least_probable_label(patient: Patient, choose: Random) -> str:
    """The label that is told is the least probable one."""
    return patient.runner.edit(
        "node_bridge/evaluation.js",
        "row.reduce((most, value) => Math.max(most, value), -Infinity)",
        "row.reduce((least, value) => Math.min(least, value), Infinity)",
    )


@kind("runner", stages="label", fits=has_head)
def labels_shifted_in_javascript(patient: Patient, choose: Random) -> str:
    """The label that is told is the next one."""
    return patient.runner.edit(
        RUN_NODE,
        "classifier.labels[mostProbable(row)]",
        "classifier.labels[(mostProbable(row) + 1) % classifier.labels.length]",
    )


@kind("runner", stages="probabilities", fits=has_head)
def probabilities_of_other_texts(patient: Patient, choose: Random) -> str:
    """Each text gets the probabilities of the one after it."""
    return patient.runner.edit(
        RUN_NODE,
        "const rows = await classifier.probabilities(vectorsOf(outputs, encodings, encoder, "
        "classifier));",
        "const rows = await classifier.probabilities(vectorsOf(outputs, encodings, encoder, "
        "classifier));\n  rows.push(/** @type {Float32Array} */ (rows.shift()));",
    )
