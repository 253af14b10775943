"""What every benchmark is told: where things lie, how thorough to be, which rows are wanted."""

import hashlib
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
from bench.side import ROOT, find_node, python_program
from support.errors import EnvironmentProblem


@dataclass(frozen=True)
class BenchSetting:
    """One run of the benchmarks.

    `root` has the embedded default, `scratch` goes away with the run, `say` tells of progress.
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
        """Seconds that one measurement lasts; a short pass is repeated until then."""
        return 0.0 if self.quick else 0.5

    def wants(self, name: str) -> bool:
        """Whether a row was asked for, by its name or by a beginning of it that ends at a dot."""
        return not self.names or any(f"{name}.".startswith(f"{wanted}.") for wanted in self.names)

    def lacks(self, what: str, reason: str) -> None:
        """Says loudly that some rows are not measured.

        Raises:
            EnvironmentProblem: rows were asked for by name, so that going on would leave them out.
        """
        if self.names:
            raise EnvironmentProblem(reason)
        self.say(f"{what}: NOT MEASURED: {reason}")


class Family(Protocol):
    """A file of benchmarks: the names of its rows, and the rows that are wanted, one by one."""

    NAMES: tuple[str, ...]

    def measure_rows(self, setting: BenchSetting) -> Iterator[BenchRow]:
        """Measures; each row is kept as soon as it is there."""


# The models that are measured, each as a SavedModel and as the bundle that was made of it.

# The publishers' vocab.
USUAL_SIZE = 21128


def model_and_bundle(setting: BenchSetting, model: str) -> tuple[Path, Path]:
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
            "\n".join([*lines[:-1], *unused_tokens(USUAL_SIZE - len(lines) + 1), ""]), "utf-8"
        )
        run_module(["parity_tests.conformance.fixtures", model, str(vocab), str(source), *layers])
        options = ["--vocab", str(vocab), "--tokenizer", "tf-text", "--uncased"]
        options += ["--out", str(bundle), "--with-saved-model"]
        run_module(["export", "model", str(source), *options])
    return source, bundle


def unused_tokens(count: int) -> list[str]:
    """Tokens that no text has, to fill a vocab up to the publishers' size."""
    return [f"[unused{i}]" for i in range(count)]


def run_module(module: list[str], environment: Mapping[str, str] = {}) -> None:
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


# What a figure depends on beside the code: the machine and the versions of what runs on it.

PYTHON_PACKAGES = ("numpy", "tensorflow", "tensorflow-text", "tf-keras", "tokenizers")
# Pinned exactly, and installed when first wanted.
PEERS = Path(__file__).parent / "peers" / "packages" / "package.json"
# What is measured; a figure from other code than today's is marked in the table.
MEASURED_CODE = ("export", "node_bridge")


def collect_facts() -> dict[str, Any]:
    """The facts of this machine; figures from other facts stand in no table together."""
    asked = subprocess.run([find_node(), "--version"], capture_output=True, text=True, check=True)
    return {
        "cpu": cpu_name(),
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "node": asked.stdout.strip().removeprefix("v"),
        "versions": node_packages() | python_packages(),
    }


def cpu_name() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n")
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def node_packages() -> dict[str, str]:
    """The packages of package.json in the versions that are installed, and of the peers."""
    wanted = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))
    found: dict[str, str] = json.loads(PEERS.read_text(encoding="utf-8"))["dependencies"]
    for name in sorted(wanted["dependencies"] | wanted["devDependencies"]):
        file = ROOT / "node_modules" / name / "package.json"
        if file.is_file() and not name.startswith("@types/"):
            found[name] = str(json.loads(file.read_text(encoding="utf-8"))["version"])
    return found


def python_packages() -> dict[str, str]:
    """The Python packages that are measured."""
    found = {}
    for name in PYTHON_PACKAGES:
        try:
            found[f"{name} (Python)"] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def code_hash(*places: str) -> str:
    """The start of the sha256 of what a figure is about, as the run found it."""
    whole = hashlib.sha256()
    for place in map(ROOT.joinpath, places or MEASURED_CODE):
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if file.suffix in (".js", ".py", ".toml", ".txt"):
                whole.update(f"{file.relative_to(ROOT).as_posix()}\0".encode() + file.read_bytes())
    return whole.hexdigest()[:12]
