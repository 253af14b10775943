"""The clean models of the trial: small, seeded, of every family, activation and tokenizer.

Weights are drawn with a deviation of 0.1 where a trained model's layers have activations of about
1; with the embedded default's 0.02 and so few units they stay so near 0 that GELU's two forms, for
one, differ by less than float32 itself. One source has 0.02 all the same.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

DTYPES = ("float32", "float16", "uint16", "uint8")
POSITIONS = 40
"""Few, so that the longer texts are cut."""


@dataclass(frozen=True)
class SourceSpec:
    """One SavedModel, and the dtypes in which it is exported.

    `tokenizer` is `lower` or `cased`: tensorflow_text's BertTokenizer. `outlier` is a weight of
    the last row of the word embeddings, None where none is out of the ordinary. The word
    embeddings have rows that no token uses, up to a multiple of `padded_to`.
    """

    name: str
    architecture: str
    hidden: int
    layers: int
    heads: int
    activation: str
    seed: int
    embedding: int
    deviation: float = 0.1
    eps: float = 1e-12
    positions: int = POSITIONS
    tokenizer: str = "lower"
    dtypes: tuple[str, ...] = field(default=DTYPES)
    outlier: float | None = None
    padded_to: int = 1

    @property
    def shared(self) -> bool:
        """Whether all layers have the same weights."""
        return self.architecture == "albert"

    @property
    def pooled(self) -> bool:
        """Whether a dense layer makes `pooled_output`."""
        return self.architecture != "electra"

    @property
    def lively(self) -> bool:
        """Whether its activations are as large as a trained model's."""
        return self.deviation >= 0.05

    def sizes(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


SOURCES = (
    SourceSpec("bert_tanh", "bert", 64, 2, 4, "gelu_tanh", 1, 64),
    SourceSpec("bert_tanh_b", "bert", 64, 2, 4, "gelu_tanh", 11, 64),
    SourceSpec("bert_erf", "bert", 48, 3, 4, "gelu_erf", 2, 48, eps=1e-6),
    SourceSpec("bert_relu", "bert", 32, 1, 2, "relu", 3, 32, tokenizer="cased"),
    SourceSpec("bert_large", "bert", 128, 4, 8, "gelu_tanh", 4, 128, positions=64),
    SourceSpec("bert_calm", "bert", 64, 2, 4, "gelu_tanh", 10, 64, deviation=0.02, positions=512),
    SourceSpec("albert_tanh", "albert", 64, 3, 4, "gelu_tanh", 5, 32),
    SourceSpec("albert_tanh_b", "albert", 64, 3, 4, "gelu_tanh", 13, 32),
    SourceSpec("albert_relu", "albert", 96, 2, 6, "relu", 6, 48, tokenizer="cased"),
    SourceSpec("albert_erf", "albert", 32, 4, 2, "gelu_erf", 7, 16),
    SourceSpec("electra_small", "electra", 64, 2, 4, "gelu_erf", 8, 32),
    SourceSpec("electra_small_b", "electra", 64, 2, 4, "gelu_erf", 12, 32),
    SourceSpec("electra_base", "electra", 32, 2, 2, "gelu_tanh", 9, 32),
    # A value that float16 cannot hold, in the row of a piece that no text has.
    SourceSpec(
        "outlier", "bert", 32, 2, 2, "gelu_tanh", 14, 32, dtypes=DTYPES[:2], outlier=70000.0
    ),
    # As many trained models are: rows for no token, up to a multiple of 64.
    SourceSpec("padded", "bert", 32, 2, 2, "gelu_tanh", 15, 32, dtypes=DTYPES[:1], padded_to=64),
)


def sibling_name(name: str) -> str | None:
    """The source of the same shape and another seed: the training state before, so to say."""
    names = {source.name for source in SOURCES}
    other = name.removesuffix("_b") if name.endswith("_b") else f"{name}_b"
    return other if other in names else None


# Where clean material lies, and what a clean bundle is.

ROOT = Path(__file__).parents[1]
SOURCES_WITH_HEAD = (
    "bert_tanh",
    "bert_tanh_b",
    "albert_tanh",
    "albert_tanh_b",
    "electra_small",
    "bert_erf",
)
"""Sources whose float32 bundle has a classifier; of a pair both, for a head of another bundle."""


@dataclass(frozen=True)
class CleanMaterial:
    """One directory with all clean material."""

    root: Path

    @property
    def cases(self) -> Path:
        """The case file of all judgements."""
        return self.root / "cases.jsonl"

    def model(self, source: SourceSpec) -> Path:
        """The SavedModel."""
        return self.root / "models" / source.name

    def tokenizer(self, source: SourceSpec) -> Path:
        """The tokenizer's SavedModel."""
        return self.root / "tokenizers" / source.tokenizer

    def tables(self, name: str) -> Path:
        """The tables of a tokenizer: `lower`, `cased`, `bert`, `fast`."""
        return self.root / "tables" / f"{name}.bin"

    def head(self, name: str) -> Path:
        """The classifier of a source's float32 bundle."""
        return self.root / "heads" / name

    def cleans(self) -> list["CleanBundle"]:
        """Every clean bundle."""
        return [CleanBundle(self, source, dtype) for source in SOURCES for dtype in source.dtypes]


@dataclass(frozen=True)
class CleanBundle:
    """A bundle as the exporter made it."""

    material: CleanMaterial
    source: SourceSpec
    dtype: str

    @property
    def name(self) -> str:
        """Source and dtype."""
        return f"{self.source.name}.{self.dtype}"

    @property
    def path(self) -> Path:
        """The bundle."""
        return self.material.root / "bundles" / self.name

    @property
    def head(self) -> Path | None:
        """Its classifier, None where it has none."""
        there = self.dtype == "float32" and self.source.name in SOURCES_WITH_HEAD
        return self.material.head(self.source.name) if there else None

    @property
    def sibling(self) -> "CleanBundle | None":
        """The bundle of the same shape and other weights, None where there is none."""
        name = sibling_name(self.source.name)
        others = [clean for clean in self.material.cleans() if clean.dtype == self.dtype]
        return next((clean for clean in others if clean.source.name == name), None)
