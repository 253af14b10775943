"""Fixtures that use the embedded default, which is exported first if it is missing.

At the end of a run, skipped tests of the native backend and others are reported in red.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support import ROOT as ROOT


@dataclass(frozen=True)
class Embedded:
    """The paths of the embedded default."""

    root: Path
    bundle: Path
    model: Path
    tokenizer_model: Path
    vocab: Path
    data: Path


CONFINED = "the confinement of untrusted models was NOT TESTED"
NATIVE = "the native backend was NOT TESTED"
OTHER_PYTHON = "--tokenizer-python with another version was NOT TESTED"


@pytest.fixture(autouse=True)
def quick_test_loads_no_tensorflow(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test marked `quick` that loads TensorFlow, which takes seconds."""
    was_loaded = "tensorflow" in sys.modules
    yield
    if request.node.get_closest_marker("quick") is not None and not was_loaded:
        assert "tensorflow" not in sys.modules, "a quick test loaded TensorFlow"


@pytest.fixture
def native() -> None:
    """Skips a test unless `nox -s native` was run."""
    if not (ROOT / ".nox" / "native" / "built.json").exists():
        pytest.skip(f"{NATIVE}: `nox -s native` builds it")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Reports important skipped tests in red."""
    skipped = terminalreporter.stats.get("skipped", [])
    if any(NATIVE in str(report.longrepr) for report in skipped):
        terminalreporter.write_line(f"{NATIVE}: `nox -s native` builds it", red=True)
    if any(CONFINED in str(report.longrepr) for report in skipped):
        terminalreporter.write_line(f"{CONFINED}: this system has no Landlock", red=True)
    if any(OTHER_PYTHON in str(report.longrepr) for report in skipped):
        terminalreporter.write_line(f"{OTHER_PYTHON}: PyPI is unreachable", red=True)


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
