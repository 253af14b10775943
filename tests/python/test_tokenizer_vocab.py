import pytest

from export.errors import UserError
from export.tokenizer.vocab import parse_vocab, read_vocab

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def raw(*more, end="\n"):
    return "".join(line + end for line in [*SPECIAL, *more]).encode()


def parse(data):
    return parse_vocab(data, "v.txt")


def test_ids_are_line_numbers():
    vocab = parse(raw("中", "##a"))
    assert vocab.tokens == [*SPECIAL, "中", "##a"]
    assert {role: (t.token, t.id) for role, t in vocab.special.items()} == {
        "pad": ("[PAD]", 0),
        "unk": ("[UNK]", 1),
        "cls": ("[CLS]", 2),
        "sep": ("[SEP]", 3),
        "mask": ("[MASK]", 4),
    }


def test_only_a_line_feed_ends_a_line():
    vocab = parse(raw("\u2028", "##\u2028", "a\x85b", "\u3000"))
    assert vocab.tokens[5:] == ["\u2028", "##\u2028", "a\x85b", "\u3000"]


def test_a_last_line_may_lack_its_end():
    assert parse(raw("a")[:-1]).tokens == parse(raw("a")).tokens


def test_crlf_throughout_is_taken_with_a_notice(tmp_path):
    path = tmp_path / "v.txt"
    path.write_bytes(raw("a", end="\r\n"))
    notices: list[str] = []
    vocab = read_vocab(path, notices.append)
    assert vocab.tokens == [*SPECIAL, "a"]
    assert vocab.raw == path.read_bytes()
    assert len(notices) == 1 and "CRLF" in notices[0]


def test_a_plain_file_gets_no_notice(tmp_path):
    path = tmp_path / "v.txt"
    path.write_bytes(raw())
    notices: list[str] = []
    read_vocab(path, notices.append)
    assert notices == []


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xef\xbb\xbf" + raw(), "v.txt line 1: begins with a byte order mark"),
        (raw() + b"a\xff\n", "v.txt line 6: invalid UTF-8"),
        (raw("a", "", "b"), "v.txt line 7: is blank"),
        (raw("a", ""), "v.txt line 7: is blank"),
        (raw("a", "b", "a"), "v.txt line 8: 'a' stands in line 6 already"),
        (raw("a ", "b"), "v.txt line 6: 'a ' begins or ends in white space"),
        (raw() + b"a\r\nb\n", "v.txt line 6: has a carriage return"),
        (raw("a\0"), "v.txt line 6: has a NUL"),
        (raw().replace(b"[SEP]", b"[sep]"), "v.txt: no line is [SEP]"),
        (b"", "v.txt line 1: is blank"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(data, said):
    with pytest.raises(UserError) as caught:
        parse(data)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_no_such_file(tmp_path):
    with pytest.raises(UserError, match="no such vocab file"):
        read_vocab(tmp_path / "none.txt", print)
