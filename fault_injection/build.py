"""Builds clean models and bundles, several sources in a process.

    python -m fault_injection.build OUT VOCAB NAME…

The exporter's own code makes a SavedModel of each source and a bundle in each of its dtypes, as
`python -m export model` does. A name that begins with `tokenizer:` is a tokenizer's SavedModel, one
that begins with `tables:` the tables of another tokenizer, which faults put into a wrong bundle.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import export.tokenizer
from export.classifier_choice import ClassifierChoice
from export.classifier_task import LOGITS, make_classifier, write_task
from export.model import ExportRequest, export_model
from export.output_directory import atomic_directory
from export.tokenizer import TokenizerSpec, Vocab, read_vocab, save_tokenizer_model
from export.tokenizer_choice import TokenizerChoice
from fault_injection.sources import SOURCES, ClassifierSpec, SourceSpec
from support.atomic import write_file
from support.printing import say
from support.quiet_tensorflow import tensorflow

SPECS = {
    "lower": TokenizerSpec("tf-text"),
    "cased": TokenizerSpec("tf-text", lower_case=False),
    "bert": TokenizerSpec("bert"),
    "fast": TokenizerSpec("tf-text-fast"),
}
ReadTables = Callable[[TokenizerSpec, Vocab, Path | None], bytes]


def main(out: Path, vocab: Path, names: list[str]) -> None:
    """Builds the named parts, and prints a line for each."""
    tensorflow()
    known = {source.name: source for source in SOURCES}
    cache_tables(export.tokenizer.serialised_tables)
    for name in names:
        kind, _, rest = name.partition(":")
        if kind == "tokenizer":
            with atomic_directory(out / "tokenizers" / rest) as directory:
                entries = read_vocab(vocab, lambda line: None)
                save_tokenizer_model(entries, directory, lower_case=rest == "lower")
        elif kind == "tables":
            write_tables(rest, vocab, out / "tables" / f"{rest}.bin")
        else:
            build_source(known[name], vocab, out)
        say(f"made {name}")


def cache_tables(read: ReadTables) -> None:
    """Makes this process read each tokenizer's tables once, since that takes seconds."""
    known: dict[TokenizerSpec, bytes] = {}

    def cached(spec: TokenizerSpec, vocab: Vocab, python: Path | None = None) -> bytes:
        if spec not in known:
            known[spec] = read(spec, vocab, python)
        return known[spec]

    export.tokenizer.serialised_tables = cached


def build_source(source: SourceSpec, vocab: Path, out: Path) -> None:
    """Builds one SavedModel and its bundles."""
    from export.architectures import encoder

    model = out / "models" / source.name
    built = encoder.seeded_encoder(encoder_config(source, vocab), source.name, source.seed)
    if source.outlier is not None:
        _set_outlier(built, source.outlier)
    decides, asked = source.classifier, ClassifierChoice()
    if decides is not None:
        built = _add_head(built, source, decides)
        if decides.by_options:
            asked = ClassifierChoice(decides.task, decides.labels, decides.threshold)
    with atomic_directory(model) as directory:
        encoder.save_encoder(built, directory)
        if decides is not None and not decides.by_options:
            of_model = make_classifier(decides.task, LOGITS, LOGITS, decides.labels)
            write_task(directory, of_model)
    for dtype in source.dtypes:
        request = ExportRequest(
            handle=str(model),
            tokenizer=TokenizerChoice(vocab, SPECS[source.tokenizer]),
            dtype=dtype,
            architecture=source.architecture,
            trained=False,
            classifier=asked,
            own=True,
        )
        export_model(request, out / "bundles" / f"{source.name}.{dtype}", lambda line: None)


def _add_head(encoder: Any, source: SourceSpec, decides: ClassifierSpec) -> Any:
    """Returns the encoder with a head of one layer, whose scores differ by about 1 among texts."""
    from export.architectures.classifier import EncoderWithHead

    on = "sequence_output" if decides.task == "token_labels" else "pooled_output"
    generator, count = np.random.default_rng(source.seed), len(decides.labels)
    kernel = generator.normal(0.0, 0.5, (source.hidden, count)).astype(np.float32)
    bias = generator.normal(0.0, 0.5, count).astype(np.float32)
    return EncoderWithHead(encoder, on, [(kernel, bias)])


def encoder_config(source: SourceSpec, vocab: Path) -> Any:
    """Returns the exporter's configuration of a source."""
    from export.encoder_config import EncoderConfig

    return EncoderConfig(
        architecture=source.architecture,
        vocab_size=embedding_rows(source, vocab),
        num_hidden_layers=source.layers,
        hidden_size=source.hidden,
        num_attention_heads=source.heads,
        intermediate_size=2 * source.hidden,
        embedding_size=source.embedding,
        activation=source.activation,
        max_position_embeddings=source.positions,
        layer_norm_eps=source.eps,
        initializer_range=source.deviation,
    )


def embedding_rows(source: SourceSpec, vocab: Path) -> int:
    """Returns the rows of the word embeddings; padded ones have at least one more than tokens."""
    tokens = len(read_vocab(vocab, lambda line: None).tokens)
    multiple = source.padded_to
    return tokens if multiple == 1 else (tokens // multiple + 1) * multiple


def _set_outlier(model: Any, value: float) -> None:
    """Sets a large weight in the last row of the word embeddings."""
    table = model.embeddings.word_embeddings
    values = table.numpy()
    values[-1, 0] = value
    table.assign(values)


def write_tables(name: str, vocab: Path, file: Path) -> None:
    """Writes a tokenizer's tables."""
    read = read_vocab(vocab, lambda line: None)
    write_file(file, export.tokenizer.serialised_tables(SPECS[name], read))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
