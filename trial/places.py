"""Where clean material lies, and what a clean bundle is."""

from dataclasses import dataclass
from pathlib import Path

from trial.sources import SOURCES, Source, twin

ROOT = Path(__file__).parents[1]
HEADS = ("bert_tanh", "bert_tanh_b", "albert_tanh", "albert_tanh_b", "electra_small", "bert_erf")
"""Sources whose float32 bundle has a classifier; of a pair both, for a head of another bundle."""


@dataclass(frozen=True)
class Material:
    """One directory with all clean material."""

    root: Path

    @property
    def cases(self) -> Path:
        """The case file of all judgements."""
        return self.root / "cases.jsonl"

    def model(self, source: Source) -> Path:
        """The SavedModel."""
        return self.root / "models" / source.name

    def tokenizer(self, source: Source) -> Path:
        """The tokenizer's SavedModel."""
        return self.root / "tokenizers" / source.tokenizer

    def tables(self, name: str) -> Path:
        """The tables of a tokenizer: `lower`, `cased`, `bert`, `fast`."""
        return self.root / "tables" / f"{name}.bin"

    def head(self, name: str) -> Path:
        """The classifier of a source's float32 bundle."""
        return self.root / "heads" / name

    def cleans(self) -> list["Clean"]:
        """Every clean bundle."""
        return [Clean(self, source, dtype) for source in SOURCES for dtype in source.dtypes]


@dataclass(frozen=True)
class Clean:
    """A bundle as the exporter made it."""

    material: Material
    source: Source
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
        there = self.dtype == "float32" and self.source.name in HEADS
        return self.material.head(self.source.name) if there else None

    @property
    def twin(self) -> "Clean | None":
        """The bundle of the same shape and other weights, None where there is none."""
        name = twin(self.source.name)
        others = [clean for clean in self.material.cleans() if clean.dtype == self.dtype]
        return next((clean for clean in others if clean.source.name == name), None)
