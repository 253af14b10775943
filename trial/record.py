"""Verdicts that are known, kept line by line, so that a trial that was stopped goes on."""

import json
from pathlib import Path
from typing import Any


class Record:
    """JSON lines under the hash of all code that a verdict depends on."""

    def __init__(self, home: Path, key: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.path = home / f"verdicts.{key[:16]}.jsonl"
        for stale in home.glob("verdicts.*.jsonl"):
            if stale != self.path:
                stale.unlink()
        self.known: dict[str, dict[str, Any]] = {}
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        # The last line may be cut off.
        for line in text.split("\n")[:-1]:
            row = json.loads(line)
            self.known[row["id"]] = row
        if not text.endswith("\n") and text:
            self.path.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")

    def keep(self, row: dict[str, Any]) -> None:
        """Adds a verdict."""
        self.known[row["id"]] = row
        with self.path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
