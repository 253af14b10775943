"""`python -m export vocab`: makes a bundle with only a tokenizer."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export import golden
from export.bundle import DEFAULT_MAX_LENGTH, Contract, refuse_other_source, seal, versions
from export.confined import confinement
from export.confined.confinement import Limits
from export.output_directory import atomic_directory, refuse_overlap
from export.tokenizer import library_versions, make_reference, write_tokenizer
from export.tokenizer_choice import TokenizerChoice, describe_spec
from support.contracts import CONTRACT

NO_LIMITS = Limits()


@dataclass(frozen=True)
class TokenizerJob:
    """The bundle to write to `directory`, which will replace `out`."""

    directory: Path
    out: Path
    choice: TokenizerChoice
    name: str
    provenance: dict[str, Any]
    replace: bool


def export_tokenizer(
    choice: TokenizerChoice,
    out: Path,
    say: Callable[[str], None],
    replace: bool = False,
    limits: Limits = NO_LIMITS,
) -> None:
    """Writes the bundle; a confined process loads a tokenizer's SavedModel.

    Args:
        choice: the tokenizer.
        out: the directory of the bundle.
        say: prints progress messages.
        replace: whether the bundle of another source may be replaced; see `refuse_other_source`.
        limits: the limits of the process that loads a SavedModel.

    Raises:
        UserError: see `refuse_overlap`, `atomic_directory`, `run_confined` and
            `write_tokenizer_bundle`.
        EnvironmentProblem: see `run_confined` and `write_tokenizer_bundle`.
    """
    refuse_overlap(out, choice.local_files())
    provenance = choice.provenance() | {"versions": versions()}
    name = Path(choice.model or choice.vocab or "tokenizer").stem
    with atomic_directory(out, CONTRACT) as directory:
        if choice.model is None:
            write_tokenizer_bundle(
                TokenizerJob(directory, out, choice, name, provenance, replace), say
            )
        else:
            confined, files = choice.confined()
            job = TokenizerJob(directory, out, confined, name, provenance, replace)
            read = (out / CONTRACT, *files)
            confinement.run_confined("tokenizer", job, read, directory, limits, say, choice.model)


def write_tokenizer_bundle(job: TokenizerJob, say: Callable[[str], None]) -> None:
    """Writes the bundle's files and seals it.

    Raises:
        UserError: see `TokenizerChoice.choose` and `refuse_other_source`.
        EnvironmentProblem: see `make_reference`.
    """
    choice, provenance = job.choice, job.provenance
    chosen = choice.choose(None, str(choice.vocab or job.name), say)
    provenance["tokenizer"] = library_versions(chosen.spec.algorithm, choice.python)
    this = {
        "tokenizer": {"algorithm": chosen.spec.algorithm, "options": chosen.spec.options},
        "provenance": provenance,
    }
    what = f"the tokenizer {describe_spec(chosen.spec)} of {job.name}"
    refuse_other_source(job.out, this, what, job.replace)
    say(f"reading the tables of tokenizer {chosen.spec.algorithm}")
    ids, rules = (
        make_reference(chosen.spec, chosen.vocab, choice.python).encode(
            texts, special_tokens=True, max_length=DEFAULT_MAX_LENGTH
        )
        for texts in (golden.TEXTS, golden.RULE_TEXTS)
    )
    pad = chosen.vocab.special["pad"].id
    contract = Contract(
        name=job.name,
        contents="tokenizer",
        architecture=None,
        trained=None,
        weight_dtype=None,
        inputs=[],
        outputs=[],
        padding="masked",
        max_length=DEFAULT_MAX_LENGTH,
        tokenizer=write_tokenizer(
            job.directory,
            chosen.vocab,
            chosen.spec,
            adds_special_tokens=chosen.adds_special_tokens,
            python=choice.python,
        ),
        provenance=provenance,
    )
    checksums = golden.compute_checksums(job.directory, {}, contract)
    golden.write_golden_cases(
        golden.pad_batch(ids, pad, "masked"), {}, rules, checksums, job.directory
    )
    seal(job.directory, contract)
