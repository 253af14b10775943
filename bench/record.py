"""`bench.json`: a list of rows, each with the facts of the machine and the code it is about."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.row import Row


class Record:
    """The file, written anew as a whole after each row, so that a stopped run keeps its rows.

    Rows of earlier runs stay until they are measured again, unless this machine or a version is
    another one now: then the file starts anew. `order` has the names of all rows there can be.
    """

    def __init__(self, path: Path, facts: dict[str, Any], code: str, order: list[str]) -> None:
        self.path = path
        self.marks = {"code": code, "machine": facts}
        self.order = order
        earlier = read(path)
        self.starts_anew = any(row.get("machine") != facts for row in earlier)
        self.rows = [] if self.starts_anew else [row for row in earlier if row["name"] in order]

    def keep(self, row: Row) -> None:
        """Puts a row in its place and writes the file."""
        when = datetime.now(UTC).isoformat(timespec="seconds")
        others = [other for other in self.rows if other["name"] != row.name]
        self.rows = [*others, row.document() | {"when": when} | self.marks]
        self.rows.sort(key=lambda document: self.order.index(document["name"]))
        write(self.path, json.dumps(self.rows, ensure_ascii=False, indent=1) + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a file; none where there is none, or where it is no such file."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return []
    return [row for row in rows if "name" in row]


def write(path: Path, text: str) -> None:
    """Writes a file as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    growing = path.with_name(path.name + ".partial")
    growing.write_text(text, encoding="utf-8")
    growing.replace(path)
