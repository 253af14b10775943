"""The setting of a run: directories, thoroughness, wanted rows, models, machine."""

import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from bench.rows import BenchRow
from bench.side import python_program, run_to_end
from support import ROOT
from support.contracts import VOCAB_FILE
from support.errors import EnvironmentProblem
from support.node import find_node
from support.sha256 import code_sha256


@dataclass(frozen=True)
class BenchSetting:
    """One run of the benchmarks.

    `root` has the embedded default, `scratch` is removed after the run, `say` prints progress.
    """

    root: Path
    scratch: Path
    quick: bool
    names: list[str]
    say: Callable[[str], None]

    @property
    def rounds(self) -> int:
        """How often each side is measured."""
        return 2 if self.quick else 9

    @property
    def at_least(self) -> float:
        """Seconds that one measurement lasts at least; a short pass is repeated."""
        return 0.0 if self.quick else 0.5

    def wants(self, name: str) -> bool:
        """Returns whether a row is wanted, by its name or by the first parts of it."""
        return not self.names or any(f"{name}.".startswith(f"{wanted}.") for wanted in self.names)

    def report_missing(self, what: str, reason: str) -> None:
        """Prints that some rows are not measured.

        Raises:
            EnvironmentProblem: rows were named, so they cannot be omitted.
        """
        if self.names:
            raise EnvironmentProblem(reason)
        self.say(f"{what}: NOT MEASURED: {reason}")


class Family(Protocol):
    """A module of benchmarks: the names of its rows, and a function that measures them."""

    NAMES: tuple[str, ...]

    def measure_rows(self, setting: BenchSetting) -> Iterator[BenchRow]:
        """Measures the wanted rows, one by one."""


# The measured models, each as a SavedModel and as the bundle made from it.

# The publishers' vocab.
USUAL_SIZE = 21128


def model_and_bundle(setting: BenchSetting, model: str) -> tuple[Path, Path]:
    """Returns a SavedModel and its bundle: the embedded ones, or a seeded row of the catalog.

    The row has its true size, but one layer in a quick run.
    """
    if model == "albert_tiny":
        return setting.root / "models" / model, setting.root / "bundle" / model
    source, bundle = setting.scratch / model, setting.scratch / f"{model}.bundle"
    if not bundle.exists():
        layers = ["1"] if setting.quick else []
        size = "with one layer" if setting.quick else "at its true size"
        setting.say(f"making {model} {size} with seeded weights, a minute")
        vocab = setting.scratch / VOCAB_FILE
        lines = (setting.root / VOCAB_FILE).read_text(encoding="utf-8").split("\n")
        vocab.write_text(
            "\n".join([*lines[:-1], *_unused_tokens(USUAL_SIZE - len(lines) + 1), ""]), "utf-8"
        )
        run_module(["parity_tests.conformance.fixtures", model, str(vocab), str(source), *layers])
        options = ["--vocab", str(vocab), "--tokenizer", "tf-text", "--uncased"]
        options += ["--out", str(bundle), "--with-saved-model"]
        run_module(["export", "model", str(source), *options])
    return source, bundle


def _unused_tokens(count: int) -> list[str]:
    """Returns tokens that no text has, for a vocab of the publishers' size."""
    return [f"[unused{i}]" for i in range(count)]


def run_module(module: list[str], environment: Mapping[str, str] = {}) -> None:
    """Runs another Python module of the project.

    Raises:
        EnvironmentProblem: it fails.
    """
    run_to_end(module[0], [*python_program(module[0]), *module[1:]], environment, ROOT)


# What a figure depends on besides the code: the machine and its software versions.

PYTHON_PACKAGES = ("numpy", "tensorflow", "tensorflow-text", "tf-keras", "tokenizers")
# Pinned exactly, and installed on first use.
PEERS = Path(__file__).parent / "peers" / "packages" / "package.json"
# The measured code; a figure from other code is marked in the table.
MEASURED_CODE = ("export", "node_bridge", "support")


def collect_facts() -> dict[str, Any]:
    """Collects the facts of this machine; a table has only figures with equal facts."""
    done = subprocess.run([find_node(), "--version"], capture_output=True, text=True, check=True)
    return {
        "cpu": _cpu_name(),
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "node": done.stdout.strip().removeprefix("v"),
        "versions": node_packages() | python_packages(),
    }


def _cpu_name() -> str:
    """Returns the processor's name, if the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n")
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def node_packages() -> dict[str, str]:
    """Returns the installed versions of the packages of package.json, and of the peers."""
    wanted = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))
    found: dict[str, str] = json.loads(PEERS.read_text(encoding="utf-8"))["dependencies"]
    for name in sorted(wanted["dependencies"] | wanted["devDependencies"]):
        file = ROOT / "node_modules" / name / "package.json"
        if file.is_file() and not name.startswith("@types/"):
            found[name] = str(json.loads(file.read_text(encoding="utf-8"))["version"])
    return found


def python_packages() -> dict[str, str]:
    """Returns the versions of the measured Python packages."""
    found = {}
    for name in PYTHON_PACKAGES:
        try:
            found[f"{name} (Python)"] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def code_hash(*paths: str) -> str:
    """Returns the start of the sha256 of the measured code, at the start of the run."""
    files: list[Path] = []
    for path in map(ROOT.joinpath, paths or MEASURED_CODE):
        there = sorted(path.rglob("*")) if path.is_dir() else [path]
        files += [file for file in there if file.suffix in (".js", ".py", ".toml", ".txt")]
    return code_sha256(ROOT, files)[:12]
