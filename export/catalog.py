"""The catalog of the collection: what each model is, where it was published, how surely we know.

`catalog.toml` holds the facts once; an `Entry` is one row of the table.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from export.architectures.config import EncoderConfig
from export.errors import UserError

FILE = Path(__file__).with_name("catalog.toml")
# From the surest to the least sure.
MARKS = {
    "d": "documented by the collection or by the model's own publisher",
    "h": "read off the history of the code that made the models",
    "a": "assumed by us",
}
# A published name that two contracts share stands for the newer one.
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

    `name` is its handle: the published name, with `@contract` behind it where a newer contract has
    the same. `configuration` is None for a tokenizer. `published_url` differs from `url` where
    what was published is a page about the file. `known` has a mark for each of `configuration`,
    `inputs`, `outputs` and `url`.
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
        """The least sure of its marks."""
        return max(self.known.values(), key=list(MARKS).index)

    @property
    def group(self) -> str:
        """Equal in entries that differ in nothing but their weights: one build stands for all."""
        if self.configuration is None:
            return self.contract
        return f"{self.configuration.name}-L{self.configuration.layers}/{self.contract}"


def config_of(entry: Entry, vocab_size: int | None = None) -> EncoderConfig:
    """The encoder of an entry, for its own vocab or for one of another size.

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


def find(name: str) -> Entry | None:
    """The entry of this name: `albert_tiny`, or with its contract `albert_tiny@tokens-4`."""
    return next(
        (e for e in entries() if name in (e.name, f"{e.published}@{e.contract}")),
        None,
    )


@cache
def entries() -> tuple[Entry, ...]:
    """Every row, in the order of the file."""
    document = tomllib.loads(FILE.read_text(encoding="utf-8"))
    rows = [
        (source, published, model)
        for source in document["sources"]
        for published, model in source["models"].items()
    ]
    newest: dict[str, str] = {}
    for source, published, _ in sorted(rows, key=lambda r: NEWEST_FIRST.index(r[0]["contract"])):
        newest.setdefault(published, source["contract"])
    return tuple(
        entry_of(document, source, published, model, newest[published] == source["contract"])
        for source, published, model in rows
    )


def entry_of(
    document: dict[str, Any],
    source: dict[str, Any],
    published: str,
    model: dict[str, Any],
    is_newest: bool,
) -> Entry:
    """One model of one source."""
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


def contracts() -> dict[str, dict[str, Any]]:
    """What each contract takes and gives."""
    document: dict[str, dict[str, Any]] = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return document["contracts"]
