"""The report of one bundle, as it is written to `report.json` (its schema is in REPORT.md).

Every form of the report shows this one document: terminal, page, JUnit and annotations.
assemble.py makes it.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from parity_tests.checks.decisions import LabelDecisions
from parity_tests.checks.stored_parts import PartResult
from parity_tests.runners.tokenizer_source import TokenizerDescription
from parity_tests.tokenizer.proof import ProofResult
from parity_tests.training.judgement import TrainingResult

SCHEMA = "bert-bridge/parity"
SCHEMA_VERSION = 3


@dataclass(frozen=True)
class BundleEntry:
    """The bundle; `sha256` is of `bundle.json`, and the others are claims of its contract."""

    path: str
    sha256: str
    name: str
    architecture: str | None
    trained: bool | None
    weight_dtype: str | None
    padding: str | None
    max_length: int | None


@dataclass(frozen=True)
class SourceEntry:
    """The Python side.

    Attributes:
        model: the path of its SavedModel.
        tokenizer: what gave the ids.
        notes: what a reader must know about the comparison.
        sha256: of the model here.
        bundle_made_from: the sha256 of the model that the bundle names as its source, or None.
        same: whether the two are equal; None where the bundle names none.
    """

    model: str
    tokenizer: TokenizerDescription
    notes: list[str]
    sha256: str
    bundle_made_from: str | None
    same: bool | None


@dataclass(frozen=True)
class ClassifierEntry:
    """The classifier; `note` is its path, or the reason why there is none."""

    path: str | None
    note: str


@dataclass(frozen=True)
class CaseEntry:
    """One text of the case file, with its number of tokens in Python without special tokens."""

    case: int
    batch: int
    text: str
    pair: str | None
    max_length: int | None
    tokens: int


@dataclass(frozen=True)
class BudgetEntry:
    """|node - python| <= atol + rtol * |python|; `origin` says how the two were derived."""

    atol: float
    rtol: float
    origin: str

    @property
    def exact(self) -> bool:
        """Whether the two sides must be equal."""
        return self.atol == self.rtol == 0

    def __str__(self) -> str:
        r"""Formats the whole budget: a distance beyond it is never ok.

        >>> str(BudgetEntry(1.1e-05, 2e-06, ""))
        '1.1e-05 + 2e-06·|v|'
        """
        relative = f" + {self.rtol:g}·|v|" if self.rtol else ""
        return f"{self.atol:g}{relative}"


@dataclass(frozen=True)
class MeasuresEntry:
    """How far apart the two sides are, see `compare.Measures`."""

    max_abs: float
    max_rel: float
    rms: float
    cosine: float | None
    smallest_atol: float
    snr_db: float | None
    ulps: list[int]


@dataclass(frozen=True)
class RowKey:
    """What a row is about: a backend, special tokens, a comparison and a stage."""

    backend: str
    special_tokens: str
    comparison: str
    stage: str

    @property
    def key(self) -> tuple[str, ...]:
        """The same for a row, its failures and its points."""
        return (self.backend, self.special_tokens, self.comparison, self.stage)


@dataclass(frozen=True)
class RowEntry(RowKey):
    """One row of the matrix.

    Attributes:
        is_tap: whether the stage is inside the model.
        status: `pass`, `drift` or `downstream`.
        texts: how many were measured.
        failing: how many texts failed.
        compared: values.
        budget: the tolerance.
        measures: None where nothing could be measured.
        decisions: at the stage `label`, else None.
        worst_case: the text with the largest difference.
    """

    is_tap: bool
    status: str
    texts: int
    failing: int
    compared: int
    budget: BudgetEntry
    measures: MeasuresEntry | None
    decisions: LabelDecisions | None
    worst_case: int | None

    @property
    def budget_share(self) -> float | None:
        """The tolerance that it needs over the one that it has; None where there is none."""
        if self.measures is None or self.budget.atol <= 0:
            return None
        return self.measures.smallest_atol / self.budget.atol


@dataclass(frozen=True)
class FailureEntry(RowKey):
    """One failed check of a row; `case` is None where it is not about a single text."""

    status: str
    check: str
    case: int | None
    message: str


@dataclass(frozen=True)
class PointEntry(RowKey):
    """The largest difference of one text, for the plots."""

    case: int
    max_abs: float


@dataclass(frozen=True)
class TokensEntry:
    """Both sides' tokens of a text whose tokens differ, first at index `first_difference`."""

    backend: str
    special_tokens: str
    case: int
    node: list[str]
    python: list[str]
    first_difference: int


@dataclass(frozen=True)
class OwnProgramEntry:
    """A program of the user's: its name among the backends, its command, the stages it answered.

    `skipped` are the texts that it does not take, with its reason.
    """

    name: str
    command: list[str]
    answered: list[str]
    not_answered: list[str]
    skipped: dict[int, str]


@dataclass(frozen=True)
class ParityReport:
    """The whole report; REPORT.md describes each part."""

    verdict: str
    first_stage_off: str | None
    bundle: BundleEntry
    source: SourceEntry
    classifier: ClassifierEntry
    versions: dict[str, str]
    cases: list[CaseEntry]
    stored_parts: dict[str, PartResult]
    storage: list[RowEntry]
    tokenizers: ProofResult | None
    rows: list[RowEntry]
    skipped_invariances: dict[str, str]
    problem: str
    failures: list[FailureEntry]
    points: list[PointEntry]
    tokens: list[TokensEntry]
    training: TrainingResult | None
    own_programs: list[OwnProgramEntry] = field(default_factory=list)
    repro: list[str] = field(default_factory=list)
    schema: str = SCHEMA
    schema_version: int = SCHEMA_VERSION

    def backends(self) -> list[str]:
        """Returns the names of the backends in order."""
        return list(dict.fromkeys(row.backend for row in self.rows))

    def to_json(self, indent: int | None = None) -> str:
        """Returns the document as JSON; NaN and infinity, which JSON lacks, are never measured."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=indent, allow_nan=False)

    def write(self, path: Path) -> None:
        """Writes `report.json`."""
        path.write_text(self.to_json(indent=1) + "\n", encoding="utf-8")
