"""Chooses Python's tokenizer: a tokenizer SavedModel, or a named class with a vocab.

The options come first, then the model's files, then the bundle's contract, whose claims are tested.
Nothing of the embedded default is used for another bundle.
"""

import argparse
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from export.confined import confinement
from export.confined.confinement import AllowedPaths, Limits
from export.source import hub
from export.source.vetting import vet
from export.tokenizer import ALGORITHMS, TokenizerSpec, library_versions
from export.tokenizer.facts import TokenizerFacts, read_facts, read_folder
from parity_tests.provenance import Contract
from support.errors import EnvironmentProblem, UserError

LOOKUP_TIME_LIMIT = 600
"""That reading a model's tables may take at most."""


@dataclass(frozen=True)
class TokenizerDescription:
    """What a report says of Python's tokenizer.

    Attributes:
        model: the path of its SavedModel, or None.
        vocab: the path of its vocab, or None.
        algorithm: the name of its class; None for a SavedModel.
        options: of the class; None for a SavedModel.
        origin: a phrase that says where each of these comes from.
        versions: of Python and of the tokenizer's packages.
    """

    model: str | None
    vocab: str | None
    algorithm: str | None
    options: dict[str, bool] | None
    origin: str
    versions: dict[str, str]


@dataclass(frozen=True)
class TokenizerSource:
    """A tokenizer SavedModel (`model`, with a `vocab` where it has none), or a class and a vocab.

    `spec` is the class and its options; for a SavedModel, its algorithm only decides how pairs are
    cut. `python` is the interpreter that runs the class. `origin` says, for the report, where all
    this comes from.
    """

    model: Path | None = None
    vocab: Path | None = None
    spec: TokenizerSpec | None = None
    python: Path | None = None
    origin: str = ""

    def arguments(self) -> list[str]:
        """Returns the same as options of a command line."""
        found = [] if self.model is None else ["--tokenizer-model", str(self.model)]
        found += [] if self.vocab is None else ["--vocab", str(self.vocab)]
        if self.spec is not None:
            found += ["--tokenizer", self.spec.algorithm]
            found += [] if self.model else _option_arguments(self.spec)
        return found + ([] if self.python is None else ["--tokenizer-python", str(self.python)])

    def files(self) -> list[Path]:
        """Returns the paths that a process reads to run it."""
        found = [path for path in (self.model, self.vocab) if path is not None]
        return [*found, *(confinement.python_paths(self.python) if self.python else ())]

    def versions(self) -> dict[str, str]:
        """Returns the versions of Python and of the tokenizer's packages, in its interpreter.

        Raises:
            UserError: the interpreter does not exist, or lacks a package.
        """
        algorithm = "tf-text" if self.spec is None or self.model else self.spec.algorithm
        return library_versions(algorithm, self.python)

    def description(self) -> TokenizerDescription:
        """Returns what a report says of it."""
        spec = None if self.model else self.spec
        return TokenizerDescription(
            model=None if self.model is None else str(self.model),
            vocab=None if self.vocab is None else str(self.vocab),
            algorithm=spec.algorithm if spec else None,
            options=spec.options if spec else None,
            origin=self.origin,
            versions=self.versions(),
        )


def _option_arguments(spec: TokenizerSpec) -> list[str]:
    """Returns a class's options as flags, without its defaults."""
    if spec.algorithm == "chars":
        return []
    flags = [] if spec.lower_case else ["--cased"]
    if spec.algorithm == "bert" and spec.strips_accents != spec.lower_case:
        flags.append("--strip-accents" if spec.strips_accents else "--keep-accents")
    return flags + ([] if spec.split_chinese else ["--no-split-chinese"])


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that name Python's tokenizer."""
    group = parser.add_argument_group("Python's tokenizer")
    group.add_argument("--tokenizer-model", metavar="HANDLE", help="the tokenizer's SavedModel")
    group.add_argument("--vocab", type=Path, metavar="FILE", help="vocab.txt, a token a line")
    group.add_argument(
        "--tokenizer",
        choices=(*ALGORITHMS, "sample", "full", "none"),
        metavar="|".join(ALGORITHMS),
        help="its class; default: what the bundle says (sample, full and none are the old names of "
        "--tokenizer-proof's)",
    )
    case = group.add_mutually_exclusive_group()
    case.add_argument("--cased", action="store_true", help="it keeps upper case and accents")
    case.add_argument("--uncased", action="store_true", help="it makes lower case")
    accents = group.add_mutually_exclusive_group()
    accents.add_argument("--keep-accents", action="store_true", help="for bert alone")
    accents.add_argument("--strip-accents", action="store_true", help="for bert alone")
    group.add_argument("--no-split-chinese", action="store_true", help="for bert alone")
    group.add_argument(
        "--tokenizer-python",
        type=Path,
        metavar="PYTHON",
        help="the interpreter of the environment that your Python side runs in",
    )


def used_class_options(options: argparse.Namespace) -> list[str]:
    """Returns the options of a class that are set."""
    names = ("cased", "uncased", "keep_accents", "strip_accents", "no_split_chinese")
    return [f"--{name.replace('_', '-')}" for name in names if getattr(options, name)]


def parse_tokenizer_source(options: argparse.Namespace) -> TokenizerSource:
    """Parses the options that `TokenizerSource.arguments` wrote."""
    spec = _choose_spec(options, options.tokenizer, None, None) if options.tokenizer else None
    model = None if options.tokenizer_model is None else Path(options.tokenizer_model)
    return TokenizerSource(model, options.vocab, spec, options.tokenizer_python)


def choose_tokenizer(
    options: argparse.Namespace, contract: Contract, model: Path, out: Path
) -> TokenizerSource:
    """Chooses the tokenizer that a bundle of `model` is compared with.

    Args:
        options: those of `add_options`.
        contract: the bundle's; its algorithm and options count where nothing else says them.
        model: the SavedModel, whose assets may name its tokenizer.
        out: a directory for the vocab of a model that takes token strings.

    Raises:
        UserError: a missing file, contradicting options, a vocab of another size than the
            bundle's, no vocab at all, or a model that `vet` refuses.
    """
    claimed = _claimed_spec(contract)
    if options.tokenizer_model is not None:
        extra = [*used_class_options(options), *(["--tokenizer"] if options.tokenizer else [])]
        if extra:
            raise UserError(
                f"got --tokenizer-model and {', '.join(extra)}, expected one of the two: "
                "the model says itself what it does"
            )
        if options.tokenizer_python is not None:
            raise UserError(
                "got --tokenizer-model and --tokenizer-python, expected one of the two; the "
                "SavedModel runs here, a class (--vocab, --tokenizer) in the interpreter you name"
            )
        directory = hub.resolve(options.tokenizer_model)
        origin = "the tokenizer SavedModel of --tokenizer-model"
        return TokenizerSource(
            directory, _check_vocab_option(options, contract), claimed, None, origin
        )
    # The model is vetted before any of its files is read, such as a vocab among its assets.
    vet(model)
    facts = read_facts(model)
    if (facts is None or facts.says_nothing) and options.vocab is not None:
        facts = read_folder(options.vocab.parent) or facts
    vocab, where = _choose_vocab(options, contract, facts, model, out)
    algorithm = options.tokenizer or claimed.algorithm
    spec = _choose_spec(options, algorithm, facts, claimed)
    if used_class_options(options):
        why = f"options {' '.join(used_class_options(options))} and what else the bundle says"
    elif facts is not None and facts.spec is not None:
        why = f"options from {facts.why}"
    else:
        why = "options as the bundle says"
    named = "of --tokenizer" if options.tokenizer else "as the bundle says"
    origin = f"{algorithm} {named}, {where}, {why}"
    source = TokenizerSource(None, vocab, spec, options.tokenizer_python, origin)
    source.versions()
    return source


def _claimed_spec(contract: Contract) -> TokenizerSpec:
    """Returns the tokenizer that a bundle claims.

    Raises:
        UserError: the contract names none that is known.
    """
    try:
        claimed = contract.document["tokenizer"]
        return TokenizerSpec(claimed["algorithm"], **claimed["options"])
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{contract.path}/bundle.json names no tokenizer ({error}); export the bundle again"
        ) from None


def _choose_spec(
    options: argparse.Namespace,
    algorithm: str,
    facts: TokenizerFacts | None,
    claimed: TokenizerSpec | None,
) -> TokenizerSpec:
    """Returns a class with its options: from the options, the model's files or the bundle.

    Options that only `bert` has come only from another tokenizer of that class.

    Args:
        options: those of `add_options`.
        algorithm: the class.
        facts: from the model's files.
        claimed: from the bundle's contract.
    """
    sources = [spec for spec in (facts.spec if facts else None, claimed) if spec is not None]
    alike = [spec for spec in sources if spec.algorithm == algorithm == "bert"]
    lower = next((spec.lower_case for spec in sources), True)
    first = next(iter(alike), TokenizerSpec("bert"))
    strips = None if first.strips_accents == first.lower_case else first.strips_accents
    split = first.split_chinese
    if options.cased or options.uncased:
        lower = bool(options.uncased)
    if options.keep_accents or options.strip_accents:
        strips = bool(options.strip_accents)
    if algorithm == "chars":
        lower = True
    return TokenizerSpec(algorithm, lower, strips, split and not options.no_split_chinese)


def _choose_vocab(
    options: argparse.Namespace,
    contract: Contract,
    facts: TokenizerFacts | None,
    model: Path,
    out: Path,
) -> tuple[Path, str]:
    """Returns the vocab file, and a phrase that says where it comes from.

    Args:
        options: those of `add_options`.
        contract: the bundle's.
        facts: from the model's files.
        model: the SavedModel.
        out: a directory for the vocab of the model's own lookup table.

    Raises:
        UserError: see `choose_tokenizer`.
        EnvironmentProblem: the model could not be searched.
    """
    own = _check_vocab_option(options, contract)
    if own is not None:
        return own, "the vocab of --vocab"
    if facts is not None and facts.vocab is not None:
        return facts.vocab, "the vocab in the model's own assets"
    table = out / "vocab.of_model.txt"
    arguments = ["-m", "parity_tests.runners.lookup_table", str(model), str(table)]
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="confined-") as scratch:
        reach = AllowedPaths(Path(scratch), (model,), (out,))
        done = subprocess.run(
            confinement.confined_command(
                arguments, reach, Limits().memory_bytes, LOOKUP_TIME_LIMIT
            ),
            capture_output=True,
            text=True,
        )
    if done.returncode == 0:
        return table, "the vocab in the model's own lookup table"
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    if done.returncode != UserError.exit_code or not errors:
        last = next(iter(done.stderr.strip().splitlines()[-1:]), "it printed nothing")
        raise EnvironmentProblem(f"looking for a vocab in {model} failed: {last}")
    raise UserError(
        f"{errors[-1].removeprefix('error: ')}; name the vocab that your Python side uses with "
        "--vocab, or its tokenizer SavedModel with --tokenizer-model"
    )


def _check_vocab_option(options: argparse.Namespace, contract: Contract) -> Path | None:
    """Returns the file of --vocab, or None without it.

    Raises:
        UserError: it is no file, or has another number of lines than the bundle's vocab.
    """
    path: Path | None = options.vocab
    if path is None:
        return None
    if not path.is_file():
        raise UserError(f"--vocab {path} is no file; expected a vocab.txt, one token a line")
    lines = path.read_bytes().removesuffix(b"\n").count(b"\n") + 1
    claimed = contract.document.get("tokenizer", {}).get("vocab_size")
    if lines != claimed:
        raise UserError(
            f"--vocab {path} has {lines} lines, but {contract.path} was exported with a vocab of "
            f"{claimed}; name the vocab that the model was trained with"
        )
    return path


def version_note(contract: Contract, source: TokenizerSource) -> str:
    """Returns a note where the bundle's tables come from other library versions, else ""."""
    provenance = contract.document.get("provenance", {})
    made = provenance.get("tokenizer") or provenance.get("versions") or {}
    here = {name: version for name, version in source.versions().items() if name != "python"}
    others = [name for name, version in here.items() if made.get(name, version) != version]
    if not others:
        return ""
    then, now = (", ".join(f"{name} {of[name]}" for name in others) for of in (made, here))
    return (
        f"the bundle's tokenizer is of {then}, the reference here of {now}; "
        "--tokenizer-python PYTHON takes the interpreter that it was made with"
    )
