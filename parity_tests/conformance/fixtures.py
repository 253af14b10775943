"""Builds a catalog row with seeded weights, in its own contract, at its true size or shallower.

    python -m parity_tests.conformance.fixtures ROW VOCAB OUT [LAYERS]

It runs as a process of its own: Keras counts the models of a process in their names, and its memory
is freed at the end.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

from export.source import catalog
from export.tokenizer import read_vocab, save_tokenizer_model
from export.tokenizer.vocab import SPECIAL_TOKENS
from support.quiet_tensorflow import tensorflow

SEED = 1
CJK = [*range(0x4E00, 0xA000), *range(0x3400, 0x4DC0)]


def make_vocab_lines(count: int) -> list[str]:
    """Makes a vocab of `count` lines: special tokens, ASCII, `##` pieces, CJK characters."""
    ascii_signs = [chr(c) for c in range(0x21, 0x7F) if not chr(c).isupper()]
    pieces = [f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz0123456789"]
    return list(islice(chain(SPECIAL_TOKENS.values(), ascii_signs, pieces, map(chr, CJK)), count))


def _build_fixture(name: str, vocab_file: Path, out: Path, layers: int | None = None) -> None:
    """Writes the SavedModel of a row.

    Args:
        name: of the row in the catalog.
        vocab_file: its vocab.
        out: the directory of the SavedModel.
        layers: instead of the row's own number.
    """
    entry = catalog.find_entry(name)
    assert entry is not None, name
    vocab = read_vocab(vocab_file, print)
    if entry.configuration is None:
        save_tokenizer_model(vocab, out, lower_case=True)
        return
    tensorflow()
    from export.architectures import encoder, string_tokens

    config = catalog.encoder_config_of(entry, len(vocab.tokens))
    config = replace(config, num_hidden_layers=layers or config.num_hidden_layers)
    model = encoder.seeded_encoder(config, "encoder", SEED)
    if entry.contract == "named":
        encoder.save_encoder(model, out)
    else:
        outputs = int(entry.contract.removeprefix("tokens-"))
        string_tokens.save_string_tokens(model, vocab, out, outputs)


def entries_by_build() -> Iterator[list[catalog.Entry]]:
    """Yields the rows that share configuration and contract, in the order of the catalog."""
    builds: dict[str, list[catalog.Entry]] = {}
    for entry in catalog.read_entries():
        builds.setdefault(entry.group, []).append(entry)
    yield from builds.values()


if __name__ == "__main__":
    _build_fixture(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), *map(int, sys.argv[4:5]))
