"""Where a bundle's tokenizer and its vocab come from."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from export.bundle import digest
from export.confined.confinement import python_paths
from export.source import hub
from export.tokenizer import ALGORITHMS, TokenizerSpec, Vocab, facts, read_vocab
from export.tokenizer.facts import TokenizerFacts
from export.tokenizer.vocab import parse_vocab
from support.errors import UserError
from support.quiet_tensorflow import tensorflow

Say = Callable[[str], None]
NOTICE = "NOTICE"
CONTRADICTS = "ids differ where the two do: make sure that your Python side does the same"


@dataclass(frozen=True)
class AskedTokenizer:
    """The tokenizer options that a person gave; None: not given."""

    algorithm: str | None = None
    lower_case: bool | None = None
    strip_accents: bool | None = None
    split_chinese: bool | None = None


@dataclass(frozen=True)
class ChosenTokenizer:
    """A tokenizer: its vocab, its algorithm, and whether the Python side adds special tokens.

    `adds_special_tokens` None: as the algorithm's reference does.
    """

    vocab: Vocab
    spec: TokenizerSpec
    adds_special_tokens: bool | None


@dataclass(frozen=True)
class TokenizerChoice:
    """A vocab file and the tokenizer that goes with it, or a hub tokenizer model.

    `spec` is final where it is given; else `asked` and what the model says decide. From `model`
    everything is recovered; a vocab file beside it must be the model's. `model_sha256` is of the
    model's archive. `python` is the interpreter whose tokenizer library is the reference; None:
    this one.
    """

    vocab: Path | None = None
    spec: TokenizerSpec | None = None
    model: str | None = None
    model_sha256: str | None = None
    asked: AskedTokenizer = AskedTokenizer()
    python: Path | None = None

    def __post_init__(self) -> None:
        """Refuses what cannot go together."""
        if self.model is not None and self.python is not None:
            raise UserError(
                "got --tokenizer-model and --tokenizer-python, expected one of the two: a "
                "SavedModel's tokenizer runs in this kit's TensorFlow; name the tokenizer with "
                "--vocab and --tokenizer to read it off your interpreter"
            )

    def provenance(self) -> dict[str, Any]:
        """The sha256 of everything that was given.

        Raises:
            UserError: see `read_vocab` and `hub.resolve`.
        """
        given: dict[str, Any] = {}
        if self.vocab:
            read_vocab(self.vocab, notice=lambda line: None)
            given["vocab"] = {"sha256": digest(self.vocab)}
        if self.model:
            sha256 = digest(hub.resolve(self.model, self.model_sha256))
            given["tokenizer_model"] = {
                "handle": handle_without_folders(self.model),
                "sha256": sha256,
            }
        return given

    def local_files(self) -> list[Path]:
        """The files and directories of this machine that were given."""
        named = [self.vocab, Path(self.model) if self.model else None]
        return [path for path in named if path is not None and path.exists()]

    def confined(self) -> tuple["TokenizerChoice", list[Path]]:
        """The same choice for a process that fetches nothing, and the files that it reads.

        Raises:
            UserError: see `hub.resolve`.
        """
        choice, files = self, []
        if self.vocab is not None:
            files += [self.vocab, *(self.vocab.parent / name for name in facts.TOKENIZER_FILES)]
        if self.model is not None:
            directory = hub.resolve(self.model, self.model_sha256)
            choice = replace(choice, model=str(directory), model_sha256=None)
            files.append(directory)
        if self.python is not None:
            files += python_paths(self.python)
        return choice, files

    def choose(
        self,
        own_tokens: list[bytes] | None,
        where: str,
        say: Say,
        said: TokenizerFacts | None = None,
    ) -> ChosenTokenizer:
        """Reads or recovers the tokenizer, and says which it took and why.

        Args:
            own_tokens: those of the lookup table of a model that takes strings; any vocab that
                was given must equal them.
            where: the model's handle.
            say: is told.
            said: what the model says of its tokenizer.

        Raises:
            UserError: no vocab, a tokenizer that nothing says; see `read_vocab`, `agreed`,
                `recover` and `resolved`.
        """
        said = self.facts(said)
        vocab = read_vocab(self.vocab, notice=say) if self.vocab else None
        if own_tokens is not None:
            from export.tokenizer.recover import agree_on_vocab

            own = parse_vocab(b"\n".join(own_tokens) + b"\n", f"{where}, its lookup table")
            vocab = agree_on_vocab(own, vocab, Path(where))
        if self.model is not None:
            tensorflow()
            from export.tokenizer.recover import recover_tokenizer

            found = recover_tokenizer(hub.resolve(self.model, self.model_sha256), vocab, say)
            warn_of_contradiction(found.spec, said, "--tokenizer-model", say)
            return ChosenTokenizer(found.vocab, found.spec, found.adds_special_tokens)
        if vocab is None:
            vocab = read_vocab(facts.require_vocab(said, where), notice=say)
            say(f"vocab: {vocab.name}, the model's own")
        elif own_tokens is None:
            warn_of_other_vocab(vocab, said, say)
        if self.spec is not None:
            return ChosenTokenizer(vocab, self.spec, None)
        return ChosenTokenizer(vocab, resolve_spec(self.asked, said, where, say), None)

    def facts(self, said: TokenizerFacts | None) -> TokenizerFacts | None:
        """What the model says or, where it says nothing, the files beside the vocab."""
        if self.vocab is not None and (said is None or said.says_nothing):
            beside = facts.read_folder(self.vocab.parent)
            if beside is not None and not beside.says_nothing:
                return beside
        return said

    def foreseen(self, where: str, said: TokenizerFacts | None) -> TokenizerSpec | None:
        """The tokenizer that will be taken, where that is known before the model is loaded."""
        if self.spec is not None or self.model is not None:
            return self.spec
        try:
            return resolve_spec(self.asked, self.facts(said), where, lambda line: None)
        except UserError:
            return None


def resolve_spec(
    asked: AskedTokenizer, said: TokenizerFacts | None, where: str, say: Say
) -> TokenizerSpec:
    """The tokenizer that the options name, filled up by what the model says.

    Raises:
        UserError: neither says which tokenizer, or the model asks for one that this kit lacks and
            no option names another.
    """
    if asked.algorithm is None and (said is None or said.spec is None):
        if said is not None and said.problem:
            raise UserError(
                f"{where}: its tokenizer has what this kit does not: {said.problem}; if your "
                f"Python side uses another one, name it: {tokenizer_help()}"
            )
        reason = f" ({said.why})" if said is not None else ""
        raise UserError(
            f"{where}: got no tokenizer, and nothing says which it goes with{reason}; "
            f"give the one of your Python side: {tokenizer_help()}"
        )
    own = said.spec if said is not None else None
    algorithm = asked.algorithm or (own.algorithm if own else "")
    spec = TokenizerSpec(
        algorithm,
        lower_case=first_set(
            asked.lower_case, own.lower_case if own and algorithm != "chars" else None
        ),
        strip_accents=resolve_strip_accents(asked, own, algorithm),
        split_chinese=first_set(
            asked.split_chinese, own.split_chinese if own and algorithm == "bert" else None
        ),
    )
    say(f"tokenizer: {describe_spec(spec)}; {reason_for_spec(asked, said, spec)}")
    warn_of_contradiction(spec, said, "--tokenizer" if asked.algorithm else "an option", say)
    return spec


def resolve_strip_accents(
    asked: AskedTokenizer, own: TokenizerSpec | None, algorithm: str
) -> bool | None:
    """`strip_accents`: as given, else the model's where its case is taken too."""
    if asked.strip_accents is not None or own is None or algorithm != "bert":
        return asked.strip_accents
    same_case = asked.lower_case in (None, own.lower_case)
    return own.strip_accents if same_case else None


def first_set(*values: bool | None) -> bool:
    """The first that is given; true where none is."""
    return next((value for value in values if value is not None), True)


def reason_for_spec(asked: AskedTokenizer, said: TokenizerFacts | None, spec: TokenizerSpec) -> str:
    """Why this tokenizer, in words."""
    if asked.algorithm is None:
        assert said is not None
        return said.why + (", and options were given" if asked != AskedTokenizer() else "")
    if asked.lower_case is not None or spec.algorithm == "chars":
        return "as the options say"
    if said is not None and said.spec is not None:
        return f"--tokenizer names it, and the case is the model's: {said.why}"
    return "--tokenizer names it; nothing says the case, so lower case (--cased keeps it)"


def warn_of_contradiction(
    spec: TokenizerSpec, said: TokenizerFacts | None, given: str, say: Say
) -> None:
    """A loud notice where the tokenizer that was taken is not the one that the model names."""
    if said is None:
        return
    if said.problem:
        say(
            f"{NOTICE}: the model asks for {said.problem}, and {given} says {describe_spec(spec)}; "
            + CONTRADICTS
        )
    elif said.spec is not None and said.spec.options_key != spec.options_key:
        say(
            f"{NOTICE}: {given} says {describe_spec(spec)}, but the model says "
            f"{describe_spec(said.spec)}: {said.why}; {CONTRADICTS}"
        )


def warn_of_other_vocab(vocab: Vocab, said: TokenizerFacts | None, say: Say) -> None:
    """A loud notice where the vocab that was given is not the model's own."""
    if said is None or said.vocab is None:
        return
    own = read_vocab(said.vocab, notice=lambda line: None)
    if own.tokens != vocab.tokens:
        pairs = enumerate(zip(own.tokens, vocab.tokens, strict=False), 1)
        line = next(
            (i for i, (a, b) in pairs if a != b), min(len(own.tokens), len(vocab.tokens)) + 1
        )
        say(
            f"{NOTICE}: {vocab.name} is not the vocab that came with the model, line {line} differs"
        )


def describe_spec(spec: TokenizerSpec) -> str:
    """An algorithm with its options, in words.

    >>> described(TokenizerSpec("bert", lower_case=False))
    'bert, cased'
    """
    options = spec.options
    parts = [spec.algorithm]
    if spec.algorithm != "chars":
        parts.append("lower case" if options["lower_case"] else "cased")
    if options.get("strip_accents", options["lower_case"]) != options["lower_case"]:
        parts.append("accents stripped" if options["strip_accents"] else "accents kept")
    if not options.get("split_chinese", True):
        parts.append("Chinese not split")
    return ", ".join(parts)


def tokenizer_help() -> str:
    """The options that name a tokenizer."""
    return f"--tokenizer {'|'.join(ALGORITHMS)} with --uncased or --cased"


def handle_without_folders(handle: str) -> str:
    """The handle without this machine's folders, so that equal inputs make equal bundles."""
    return handle if "://" in handle else Path(handle).name
