"""Rows whose reference is the publishers' own code, with small models that it makes.

A publisher's script (publishers/) saves its model and runs it on our cases, in float32 and in
float64. The saved model is exported as a person would do it. In Node, the same texts must give the
publisher's ids, and outputs as near to float64 as float32 allows.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

from parity_tests.conformance.publishers.cases import (
    CASES,
    PAIRS,
    small_vocab_lines,
    write_cases,
)
from parity_tests.conformance.rows import MIB, ConformanceRow, run_module
from parity_tests.runners.measure import MeasuredRun, run_measured
from support.contracts import read_bundle
from support.node import find_node

SCRIPTS = "parity_tests.conformance.publishers"
ENCODE = Path(__file__).parents[2] / "node_bridge" / "encode.js"
BACKENDS = ("wasm", "cpu")
# The distance of the publisher's own float32 from float64 is what rounding costs this model.
# Another float32 program sums in another order, and its exp, tanh and erf differ in the last bits:
# on the measured rows, Node on wasm and cpu was 0.4 to 1.7 times as far.
ROUNDING = 5.0
# Beyond this part of the largest output the model is another one, whatever the rounding is.
CEILING = 1e-4

SHOWN_IDS = 16
"""The most ids of a text in a message."""


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
        """The name for `--rows`."""
        return f"{self.script.removesuffix('_models').removesuffix('_classifiers')}/{self.model}"


VOCAB = ("--vocab", "{work}/vocab.txt")
BERT, TF_TEXT = (*VOCAB, "--tokenizer", "bert"), (*VOCAB, "--tokenizer", "tf-text")


def published_models() -> list[PublishedModel]:
    """Returns all of them. Where a directory describes its tokenizer, no option names one."""
    names = ("bert", "bert_cased", "bert_masked_lm", "albert", "albert_groups", "electra")
    return [
        *(PublishedModel("transformers_models", name, "judge", checkpoint=True) for name in names),
        # Their `encode` takes only single texts.
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


def conform_published(model: PublishedModel, interpreter: Path, work: Path) -> ConformanceRow:
    """Runs, exports and compares one publisher's model.

    Args:
        model: to run.
        interpreter: a Python that can run its script.
        work: a directory to work in.
    """
    directory = work / "published"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    row = ConformanceRow(model.name, [], "named", "publisher")
    try:
        write_cases(directory, CASES + (PAIRS if model.pairs else []), small_vocab_lines())
        problem = run_publisher(row, model, interpreter, directory) or export_published(
            row, model, directory
        )
        row.said = problem or _compare_backends(row, directory)
    finally:
        shutil.rmtree(directory)
    row.ok = not row.said
    return row


def run_publisher(
    row: ConformanceRow, model: PublishedModel, interpreter: Path, directory: Path
) -> str:
    """Runs the publisher's script; returns what went wrong, or "".

    Args:
        row: gets the reference's packages.
        model: to run.
        interpreter: a Python that can run its script.
        directory: to work in.
    """
    command = [str(interpreter), "-m", f"{SCRIPTS}.{model.script}", model.model, str(directory)]
    done = run_measured(command, directory / "script")
    if done.code != 0:
        return f"{model.script}: {done.last_error_line}"
    with safe_open(directory / "reference.safetensors", framework="numpy") as file:
        row.reference = file.metadata()["made_by"]
    row.known = row.reference.split(",")[0]
    return ""


def export_published(row: ConformanceRow, model: PublishedModel, directory: Path) -> str:
    """Exports the saved model to a bundle; returns what went wrong, or ""."""
    source = directory / "model"
    if model.checkpoint:
        built = run_module(directory, "export", "build", source, "--out", directory / "saved")
        if built.code != 0:
            return f"build: {built.last_error_line}"
        source = directory / "saved"
    options = [option.format(work=directory) for option in model.options]
    done = run_module(directory, "export", "model", source, *options, "--out", directory / "bundle")
    row.export_s, row.export_peak_mib = done.seconds, done.peak_bytes / MIB
    return "" if done.code == 0 else f"export: {done.last_error_line}"


def _compare_backends(row: ConformanceRow, directory: Path) -> str:
    """Runs the cases in Node on each backend; returns what differs, or ""."""
    bundle, reference = directory / "bundle", load_file(directory / "reference.safetensors")
    row.parameters_mib = sum(f.stat().st_size for f in bundle.glob("*.bin")) / MIB
    contract = read_bundle(bundle)
    names = {output["role"]: output["name"] for output in contract["outputs"]}
    problems = []
    for backend in BACKENDS:
        out = directory / f"{backend}.safetensors"
        done = _encode_in_node(bundle, directory / "cases.jsonl", backend, out)
        row.node_peak_mib = max(row.node_peak_mib or 0.0, done.peak_bytes / MIB)
        if done.code != 0:
            return f"{backend}: {done.last_error_line}"
        answers = load_file(out)
        problem = compare_answers(row, backend, names, reference, answers)
        if problem:
            problems.append(f"{backend}: {problem}")
    return "; ".join(problems)


def _encode_in_node(bundle: Path, cases: Path, backend: str, out: Path) -> MeasuredRun:
    """Runs `encode.js` on the cases.

    Args:
        bundle: to run.
        cases: the file of the cases.
        backend: of TF.js.
        out: the file of the outputs.
    """
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
        what differs, or "".
    """
    differing = find_different_ids(reference, answers)
    if differing:
        return differing
    real = reference["attention_mask"] == 1
    roles = [name.removesuffix(".float64") for name in reference if name.endswith(".float64")]
    problems = [] if roles else ["the reference has no outputs"]
    for role in roles:
        if role not in names:
            problems.append(f"the bundle has no {role}, only {', '.join(names)}")
            continue
        single, exact = reference[role], reference[f"{role}.float64"]
        mine: np.ndarray = answers[names[role]]
        if role == "sequence_output":
            # A bundle of a fixed length has more padding.
            single, exact, mine = single[real], exact[real], mine[:, : real.shape[1]][real]
        if mine.shape != exact.shape:
            problems.append(f"{role}: got shape {mine.shape}, expected {exact.shape}")
            continue
        rounding, largest = largest_absolute(single - exact), largest_absolute(exact)
        allowed = min(ROUNDING * rounding, CEILING * largest)
        moved = largest_absolute(mine - exact)
        row.max_abs[f"{role}, {backend} against float64"] = moved
        row.max_abs[f"{role}, {backend} against float32"] = largest_absolute(mine - single)
        row.max_abs[f"{role}, float32 against float64"] = rounding
        row.budget = max(row.budget or 0.0, allowed)
        if not moved <= allowed:
            problems.append(f"{role}: {moved:.2g} from float64, expected at most {allowed:.2g}")
    return ", ".join(problems)


def find_different_ids(reference: dict[str, np.ndarray], answers: dict[str, np.ndarray]) -> str:
    """Returns the first text whose ids differ, with both ids from near that place, or ""."""
    theirs, ours = (_unpad_ids(tensors) for tensors in (reference, answers))
    if len(theirs) != len(ours):
        return f"got {len(ours)} texts, expected {len(theirs)}"
    for at, (expected, got) in enumerate(zip(theirs, ours, strict=True)):
        if expected != got:
            same = (a == b for a, b in zip([*expected, None], [*got, None], strict=False))
            start = max(0, list(same).index(False) - SHOWN_IDS // 2)
            where = f"case {at}" + (f" from position {start}" if start else "")
            sides = (f"{side[start : start + SHOWN_IDS]}" for side in (got, expected))
            return f"ids of {where}: got {', expected '.join(sides)}"
    return ""


def _unpad_ids(tensors: dict[str, np.ndarray]) -> list[list[Any]]:
    """Returns the ids of each text without padding."""
    pairs = zip(tensors["input_ids"], tensors["attention_mask"], strict=True)
    return [ids[mask == 1].tolist() for ids, mask in pairs]


def largest_absolute(values: np.ndarray) -> float:
    """Returns the largest absolute value; NaN where one is NaN."""
    return float(np.max(np.abs(values)))
