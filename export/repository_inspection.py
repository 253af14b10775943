"""`python -m export inspect hf:…`: what a repository has, before its weights are downloaded."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from export.checkpoints import huggingface
from export.checkpoints.repository_files import choose_files
from export.encoder_config import EncoderConfig
from export.source.repository_source import RepositoryHandle
from export.tokenizer import facts
from support.errors import UserError
from support.input_files import read_object
from support.printing import Say

SHOWN_LABELS = 5


@dataclass(frozen=True)
class RepositoryInspection:
    """What a repository's small files tell.

    Attributes:
        handle: as typed.
        commit: what its revision is.
        endpoint: see `RepositorySource`.
        path: the directory of its files in the cache.
        weights: the bytes of each file with weights; None where nothing says them.
        config: the encoder; None if it cannot be built.
        architectures: the classes that `config.json` names.
        labels: of a classifier, as `id2label` has them.
        tokenizer: what the tokenizer's files say.
        problem: why it cannot be built; "": it can, as far as the config tells.
    """

    handle: str
    commit: str
    endpoint: str
    path: str
    weights: dict[str, int | None]
    config: EncoderConfig | None
    architectures: list[str]
    labels: list[str]
    tokenizer: str
    problem: str

    def document(self) -> dict[str, Any]:
        """Returns the fields as JSON."""
        return asdict(self)

    def text(self) -> str:
        """Returns the fields as lines of text."""
        lines = [
            self.handle,
            f"  commit {self.commit}, as the {self.endpoint} says, lies in {self.path}",
            *(f"weights: {name}{_format_size(size)}" for name, size in self.weights.items()),
        ]
        if self.config is not None:
            config = self.config
            lines.append(
                f"{config.architecture}: {config.num_hidden_layers} layers of "
                f"{config.hidden_size}, {config.num_attention_heads} heads, {config.activation}, "
                f"{config.max_position_embeddings} positions, {config.vocab_size} tokens"
            )
        if self.architectures:
            shown = ", ".join(self.labels[:SHOWN_LABELS])
            more = ", …" if len(self.labels) > SHOWN_LABELS else ""
            labels = f", {len(self.labels)} labels ({shown}{more})" if self.labels else ""
            lines.append(f"class: {', '.join(self.architectures)}{labels}")
        lines.append(f"tokenizer: {self.tokenizer}")
        can = "can be built, as far as its config tells"
        lines.append(f"verdict: {f'cannot be built: {self.problem}' if self.problem else can}")
        return "\n".join(lines)


def inspect_repository(handle: RepositoryHandle, say: Say) -> RepositoryInspection:
    """Inspects a repository; downloads its configs and its tokenizer's files alone.

    Raises:
        UserError: see `choose_files`.
        EnvironmentProblem: see `choose_files`.
    """
    chosen = choose_files(handle, say)
    repository, file = chosen.repository, chosen.encoder / huggingface.CONFIG
    document: dict[str, Any] = {}
    config, problem = None, ""
    try:
        document = read_object(file)
        config = huggingface.read_config(file)
    except UserError as error:
        problem = str(error)
    classes, labels = document.get("architectures"), document.get("id2label")
    return RepositoryInspection(
        handle=handle.text,
        commit=repository.commit,
        endpoint=repository.endpoint,
        path=str(repository.directory),
        weights={name: repository.listed[name].size for name in chosen.weights},
        config=config,
        architectures=[str(name) for name in classes] if isinstance(classes, list) else [],
        labels=[str(name) for name in labels.values()] if isinstance(labels, dict) else [],
        tokenizer=_describe_tokenizer(chosen.encoder),
        problem=problem,
    )


def _describe_tokenizer(directory: Path) -> str:
    """Returns what the tokenizer's files say, and what they do not."""
    try:
        found = facts.read_folder(directory)
    except UserError as error:
        return str(error)
    if found is None or found.says_nothing:
        return "no file names it; `model` needs --tokenizer"
    return found.problem or found.why


def _format_size(size: int | None) -> str:
    """Returns a file's size for people."""
    return "" if size is None else f", {size / 1e6:.1f} MB"
