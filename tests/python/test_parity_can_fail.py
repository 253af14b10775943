"""Parity finds faults that no hash shows.

Each fault is injected into a copy of the embedded bundle, whose hashes are then updated, so that
only the comparison can find it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from parity_tests.checks.head import GOLDEN
from parity_tests.checks.invariances import CLAIM_TEXTS
from parity_tests.checks.stages import ON_TEXTS
from support import ROOT
from tests.python.resealing import edit_json, reseal

if TYPE_CHECKING:
    from tests.python.conftest import Embedded

Result = dict[str, Any]


SHORT = 60
"""Texts of at most so many characters keep a run short."""


@pytest.fixture(scope="module")
def texts(embedded: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Writes the shorter reviews."""
    lines = (embedded.data / "dev.jsonl").read_bytes().split(b"\n")
    short = [line for line in lines if line and len(json.loads(line)["text"]) <= SHORT]
    file = tmp_path_factory.mktemp("data") / "short.jsonl"
    file.write_bytes(b"\n".join(short))
    return file


def parity(embedded: Embedded, texts: Path, bundle: Path, out: Path) -> tuple[int, Result]:
    """Runs `python -m parity_tests` on one batch; returns exit code and report."""
    arguments = ["--bundle", bundle, "--model", embedded.model, "--out", out]
    arguments += ["--tokenizer-model", embedded.tokenizer_model]
    arguments += ["--texts", texts, "--backends", "wasm:8", "--tokenizer-proof", "none"]
    done = subprocess.run(
        [sys.executable, "-m", "parity_tests", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads((out / "report.json").read_text(encoding="utf-8"))


def printed(result: Result) -> set[str]:
    """Returns the output of the two command lines of the first repro folder."""
    repro = json.loads((Path(result["repro"][0]) / "repro.json").read_text(encoding="utf-8"))
    python = repro["python"].replace("python", sys.executable, 1)
    return {
        subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True).stdout
        for line in (python, repro["node"])
    }


def statuses(result: Result, stage: str) -> set[str]:
    """Returns the statuses of a stage, at least one."""
    found = {row["status"] for row in result["rows"] if row["stage"] == stage}
    assert found, f"the report has no row of {stage}"
    return found


def messages(result: Result, stage: str) -> list[str]:
    """Returns the messages of a stage's failures, at least one."""
    found = [failure["message"] for failure in result["failures"] if failure["stage"] == stage]
    assert found, f"the report has no failure at {stage}"
    return found


@pytest.fixture
def copy(embedded: Embedded, tmp_path: Path) -> Path:
    return Path(shutil.copytree(embedded.bundle, tmp_path / "bundle"))


def test_the_right_bundle_passes(
    embedded: Embedded, texts: Path, copy: Path, tmp_path: Path
) -> None:
    code, result = parity(embedded, texts, copy, tmp_path / "out")
    assert (code, result["verdict"], result["failures"]) == (0, "pass", [])
    stages = {row["stage"] for row in result["rows"]}
    assert {"tokens", "ids", "layer_3/output", "sequence_output", "pooled_output"} <= stages
    claims = {row["comparison"] for row in result["rows"]} - {GOLDEN}
    assert claims == {ON_TEXTS, *CLAIM_TEXTS}
    plain = [
        row
        for row in result["rows"]
        if (row["special_tokens"], row["comparison"]) == ("added", ON_TEXTS)
    ]
    pairs = [text for text in result["cases"] if text["pair"] is not None]
    assert len(pairs) == 5
    assert plain and all(row["texts"] == 9 + 5 and row["compared"] > 0 for row in plain)
    assert {part["status"] for part in result["stored_parts"].values()} == {"pass"}
    assert result["repro"] == []
    assert result["source"]["same"] is True
    assert result["training"]["status"] == "pass"
    assert result["training"]["backends"]["wasm"]["steps"] == 8


def change_a_layers_weights(bundle: Path) -> None:
    """Changes one column of the widest matrix of a layer by a thousandth."""
    [group] = json.loads((bundle / "model.json").read_text(encoding="utf-8"))["weightsManifest"]
    sizes = {path: (bundle / path).stat().st_size for path in group["paths"]}
    vocab_size = len((bundle / "vocab.txt").read_bytes().rstrip(b"\n").split(b"\n"))
    whole = bytearray(b"".join((bundle / path).read_bytes() for path in sizes))
    start, found = 0, []
    for spec in group["weights"]:
        count = int(np.prod(spec["shape"], dtype=np.int64))
        if (
            spec["dtype"] == "float32"
            and len(spec["shape"]) >= 2
            and vocab_size not in spec["shape"]
        ):
            found.append((count, start, spec["shape"]))
        start += count * 4
    assert start == len(whole), "every weight has four bytes"
    count, start, shape = max(found)
    matrix = np.frombuffer(whole, "<f4", count, start).reshape(-1, shape[-1])
    matrix[:, 0] *= np.float32(1.001)
    start = 0
    for path, size in sizes.items():
        (bundle / path).write_bytes(whole[start : start + size])
        start += size


def test_a_changed_weight_is_caught(
    embedded: Embedded, texts: Path, copy: Path, tmp_path: Path
) -> None:
    change_a_layers_weights(copy)
    reseal(copy)
    code, result = parity(embedded, texts, copy, tmp_path / "out")
    assert (code, result["first_stage_off"]) == (1, "weights")
    weights = result["stored_parts"]["weights"]
    assert (weights["failing"], weights["compared"]) == (1, 25)
    assert "[weight albert_tiny/layer_0/" in weights["failures"][0]
    assert len(printed(result)) == 2, "the repro prints another value in Node than in Python"
    assert statuses(result, "ids") == {"pass"}
    assert statuses(result, "layer_0/output") <= {"drift", "downstream"}
    assert statuses(result, "sequence_output") == {"downstream"}
    assert "but should be" in messages(result, "sequence_output")[0]


def swap_two_vocab_lines(bundle: Path, texts: Path) -> set[str]:
    """Swaps the two commonest characters of the texts in the vocab."""
    lines = (bundle / "vocab.txt").read_bytes().split(b"\n")
    every = "".join(json.loads(line)["text"] for line in texts.read_bytes().split(b"\n"))
    pair = [c for c, _ in Counter(every).most_common() if c.encode() in lines][:2]
    first, second = (lines.index(character.encode()) for character in pair)
    lines[first], lines[second] = lines[second], lines[first]
    (bundle / "vocab.txt").write_bytes(b"\n".join(lines))
    return {str(first), str(second)}


def test_swapped_vocab_lines_are_caught(
    embedded: Embedded, texts: Path, copy: Path, tmp_path: Path
) -> None:
    ids = swap_two_vocab_lines(copy, texts)
    reseal(copy)
    code, result = parity(embedded, texts, copy, tmp_path / "out")
    assert (code, result["first_stage_off"]) == (1, "vocab")
    assert result["stored_parts"]["vocab"]["failing"] == 2
    assert statuses(result, "tokens") == {"pass"}
    assert statuses(result, "ids") == {"drift"}
    assert statuses(result, "sequence_output") == {"downstream"}
    assert len(printed(result)) == 2
    for message in messages(result, "ids"):
        _, got, *_, should = message.split(" [")[0].replace(",", "").split()
        assert {got, should} == ids


def test_a_mask_that_the_contract_changes_is_caught(
    embedded: Embedded, texts: Path, copy: Path, tmp_path: Path
) -> None:
    edit_json(copy / "bundle.json", lambda contract: contract.update(padding="attended"))
    reseal(copy)
    code, result = parity(embedded, texts, copy, tmp_path / "out")
    assert (code, result["first_stage_off"]) == (1, "contract")
    assert statuses(result, "ids") == {"drift"}
    assert all("attention_mask" in message for message in messages(result, "ids"))
    assert statuses(result, "sequence_output") == {"downstream"}


def ignore_the_mask(document: Any) -> None:
    """Replaces the mask by ones inside the graph."""
    nodes = document["modelTopology"]["node"]
    for node in nodes:
        node["input"] = [
            "ones_for_mask" if name.split(":")[0] == "attention_mask" else name
            for name in node.get("input", [])
        ]
    attributes = {"T": {"type": "DT_INT32"}}
    ones = {"name": "ones_for_mask", "op": "OnesLike", "input": ["attention_mask"]}
    nodes.append(ones | {"attr": attributes})


def test_a_graph_that_ignores_the_mask_is_caught(
    embedded: Embedded, texts: Path, copy: Path, tmp_path: Path
) -> None:
    edit_json(copy / "model.json", ignore_the_mask)
    reseal(copy)
    code, result = parity(embedded, texts, copy, tmp_path / "out")
    assert (code, result["first_stage_off"]) == (1, "layer_0/attention_scores")
    assert statuses(result, "ids") == statuses(result, "embeddings") == {"pass"}
    assert statuses(result, "layer_0/attention_scores") == {"drift"}
    assert len(printed(result)) == 2
