"""The catalog of the collection: each model's properties and address, and how certain they are.

`catalog.toml` has the data; an `Entry` is one row of the table.
"""

import argparse
import json
import tomllib
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from export.encoder_config import EncoderConfig
from support.errors import UserError
from support.tables import format_table

CATALOG_FILE = Path(__file__).with_name("catalog.toml")
# From the most to the least certain.
CERTAINTY_MARKS = {
    "d": "documented by the collection or by the model's own publisher",
    "h": "read off the history of the code that made the models",
    "a": "assumed by us",
}
# A published name that two contracts share means the newer one.
NEWEST_FIRST = ("tokenizer", "named", "tokens-4", "tokens-3")


@dataclass(frozen=True)
class Configuration:
    """The sizes of an encoder without its vocab; `activation` as in `EncoderConfig`."""

    name: str
    architecture: str
    layers: int
    hidden: int
    heads: int
    intermediate: int
    embedding: int
    activation: str
    known: str


@dataclass(frozen=True)
class Entry:
    """One published model.

    `name` is its handle: the published name, followed by `@contract` if a newer contract has the
    same name. `configuration` is None for a tokenizer. `published_url` differs from `url` if a page
    about the file was published. `known` has a mark for each of `configuration`, `inputs`,
    `outputs` and `url`.
    """

    name: str
    published: str
    contract: str
    configuration: Configuration | None
    vocab_size: int
    url: str
    published_url: str
    megabytes: float | None
    deprecated: bool
    known: dict[str, str]

    @property
    def mark(self) -> str:
        """The least certain of its marks."""
        return max(self.known.values(), key=list(CERTAINTY_MARKS).index)

    @property
    def group(self) -> str:
        """A key that is equal for entries that differ only in their weights."""
        if self.configuration is None:
            return self.contract
        return f"{self.configuration.name}-L{self.configuration.layers}/{self.contract}"


def encoder_config_of(entry: Entry, vocab_size: int | None = None) -> EncoderConfig:
    """Returns the encoder of an entry, for its own vocab or for one of another size.

    Raises:
        UserError: the entry is a tokenizer.
    """
    sizes = entry.configuration
    if sizes is None:
        raise UserError(f"{entry.name} is a tokenizer, expected the name of an encoder")
    return EncoderConfig(
        architecture=sizes.architecture,
        vocab_size=vocab_size or entry.vocab_size,
        num_hidden_layers=sizes.layers,
        hidden_size=sizes.hidden,
        num_attention_heads=sizes.heads,
        intermediate_size=sizes.intermediate,
        embedding_size=sizes.embedding,
        activation=sizes.activation,
    )


def find_entry(name: str) -> Entry | None:
    """Finds an entry by name: `albert_tiny`, or with its contract `albert_tiny@tokens-4`."""
    return next(
        (e for e in read_entries() if name in (e.name, f"{e.published}@{e.contract}")),
        None,
    )


@cache
def read_entries() -> tuple[Entry, ...]:
    """Reads every row, in the order of the file."""
    document = tomllib.loads(CATALOG_FILE.read_text(encoding="utf-8"))
    rows = [
        (source, published, model)
        for source in document["sources"]
        for published, model in source["models"].items()
    ]
    newest: dict[str, str] = {}
    for source, published, _ in sorted(rows, key=lambda r: NEWEST_FIRST.index(r[0]["contract"])):
        newest.setdefault(published, source["contract"])
    return tuple(
        _make_entry(document, source, published, model, newest[published] == source["contract"])
        for source, published, model in rows
    )


def _make_entry(
    document: dict[str, Any],
    source: dict[str, Any],
    published: str,
    model: dict[str, Any],
    is_newest: bool,
) -> Entry:
    """Makes the entry of one model.

    Args:
        document: the whole document.
        source: the entry of `sources` that has the model.
        published: the published name.
        model: the model's own data.
        is_newest: whether its contract is the newest of this name.
    """
    contract = source["contract"]
    url = model.get("url", source["url"])
    configuration = None
    known = dict(document["contracts"][contract]["known"])
    if "configuration" in model:
        sizes = document["configurations"][model["configuration"]]
        sizes = sizes | {"layers": model.get("layers", sizes["layers"])}
        configuration = Configuration(name=model["configuration"], **sizes)
        known = {"configuration": configuration.known} | known
    return Entry(
        name=published if is_newest else f"{published}@{contract}",
        published=published,
        contract=contract,
        configuration=configuration,
        vocab_size=document["vocab_size"],
        url=url.format(name=published),
        published_url=source.get("published_url", url).format(name=published),
        megabytes=model.get("megabytes"),
        deprecated=source.get("deprecated", False),
        known=known | {"url": source.get("known", "d")},
    )


def _read_contracts() -> dict[str, dict[str, Any]]:
    """Reads the inputs and outputs of each contract."""
    document: dict[str, dict[str, Any]] = tomllib.loads(CATALOG_FILE.read_text(encoding="utf-8"))
    return document["contracts"]


# `python -m export catalog` prints the catalog as a table or as JSON.

EXAMPLE = """examples:
  python -m export catalog
  python -m export catalog --json
  python -m export inspect albert_tiny
"""
COLUMNS = (
    "name", "architecture", "layers", "hidden", "heads", "intermediate", "embedding",
    "activation", "vocab", "contract", "config", "in", "out", "url", "MB", "state", "address",
)  # fmt: skip
NUMERIC_COLUMNS = {"layers", "hidden", "heads", "intermediate", "embedding", "vocab", "MB"}


def add_command(commands: Any) -> None:
    """Adds the subcommand to the parser of `python -m export`."""
    command = commands.add_parser(
        "catalog",
        help="every model that the collection published",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--json", action="store_true", help="for programs")
    command.set_defaults(run=_run_catalog)


def _run_catalog(options: argparse.Namespace) -> None:
    """Runs `python -m export catalog`."""
    if options.json:
        print(_catalog_json())
    else:
        print(format_catalog(read_entries()), _format_footer(), sep="\n\n")


def _catalog_json() -> str:
    """Returns the rows, the contracts and the meaning of the marks as JSON."""
    rows = [asdict(entry) | {"mark": entry.mark, "group": entry.group} for entry in read_entries()]
    document = {"marks": CERTAINTY_MARKS, "contracts": _read_contracts(), "models": rows}
    return json.dumps(document, ensure_ascii=False, indent=2)


def format_catalog(entries: tuple[Entry, ...]) -> str:
    """Formats the entries as a table."""
    numeric = [COLUMNS.index(name) for name in NUMERIC_COLUMNS]
    return format_table(COLUMNS, map(row_cells, entries), numeric)


def row_cells(entry: Entry) -> list[str]:
    """Returns the cells of one row as text; `-` if a column does not apply."""
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
    return ["-" if values[name] is None else str(values[name]) for name in COLUMNS]


def _format_footer() -> str:
    """Returns the text that explains the marks and the contracts."""
    lines = ["How surely config(uration), in(puts), out(puts) and url are known:"]
    lines += [f"  {mark}  {meaning}" for mark, meaning in CERTAINTY_MARKS.items()]
    lines.append("A model that says otherwise in its own signature is right, and the table wrong.")
    lines.append("Contracts:")
    for name, contract in _read_contracts().items():
        lines.append(f"  {name.ljust(9)}  {contract['takes']} → {contract['gives']}")
    for entry in read_entries():
        if entry.published_url != entry.url:
            lines.append(f"{entry.name} was published as {entry.published_url}, a page.")
    lines.append("The name of a row is a handle; the hosts no longer answer for most people.")
    return "\n".join(lines)
