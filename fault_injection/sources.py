"""The clean models: small, seeded, of every family, activation and tokenizer.

Weights have a deviation of 0.1, so that activations are about 1, as in a trained model. With the
embedded default's 0.02 and so few units, activations are so near 0 that, for example, GELU's two
forms differ by less than float32 resolves. One source has 0.02 nevertheless.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from support.contracts import WEIGHT_DTYPES

POSITIONS = 40
"""Few, so that the longer texts are cut."""


@dataclass(frozen=True)
class ClassifierSpec:
    """What a source decides by itself, with a dense layer of seeded weights on its encoder.

    Attributes:
        task: `single_label`, `multi_label`, `regression` or `token_labels`.
        labels: in the order of the scores.
        threshold: of `multi_label`.
        by_options: whether options of the export say all this (`--task`, `--labels` and
            `--threshold`), and not a file in the SavedModel, as `build` writes it.
    """

    task: str
    labels: tuple[str, ...]
    threshold: float | None = None
    by_options: bool = False


@dataclass(frozen=True)
class SourceSpec:
    """One SavedModel, and the dtypes in which it is exported.

    `tokenizer` is `lower` or `cased`: tensorflow_text's BertTokenizer. `outlier` is a
    large weight in the last row of the word embeddings, or None. The word embeddings have rows that
    no token uses, up to a multiple of `padded_to`. `classifier` is None for an encoder alone.
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
    dtypes: tuple[str, ...] = field(default=WEIGHT_DTYPES)
    outlier: float | None = None
    padded_to: int = 1
    classifier: ClassifierSpec | None = None

    @property
    def shared(self) -> bool:
        """Whether all layers have the same weights."""
        return self.architecture == "albert"

    @property
    def pooled(self) -> bool:
        """Whether a dense layer makes `pooled_output`."""
        return self.architecture != "electra"

    @property
    def has_large_activations(self) -> bool:
        """Whether its activations are as large as a trained model's."""
        return self.deviation >= 0.05

    def sizes(self) -> dict[str, Any]:
        """Returns the fields as plain values."""
        return asdict(self)


MOODS = ClassifierSpec("single_label", ("坏", "一般", "好"))
TOPICS = ClassifierSpec("multi_label", ("体育", "财经", "娱乐", "科技"), 0.4, by_options=True)
ENTITIES = ClassifierSpec("token_labels", ("O", "B-LOC", "I-LOC", "B-PER", "I-PER"))
STARS = ClassifierSpec("regression", ("stars",), by_options=True)

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
    # A value beyond float16's range, in the row of a piece that no text has.
    SourceSpec(
        "outlier", "bert", 32, 2, 2, "gelu_tanh", 14, 32, dtypes=WEIGHT_DTYPES[:2], outlier=70000.0
    ),
    # Fine-tuned models, which decide by themselves. Like many, some have rows without a token.
    SourceSpec(
        "moods",
        "bert",
        32,
        2,
        2,
        "gelu_erf",
        16,
        32,
        dtypes=WEIGHT_DTYPES[:2],
        padded_to=64,
        classifier=MOODS,
    ),
    SourceSpec(
        "moods_b",
        "bert",
        32,
        2,
        2,
        "gelu_erf",
        17,
        32,
        dtypes=WEIGHT_DTYPES[:1],
        padded_to=64,
        classifier=MOODS,
    ),
    SourceSpec(
        "topics",
        "albert",
        64,
        2,
        4,
        "gelu_tanh",
        18,
        32,
        dtypes=("float32", "uint16"),
        classifier=TOPICS,
    ),
    SourceSpec(
        "entities",
        "electra",
        32,
        2,
        2,
        "gelu_erf",
        19,
        32,
        tokenizer="cased",
        dtypes=("float32", "uint8"),
        classifier=ENTITIES,
    ),
    SourceSpec(
        "stars", "bert", 32, 1, 2, "gelu_erf", 20, 32, dtypes=WEIGHT_DTYPES[:1], classifier=STARS
    ),
)


def _sibling_name(name: str) -> str | None:
    """Returns the source of the same shape and another seed, like an earlier training state."""
    names = {source.name for source in SOURCES}
    other = name.removesuffix("_b") if name.endswith("_b") else f"{name}_b"
    return other if other in names else None


# The directories of the clean models and bundles.

SOURCES_WITH_HEAD = (
    "bert_tanh",
    "bert_tanh_b",
    "albert_tanh",
    "albert_tanh_b",
    "electra_small",
    "bert_erf",
)
"""Sources whose float32 bundle has a classifier; siblings both, for a head of another bundle."""


@dataclass(frozen=True)
class CleanMaterial:
    """The directory with all clean models, bundles, tables and heads."""

    root: Path

    @property
    def cases(self) -> Path:
        """The case file of all judgements."""
        return self.root / "cases.jsonl"

    def model(self, source: SourceSpec) -> Path:
        """Returns the path of the SavedModel."""
        return self.root / "models" / source.name

    def tokenizer(self, source: SourceSpec) -> Path:
        """Returns the path of the tokenizer's SavedModel."""
        return self.root / "tokenizers" / source.tokenizer

    def tables(self, name: str) -> Path:
        """Returns the tables of a tokenizer: `lower`, `cased`, `bert`, `fast`."""
        return self.root / "tables" / f"{name}.bin"

    def head(self, name: str) -> Path:
        """Returns the classifier of a source's float32 bundle."""
        return self.root / "heads" / name

    def cleans(self) -> list["CleanBundle"]:
        """Returns every clean bundle."""
        return [CleanBundle(self, source, dtype) for source in SOURCES for dtype in source.dtypes]


@dataclass(frozen=True)
class CleanBundle:
    """A bundle as the exporter made it."""

    material: CleanMaterial
    source: SourceSpec
    dtype: str

    @property
    def name(self) -> str:
        """The source and the dtype."""
        return f"{self.source.name}.{self.dtype}"

    @property
    def path(self) -> Path:
        """The directory of the bundle."""
        return self.material.root / "bundles" / self.name

    @property
    def head(self) -> Path | None:
        """Its classifier, or None."""
        there = self.dtype == "float32" and self.source.name in SOURCES_WITH_HEAD
        return self.material.head(self.source.name) if there else None

    @property
    def sibling(self) -> "CleanBundle | None":
        """The bundle of the same shape and other weights, or None."""
        name = _sibling_name(self.source.name)
        others = [clean for clean in self.material.cleans() if clean.dtype == self.dtype]
        return next((clean for clean in others if clean.source.name == name), None)
