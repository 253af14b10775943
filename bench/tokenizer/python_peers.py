"""The peers in Python, each given its texts the way it likes them best, in batches.

`tf-text` and `tf-text-fast` get a string tensor that is there already and leave a ragged tensor;
`huggingface` is asked for a batch without offsets, its fastest call.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.serve import serve, time_passes

# Of 100, 1,000, 10,000 and all texts at once, none was clearly faster for any of them.
BATCH = 1000

Encode = Callable[[Any], Any]


class Peer:
    """One tokenizer with its texts."""

    def __init__(self, kind: str, bundle: Path, file: Path) -> None:
        self.texts: list[str] = json.loads(file.read_text(encoding="utf-8"))
        batches = [self.texts[at : at + BATCH] for at in range(0, len(self.texts), BATCH)]
        kinds = {
            "tf-text": make_tf_text,
            "tf-text-fast": make_tf_text_fast,
            "huggingface": make_hugging_face,
        }
        self.encode, self.prepare, self.lists = kinds[kind](bundle)
        self.batches = [self.prepare(batch) for batch in batches]

    def ids(self, places: list[int]) -> list[list[int]]:
        """Of some texts, to be compared."""
        answer: list[list[int]] = self.lists(
            self.encode(self.prepare([self.texts[at] for at in places]))
        )
        return answer

    def once(self) -> None:
        """All texts."""
        for batch in self.batches:
            self.encode(batch)


def make_tf_text(bundle: Path) -> tuple[Encode, Encode, Encode]:
    """`tensorflow_text.BertTokenizer`."""
    tf, text = import_tensorflow()
    vocab = read_tokens(bundle)
    ids = tf.range(len(vocab), dtype=tf.int64)
    table = tf.lookup.StaticVocabularyTable(tf.lookup.KeyValueTensorInitializer(vocab, ids), 1)
    tokenizer = text.BertTokenizer(table, lower_case=True)
    return tokenizer.tokenize, tf.constant, lambda ragged: ragged.merge_dims(1, 2).to_list()


def make_tf_text_fast(bundle: Path) -> tuple[Encode, Encode, Encode]:
    """`tensorflow_text.FastBertTokenizer`."""
    tf, text = import_tensorflow()
    tokenizer = text.FastBertTokenizer(
        read_tokens(bundle), token_out_type=tf.int32, lower_case_nfd_strip_accents=True
    )
    return tokenizer.tokenize, tf.constant, lambda ragged: ragged.to_list()


def make_hugging_face(bundle: Path) -> tuple[Encode, Encode, Encode]:
    """`tokenizers.Tokenizer` of the bundle's tokenizer.json."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))

    def encode(texts: Any) -> Any:
        return tokenizer.encode_batch_fast(texts, add_special_tokens=False)

    return encode, list, lambda encodings: [encoding.ids for encoding in encodings]


def read_tokens(bundle: Path) -> list[str]:
    r"""The lines of a bundle's vocab; only \n ends one."""
    return (bundle / "vocab.txt").read_bytes().decode().removesuffix("\n").split("\n")


def import_tensorflow() -> tuple[Any, Any]:
    """TensorFlow and TF-Text on as many threads as the environment says."""
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
            "ids": lambda places: peers[0].ids(places),
            "time": lambda at_least: time_passes(peers[0].once, at_least),
        }
    )


if __name__ == "__main__":
    main()
