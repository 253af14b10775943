"""What Python's tokenizer is made of: a tokenizer SavedModel, or a named class with a vocab.

The person's own choice comes first, then what the model's files say, then the bundle's contract,
whose claims are tested. Nothing of the embedded default is ever taken for another bundle.
"""

import argparse
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.confined import confinement
from export.confined.confinement import AllowedPaths, Limits
from export.source import hub
from export.source.vetting import vet
from export.tokenizer import ALGORITHMS, TokenizerSpec, library_versions
from export.tokenizer.facts import TokenizerFacts, read_facts, read_folder
from parity_tests.provenance import Contract
from support.errors import EnvironmentProblem, UserError

LOOKUP_TIME_LIMIT = 600
"""That looking into a model's tables may take."""


@dataclass(frozen=True)
class TokenizerSource:
    """A tokenizer SavedModel (`model`, with a `vocab` where it keeps none), or a class and a vocab.

    `spec` names the class and its options; of a SavedModel, its algorithm only decides how pairs
    are cut. `python` is the interpreter that runs the class. `origin` says, for the report, where
    all this comes from.
    """

    model: Path | None = None
    vocab: Path | None = None
    spec: TokenizerSpec | None = None
    python: Path | None = None
    origin: str = ""

    def arguments(self) -> list[str]:
        """The options that say the same on a command line."""
        found = [] if self.model is None else ["--tokenizer-model", str(self.model)]
        found += [] if self.vocab is None else ["--vocab", str(self.vocab)]
        if self.spec is not None:
            found += ["--tokenizer", self.spec.algorithm]
            found += [] if self.model else option_arguments(self.spec)
        return found + ([] if self.python is None else ["--tokenizer-python", str(self.python)])

    def files(self) -> list[Path]:
        """All that a process which runs it reads."""
        found = [path for path in (self.model, self.vocab) if path is not None]
        return [*found, *(confinement.python_paths(self.python) if self.python else ())]

    def versions(self) -> dict[str, str]:
        """Of Python and of the packages that tokenize, in the interpreter that runs them.

        Raises:
            UserError: the interpreter is not there, or lacks a package.
        """
        algorithm = "tf-text" if self.spec is None or self.model else self.spec.algorithm
        return library_versions(algorithm, self.python)

    def told(self) -> dict[str, Any]:
        """What a report says of it."""
        return {
            "model": None if self.model is None else str(self.model),
            "vocab": None if self.vocab is None else str(self.vocab),
            "class": self.spec.algorithm if self.spec and not self.model else None,
            "options": self.spec.options if self.spec and not self.model else None,
            "from": self.origin,
            "versions": self.versions(),
        }


def option_arguments(spec: TokenizerSpec) -> list[str]:
    """A class's options as flags, those that differ from what the class does by itself."""
    if spec.algorithm == "chars":
        return []
    flags = [] if spec.lower_case else ["--cased"]
    if spec.algorithm == "bert" and spec.strips_accents != spec.lower_case:
        flags.append("--strip-accents" if spec.strips_accents else "--keep-accents")
    return flags + ([] if spec.split_chinese else ["--no-split-chinese"])


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that name Python's tokenizer."""
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


def used_class_options(given: argparse.Namespace) -> list[str]:
    """The options of a class that were given."""
    names = ("cased", "uncased", "keep_accents", "strip_accents", "no_split_chinese")
    return [f"--{name.replace('_', '-')}" for name in names if getattr(given, name)]


def parse_tokenizer_source(given: argparse.Namespace) -> TokenizerSource:
    """What `TokenizerSource.arguments` wrote."""
    spec = choose_spec(given, given.tokenizer, None, None) if given.tokenizer else None
    model = None if given.tokenizer_model is None else Path(given.tokenizer_model)
    return TokenizerSource(model, given.vocab, spec, given.tokenizer_python)


def choose_tokenizer(
    given: argparse.Namespace, contract: Contract, model: Path, out: Path
) -> TokenizerSource:
    """The tokenizer that a bundle of `model` is judged against.

    Args:
        given: the options of `add_options`.
        contract: the bundle's; its algorithm and options count where nothing else says them.
        model: the SavedModel, whose assets may name its tokenizer.
        out: a directory for the vocab of a model that takes token strings.

    Raises:
        UserError: a file that is not there, options that contradict each other, a vocab of another
            size than the bundle's, or nothing that says which vocab it is.
        UserError: see `vet`.
    """
    claimed = claimed_spec(contract)
    if given.tokenizer_model is not None:
        options = [*used_class_options(given), *(["--tokenizer"] if given.tokenizer else [])]
        if options:
            raise UserError(
                f"got --tokenizer-model and {', '.join(options)}, expected one of the two: "
                "the model says itself what it does"
            )
        if given.tokenizer_python is not None:
            raise UserError(
                "got --tokenizer-model and --tokenizer-python, expected one of the two; the "
                "SavedModel runs here, a class (--vocab, --tokenizer) in the interpreter you name"
            )
        directory = hub.resolve(given.tokenizer_model)
        origin = "the tokenizer SavedModel given with --tokenizer-model"
        return TokenizerSource(
            directory, check_vocab_option(given, contract), claimed, None, origin
        )
    # Before a file of it is read, such as a vocab among its assets.
    vet(model)
    facts = read_facts(model)
    if (facts is None or facts.says_nothing) and given.vocab is not None:
        facts = read_folder(given.vocab.parent) or facts
    vocab, where = choose_vocab(given, contract, facts, model, out)
    algorithm = given.tokenizer or claimed.algorithm
    spec = choose_spec(given, algorithm, facts, claimed)
    if used_class_options(given):
        why = f"options {' '.join(used_class_options(given))} and what else the bundle says"
    elif facts is not None and facts.spec is not None:
        why = f"options from {facts.why}"
    else:
        why = "options as the bundle says"
    named = "given with --tokenizer" if given.tokenizer else "as the bundle says"
    origin = f"{algorithm} {named}, {where}, {why}"
    source = TokenizerSource(None, vocab, spec, given.tokenizer_python, origin)
    source.versions()
    return source


def claimed_spec(contract: Contract) -> TokenizerSpec:
    """The tokenizer that a bundle says it has.

    Raises:
        UserError: the contract names none that is known.
    """
    try:
        told = contract.document["tokenizer"]
        return TokenizerSpec(told["algorithm"], **told["options"])
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{contract.path}/bundle.json names no tokenizer ({error}); export the bundle again"
        ) from None


def choose_spec(
    given: argparse.Namespace,
    algorithm: str,
    facts: TokenizerFacts | None,
    claimed: TokenizerSpec | None,
) -> TokenizerSpec:
    """A class with its options: as given, else as the model's files say, else as the bundle says.

    An option that only `bert` has is taken from another tokenizer of that class alone.
    """
    sources = [spec for spec in (facts.spec if facts else None, claimed) if spec is not None]
    alike = [spec for spec in sources if spec.algorithm == algorithm == "bert"]
    lower = next((spec.lower_case for spec in sources), True)
    first = next(iter(alike), TokenizerSpec("bert"))
    strips = None if first.strips_accents == first.lower_case else first.strips_accents
    split = first.split_chinese
    if given.cased or given.uncased:
        lower = bool(given.uncased)
    if given.keep_accents or given.strip_accents:
        strips = bool(given.strip_accents)
    if algorithm == "chars":
        lower = True
    return TokenizerSpec(algorithm, lower, strips, split and not given.no_split_chinese)


def choose_vocab(
    given: argparse.Namespace,
    contract: Contract,
    facts: TokenizerFacts | None,
    model: Path,
    out: Path,
) -> tuple[Path, str]:
    """The vocab file and, in words, where it comes from; errors as of `choose_tokenizer`."""
    own = check_vocab_option(given, contract)
    if own is not None:
        return own, "the vocab given with --vocab"
    if facts is not None and facts.vocab is not None:
        return facts.vocab, "the vocab in the model's own assets"
    table = out / "vocab.of_model.txt"
    arguments = ["-m", "parity_tests.runners.lookup_table", str(model), str(table)]
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="confined-") as place:
        reach = AllowedPaths(Path(place), (model,), (out,))
        done = subprocess.run(
            confinement.confined_command(
                arguments, reach, Limits().memory_bytes, LOOKUP_TIME_LIMIT
            ),
            capture_output=True,
            text=True,
        )
    if done.returncode == 0:
        return table, "the vocab in the model's own lookup table"
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    if done.returncode != UserError.exit_code or not said:
        last = next(iter(done.stderr.strip().splitlines()[-1:]), "nothing was said")
        raise EnvironmentProblem(f"looking for a vocab in {model} failed: {last}")
    raise UserError(
        f"{said[-1].removeprefix('error: ')}; give the vocab that your Python side uses with "
        "--vocab, or its tokenizer SavedModel with --tokenizer-model"
    )


def check_vocab_option(given: argparse.Namespace, contract: Contract) -> Path | None:
    """The vocab of --vocab, if it can be that of the bundle's model."""
    path: Path | None = given.vocab
    if path is None:
        return None
    if not path.is_file():
        raise UserError(f"--vocab {path} is no file; give a vocab.txt, one token a line")
    lines = path.read_bytes().removesuffix(b"\n").count(b"\n") + 1
    claimed = contract.document.get("tokenizer", {}).get("vocab_size")
    if lines != claimed:
        raise UserError(
            f"--vocab {path} has {lines} lines, but {contract.path} was exported with a vocab of "
            f"{claimed}; give the vocab that the model was trained with"
        )
    return path


def version_note(contract: Contract, source: TokenizerSource) -> str:
    """What to say where the bundle's tables are of another version of the library; else nothing."""
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
