"""The command `python -m export`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from export import inspection
from export.classifier_task import TASKS, shown_task
from export.confined.confinement import STEP_SECONDS, Limits
from export.source import catalog, download, hub, signature_choice
from export.source.repository_source import FORM
from support.command_line import OptionParser, command
from support.contracts import WEIGHT_DTYPES
from support.errors import UserError
from support.printing import say

if TYPE_CHECKING:
    from export.classifier_choice import ClassifierChoice
    from export.tokenizer_choice import TokenizerChoice

EXAMPLE = """examples:
  python -m export                                   the embedded default, under artifacts/
  python -m export model ./albert_tiny --vocab vocab.txt --tokenizer tf-text --out ./bundle
  python -m export model ./albert_tiny --tokenizer-model ./bert_tokenizer_chinese --out ./bundle
  python -m export model hf:hfl/rbt3 --out ./bundle   a checkpoint of the hub: build, then model
  python -m export model ./my_bert --tokenizer-python ~/venv/bin/python --out ./bundle
  python -m export model ./my_keras --task single-label --labels labels.txt --out ./bundle
  python -m export vocab vocab.txt --tokenizer bert --uncased --out ./tokenizer_bundle
  python -m export catalog
  python -m export inspect ./albert_tiny.tar.gz
"""
BUILD_EXAMPLE = """examples:
  python -m export build ./chinese_L-12_H-768_A-12 --out ./models/bert
  python -m export build ./bert-base-chinese --layers 3 --out ./models/bert_3
  python -m export build hf:hfl/rbt3 --out ./models/rbt3
  python -m export build ./albert_tiny --contract tokens --vocab vocab.txt --out ./models/albert
"""
SIGN_EXAMPLE = """examples:
  openssl genpkey -algorithm ed25519 -out key.pem        the private key, which stays with you
  openssl pkey -in key.pem -pubout -out public.pem       the public one, which you give away
  python -m export sign ./bundle --key key.pem
  node node_bridge/verify.js --bundle ./bundle --require-signature public.pem
"""
ALGORITHMS = ("tf-text", "bert", "tf-text-fast", "chars")


def build_parser() -> argparse.ArgumentParser:
    """Builds the parser with the options of every subcommand."""
    top = OptionParser(
        prog="python -m export",
        description="Turns a hub model and its vocab into a TF.js bundle. "
        "Without a subcommand it makes the embedded default.",
        epilog=EXAMPLE,
    )
    top.add_argument("--root", type=Path, default=Path("artifacts"), help="default: artifacts")
    top.add_argument("--train", type=_positive_integer, default=5000, help="reviews to train on")
    top.add_argument("--dev", type=_positive_integer, default=1000, help="reviews for validation")
    top.add_argument("--seed", type=int, default=1, help="of the split and of the weights")
    top.set_defaults(run=_run_embedded)
    commands = top.add_subparsers(title="subcommands")

    model = commands.add_parser("model", help="a SavedModel and its vocab → a bundle")
    model.add_argument("handle", help=f"{hub.HANDLE_HELP}, or {FORM}")
    model.add_argument("--sha256", help="of the archive, checked before anything else")
    hub.add_download_option(model)
    signature_choice.add_options(model)
    model.add_argument(
        "--vocab", type=Path, help="vocab.txt, a token a line; default: the model's own, if any"
    )
    model.add_argument("--out", type=Path, required=True, help="directory of the bundle")
    model.add_argument(
        "--dtype",
        choices=WEIGHT_DTYPES,
        default=WEIGHT_DTYPES[0],
        help="of stored weights (default %(default)s)",
    )
    model.add_argument("--force", action="store_true", help="even if the dtype costs too much")
    model.add_argument(
        "--with-saved-model",
        action="store_true",
        help="with a copy of the SavedModel, for native TensorFlow in Node",
    )
    _add_tokenizer_options(model)
    _add_classifier_options(model)
    _add_sign_option(model)
    _add_limit_options(model)
    model.set_defaults(run=run_model)

    vocab = commands.add_parser("vocab", help="a bundle of a tokenizer alone")
    vocab.add_argument("vocab", type=Path, nargs="?", help="vocab.txt, a token a line")
    vocab.add_argument("--out", type=Path, required=True, help="directory of the bundle")
    _add_tokenizer_options(vocab)
    _add_sign_option(vocab)
    hub.add_download_option(vocab)
    _add_limit_options(vocab)
    vocab.set_defaults(run=_run_vocab)

    _add_build_command(commands)
    sign = commands.add_parser(
        "sign",
        help="sign a bundle or a classifier",
        description="Writes signature.json beside the contract of a bundle or a classifier. Node "
        "checks it where --require-signature names the public key.",
        epilog=SIGN_EXAMPLE,
    )
    sign.add_argument("directory", type=Path, help="a bundle, or what train.js wrote")
    sign.add_argument("--key", type=Path, required=True, help="private Ed25519 key, PEM")
    sign.set_defaults(run=_run_sign)
    inspection.add_command(commands)
    catalog.add_command(commands)
    return top


def _add_build_command(commands: argparse._SubParsersAction[OptionParser]) -> None:
    """Adds the subcommand `build` and its options."""
    build = commands.add_parser(
        "build",
        help="a checkpoint → a SavedModel",
        description="Makes a hub SavedModel of a checkpoint of BERT, ALBERT or ELECTRA: TF1 in the "
        "publishers' names, or a Hugging Face directory or repository (hf:OWNER/NAME) with "
        "model.safetensors or tf_model.h5. A directory of "
        "sentence-transformers (modules.json) gives sentence_embedding as a third output, and a "
        "fine-tuned classifier (*ForSequenceClassification, *ForTokenClassification, or that of "
        "Google's run_classifier.py) logits, with its task and its labels.",
        epilog=BUILD_EXAMPLE,
    )
    build.add_argument(
        "checkpoint",
        type=Path,
        help=f"a directory, the checkpoint's prefix, or {FORM}",
    )
    build.add_argument("--out", type=Path, required=True, help="directory of the SavedModel")
    build.add_argument("--config", type=Path, help="default: the json beside the checkpoint")
    build.add_argument("--vocab", type=Path, help="for tokens; default: vocab.txt beside it")
    build.add_argument(
        "--layers", type=_positive_integer, metavar="N", help="keep the first N only"
    )
    build.add_argument(
        "--contract",
        choices=("named", "tokens"),
        default="named",
        help="named (default): ids in; tokens: token strings in, two outputs more",
    )
    hub.add_download_option(build)
    build.set_defaults(run=_run_build)


def _add_tokenizer_options(command: argparse.ArgumentParser) -> None:
    """Adds the options of both commands that write a tokenizer."""
    command.add_argument(
        "--tokenizer-model",
        metavar="HANDLE",
        help="the tokenizer's SavedModel: its vocab and options are recovered and proven",
    )
    command.add_argument(
        "--tokenizer-sha256", metavar="SHA256", help="of the tokenizer model's archive"
    )
    command.add_argument(
        "--tokenizer", choices=ALGORITHMS, help="default: the one that the model's own files name"
    )
    case = command.add_mutually_exclusive_group()
    case.add_argument("--cased", action="store_true", help="keep upper case and accents")
    case.add_argument("--uncased", action="store_true", help="lower case; default: as the model")
    command.add_argument("--keep-accents", action="store_true", help="for bert alone")
    command.add_argument("--no-split-chinese", action="store_true", help="for bert alone")
    command.add_argument(
        "--tokenizer-python",
        type=Path,
        metavar="PYTHON",
        help="the interpreter of your Python side: tables and golden ids come from the "
        "tensorflow-text or tokenizers that is installed there; not with --tokenizer-model",
    )
    command.add_argument(
        "--replace",
        action="store_true",
        help="also replace a bundle at --out that was made from something else: a model of another "
        "name, another vocab or another tokenizer",
    )


def _add_classifier_options(command: argparse.ArgumentParser) -> None:
    """Adds the options that say what a model with a head decides."""
    group = command.add_argument_group(
        "what a model decides whose output is logits or probabilities",
        "default: what `build` carried over from the checkpoint, else nothing",
    )
    group.add_argument(
        "--task",
        choices=[shown_task(task) for task in TASKS],
        help="one label a text, any number of labels a text, numbers, or a label for each token",
    )
    group.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="their names, a label a line in the order of the scores; default: the model's own, "
        "else the numbers from 0",
    )
    group.add_argument(
        "--threshold",
        type=_share,
        metavar="X",
        help="of multi-label: the least probability of a label that is given (default 0.5)",
    )


def _classifier_from_options(options: argparse.Namespace) -> ClassifierChoice:
    """Returns the choice that the options of `_add_classifier_options` make.

    Raises:
        UserError: see `read_labels`.
    """
    from export.classifier_choice import ClassifierChoice, read_labels

    return ClassifierChoice(
        task=options.task and options.task.replace("-", "_"),
        labels=None if options.labels is None else read_labels(options.labels),
        threshold=options.threshold,
        labels_file="" if options.labels is None else str(options.labels),
    )


def _add_sign_option(command: argparse.ArgumentParser) -> None:
    """Adds the option for the key that signs the finished bundle."""
    command.add_argument(
        "--sign",
        type=Path,
        metavar="KEY",
        help="a private Ed25519 key (PEM) to sign the bundle with, see `python -m export sign`",
    )


def _check_key(key: Path | None) -> None:
    """Reads the signing key, if any, so that a bad key stops the command before long work.

    Raises:
        UserError: see `signing.read_private_key`.
    """
    if key is not None:
        from export.signing import read_private_key

        read_private_key(key)


def _add_limit_options(command: argparse.ArgumentParser) -> None:
    """Adds the limits of the process that loads a model."""
    group = command.add_argument_group("limits of the process that loads a SavedModel")
    group.add_argument(
        "--time-limit",
        type=_positive_integer,
        default=STEP_SECONDS,
        metavar="SECONDS",
        help="that one step may take (default %(default)s)",
    )
    group.add_argument(
        "--memory-limit",
        type=_positive_integer,
        metavar="GIB",
        help="that it may use (default: what the machine has)",
    )


def _limits_from_options(options: argparse.Namespace) -> Limits:
    """Returns the limits that the options of `_add_limit_options` set."""
    memory = None if options.memory_limit is None else options.memory_limit << 30
    return Limits(options.time_limit, memory)


def choice_from_options(options: argparse.Namespace) -> TokenizerChoice:
    """Returns the tokenizer that the options name, or that is recovered from its model.

    Raises:
        UserError: the options contradict each other.
    """
    from export.tokenizer.spec import TokenizerSpec
    from export.tokenizer_choice import AskedTokenizer, TokenizerChoice

    asked = AskedTokenizer(
        algorithm=options.tokenizer,
        lower_case=False if options.cased else True if options.uncased else None,
        strip_accents=False if options.keep_accents else None,
        split_chinese=False if options.no_split_chinese else None,
    )
    if options.tokenizer_model is None and options.tokenizer_sha256:
        raise UserError("--tokenizer-sha256 is for the archive of --tokenizer-model, got none")
    if options.tokenizer_model is not None and asked != AskedTokenizer():
        raise UserError(
            "got --tokenizer-model and options of a tokenizer, expected one of the two: "
            "what the model does is found out from the model itself"
        )
    if asked.algorithm is not None:
        # Check the options against each other before anything is loaded.
        named = {n: v for n, v in asdict(asked).items() if v is not None}
        TokenizerSpec(**named)
    return TokenizerChoice(
        vocab=options.vocab,
        model=options.tokenizer_model,
        model_sha256=options.tokenizer_sha256,
        asked=asked,
        python=options.tokenizer_python,
    )


def _positive_integer(text: str) -> int:
    """Parses an argument that is a positive integer."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a positive whole number, got {text}")
    return int(text)


def _share(text: str) -> float:
    """Parses an argument from 0 to 1."""
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text}")
    return share


def _run_embedded(options: argparse.Namespace) -> None:
    """Runs `python -m export`."""
    from export.demo import DemoSizes, export_embedded

    export_embedded(options.root, DemoSizes(options.train, options.dev, options.seed), say)


def run_model(options: argparse.Namespace) -> None:
    """Runs `python -m export model`."""
    from export.model import ExportRequest, export_model

    request = ExportRequest(
        handle=options.handle,
        tokenizer=choice_from_options(options),
        dtype=options.dtype,
        force=options.force,
        sha256=options.sha256,
        asked=signature_choice.asked_from_options(options),
        classifier=_classifier_from_options(options),
        with_saved_model=options.with_saved_model,
        replace=options.replace,
        limits=_limits_from_options(options),
    )
    _check_key(options.sign)
    export_model(request, options.out, say)
    _sign_if_asked(options.out, options.sign)
    print(options.out)


def _run_vocab(options: argparse.Namespace) -> None:
    """Runs `python -m export vocab`."""
    from export.tokenizer_bundle import export_tokenizer

    choice = choice_from_options(options)
    _check_key(options.sign)
    export_tokenizer(choice, options.out, say, options.replace, _limits_from_options(options))
    _sign_if_asked(options.out, options.sign)
    print(options.out)


def _sign_if_asked(bundle: Path, key: Path | None) -> None:
    """Signs a bundle if there is a key."""
    if key is not None:
        from export.signing import sign

        sign(bundle, key)


def _run_sign(options: argparse.Namespace) -> None:
    """Runs `python -m export sign`."""
    from export.signing import SIGNATURE, sign

    sign(options.directory, options.key)
    print(options.directory / SIGNATURE)


def _run_build(options: argparse.Namespace) -> None:
    """Runs `python -m export build`."""
    from export.build import BuildRequest, build_saved_model

    request = BuildRequest(
        options.checkpoint, options.config, options.vocab, options.layers, options.contract
    )
    build_saved_model(request, options.out, say)
    print(options.out)


@command("interrupted; what was finished stays")
def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a subcommand; an error is one line on stderr and an exit code."""
    options = build_parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], None] = options.run
    if getattr(options, "max_download", None) is not None:
        download.set_max_download(options.max_download)
    run(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
