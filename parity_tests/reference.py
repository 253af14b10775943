"""The Python side of a judgement: run once for a model, used for every bundle made from it."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors.numpy import save_file

from export.bundle import exporter_sha256
from parity_tests import cases
from parity_tests.cases import TextCase, read_cases, tapped_batches
from parity_tests.checks import stages, weights
from parity_tests.checks.budgets import Budgets
from parity_tests.checks.head import add_decisions
from parity_tests.checks.stages import StageRow
from parity_tests.provenance import Contract
from parity_tests.runners import runners, runs
from parity_tests.runners.long_texts import LongRule
from parity_tests.runners.runners import NodeSide
from parity_tests.runners.runs import RunOutput
from parity_tests.runners.tokenizer_source import TokenizerSource
from support import python_path
from support.contracts import CONTRACT
from support.errors import EnvironmentProblem
from support.sha256 import path_sha256

TOKENIZERS = Path("artifacts/reference")
"""The cache of tokenizer bundles, by the hash of their source and of the code that reads it."""


@dataclass(frozen=True)
class Reference:
    """Python's answers, and what the source's own files say.

    `tokenizer` is a bundle of the tokenizer alone, made afresh from its source; None where the
    source does not say which tokenizer it is, and `tokenizer_note` then says why.
    """

    directory: Path
    model: Path
    tokenizer_source: TokenizerSource
    cases: Path
    run: RunOutput
    weights: Path
    vocab: list[str]
    tokenizer: Path | None
    tokenizer_note: str = ""

    def with_weights_of(self, bundle: Path) -> RunOutput | None:
        """Runs Python with the weights as a bundle stores them.

        Returns None where the bundle does not store one of the model's variables as a weight of
        its own, so that Python cannot use it.
        """
        file = self.stored_weights(bundle)
        if file is None:
            return None
        out = file.with_name(file.name.replace("stored", "python"))
        if not out.exists():
            contract = bundle / CONTRACT
            both = (self.model, self.tokenizer_source)
            tapped = tapped_batches(read_cases(self.cases))
            runners.run_python(*both, self.cases, out, contract, tapped, stored=file)
        return runs.read_run(out)

    def rerun(
        self, cases: Path, bundle: Path, stored: bool, out: Path, tapped: Iterable[int] = (0,)
    ) -> RunOutput:
        """Runs Python on other cases.

        Args:
            cases: the case file.
            bundle: names the taps, and perhaps the weights.
            stored: whether to run with the weights as the bundle stores them.
            out: the file for the answers.
            tapped: the batches whose taps are read.
        """
        file = self.stored_weights(bundle) if stored else None
        both = (self.model, self.tokenizer_source)
        contract = bundle / CONTRACT
        return runners.run_python(*both, cases, out, contract, tapped, stored=file, costs=False)

    def read_long_texts(self, cases: Path, bundle: Path, stored: bool, rule: LongRule) -> RunOutput:
        """Runs Python on long texts, each in a batch of its own.

        Args:
            cases: the case file; the answers go beside it.
            bundle: its contract has the signature, and perhaps its weights are used.
            stored: whether to run with the weights as the bundle stores them.
            rule: how the texts are read.
        """
        file = self.stored_weights(bundle) if stored else None
        out = cases.with_suffix(f".python{'.stored' if stored else ''}.safetensors")
        both, contract = (self.model, self.tokenizer_source), bundle / CONTRACT
        return runners.run_python(
            *both, cases, out, contract, (), stored=file, costs=False, long=rule
        )

    def stored_weights(self, bundle: Path) -> Path | None:
        """Writes a bundle's weights as the model's variables; None where that is impossible."""
        stored = weights.stored_variables(bundle, self.weights)
        if stored is None:
            return None
        name = hashlib.sha256(b"".join(v.tobytes() for v in stored.values())).hexdigest()[:16]
        file = self.directory / f"stored.{name}.safetensors"
        if not file.exists():
            save_file(stored, file)
        return file


def prepare_reference(
    model: Path,
    source: TokenizerSource,
    cases: Path,
    directory: Path,
    contract: Path,
) -> Reference:
    """Runs the Python side.

    Args:
        model: the SavedModel.
        source: describes its tokenizer.
        cases: a case file.
        directory: for the answers.
        contract: `bundle.json` of a bundle of the model, which names the taps.

    Raises:
        UserError, EnvironmentProblem: see `runners.run_and_read`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    out = directory / "python.safetensors"
    with FreshTokenizer(source) as reading:
        run = runners.run_python(
            model, source, cases, out, contract, tapped_batches(read_cases(cases))
        )
        tokenizer, note = reading.finished()
    assert run.facts is not None, "Python's runner always writes facts"
    return Reference(
        directory,
        model,
        source,
        cases,
        run,
        runners.weights_beside(out),
        list(run.facts["vocab"]),
        tokenizer,
        note,
    )


class FreshTokenizer:
    """Reads a tokenizer into a bundle of its own, in parallel with other work, or finds it cached.

    Reading a SavedModel takes half a minute, most of it to prove that the tables equal it.
    """

    def __init__(self, source: TokenizerSource) -> None:
        paths = [path for path in (source.model, source.vocab) if path is not None]
        parts = [path_sha256(path) for path in paths]
        parts += [exporter_sha256(), *source.versions().values()]
        parts += [] if source.spec is None else [repr(source.spec.options_key)]
        key = hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]
        self._out = TOKENIZERS / key
        self._command = [sys.executable, "-m", "parity_tests.runners.read_tokenizer"]
        self._command += source.arguments()
        self._command += ["--out", str(self._out.resolve())]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "FreshTokenizer":
        if not (self._out / CONTRACT).exists():
            self._process = subprocess.Popen(
                self._command,
                env=os.environ | {"PYTHONPATH": python_path()},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def finished(self) -> tuple[Path | None, str]:
        """Waits for the bundle; returns it and "", or None and the reason.

        Raises:
            EnvironmentProblem: the process did not end by itself.
        """
        if self._process is None:
            return self._out, ""
        lines = self._process.communicate()[1].split("\n")
        code = self._process.returncode
        if code == 0:
            return self._out, ""
        reason = next((line for line in lines if line.startswith("error: ")), f"exit code {code}")
        if code == 2:
            return None, reason.removeprefix("error: ")
        raise EnvironmentProblem(f"reading the tokenizer's tables failed: {reason}")


@dataclass(frozen=True)
class Rerun:
    """Runs both sides again, on a few texts, with taps.

    `stored` is as in `FlowResult`, `budgets` are those of Node's run. `out` is the directory for
    `case.jsonl`, `python.safetensors` and `node.safetensors`.
    """

    contract: Contract
    reference: Reference
    side: NodeSide
    stored: bool
    budgets: Budgets
    out: Path

    def judge(self, backend: str, wanted: list[TextCase], together: bool = False) -> list[StageRow]:
        """Returns the rows of some cases, each in a batch of its own, or all in one if `together`.

        Rows name the cases by their own numbers.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        batches = [0 if together else i for i in range(len(wanted))]
        file = self.out / "case.jsonl"
        renumbered = [replace(c, case=i, batch=batches[i]) for i, c in enumerate(wanted)]
        cases.write_cases(file, renumbered)
        bundle, tapped = self.contract.path, set(batches)
        node = self.side.run(backend, len(tapped), file, self.out / "node.safetensors", tapped)
        taps = [tap["name"] for tap in self.contract.document.get("taps", [])]
        stored = self.stored
        if node.kind == "saved_model":
            taps, tapped, stored = [], set(), False
        out = self.out / "python.safetensors"
        python = self.reference.rerun(file, bundle, stored, out, tapped)
        python = add_decisions(python, self.side.classifier, self.contract)
        picked = [replace(c, batch=batches[i]) for i, c in enumerate(wanted)]
        return stages.judge_stages(backend, node, python, picked, self.budgets, taps)
