"""Runs the judge; the only file of the fault injection that imports it."""

import json
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from fault_injection.material import LANES, code_hash
from fault_injection.sources import SOURCES, CleanBundle, CleanMaterial, SourceSpec
from parity_tests import cases
from parity_tests.judgement import judge_bundle
from parity_tests.reference import Reference, prepare_reference
from parity_tests.reports.report import ParityReport
from parity_tests.runners.tokenizer_source import TokenizerSource
from support.atomic import write_file
from support.contracts import CONTRACT
from support.errors import EnvironmentProblem, UserError
from support.errors import EnvironmentProblem as Unable
from support.printing import Say

# The texts for all bundles: reviews of several lengths, and hard texts. The hard ones have what the
# tokenizer faults change: full-width and compatibility forms, upper case, marks, a word that no
# pieces cover, a special token written in the text. A model of 64 positions cuts none of them; one
# of 40 positions cuts the longest.

HARD_TEXTS = (
    "ＡＢＣ１２３：全角和ｈａｌｆ－ｗｉｄｔｈ…①㈱",
    "Hello, the Café #1 [SEP] cre\u0323\u0302me was unbelievable Привет!",
    "𠮷野家 😀 very good computer",
)
LENGTHS = ((4, 8), (12, 18), (24, 30), (36, 38), (52, 56))
"""Characters of the reviews: lowest and highest number."""


def _write_texts(data: Path, file: Path) -> int:
    """Writes JSON lines with `text`; returns how many."""
    with data.open(encoding="utf-8", newline="\n") as stream:
        known = [json.loads(line)["text"] for line in stream if line.strip()]
    texts = list(HARD_TEXTS)
    for low, high in LENGTHS:
        texts.append(next(text for text in known if low <= len(text) <= high))
    lines = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts]
    file.write_text("".join(lines), encoding="utf-8", newline="\n")
    return len(texts)


JUDGE_FOLDERS = ("parity_tests", "export", "node_bridge", "numerics", "support")
NO_VERDICT = "run"
"""The stage of a bundle that does not run at all."""


@dataclass(frozen=True)
class Verdict:
    """The first stage that drifted, or None; `broken` where the judge itself failed."""

    stage: str | None
    message: str
    broken: bool = False


class Evaluator:
    """The judge, with the Python side of every source, which is run once."""

    def __init__(self, material: CleanMaterial, data: Path, say: Say) -> None:
        self.material = material
        self.say = say
        self.home = material.root / f"references.{code_hash(JUDGE_FOLDERS)[:16]}"
        for stale in material.root.glob("references.*"):
            if stale != self.home:
                shutil.rmtree(stale)
        self.home.mkdir(exist_ok=True)
        texts = self.home / "texts.jsonl"
        self.count = _write_texts(data, texts)
        cases.write_cases(material.cases, cases.pick_cases(cases.read_texts(texts), self.count))
        self.references: dict[str, Reference] = {}

    def prepare(self, sources: set[str]) -> None:
        """Runs the Python side of these sources, two at a time, or reads an earlier run.

        Raises:
            EnvironmentProblem: it does not run.
        """
        wanted = [source for source in SOURCES if source.name in sources]
        # The first source of each tokenizer reads its tables, and the others find them cached.
        first = {source.tokenizer: source for source in reversed(wanted)}
        rest = [source for source in wanted if first[source.tokenizer] is not source]
        with ThreadPoolExecutor(LANES) as pool:
            for group in (list(first.values()), rest):
                for source, reference in zip(group, pool.map(self.reference, group), strict=True):
                    self.references[source.name] = reference

    def reference(self, source: SourceSpec) -> Reference:
        """Runs or reads the Python side of a source."""
        directory = self.home / source.name
        file = directory / "reference.pickle"
        if file.exists():
            earlier: Reference = pickle.loads(file.read_bytes())
            return earlier
        model, tokenizer = self.material.model(source), self.material.tokenizer(source)
        contract = self.material.root / "bundles" / f"{source.name}.float32" / CONTRACT
        try:
            made_of = TokenizerSource(model=tokenizer, origin="a tokenizer SavedModel")
            reference = prepare_reference(model, made_of, self.material.cases, directory, contract)
        except (UserError, EnvironmentProblem) as error:
            raise Unable(f"Python's side of {source.name} does not run: {error}") from error
        write_file(file, pickle.dumps(reference))
        self.say(f"Python's side of {source.name}")
        return reference

    def judge(
        self,
        clean: CleanBundle,
        bundle: Path,
        backends: tuple[str, ...],
        out: Path,
        head: Path | None,
        program: Path | None,
    ) -> Verdict:
        """Judges a clean bundle or a changed copy.

        Args:
            clean: the clean bundle.
            bundle: to judge.
            backends: of TF.js.
            out: a directory for the judge.
            head: a classifier of the bundle.
            program: the runner; None: the judge's own.
        """
        reference = self.references[clean.source.name]
        counts = dict.fromkeys(backends, self.count)
        try:
            report = judge_bundle(bundle, reference, counts, out, classifier=head, runner=program)
        except (UserError, EnvironmentProblem) as error:
            return Verdict(NO_VERDICT, str(error))
        except Exception as error:  # noqa: BLE001  a judge that raises has not judged
            return Verdict(None, f"the judge broke: {type(error).__name__}: {error}", broken=True)
        if report.verdict == "pass":
            return Verdict(None, "pass")
        stage = report.first_stage_off or NO_VERDICT
        return Verdict(stage, _first_message(report, stage))


def _first_message(report: ParityReport, stage: str) -> str:
    """Returns the first message of the report about a stage."""
    part = report.stored_parts.get(stage)
    messages = [] if part is None else list(part.failures)
    messages += [failure.message for failure in report.failures if failure.stage == stage]
    return next(iter(messages), report.problem)
