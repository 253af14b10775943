"""`python -m export build`: makes a hub SavedModel of a checkpoint, in one of two contracts."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from export.checkpoints import (
    Checkpoint,
    load_classifier,
    load_encoder,
    load_head,
    loading,
    open_checkpoint,
)
from export.checkpoints.sentence_transformers import (
    SentenceModel,
    read_sentence_model,
    write_max_length,
)
from export.classifier_task import describe_classifier, write_task
from export.keras_weights import converted_weights
from export.output_directory import atomic_directory, refuse_foreign, refuse_overlap
from export.source.repository_source import RepositorySource, parse_handle, write_source
from export.tokenizer import facts
from export.tokenizer.vocab import Vocab, compare_sizes, read_vocab, vocab_bytes
from support.contracts import VOCAB_FILE
from support.errors import UserError

if TYPE_CHECKING:
    from export.architectures.encoder import MlmHead


@dataclass(frozen=True)
class BuildRequest:
    """What to build: a local checkpoint, or a repository (`hf:OWNER/NAME`) to download.

    None as `config` or `vocab`: the file beside the checkpoint, if needed. `source` is where a
    downloaded checkpoint comes from.
    """

    checkpoint: Path
    config: Path | None = None
    vocab: Path | None = None
    layers: int | None = None
    contract: str = "named"
    source: RepositorySource | None = None


def build_saved_model(
    request: BuildRequest, out: Path, say: Callable[[str], None]
) -> dict[str, list[str]]:
    """Writes the SavedModel; returns the names of the checkpoint's unused variables by kind.

    Raises:
        UserError: see `download_checkpoint`, `open_checkpoint`, `load_encoder`,
            `read_sentence_model`, `_read_needed_vocab`, `converted_weights` and `atomic_directory`.
        EnvironmentProblem: see `download_checkpoint`, `converted_weights` and `atomic_directory`.
    """
    refuse_foreign(out)
    request = _resolve_checkpoint(request, say)
    root = request.checkpoint if request.checkpoint.is_dir() else request.checkpoint.parent
    refuse_overlap(out, [root], may_be_inside=True)
    sentence = read_sentence_model(request.checkpoint)
    if sentence is not None:
        if request.contract == "tokens":
            raise UserError(
                f"{request.checkpoint}: got --contract tokens, expected named: a sentence "
                "embedding needs the attention mask, which token strings have not"
            )
        # The encoder, its config and its vocab may lie in a folder of their own.
        request = replace(request, checkpoint=sentence.encoder)
    with converted_weights(request.checkpoint, say) as weights:
        checkpoint = open_checkpoint(request.checkpoint, request.config, request.layers, weights)
        _save(request, checkpoint, sentence, out, say)
    for line in loading.describe_unused(checkpoint.variables):
        say(line)
    return loading.unused_by_kind(checkpoint.variables)


def _resolve_checkpoint(request: BuildRequest, say: Callable[[str], None]) -> BuildRequest:
    """Returns the request with a local checkpoint: a repository (`hf:…`) is downloaded.

    Raises:
        UserError: see `download_checkpoint`.
        EnvironmentProblem: see `download_checkpoint`.
    """
    handle = parse_handle(str(request.checkpoint))
    if handle is None:
        return request
    from export.checkpoints.repository_files import download_checkpoint

    repository = download_checkpoint(handle, say)
    return replace(request, checkpoint=repository.directory, source=repository.source())


def _save(
    request: BuildRequest,
    checkpoint: Checkpoint,
    sentence: SentenceModel | None,
    out: Path,
    say: Callable[[str], None],
) -> None:
    """Writes the SavedModel of an opened checkpoint.

    Args:
        request: what to build.
        checkpoint: the encoder, perhaps with the head of a classifier.
        sentence: the modules of a sentence embedding after it, if any.
        out: the directory of the SavedModel.
        say: prints progress messages.
    """
    if checkpoint.classifier is not None and (sentence or request.contract == "tokens"):
        what = "a sentence embedding" if sentence else "--contract tokens"
        say(f"{what} has no place for the checkpoint's classifier: its head is left out")
        checkpoint = replace(checkpoint, classifier=None)
    config = checkpoint.config
    vocab = _read_needed_vocab(request, config.vocab_size, say)
    say(
        f"{request.checkpoint}: {config.architecture}, {config.num_hidden_layers} layers of "
        f"{config.hidden_size}, {config.activation}"
    )
    for notice in [*checkpoint.notices, *(sentence.notices if sentence else [])]:
        say(notice)
    encoder = load_encoder(checkpoint)
    head = _load_head_or_notice(checkpoint, say) if request.contract == "tokens" else None
    from export.architectures.encoder import save_encoder
    from export.architectures.string_tokens import save_string_tokens

    with atomic_directory(out) as directory:
        if vocab is not None and request.contract == "tokens":
            save_string_tokens(encoder, vocab, directory, head=head)
        elif sentence is not None:
            from export.architectures.sentence import SentenceEncoder

            save_encoder(SentenceEncoder(encoder, sentence.modules), directory)
            if sentence.max_length is not None:
                write_max_length(directory, sentence.max_length)
        else:
            save_encoder(load_classifier(checkpoint, encoder) or encoder, directory)
            if checkpoint.classifier is not None:
                write_task(directory, checkpoint.classifier.decides)
                say(f"the head decides: {describe_classifier(checkpoint.classifier.decides)}")
        _write_tokenizer_files(request, directory, say)
        if request.source is not None:
            write_source(directory, request.source)


def _write_tokenizer_files(
    request: BuildRequest, directory: Path, say: Callable[[str], None]
) -> None:
    """Copies the checkpoint's tokenizer files to the SavedModel's assets."""
    files = facts.collect_files(request.checkpoint)
    if request.vocab is not None:
        files[VOCAB_FILE] = vocab_bytes(request.vocab)
    for name, data in files.items():
        target = directory / facts.ASSETS / name
        target.parent.mkdir(exist_ok=True)
        if not target.exists():  # a model of token strings already has its vocab there
            target.write_bytes(data)
    if files:
        tokenizer_facts = facts.read_facts(directory)
        assert tokenizer_facts is not None
        reason = tokenizer_facts.problem or tokenizer_facts.why
        say(f"tokenizer files carried over: {', '.join(files)}; {reason}")


def _read_needed_vocab(
    request: BuildRequest, rows: int, say: Callable[[str], None]
) -> Vocab | None:
    """Reads the requested vocab or, for the contract `tokens`, the one beside the checkpoint.

    Returns None where the contract needs no vocab and none was requested.

    Raises:
        UserError: there is none, it is damaged, or it does not fit a table of `rows` embeddings.
    """
    file = request.vocab
    if file is None and request.contract == "named":
        return None
    if file is None:
        root = request.checkpoint
        file = (root if root.is_dir() else root.parent) / VOCAB_FILE
        if not file.is_file():
            raise UserError(f"--contract tokens: got no {file}, expected a vocab; give --vocab")
    vocab = read_vocab(file, notice=say)
    notice = compare_sizes(str(file), len(vocab.tokens), rows)
    if notice:
        say(notice)
    return vocab


def _load_head_or_notice(checkpoint: Checkpoint, say: Callable[[str], None]) -> "MlmHead | None":
    """Loads the checkpoint's masked language model head; if it has none, reports it."""
    if checkpoint.has_head:
        return load_head(checkpoint)
    say("got no masked language model head in the checkpoint: mlm_logits are seeded, untrained")
    return None
