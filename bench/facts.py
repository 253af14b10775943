"""What a figure depends on beside the code: the machine and the versions of what runs on it."""

import hashlib
import json
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.side import ROOT, node

PYTHON_PACKAGES = ("numpy", "tensorflow", "tensorflow-text", "tf-keras", "tokenizers")
# Pinned exactly, and installed when first wanted.
PEERS = Path(__file__).parent / "peers" / "packages" / "package.json"
# What is measured; a figure from other code than today's is marked in the table.
CODE = ("export", "node_bridge")


def facts() -> dict[str, Any]:
    """The facts of this machine; figures from other facts stand in no table together."""
    asked = subprocess.run([node(), "--version"], capture_output=True, text=True, check=True)
    return {
        "cpu": cpu(),
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "node": asked.stdout.strip().removeprefix("v"),
        "versions": node_packages() | python_packages(),
    }


def cpu() -> str:
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
def code(*places: str) -> str:
    """The start of the sha256 of what a figure is about, as the run found it."""
    whole = hashlib.sha256()
    for place in map(ROOT.joinpath, places or CODE):
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if file.suffix in (".js", ".py", ".toml", ".txt"):
                whole.update(f"{file.relative_to(ROOT).as_posix()}\0".encode() + file.read_bytes())
    return whole.hexdigest()[:12]
