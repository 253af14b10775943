"""Counts how often two Python tokenizers of the same name disagree on real reviews.

    python -m parity_tests.tokenizer.disagreements [--vocab artifacts/vocab.txt]

TF-Text's `BertTokenizer(lower_case=True)` and Hugging Face's `BertWordPieceTokenizer` are both
called BERT's tokenizer. The kinds name the characters that the two treat differently.
"""

import sys
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from parity_tests.tokenizer.material import read_reviews
from support.command_line import OptionParser, command
from support.errors import UserError
from support.quiet_tensorflow import tensorflow

Encode = Callable[[list[str]], list[list[int]]]
BATCH = 1000


def _make_tf_text_encoder(vocab: list[str]) -> Encode:
    """Returns a function from texts to TF-Text's ids, without special tokens."""
    tf, tensorflow_text = tensorflow()
    table = tf.lookup.StaticVocabularyTable(
        tf.lookup.KeyValueTensorInitializer(vocab, tf.range(len(vocab), dtype=tf.int64)), 1
    )
    tokenizer = tensorflow_text.BertTokenizer(table, lower_case=True)

    def encode(texts: list[str]) -> list[list[int]]:
        ids: list[list[int]] = tokenizer.tokenize(texts).merge_dims(1, 2).to_list()
        return ids

    return encode


def _make_hugging_face_encoder(vocab: list[str]) -> Encode:
    """Returns a function from texts to Hugging Face's ids, without special tokens."""
    from tokenizers import BertWordPieceTokenizer

    tokenizer = BertWordPieceTokenizer({t: i for i, t in enumerate(vocab)}, lowercase=True)

    def encode(texts: list[str]) -> list[list[int]]:
        return [e.ids for e in tokenizer.encode_batch(texts, add_special_tokens=False)]

    return encode


def _kind_of_character(character: str) -> str:
    """Names the character's kind, coarsely enough for a table."""
    point = ord(character)
    if 0xFF01 <= point <= 0xFF5E or point == 0x3000:
        return "full-width ASCII and space"
    if 0xFF61 <= point <= 0xFFDC:
        return "half-width kana and hangul"
    if unicodedata.normalize("NFKC", character) != character:
        return "other compatibility characters"
    return {"C": "control and format", "M": "marks", "L": "letters"}.get(
        unicodedata.category(character)[0], "other"
    )


@dataclass(frozen=True)
class KindCount:
    """How many texts have a character of this kind that the two treat differently."""

    kind: str
    texts: int


@dataclass(frozen=True)
class Disagreements:
    """On how many of the `texts` the two give different ids; a text may have several `kinds`."""

    texts: int
    different: int
    kinds: list[KindCount]


def count_disagreements(vocab: list[str]) -> Disagreements:
    """Counts the reviews on which the two give different ids, in all and by kind of character."""
    one, other = _make_tf_text_encoder(vocab), _make_hugging_face_encoder(vocab)
    texts = [text.strip() for text in read_reviews() if text.strip()]
    alphabet = sorted(set("".join(texts)))
    odd = {c for c, a, b in zip(alphabet, one(alphabet), other(alphabet), strict=True) if a != b}
    different = 0
    by_kind: Counter[str] = Counter()
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        for text, a, b in zip(batch, one(batch), other(batch), strict=True):
            if a != b:
                different += 1
                by_kind.update({_kind_of_character(c) for c in set(text) & odd} or {"context"})
    kinds = [KindCount(name, count) for name, count in by_kind.most_common()]
    return Disagreements(len(texts), different, kinds)


@command()
def main() -> int:
    """Prints the share of texts whose ids differ, and the characters that alone differ, by kind."""
    parser = OptionParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--vocab", type=Path, default=Path("artifacts/vocab.txt"))
    path: Path = parser.parse_args().vocab
    if not path.is_file():
        raise UserError(f"{path} does not exist; `nox -s export` makes it")
    found = count_disagreements(path.read_bytes().decode().removesuffix("\n").split("\n"))
    share = found.different / found.texts
    print(f"{found.different} of {found.texts} reviews ({share:.1%}) get different ids, because of")
    for row in found.kinds:
        print(f"  {row.texts / found.texts:6.1%}  {row.kind}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
