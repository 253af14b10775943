import pytest
from tokenizers import BertWordPieceTokenizer

from export.tokenizer import TokenizerSpec, libraries, make_reference
from export.tokenizer.reference import refuse_repeated
from export.tokenizer.vocab import compare_sizes, parse_vocab, read_vocab
from support.errors import UserError
from support.quiet_tensorflow import tensorflow

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def vocab_text(*more, end="\n"):
    return "".join(line + end for line in [*SPECIAL, *more]).encode()


def parse_bytes(data):
    return parse_vocab(data, "v.txt")


def test_ids_are_line_numbers():
    vocab = parse_bytes(vocab_text("中", "##a"))
    assert vocab.tokens == [*SPECIAL, "中", "##a"]
    assert {role: (t.token, t.id) for role, t in vocab.special.items()} == {
        "pad": ("[PAD]", 0),
        "unk": ("[UNK]", 1),
        "cls": ("[CLS]", 2),
        "sep": ("[SEP]", 3),
        "mask": ("[MASK]", 4),
    }


def test_only_a_line_feed_ends_a_line():
    vocab = parse_bytes(vocab_text("\u2028", "##\u2028", "a\x85b", "\u3000"))
    assert vocab.tokens[5:] == ["\u2028", "##\u2028", "a\x85b", "\u3000"]


def test_last_line_may_have_no_line_feed():
    assert parse_bytes(vocab_text("a")[:-1]).tokens == parse_bytes(vocab_text("a")).tokens


def test_crlf_in_all_lines_is_accepted_with_a_notice(tmp_path):
    path = tmp_path / "v.txt"
    path.write_bytes(vocab_text("a", end="\r\n"))
    notices: list[str] = []
    vocab = read_vocab(path, notices.append)
    assert vocab.tokens == [*SPECIAL, "a"]
    assert vocab.raw == path.read_bytes()
    assert len(notices) == 1 and "CRLF" in notices[0]


def test_a_plain_file_gets_no_notice(tmp_path):
    path = tmp_path / "v.txt"
    path.write_bytes(vocab_text())
    notices: list[str] = []
    read_vocab(path, notices.append)
    assert notices == []


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xef\xbb\xbf" + vocab_text(), "v.txt line 1: begins with a byte order mark"),
        (vocab_text() + b"a\xff\n", "v.txt line 6: invalid UTF-8"),
        (vocab_text("a", "", "b"), "v.txt line 7: is blank"),
        (vocab_text("a", ""), "v.txt line 7: is blank"),
        (vocab_text("a ", "b"), "v.txt line 6: 'a ' begins or ends in white space"),
        (vocab_text() + b"a\r\nb\n", "v.txt line 6: has a carriage return"),
        (vocab_text("a\rb", end="\r\n"), "v.txt line 1: has a carriage return"),
        (vocab_text("a\0"), "v.txt line 6: has a NUL"),
        (vocab_text().replace(b"[SEP]", b"[sep]"), "v.txt: no line is [SEP]"),
        (b"", "v.txt line 1: is blank"),
    ],
)
def test_errors_name_the_line(data, said):
    with pytest.raises(UserError) as caught:
        parse_bytes(data)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_token_on_several_lines_is_accepted_with_a_notice(tmp_path):
    path = tmp_path / "v.txt"
    path.write_bytes(vocab_text("a", "b", "a", "[MASK]"))
    notices: list[str] = []
    vocab = read_vocab(path, notices.append)
    assert vocab.tokens == [*SPECIAL, "a", "b", "a", "[MASK]"]
    assert vocab.repeated == {"[MASK]": [5, 9], "a": [6, 8]}
    # The last line's id, as in Hugging Face's and Google's load_vocab.
    assert vocab.special["mask"].id == 8
    assert len(notices) == 2
    assert "line 8: 'a' stands in line 6 already" in notices[1]
    assert "the last line's id, 7" in notices[1]


@pytest.mark.parametrize(
    ("algorithm", "lines", "refused"),
    [
        ("bert", ["a", "a", "[MASK]"], False),
        ("chars", ["a", "A", "a"], False),
        ("chars", ["a", "[mask]"], True),
        ("tf-text", ["a", "a"], True),
        ("tf-text-fast", ["a", "a"], True),
    ],
)
def test_vocab_that_the_library_refuses_is_refused_with_advice(algorithm, lines, refused):
    vocab = parse_bytes(vocab_text(*lines, "[unused1]"))
    if not refused:
        refuse_repeated(TokenizerSpec(algorithm), vocab)
        return
    with pytest.raises(UserError, match=r"rename one .*\[unused2\].*Never remove a line") as caught:
        refuse_repeated(TokenizerSpec(algorithm), vocab)
    assert "\n" not in str(caught.value)


def test_tf_text_refuses_a_token_on_two_lines():
    """Fails when the library accepts such a vocab: then its rule must be implemented."""
    tensorflow()
    vocab = parse_bytes(vocab_text("a", "a"))
    ids = {role: token.id for role, token in vocab.special.items()}
    for algorithm in ("tf-text", "tf-text-fast"):
        with pytest.raises(libraries.VocabRefused, match="(?i)same key|unique"):
            libraries.load_tokenizer(algorithm, {"lower_case": True}, vocab.tokens, ids)


def test_hugging_face_uses_the_last_line(tmp_path):
    path = tmp_path / "v.txt"
    path.write_bytes(vocab_text("a", "b", "a"))
    theirs = BertWordPieceTokenizer(str(path)).encode("a b", add_special_tokens=False).ids
    ours = make_reference(TokenizerSpec("bert"), parse_bytes(path.read_bytes())).encode(["a b"])
    assert ours == [theirs] == [[7, 6]]


def test_vocab_is_compared_with_the_embedding():
    assert compare_sizes("v.txt", 21128, 21128) is None
    assert compare_sizes("v.txt", 21128, 21136) == (
        "the model's embedding has 21136 rows, the vocab 21128 lines: "
        "the last 8 rows belong to no token"
    )
    with pytest.raises(UserError, match="v.txt has 9 lines, .* has 8 rows") as caught:
        compare_sizes("v.txt", 9, 8)
    assert "remove" not in str(caught.value)


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(UserError, match="No such file or directory; give a vocab.txt"):
        read_vocab(tmp_path / "none.txt", print)
