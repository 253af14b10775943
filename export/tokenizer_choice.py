"""Chooses a bundle's tokenizer and its vocab, from options, files and the model."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from export.confined.confinement import python_paths
from export.source import hub
from export.source.repository_source import PREFIX
from export.tokenizer import ALGORITHMS, TokenizerSpec, Vocab, facts, read_vocab
from export.tokenizer.facts import TokenizerFacts
from export.tokenizer.vocab import parse_vocab
from support.errors import UserError
from support.printing import Say
from support.quiet_tensorflow import tensorflow
from support.sha256 import path_sha256

NOTICE = "NOTICE"
CONTRADICTS = "ids differ where the two do: make sure that your Python side does the same"


@dataclass(frozen=True)
class AskedTokenizer:
    """The user's tokenizer options; None: not set."""

    algorithm: str | None = None
    lower_case: bool | None = None
    strip_accents: bool | None = None
    split_chinese: bool | None = None


@dataclass(frozen=True)
class ChosenTokenizer:
    """A tokenizer: its vocab, its algorithm, and whether the Python side adds special tokens.

    `adds_special_tokens` is None to do as the algorithm's reference does.
    """

    vocab: Vocab
    spec: TokenizerSpec
    adds_special_tokens: bool | None


@dataclass(frozen=True)
class TokenizerChoice:
    """A vocab file and its tokenizer, or a hub tokenizer model.

    If `spec` is set, it decides; else `asked` and the model's files do. From `model` both vocab and
    tokenizer are recovered; a vocab file must then be equal to the model's. `model_sha256` is that
    of the model's archive. `python` is the interpreter whose tokenizer library is the reference;
    None: this one.
    """

    vocab: Path | None = None
    spec: TokenizerSpec | None = None
    model: str | None = None
    model_sha256: str | None = None
    asked: AskedTokenizer = AskedTokenizer()
    python: Path | None = None

    def __post_init__(self) -> None:
        """Refuses options that contradict each other."""
        if self.model is not None and self.python is not None:
            raise UserError(
                "got --tokenizer-model and --tokenizer-python, expected one of the two: a "
                "SavedModel's tokenizer runs in this kit's TensorFlow; name the tokenizer with "
                "--vocab and --tokenizer to read it off your interpreter"
            )

    def provenance(self) -> dict[str, Any]:
        """Returns the sha256 of the vocab and of the tokenizer model, where they are set.

        Raises:
            UserError: see `read_vocab` and `hub.resolve`.
        """
        hashes: dict[str, Any] = {}
        if self.vocab:
            read_vocab(self.vocab, notice=lambda line: None)
            hashes["vocab"] = {"sha256": path_sha256(self.vocab)}
        if self.model:
            sha256 = path_sha256(hub.resolve(self.model, self.model_sha256))
            hashes["tokenizer_model"] = {
                "handle": handle_without_folders(self.model),
                "sha256": sha256,
            }
        return hashes

    def local_files(self) -> list[Path]:
        """Returns the local files and directories among the sources."""
        named = [self.vocab, Path(self.model) if self.model else None]
        return [path for path in named if path is not None and path.exists()]

    def confined(self) -> tuple["TokenizerChoice", list[Path]]:
        """Returns the same choice for a process without network, and the files that it reads.

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
        model_facts: TokenizerFacts | None = None,
    ) -> ChosenTokenizer:
        """Reads or recovers the tokenizer, and reports the choice and its reason.

        Args:
            own_tokens: the lookup table's tokens of a model that takes strings; a vocab file
                must be equal to them.
            where: the model's handle.
            say: prints messages.
            model_facts: what the model says of its tokenizer.

        Raises:
            UserError: no vocab, a tokenizer that nothing says; see `read_vocab`, `agree_on_vocab`,
                `recover_tokenizer` and `resolve_spec`.
        """
        model_facts = self.facts(model_facts)
        vocab = read_vocab(self.vocab, notice=say) if self.vocab else None
        if own_tokens is not None:
            from export.tokenizer.recover import agree_on_vocab

            own = parse_vocab(b"\n".join(own_tokens) + b"\n", f"{where}, its lookup table")
            vocab = agree_on_vocab(own, vocab, Path(where))
        if self.model is not None:
            tensorflow()
            from export.tokenizer.recover import recover_tokenizer

            found = recover_tokenizer(hub.resolve(self.model, self.model_sha256), vocab, say)
            _warn_of_contradiction(found.spec, model_facts, "--tokenizer-model", say)
            return ChosenTokenizer(found.vocab, found.spec, found.adds_special_tokens)
        if vocab is None:
            vocab = read_vocab(facts.require_vocab(model_facts, where), notice=say)
            say(f"vocab: {vocab.name}, the model's own")
        elif own_tokens is None:
            _warn_of_other_vocab(vocab, model_facts, say)
        if self.spec is not None:
            return ChosenTokenizer(vocab, self.spec, None)
        return ChosenTokenizer(vocab, resolve_spec(self.asked, model_facts, where, say), None)

    def facts(self, model_facts: TokenizerFacts | None) -> TokenizerFacts | None:
        """Returns the model's facts or, if they say nothing, those of files beside the vocab."""
        if self.vocab is not None and (model_facts is None or model_facts.says_nothing):
            beside = facts.read_folder(self.vocab.parent)
            if beside is not None and not beside.says_nothing:
                return beside
        return model_facts

    def spec_before_loading(
        self, where: str, model_facts: TokenizerFacts | None
    ) -> TokenizerSpec | None:
        """Returns the tokenizer if it is known before the model is loaded, else None."""
        if self.spec is not None or self.model is not None:
            return self.spec
        try:
            return resolve_spec(self.asked, self.facts(model_facts), where, lambda line: None)
        except UserError:
            return None


def resolve_spec(
    asked: AskedTokenizer, model_facts: TokenizerFacts | None, where: str, say: Say
) -> TokenizerSpec:
    """Returns the tokenizer of the options; the model's facts complete it.

    Args:
        asked: the user's options.
        model_facts: what the model says about its tokenizer.
        where: the model's handle, for messages.
        say: prints the choice and notices.

    Raises:
        UserError: neither says which tokenizer, or the model asks for one that this kit lacks and
            no option names another.
    """
    if asked.algorithm is None and (model_facts is None or model_facts.spec is None):
        if model_facts is not None and model_facts.problem:
            raise UserError(
                f"{where}: its tokenizer has what this kit does not: {model_facts.problem}; if "
                f"your Python side uses another one, name it: {_tokenizer_help()}"
            )
        reason = f" ({model_facts.why})" if model_facts is not None else ""
        raise UserError(
            f"{where}: got no tokenizer, and nothing says which it goes with{reason}; "
            f"give the one of your Python side: {_tokenizer_help()}"
        )
    own = model_facts.spec if model_facts is not None else None
    algorithm = asked.algorithm or (own.algorithm if own else "")
    spec = TokenizerSpec(
        algorithm,
        lower_case=_first_set(
            asked.lower_case, own.lower_case if own and algorithm != "chars" else None
        ),
        strip_accents=_resolve_strip_accents(asked, own, algorithm),
        split_chinese=_first_set(
            asked.split_chinese, own.split_chinese if own and algorithm == "bert" else None
        ),
    )
    say(f"tokenizer: {describe_spec(spec)}; {_reason_for_spec(asked, model_facts, spec)}")
    _warn_of_contradiction(
        spec, model_facts, "--tokenizer" if asked.algorithm else "an option", say
    )
    return spec


def _resolve_strip_accents(
    asked: AskedTokenizer, own: TokenizerSpec | None, algorithm: str
) -> bool | None:
    """Returns `strip_accents`: the user's, else the model's if its case is used too."""
    if asked.strip_accents is not None or own is None or algorithm != "bert":
        return asked.strip_accents
    same_case = asked.lower_case in (None, own.lower_case)
    return own.strip_accents if same_case else None


def _first_set(*values: bool | None) -> bool:
    """Returns the first value that is not None; True if all are."""
    return next((value for value in values if value is not None), True)


def _reason_for_spec(
    asked: AskedTokenizer, model_facts: TokenizerFacts | None, spec: TokenizerSpec
) -> str:
    """Returns the reason for the choice as a phrase."""
    if asked.algorithm is None:
        assert model_facts is not None
        return model_facts.why + (", and options were set" if asked != AskedTokenizer() else "")
    if asked.lower_case is not None or spec.algorithm == "chars":
        return "as the options say"
    if model_facts is not None and model_facts.spec is not None:
        return f"--tokenizer names it, and the case is the model's: {model_facts.why}"
    return "--tokenizer names it; nothing says the case, so lower case (--cased keeps it)"


def _warn_of_contradiction(
    spec: TokenizerSpec, model_facts: TokenizerFacts | None, option: str, say: Say
) -> None:
    """Prints a notice if the chosen tokenizer is not the one that the model names.

    Args:
        spec: the chosen tokenizer.
        model_facts: what the model says about its tokenizer.
        option: the option that named the tokenizer.
        say: prints the notice.
    """
    if model_facts is None:
        return
    if model_facts.problem:
        say(
            f"{NOTICE}: the model asks for {model_facts.problem}, and {option} says "
            f"{describe_spec(spec)}; {CONTRADICTS}"
        )
    elif model_facts.spec is not None and model_facts.spec.options_key != spec.options_key:
        say(
            f"{NOTICE}: {option} says {describe_spec(spec)}, but the model says "
            f"{describe_spec(model_facts.spec)}: {model_facts.why}; {CONTRADICTS}"
        )


def _warn_of_other_vocab(vocab: Vocab, model_facts: TokenizerFacts | None, say: Say) -> None:
    """Prints a notice if the vocab file is not the model's own vocab."""
    if model_facts is None or model_facts.vocab is None:
        return
    own = read_vocab(model_facts.vocab, notice=lambda line: None)
    if own.tokens != vocab.tokens:
        pairs = enumerate(zip(own.tokens, vocab.tokens, strict=False), 1)
        line = next(
            (i for i, (a, b) in pairs if a != b), min(len(own.tokens), len(vocab.tokens)) + 1
        )
        say(
            f"{NOTICE}: {vocab.name} is not the vocab that came with the model, line {line} differs"
        )


def describe_spec(spec: TokenizerSpec) -> str:
    """Describes an algorithm and its options for messages.

    >>> describe_spec(TokenizerSpec("bert", lower_case=False))
    'bert, cased'
    """
    options = spec.options
    parts = [spec.algorithm]
    if spec.algorithm != "chars":
        parts.append("lower case" if options["lower_case"] else "cased")
    if options.get("strip_accents", options["lower_case"]) != options["lower_case"]:
        parts.append("accents stripped" if options["strip_accents"] else "accents not stripped")
    if not options.get("split_chinese", True):
        parts.append("Chinese not split")
    return ", ".join(parts)


def _tokenizer_help() -> str:
    """Returns the options that name a tokenizer, for messages."""
    return f"--tokenizer {'|'.join(ALGORITHMS)} with --uncased or --cased"


def handle_without_folders(handle: str) -> str:
    """Returns a handle without local folders, so that equal inputs make equal bundles."""
    is_local = "://" not in handle and not handle.startswith(PREFIX)
    return Path(handle).name if is_local else handle
