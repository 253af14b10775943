"""Rows whose reference is the publishers' own code: small models, made on the spot by it.

A publisher's script (publishers/) saves its model and runs it on our cases, in float32 and in
float64. The kit takes what was saved to Node, as a person would; there the same texts must give
the publisher's ids, and outputs as near to float64 as float32 allows.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

from parity_tests.conformance.publishers.cases import CASES, PAIRS, write_cases
from parity_tests.conformance.rows import MIB, ConformanceRow, run_module
from parity_tests.runners.measure import MeasuredRun, run_measured
from parity_tests.runners.runners import find_node
from support.contracts import read_bundle

SCRIPTS = "parity_tests.conformance.publishers"
ENCODE = Path(__file__).parents[2] / "node_bridge" / "encode.js"
BACKENDS = ("wasm", "cpu")
# The publisher's own float32 is off float64 by as much as rounding costs this model. Another
# float32 program adds the same numbers in another order, and its exp, tanh and erf differ in
# their last bits: on the rows measured, Node on wasm and cpu was off by 0.4 to 1.7 times as much.
ROUNDING = 5.0
# Whatever the rounding is: beyond this part of the largest output the model is another one.
CEILING = 1e-4


@dataclass(frozen=True)
class PublishedModel:
    """One small model of a publisher.

    `script` is a module of publishers/, `model` its argument; `environment` is the option that
    names the Python which runs it. `checkpoint`: it saves a checkpoint, which `export build`
    reads first. `options` are those of `export model`; `{work}` is the directory of vocab.txt.
    """

    script: str
    model: str
    environment: str
    checkpoint: bool = False
    options: tuple[str, ...] = ()
    pairs: bool = True

    @property
    def name(self) -> str:
        """As `--rows` takes it."""
        return f"{self.script.removesuffix('_models')}/{self.model}"


VOCAB = ("--vocab", "{work}/vocab.txt")
BERT, TF_TEXT = (*VOCAB, "--tokenizer", "bert"), (*VOCAB, "--tokenizer", "tf-text")


def published_models() -> list[PublishedModel]:
    """All of them. Where a directory has its tokenizer's facts, none is named here."""
    names = ("bert", "bert_cased", "bert_masked_lm", "albert", "albert_groups", "electra")
    return [
        *(PublishedModel("transformers_models", name, "judge", checkpoint=True) for name in names),
        # Their `encode` takes single texts alone.
        PublishedModel(
            "transformers_models", "sentence_transformer", "judge", checkpoint=True, pairs=False
        ),
        *(
            PublishedModel("keras_hub_models", name, "publishers_python", options=TF_TEXT)
            for name in ("bert", "albert", "electra")
        ),
        *(
            PublishedModel("model_garden", name, "publishers_python", options=TF_TEXT)
            for name in ("bert", "albert")
        ),
        *(
            PublishedModel(
                "google_models", f"{name}_{form}", "publishers_python", form == "checkpoint", BERT
            )
            for name in ("bert", "albert")
            for form in ("checkpoint", "saved_model")
        ),
    ]


def conform_published(row_of: PublishedModel, interpreter: Path, work: Path) -> ConformanceRow:
    """Takes one publisher's model through the whole kit; `interpreter` can run its script."""
    place = work / "published"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    row = ConformanceRow(row_of.name, [], "named", "publisher")
    try:
        write_cases(place, CASES + (PAIRS if row_of.pairs else []))
        said = run_publisher(row, row_of, interpreter, place) or export_published(
            row, row_of, place
        )
        row.said = said or compare_backends(row, place)
    finally:
        shutil.rmtree(place)
    row.ok = not row.said
    return row


def run_publisher(
    row: ConformanceRow, row_of: PublishedModel, interpreter: Path, place: Path
) -> str:
    """The publisher's side → what went wrong, or nothing."""
    command = [str(interpreter), "-m", f"{SCRIPTS}.{row_of.script}", row_of.model, str(place)]
    done = run_measured(command, place / "script")
    if done.code != 0:
        return f"{row_of.script}: {done.last_words}"
    with safe_open(place / "reference.safetensors", framework="numpy") as file:
        row.reference = file.metadata()["made_by"]
    row.known = row.reference.split(",")[0]
    return ""


def export_published(row: ConformanceRow, row_of: PublishedModel, place: Path) -> str:
    """From what the publisher saved to a bundle → what went wrong, or nothing."""
    model = place / "model"
    if row_of.checkpoint:
        built = run_module(place, "export", "build", model, "--out", place / "saved")
        if built.code != 0:
            return f"build: {built.last_words}"
        model = place / "saved"
    options = [option.format(work=place) for option in row_of.options]
    done = run_module(place, "export", "model", model, *options, "--out", place / "bundle")
    row.export_s, row.export_peak_mib = done.seconds, done.peak_bytes / MIB
    return "" if done.code == 0 else f"export: {done.last_words}"


def compare_backends(row: ConformanceRow, place: Path) -> str:
    """Runs the cases in Node on each backend → the first difference, or nothing."""
    bundle, reference = place / "bundle", load_file(place / "reference.safetensors")
    row.parameters_mib = sum(f.stat().st_size for f in bundle.glob("*.bin")) / MIB
    contract = read_bundle(bundle)
    names = {output["role"]: output["name"] for output in contract["outputs"]}
    said = []
    for backend in BACKENDS:
        out = place / f"{backend}.safetensors"
        done = encode_in_node(bundle, place / "cases.jsonl", backend, out)
        row.node_peak_mib = max(row.node_peak_mib or 0.0, done.peak_bytes / MIB)
        if done.code != 0:
            return f"{backend}: {done.last_words}"
        answers = load_file(out)
        problem = compare_answers(row, backend, names, reference, answers)
        if problem:
            said.append(f"{backend}: {problem}")
    return "; ".join(said)


def encode_in_node(bundle: Path, cases: Path, backend: str, out: Path) -> MeasuredRun:
    """`encode.js` on the cases."""
    arguments = ["--bundle", bundle, "--backend", backend, "--out", out, "--jsonl"]
    command = [find_node(), str(ENCODE), *map(str, arguments)]
    return run_measured(command, out.with_suffix(""), stdin=cases)


def compare_answers(
    row: ConformanceRow,
    backend: str,
    names: dict[str, str],
    reference: dict[str, np.ndarray],
    answers: dict[str, np.ndarray],
) -> str:
    """Compares Node's answers with the publisher's; adds the figures to the row.

    Args:
        row: gets the largest differences in `max_abs` and the largest bound in `budget`.
        backend: of Node, for the names of the figures.
        names: the bundle's outputs by their roles.
        reference: the publisher's inputs and outputs, see publishers/reference.py.
        answers: what `encode.js` wrote: `input_ids`, `attention_mask`, outputs by name.

    Returns:
        What differs, or nothing.
    """
    differing = find_different_ids(reference, answers)
    if differing:
        return differing
    real = reference["attention_mask"] == 1
    roles = [name.removesuffix(".float64") for name in reference if name.endswith(".float64")]
    said = [] if roles else ["the reference has no outputs"]
    for role in roles:
        if role not in names:
            said.append(f"the bundle has no {role}, only {', '.join(names)}")
            continue
        single, exact = reference[role], reference[f"{role}.float64"]
        mine: np.ndarray = answers[names[role]]
        if role == "sequence_output":
            # A bundle of a fixed length is padded further.
            single, exact, mine = single[real], exact[real], mine[:, : real.shape[1]][real]
        if mine.shape != exact.shape:
            said.append(f"{role}: got shape {mine.shape}, expected {exact.shape}")
            continue
        rounding, largest = largest_absolute(single - exact), largest_absolute(exact)
        allowed = min(ROUNDING * rounding, CEILING * largest)
        moved = largest_absolute(mine - exact)
        row.max_abs[f"{role}, {backend} against float64"] = moved
        row.max_abs[f"{role}, {backend} against float32"] = largest_absolute(mine - single)
        row.max_abs[f"{role}, float32 against float64"] = rounding
        row.budget = max(row.budget or 0.0, allowed)
        if not moved <= allowed:
            said.append(f"{role}: {moved:.2g} from float64, expected at most {allowed:.2g}")
    return ", ".join(said)


def find_different_ids(reference: dict[str, np.ndarray], answers: dict[str, np.ndarray]) -> str:
    """The first text whose ids differ, with both, or nothing."""
    theirs, ours = (unpad_ids(tensors) for tensors in (reference, answers))
    if len(theirs) != len(ours):
        return f"got {len(ours)} texts, expected {len(theirs)}"
    for at, (expected, got) in enumerate(zip(theirs, ours, strict=True)):
        if expected != got:
            return f"ids of case {at}: got {got}, expected {expected}"
    return ""


def unpad_ids(tensors: dict[str, np.ndarray]) -> list[list[Any]]:
    """The ids of each text alone."""
    pairs = zip(tensors["input_ids"], tensors["attention_mask"], strict=True)
    return [ids[mask == 1].tolist() for ids, mask in pairs]


def largest_absolute(values: np.ndarray) -> float:
    """The largest absolute value; NaN where one is not a number."""
    return float(np.max(np.abs(values)))
