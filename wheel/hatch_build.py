"""Packs the npm package into the wheel, before it is built."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLACE = "bert_bridge/bert-bridge.tgz"


class PackedPackage(BuildHookInterface[Any]):
    """Adds what `npm pack` writes; it needs Node and npm."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Runs `npm pack`."""
        npm = shutil.which("npm")
        if npm is None:
            raise SystemExit("error: npm is missing; install Node.js 20.19, 22.12 or newer")
        self.scratch = tempfile.mkdtemp(prefix="bert-bridge-")
        command = [npm, "pack", "--pack-destination", self.scratch]
        done = subprocess.run(command, cwd=self.root, stdout=sys.stderr, check=False)
        if done.returncode != 0:
            raise SystemExit(f"error: npm pack failed with exit code {done.returncode}")
        [packed] = Path(self.scratch).glob("bert-bridge-*.tgz")
        build_data["force_include"][str(packed)] = PLACE

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Removes the packed file."""
        shutil.rmtree(self.scratch, ignore_errors=True)
