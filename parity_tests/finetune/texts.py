"""Labelled texts as the network takes them, and the batches they are fed in."""

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
    `labels`: int32[texts], places among all labels.
    """

    ids: dict[str, Array]
    labels: Array

    @property
    def lengths(self) -> Array:
        """The positions of each text, int32[texts]."""
        lengths: Array = self.ids["attention_mask"].sum(axis=1, dtype=np.int32)
        return lengths

    def batch(self, rows: Array) -> tuple[dict[str, Array], Array]:
        """The ids, as wide as the longest text of them, and the labels of a row of `make_batches`."""
        texts = rows[rows != NO_TEXT]
        width = self.lengths[texts].max()
        return {role: value[texts, :width] for role, value in self.ids.items()}, self.labels[texts]

    def tensors(self, prefix: str) -> dict[str, Array]:
        """All of it by name, for a file."""
        tensors = {f"{prefix}.{role}": value for role, value in self.ids.items()}
        return tensors | {f"{prefix}.labels": self.labels}


def read_labelled_texts(file: Path) -> tuple[list[str], list[str]]:
    r"""The texts and the labels of JSON lines, each ended by \n: a review may hold U+2028."""
    lines = file.read_text("utf-8").removesuffix("\n").split("\n")
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return [row["text"] for row in rows], [str(row["label"]) for row in rows]


def encode_texts(source: SourceModel, file: Path, labels: list[str]) -> Texts:
    """The texts of a file; `labels` are all there are, in the order of the probabilities."""
    texts, told = read_labelled_texts(file)
    places = np.array([labels.index(label) for label in told], np.int32)
    cases = [TextCase(i, 0, text, max_length=POSITIONS) for i, text in enumerate(texts)]
    return Texts(source.batch(source.encode(cases, True)), places)


def make_batches(lengths: Array, seed: int) -> Array:
    """The batches of one epoch in random order: int32[batches, BATCH], places of texts.

    Texts of about one length share a batch, so that little padding is computed: in batches at
    random nearly every one is as wide as the longest text there is, twice the reviews' average.
    One batch has NOBODY in its last places, where the texts do not come out even.
    """
    random = np.random.default_rng(seed)
    drawn = random.permutation(len(lengths)).astype(np.int32)
    rows = np.full((-(-len(lengths) // BATCH), BATCH), NO_TEXT, np.int32)
    rows.flat[: len(lengths)] = drawn[np.argsort(lengths[drawn], kind="stable")]
    return random.permutation(rows)
