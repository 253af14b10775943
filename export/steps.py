"""Steps that run once: a step whose inputs and outputs are unchanged is not run again."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from export.bundle import digest
from export.errors import UserError
from export.input_files import read_object, typed


class Steps:
    """Runs steps in order and remembers what each was made from, in one file beside the outputs."""

    def __init__(self, record: Path, total: int, say: Callable[[str], None]) -> None:
        self.record = record
        self.total = total
        self.say = say
        self.number = 0
        self.ran = 0
        self.made: dict[str, Any] = {}
        if record.exists():
            try:
                read = read_object(record)
                self.made = {key: typed(step, dict, str(record)) for key, step in read.items()}
            except UserError:
                self.say(f"{record} is damaged: making everything anew")

    def made_so(self, output: Path) -> bool:
        """Whether an output is what a step made, unchanged since."""
        made = [step.get("outputs", {}).get(output.name) for step in self.made.values()]
        return output.exists() and digest(output) in made

    def step(
        self, name: str, inputs: dict[str, Any], outputs: list[Path], make: Callable[[], None]
    ) -> None:
        """Calls `make` unless `outputs` hold what it made from equal `inputs` before."""
        self.number += 1
        identity = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
        before = self.made.get(name, {})
        if before.get("inputs") == identity and before.get("outputs") == digests(outputs):
            return
        self.say(f"[{self.number}/{self.total}] {name} …")
        start = time.monotonic()
        make()
        self.ran += 1
        self.made[name] = {"inputs": identity, "outputs": digests(outputs)}
        growing = self.record.with_suffix(".partial")
        growing.write_text(json.dumps(self.made, indent=2) + "\n", encoding="utf-8")
        growing.rename(self.record)
        self.say(f"[{self.number}/{self.total}] {name}: {time.monotonic() - start:.1f} s")


def digests(outputs: list[Path]) -> dict[str, str]:
    """The content of each output that is there."""
    return {path.name: digest(path) for path in outputs if path.exists()}
