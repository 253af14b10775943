"""Fixtures that stand on the embedded default, which is exported first where it is missing."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Embedded:
    """Where the embedded default lies."""

    root: Path
    bundle: Path
    model: Path
    tokenizer_model: Path
    vocab: Path
    data: Path


@pytest.fixture(scope="session")
def embedded() -> Embedded:
    """The embedded default under artifacts/, brought up to date."""
    subprocess.run([sys.executable, "-m", "export"], cwd=ROOT, check=True)
    root = ROOT / "artifacts"
    models = root / "models"
    return Embedded(
        root=root,
        bundle=root / "bundle" / "albert_tiny",
        model=models / "albert_tiny",
        tokenizer_model=models / "tokenizer",
        vocab=root / "vocab.txt",
        data=root / "data",
    )
