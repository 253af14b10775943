"""`python -m export catalog`: the catalog as a table to read or as JSON."""

import argparse
import json
from dataclasses import asdict
from typing import Any

from export.catalog import MARKS, Entry, contracts, entries

EXAMPLE = """examples:
  python -m export catalog
  python -m export catalog --json
  python -m export inspect albert_tiny
"""
COLUMNS = (
    "name", "architecture", "layers", "hidden", "heads", "intermediate", "embedding",
    "activation", "vocab", "contract", "config", "in", "out", "url", "MB", "state", "address",
)  # fmt: skip
NUMBERS = {"layers", "hidden", "heads", "intermediate", "embedding", "vocab", "MB"}


def add_command(commands: Any) -> None:
    """Adds the subcommand to the parser of `python -m export`."""
    command = commands.add_parser(
        "catalog",
        help="every model that the collection published",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--json", action="store_true", help="for programs")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """`python -m export catalog`."""
    print(as_json() if options.json else f"{table(entries())}\n\n{footer()}")


def as_json() -> str:
    """The rows, the contracts and what the marks mean."""
    rows = [asdict(entry) | {"mark": entry.mark, "group": entry.group} for entry in entries()]
    document = {"marks": MARKS, "contracts": contracts(), "models": rows}
    return json.dumps(document, ensure_ascii=False, indent=2)


def table(rows: tuple[Entry, ...]) -> str:
    """The rows in aligned columns under a header."""
    lines = [dict(zip(COLUMNS, COLUMNS, strict=True)), *(cells(entry) for entry in rows)]
    widths = {column: max(len(line[column]) for line in lines) for column in COLUMNS}
    return "\n".join(
        "  ".join(
            line[c].rjust(widths[c]) if c in NUMBERS else line[c].ljust(widths[c]) for c in COLUMNS
        ).rstrip()
        for line in lines
    )


def cells(entry: Entry) -> dict[str, str]:
    """One row as text; what does not apply is `-`."""
    sizes = entry.configuration
    known = entry.known
    values = {
        "name": entry.name,
        "architecture": sizes.architecture if sizes else "tokenizer",
        "layers": sizes and sizes.layers,
        "hidden": sizes and sizes.hidden,
        "heads": sizes and sizes.heads,
        "intermediate": sizes and sizes.intermediate,
        "embedding": sizes and sizes.embedding,
        "activation": sizes and sizes.activation,
        "vocab": entry.vocab_size,
        "contract": entry.contract,
        "config": known.get("configuration"),
        "in": known["inputs"],
        "out": known["outputs"],
        "url": known["url"],
        "MB": entry.megabytes,
        "state": "deprecated" if entry.deprecated else None,
        "address": entry.url,
    }
    return {column: "-" if value is None else str(value) for column, value in values.items()}


def footer() -> str:
    """What the marks and the contracts mean."""
    lines = ["How surely config(uration), in(puts), out(puts) and url are known:"]
    lines += [f"  {mark}  {meaning}" for mark, meaning in MARKS.items()]
    lines.append("A model that says otherwise in its own signature is right, and the table wrong.")
    lines.append("Contracts:")
    for name, contract in contracts().items():
        lines.append(f"  {name.ljust(9)}  {contract['takes']} → {contract['gives']}")
    for entry in entries():
        if entry.published_url != entry.url:
            lines.append(f"{entry.name} was published as {entry.published_url}, a page.")
    lines.append("The name of a row is a handle; the hosts no longer answer for most people.")
    return "\n".join(lines)
