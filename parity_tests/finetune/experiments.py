"""Runs each experiment as a process of its own, so that its time and memory are its own."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from export.confined import confinement
from export.confined.confinement import AllowedPaths
from parity_tests.finetune.rows import FinetuneRow
from parity_tests.runners.measure import MeasuredRun, run_measured
from support import ROOT
from support.errors import CheckFailed, EnvironmentProblem, UserError
from support.node import check_native, find_node
from support.printing import say

TRAIN = ROOT / "node_bridge" / "train.js"
RUN_NODE = ROOT / "parity_tests" / "finetune" / "run_node.js"
FROZEN, UPDATED = "frozen", "updated"
NO_GRADIENTS = (
    "it runs a GraphModel, whose weights are constants, "
    "and has no kernel for the gradient of a gather (UnsortedSegmentSum)"
)
FIRST_STEPS = 20
"""Steps in which Node's losses must equal Python's."""


@dataclass(frozen=True)
class FinetuneSetting:
    """The directory of the model, and what to train on: `texts` texts of `train`.

    `seed` decides the head's first weights and the order of the texts.
    """

    root: Path
    train: Path
    dev: Path
    texts: int
    epochs: int
    scratch: Path
    seed: int = 0


def run_experiments(setting: FinetuneSetting) -> Iterator[FinetuneRow]:
    """Runs all experiments; yields their rows.

    Raises:
        CheckFailed: a frozen encoder moved, or Node's losses differ from Python's.
        UserError: the model or the texts are missing.
        EnvironmentProblem: this machine lacks something, or a process was killed.
    """
    yield run_in_python(setting, FROZEN)
    updated = run_in_python(setting, UPDATED)
    yield updated
    yield run_node_frozen(setting, "wasm")
    yield FinetuneRow("Node, wasm", UPDATED, NO_GRADIENTS)
    absent, other = why_native_is_missing()
    yield (
        FinetuneRow("Node, native", FROZEN, absent)
        if absent
        else run_node_frozen(setting, "native")
    )
    if absent or other:
        yield FinetuneRow("Node, native", UPDATED, absent or other)
        return
    in_node = _run_node_updated(setting)
    yield replace(in_node, equal_steps=count_equal_steps(in_node.losses, updated.losses))


def run_in_python(setting: FinetuneSetting, encoder: str) -> FinetuneRow:
    """Runs an experiment in Python, see run_python.py."""
    done = run_to_end(f"Python, {encoder}", _python_command(setting, encoder), setting)
    return _make_row("Python", encoder, done, setting)


def _python_command(setting: FinetuneSetting, encoder: str, save: Path | None = None) -> list[str]:
    """Returns the command of a confined run_python.py; with `save` it saves instead of training."""
    models = setting.root / "models"
    options = ["--model", str(models / "albert_tiny")]
    options += ["--tokenizer-model", str(models / "tokenizer"), *_data_options(setting)]
    options += ["--seed", str(setting.seed)]
    options += ["--trainable"] if encoder == UPDATED else []
    options += ["--save", str(save)] if save else []
    reach = AllowedPaths(setting.scratch, (models, setting.train, setting.dev))
    return confinement.confined_command(["-m", "parity_tests.finetune.run_python", *options], reach)


def run_node_frozen(setting: FinetuneSetting, backend: str) -> FinetuneRow:
    """Runs the project's own training, which encodes once, with an empty cache."""
    runtime = f"Node, {backend}"
    command = [find_node(), str(TRAIN), "--json", "--backend", backend, *_data_options(setting)]
    command += ["--bundle", str(setting.root / "bundle" / "albert_tiny")]
    command += ["--out", str(setting.scratch / f"classifier.{backend}")]
    if "--cache" in read_help(TRAIN):
        command += ["--cache", str(setting.scratch / f"cache.{backend}")]
    return _make_row(runtime, FROZEN, run_to_end(f"{runtime}, {FROZEN}", command, setting), setting)


def _run_node_updated(setting: FinetuneSetting) -> FinetuneRow:
    """Runs native TensorFlow on the SavedModel that Python makes of the same network."""
    runtime, directory = "Node, native", setting.scratch / "updated"
    directory.mkdir()
    save = _python_command(setting, UPDATED, directory)
    run_to_end("the SavedModel that Node updates", save, setting)
    command = [find_node(), str(RUN_NODE), "--from", str(directory)]
    return _make_row(
        runtime, UPDATED, run_to_end(f"{runtime}, {UPDATED}", command, setting), setting
    )


def _data_options(setting: FinetuneSetting) -> list[str]:
    """Returns the options that all runners have."""
    files = ["--train", str(setting.train), "--dev", str(setting.dev)]
    return [*files, "--epochs", str(setting.epochs)]


def run_to_end(name: str, command: list[str], setting: FinetuneSetting) -> MeasuredRun:
    """Runs a command; raises as `run_experiments` if it fails."""
    say(f"{name} …")
    done = run_measured(command, setting.scratch / "log")
    if done.code == 0:
        return done
    message = f"{name}: {done.last_error_line.removeprefix('error: ')} (exit code {done.code})"
    known = {error.exit_code: error for error in (CheckFailed, UserError)}
    raise known.get(done.code, EnvironmentProblem)(message)


def _make_row(
    runtime: str, encoder: str, done: MeasuredRun, setting: FinetuneSetting
) -> FinetuneRow:
    """Makes the row of an experiment that has ended well.

    Args:
        runtime: its name.
        encoder: FROZEN or UPDATED.
        done: the finished process.
        setting: of the run.
    """
    output: dict[str, Any] = json.loads(done.stdout)
    return FinetuneRow(
        runtime,
        encoder,
        texts=setting.texts,
        history=output["history"],
        seconds=done.seconds,
        peak_bytes=done.peak_bytes,
        losses=output.get("losses", []),
        weights=output.get("weights"),
        dropout=output.get("dropout"),
    )


def why_native_is_missing() -> tuple[str, str]:
    """Says why native TensorFlow is missing, and why it is not Python's version; "" where it is."""
    found = check_native()
    if "error" in found:
        return str(found["error"]), ""
    here, there = version("tensorflow"), found["tensorflow"]
    return "", "" if here == there else f"it is TensorFlow {there}, Python's is {here}"


def read_help(program: Path) -> str:
    """Returns the --help of a Node program."""
    command = [find_node(), str(program), "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def count_equal_steps(got: list[float], expected: list[float]) -> int:
    """Counts the steps in which Node's loss equals Python's to the last bit.

    Raises:
        CheckFailed: one of the first differs, although the same library runs the same graph.
    """
    equal = [ours == theirs for ours, theirs in zip(got, expected, strict=True)]
    if not all(equal[:FIRST_STEPS]):
        step = equal.index(False)
        raise CheckFailed(
            f"Node, native, updated: got loss {got[step]!r} in step {step + 1}, "
            f"but should be Python's {expected[step]!r}"
        )
    return sum(equal)
