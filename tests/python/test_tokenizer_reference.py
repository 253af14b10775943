"""Known results of the references, written by hand; they may change with a library's version."""

import pytest
from tokenizers.implementations import BertWordPieceTokenizer

from export.tokenizer import TokenizerSpec, make_reference
from export.tokenizer.vocab import SPECIAL_TOKENS
from parity_tests.tokenizer.material import vocab_from_lines
from support.errors import UserError

TOKENS = [
    *SPECIAL_TOKENS.values(),
    *",!%~.:()株1a一中かA\u2028，…𫠡𠀀",
    "##b",
    "##𠀀",
    "##\u2028",
    "##中",
]


def tokens(spec, text):
    vocab = vocab_from_lines(TOKENS)
    return [vocab.tokens[i] for i in make_reference(spec, vocab).encode([text])[0]]


@pytest.mark.parametrize(
    ("algorithm", "text", "expected"),
    [
        # TF-Text folds compatibility forms, Google's and Hugging Face's rules do not.
        ("tf-text", "，", [","]),
        ("tf-text-fast", "，", [","]),
        ("bert", "，", ["，"]),
        ("tf-text", "…", [".", ".", "."]),
        ("bert", "…", ["…"]),
        ("tf-text", "㈱", ["(", "株", ")"]),
        ("tf-text", "①", ["1"]),
        # A control character is a space for one and is removed by the other.
        ("tf-text", "a\u0001b", ["a", "[UNK]"]),
        ("bert", "a\u0001b", ["a", "##b"]),
        # 34 kana are 102 bytes.
        ("tf-text", "か" * 34, ["[UNK]"]),
        # Special tokens in the text.
        ("bert", "a[MASK]a", ["a", "[MASK]", "a"]),
        ("bert", "[mask]", ["[UNK]"] * 3),
        ("tf-text", "[MASK]", ["[UNK]"] * 3),
        ("chars", "A[mAsK]中", ["a", "[MASK]", "中"]),
        ("chars", "\n", ["[UNK]"]),
        ("bert", "", []),
        ("tf-text", "", []),
        ("tf-text-fast", "", []),
        ("chars", "", []),
    ],
)
def test_known_tokens_of_each_algorithm(algorithm, text, expected):
    assert tokens(TokenizerSpec(algorithm), text) == expected


def test_bert_starts_cjk_extension_e_256_characters_late():
    """Google's rules begin at U+2B820, `tokenizers` at U+2B920; fails when this is fixed."""
    assert tokens(TokenizerSpec("bert"), "a\U0002b821中") == ["[UNK]", "中"]
    assert tokens(TokenizerSpec("tf-text"), "a\U0002b821中") == ["a", "𫠡", "中"]


def test_fast_treats_a_line_separator_as_a_letter():
    assert tokens(TokenizerSpec("tf-text-fast"), "\u2028\u2028b") == ["\u2028", "##\u2028", "##b"]
    assert tokens(TokenizerSpec("tf-text-fast"), "中\u2028") == ["中"]


@pytest.mark.parametrize("algorithm", ["bert", "tf-text", "tf-text-fast", "chars"])
def test_a_lone_surrogate_is_refused(algorithm):
    with pytest.raises(UnicodeEncodeError):
        tokens(TokenizerSpec(algorithm), "a\ud800")


@pytest.mark.parametrize("pair", [None, "a" * 4, "一" * 9, "中" * 20])
@pytest.mark.parametrize("length", [3, 4, 7, 12, 13, 100])
def test_longest_first_cuts_as_hugging_face(pair, length):
    vocab = vocab_from_lines(TOKENS)
    inner = BertWordPieceTokenizer({token: i for i, token in enumerate(TOKENS)})
    inner.enable_truncation(length)
    for text in ("", "中", "一" * 5, "一" * 9, "中" * 30):
        theirs = inner.encode(text, pair).ids
        tokenizer = make_reference(TokenizerSpec("bert"), vocab)
        pairs = None if pair is None else [pair]
        assert tokenizer.encode([text], pairs, True, length) == [theirs]


def test_a_joined_pair_is_cut_at_its_end():
    tokenizer = make_reference(TokenizerSpec("bert"), vocab_from_lines(TOKENS))
    a, b = TOKENS.index("中"), TOKENS.index("一")
    assert tokenizer.encode(["中中"], ["一一"], True, 5, "joined") == [[2, a, a, 3, b]]
    assert tokenizer.encode(["中中"], ["一一"], True, 9, "joined") == [[2, a, a, 3, b, b, 3]]


def test_an_option_that_the_algorithm_lacks_is_refused():
    with pytest.raises(
        UserError, match="tokenizer tf-text takes no --keep-accents; it takes --cased"
    ):
        TokenizerSpec("tf-text", strip_accents=False)
    with pytest.raises(UserError, match="tokenizer chars takes no --cased; it takes no options"):
        TokenizerSpec("chars", lower_case=False)
    with pytest.raises(UserError, match="unknown tokenizer"):
        TokenizerSpec("wordpiece")
