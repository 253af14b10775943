"""The peers in Python, each with its fastest input, in batches.

`tf-text` and `tf-text-fast` take string tensors that exist already and return ragged tensors;
`huggingface` encodes a batch without offsets, its fastest call.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.serve import serve, time_passes
from support.contracts import VOCAB_FILE

# None of 100, 1,000, 10,000 and all texts at once was clearly faster for any peer.
BATCH = 1000

Encode = Callable[[Any], Any]


class Peer:
    """One tokenizer with its texts."""

    def __init__(self, kind: str, bundle: Path, file: Path) -> None:
        self.texts: list[str] = json.loads(file.read_text(encoding="utf-8"))
        batches = [self.texts[at : at + BATCH] for at in range(0, len(self.texts), BATCH)]
        kinds = {
            "tf-text": _make_tf_text,
            "tf-text-fast": _make_tf_text_fast,
            "huggingface": _make_hugging_face,
        }
        self.encode, self.prepare, self.lists = kinds[kind](bundle)
        self.batches = [self.prepare(batch) for batch in batches]

    def ids(self, indices: list[int]) -> list[list[int]]:
        """Returns the ids of some texts, for the comparison."""
        answer: list[list[int]] = self.lists(
            self.encode(self.prepare([self.texts[at] for at in indices]))
        )
        return answer

    def run_once(self) -> None:
        """Encodes all texts."""
        for batch in self.batches:
            self.encode(batch)


def _make_tf_text(bundle: Path) -> tuple[Encode, Encode, Encode]:
    """Makes `tensorflow_text.BertTokenizer`; returns encode, prepare and to-lists functions."""
    tf, text = _import_tensorflow()
    vocab = read_tokens(bundle)
    ids = tf.range(len(vocab), dtype=tf.int64)
    table = tf.lookup.StaticVocabularyTable(tf.lookup.KeyValueTensorInitializer(vocab, ids), 1)
    tokenizer = text.BertTokenizer(table, lower_case=True)
    return tokenizer.tokenize, tf.constant, lambda ragged: ragged.merge_dims(1, 2).to_list()


def _make_tf_text_fast(bundle: Path) -> tuple[Encode, Encode, Encode]:
    """Makes `tensorflow_text.FastBertTokenizer`; returns the same functions."""
    tf, text = _import_tensorflow()
    tokenizer = text.FastBertTokenizer(
        read_tokens(bundle), token_out_type=tf.int32, lower_case_nfd_strip_accents=True
    )
    return tokenizer.tokenize, tf.constant, lambda ragged: ragged.to_list()


def _make_hugging_face(bundle: Path) -> tuple[Encode, Encode, Encode]:
    """Makes `tokenizers.Tokenizer` of the bundle's tokenizer.json; returns the same functions."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))

    def encode(texts: Any) -> Any:
        return tokenizer.encode_batch_fast(texts, add_special_tokens=False)

    return encode, list, lambda encodings: [encoding.ids for encoding in encodings]


def read_tokens(bundle: Path) -> list[str]:
    r"""Reads the lines of a bundle's vocab; only \n ends one."""
    return (bundle / VOCAB_FILE).read_bytes().decode().removesuffix("\n").split("\n")


def _import_tensorflow() -> tuple[Any, Any]:
    """Imports TensorFlow and TF-Text, with the threads of the environment."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf
    import tensorflow_text

    return tf, tensorflow_text


def main() -> None:
    """Serves one peer."""
    peers: list[Peer] = []

    def start(kind: str, bundle: str, file: str) -> None:
        peers[:] = [Peer(kind, Path(bundle), Path(file))]

    serve(
        {
            "open": start,
            "ids": lambda indices: peers[0].ids(indices),
            "time": lambda at_least: time_passes(peers[0].run_once, at_least),
        }
    )


if __name__ == "__main__":
    main()
