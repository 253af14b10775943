"""Tokenizers: the vocab, the Python references, and the tables for the same tokenizer in Node."""

from pathlib import Path

from export.bundle import TokenizerContract
from export.tokenizer.huggingface_files import write_tokenizer_json
from export.tokenizer.probe import read_tables
from export.tokenizer.reference import Reference, library_versions, make_reference
from export.tokenizer.spec import ALGORITHMS, TokenizerSpec
from export.tokenizer.tables import serialise
from export.tokenizer.vocab import Vocab, read_vocab
from support.contracts import TABLES_FILE, VOCAB_FILE
from support.quiet_tensorflow import tensorflow

__all__ = [
    "ALGORITHMS",
    "Reference",
    "TokenizerSpec",
    "Vocab",
    "library_versions",
    "read_vocab",
    "make_reference",
    "save_tokenizer_model",
    "serialised_tables",
    "write_tokenizer",
]


def write_tokenizer(
    directory: Path,
    vocab: Vocab,
    spec: TokenizerSpec,
    adds_special_tokens: bool | None = None,
    python: Path | None = None,
    embedding_rows: int | None = None,
) -> TokenizerContract:
    """Writes a bundle's tokenizer files: `vocab.txt`, `tokenizer_tables.bin`, `tokenizer.json`.

    Args:
        directory: the bundle.
        vocab: its vocab, written byte for byte.
        spec: its tokenizer; `tokenizer.json` is written only for the algorithm `bert`.
        adds_special_tokens: whether the Python side does; None: as the algorithm's reference.
        python: the interpreter whose library decides the tables; None: this one.
        embedding_rows: the number of rows of the word embeddings, None if unknown.

    Raises:
        UserError: the algorithm's library refuses the vocab; see `make_reference`.
        EnvironmentProblem: see `make_reference`.
    """
    (directory / VOCAB_FILE).write_bytes(vocab.raw)
    (directory / TABLES_FILE).write_bytes(serialised_tables(spec, vocab, python))
    if spec.algorithm == "bert":
        write_tokenizer_json(directory / "tokenizer.json", spec, vocab)
    return TokenizerContract(
        algorithm=spec.algorithm,
        options=spec.options,
        vocab_size=len(vocab.tokens),
        special_tokens=vocab.special,
        source_adds_special_tokens=spec.algorithm in ("bert", "chars")
        if adds_special_tokens is None
        else adds_special_tokens,
        embedding_rows=embedding_rows,
    )


def serialised_tables(spec: TokenizerSpec, vocab: Vocab, python: Path | None = None) -> bytes:
    """Reads a tokenizer's tables, as `tokenizer_tables.bin` has them. Raises as `read_tables`."""
    return serialise(read_tables(spec, vocab, python))


def save_tokenizer_model(vocab: Vocab, out: Path, lower_case: bool) -> None:
    """Writes the hub tokenizer SavedModel into `out`, the vocab among its assets.

    Called with strings string[batch] it returns a dict of `input_ids`, `attention_mask` and
    `token_type_ids`, int32[batch, sequence] each, padded with [PAD] to the longest text. It adds
    no special tokens. The signature `serving_default` takes the same as `text`.
    """
    tensorflow()
    from export.tokenizer.saved_model import save_model

    save_model(vocab, out, lower_case)
