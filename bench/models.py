"""The models that are measured, each as a SavedModel and as the bundle that was made of it."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench.errors import EnvironmentProblem
from bench.setting import Setting
from bench.side import ROOT, python_program

# The publishers' vocab.
USUAL_SIZE = 21128


def places(setting: Setting, model: str) -> tuple[Path, Path]:
    """A SavedModel and its bundle: the embedded ones, or a row of the catalog, seeded.

    The row has its true size, but one layer in a quick run.
    """
    if model == "albert_tiny":
        return setting.root / "models" / model, setting.root / "bundle" / model
    source, bundle = setting.scratch / model, setting.scratch / f"{model}.bundle"
    if not bundle.exists():
        layers = ["1"] if setting.quick else []
        size = "with one layer" if setting.quick else "at its true size"
        setting.say(f"making {model} {size} with seeded weights, a minute")
        vocab = setting.scratch / "vocab.txt"
        lines = (setting.root / "vocab.txt").read_text(encoding="utf-8").split("\n")
        vocab.write_text(
            "\n".join([*lines[:-1], *filler(USUAL_SIZE - len(lines) + 1), ""]), "utf-8"
        )
        make(["parity_tests.conformance.fixtures", model, str(vocab), str(source), *layers])
        options = ["--vocab", str(vocab), "--tokenizer", "tf-text", "--uncased"]
        options += ["--out", str(bundle), "--with-saved-model"]
        make(["export", "model", str(source), *options])
    return source, bundle


def filler(count: int) -> list[str]:
    """Tokens that no text has, to fill a vocab up to the publishers' size."""
    return [f"[unused{i}]" for i in range(count)]


def make(module: list[str], environment: Mapping[str, str] = {}) -> None:
    """Runs another room.

    Raises:
        EnvironmentProblem: it fails.
    """
    command = [*python_program(module[0]), *module[1:]]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise EnvironmentProblem(f"{module[0]} failed: {done.stderr.strip().split(chr(10))[-1]}")
