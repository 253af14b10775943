"""Labelled texts as the network takes them, and their batches."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parity_tests.cases import TextCase
from parity_tests.runners.source import SourceModel

Array = NDArray[np.int32]
POSITIONS = 128
BATCH = 32
NO_TEXT = -1


@dataclass(frozen=True)
class Texts:
    """Texts with [CLS] and [SEP], cut to POSITIONS, and their labels.

    `ids`: `input_ids`, `attention_mask`, `token_type_ids`, int32[texts, sequence] each, padded;
    `labels`: int32[texts], indices of the labels.
    """

    ids: dict[str, Array]
    labels: Array

    @property
    def lengths(self) -> Array:
        """The positions of each text, int32[texts]."""
        lengths: Array = self.ids["attention_mask"].sum(axis=1, dtype=np.int32)
        return lengths

    def batch(self, rows: Array) -> tuple[dict[str, Array], Array]:
        """Returns ids, as wide as their longest text, and labels of a row of `make_batches`."""
        texts = rows[rows != NO_TEXT]
        width = self.lengths[texts].max()
        return {role: value[texts, :width] for role, value in self.ids.items()}, self.labels[texts]

    def tensors(self, prefix: str) -> dict[str, Array]:
        """Returns all tensors by name, for a file."""
        tensors = {f"{prefix}.{role}": value for role, value in self.ids.items()}
        return tensors | {f"{prefix}.labels": self.labels}


def read_labelled_texts(file: Path) -> tuple[list[str], list[str]]:
    r"""Reads texts and labels from JSON lines; only \n ends a line: a review may contain U+2028."""
    lines = file.read_text("utf-8").removesuffix("\n").split("\n")
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return [row["text"] for row in rows], [str(row["label"]) for row in rows]


def encode_texts(source: SourceModel, file: Path, labels: list[str]) -> Texts:
    """Encodes the texts of a file; `labels` are all labels, in the order of the probabilities."""
    texts, own_labels = read_labelled_texts(file)
    indices = np.array([labels.index(label) for label in own_labels], np.int32)
    cases = [TextCase(i, 0, text, max_length=POSITIONS) for i, text in enumerate(texts)]
    return Texts(source.batch(source.encode(cases, True)), indices)


def make_batches(lengths: Array, seed: int) -> Array:
    """Makes the batches of one epoch in random order: int32[batches, BATCH], indices of texts.

    Texts of similar length share a batch, so that little padding is computed: nearly every random
    batch is as wide as the longest text, twice the average review. The last entries of one batch
    are NO_TEXT where the number of texts is no multiple of BATCH.
    """
    random = np.random.default_rng(seed)
    drawn = random.permutation(len(lengths)).astype(np.int32)
    rows = np.full((-(-len(lengths) // BATCH), BATCH), NO_TEXT, np.int32)
    rows.flat[: len(lengths)] = drawn[np.argsort(lengths[drawn], kind="stable")]
    return random.permutation(rows)
