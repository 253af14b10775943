"""Where a bundle's tokenizer and its vocab come from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export import hub
from export.bundle import digest
from export.errors import UserError
from export.quiet import tensorflow
from export.tokenizer import TokenizerSpec, Vocab, read_vocab
from export.tokenizer.vocab import parse_vocab

Say = Callable[[str], None]


@dataclass(frozen=True)
class Chosen:
    """A tokenizer: its vocab, its algorithm, and whether the Python side adds special tokens.

    `adds_special_tokens` None: as the algorithm's reference does.
    """

    vocab: Vocab
    spec: TokenizerSpec
    adds_special_tokens: bool | None


@dataclass(frozen=True)
class TokenizerChoice:
    """A vocab file and the tokenizer that goes with it, or a hub tokenizer model.

    From the model everything is recovered; a vocab file beside it must be the model's.
    `model_sha256` is of the model's archive.
    """

    vocab: Path | None = None
    spec: TokenizerSpec | None = None
    model: str | None = None
    model_sha256: str | None = None

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
            given["tokenizer_model"] = {"handle": shown(self.model), "sha256": sha256}
        return given

    def choose(self, own_tokens: list[bytes] | None, where: str, say: Say) -> Chosen:
        """Reads or recovers the tokenizer.

        `own_tokens` are those of the lookup table of a model that takes strings, `where` its
        handle; any vocab that was given must equal them.

        Raises:
            UserError: no vocab, or see `read_vocab`, `agreed` and `recover`.
        """
        vocab = read_vocab(self.vocab, notice=say) if self.vocab else None
        if own_tokens is not None:
            from export.tokenizer.recover import agreed

            own = parse_vocab(b"\n".join(own_tokens) + b"\n", f"{where}, its lookup table")
            vocab = agreed(own, vocab, Path(where))
        if self.model is not None:
            tensorflow()
            from export.tokenizer.recover import recover

            found = recover(hub.resolve(self.model, self.model_sha256), vocab, say)
            return Chosen(found.vocab, found.spec, found.adds_special_tokens)
        if vocab is None or self.spec is None:
            raise UserError(
                f"{where}: got no vocab; give it with --vocab, or the tokenizer's own SavedModel "
                "with --tokenizer-model"
            )
        return Chosen(vocab, self.spec, None)


def shown(handle: str) -> str:
    """The handle without this machine's folders, so that equal inputs make equal bundles."""
    return handle if "://" in handle else Path(handle).name
