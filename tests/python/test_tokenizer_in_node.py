"""Compares Node's tokenizer with the Python references, on texts that Hypothesis generates."""

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.bundle import Contract, seal
from export.tokenizer import TokenizerSpec, make_reference, write_tokenizer
from export.tokenizer.probe import read_tables
from export.tokenizer.tables import serialise
from export.tokenizer.texts import ALL_EDGES, WRITTEN_TOKENS, texts_from_alphabet
from export.tokenizer.vocab import SPECIAL_TOKENS
from parity_tests.tokenizer.material import make_random_vocab, vocab_from_lines
from parity_tests.tokenizer.sides import TokenizerPair, TokenizerProcess
from support.node import find_node

SPECS = [
    TokenizerSpec("bert"),
    TokenizerSpec("bert", lower_case=False),
    TokenizerSpec("bert", strip_accents=False, split_chinese=False),
    TokenizerSpec("tf-text"),
    TokenizerSpec("tf-text", lower_case=False),
    TokenizerSpec("tf-text-fast"),
    TokenizerSpec("tf-text-fast", lower_case=False),
    TokenizerSpec("chars"),
]
piece = st.one_of(
    st.sampled_from(ALL_EDGES), st.sampled_from(WRITTEN_TOKENS), st.characters(codec="utf-8")
)
texts = st.lists(piece, max_size=30).map("".join)


def name(spec):
    return f"{spec.algorithm}-{'-'.join(key for key, on in spec.options.items() if on)}"


@pytest.fixture(scope="module", params=SPECS, ids=name)
def pair(request, tmp_path_factory):
    vocab, _ = make_random_vocab(5)
    tables = tmp_path_factory.mktemp("tables") / "tokenizer_tables.bin"
    tables.write_bytes(serialise(read_tables(request.param, vocab)))
    with TokenizerProcess() as side:
        yield TokenizerPair(side, request.param, vocab, tables)


@settings(max_examples=150, deadline=None)
@given(text=texts, other=st.none() | texts, length=st.integers(4, 40), special=st.booleans())
def test_ids_equal_the_reference(pair, text, other, length, special):
    pairs = None if other is None else [other]
    for truncation in ("longest-first", "joined"):
        expected = pair.python.encode([text], pairs, special, length, truncation)[0]
        options = {"specialTokens": special, "maxLength": length, "truncation": truncation}
        if other is not None:
            options["pair"] = other
        details = pair.node.details(text, **options)
        assert details["ids"] == expected
        assert details["tokens"] == [pair.vocab.tokens[i] for i in expected]
        assert len(details["offsets"]) == len(details["typeIds"]) == len(expected)
        if other is None:
            options = {"specialTokens": special, "maxLength": length, "truncation": truncation}
            assert pair.node.flat([text], **options).rows() == [expected]


@pytest.fixture(scope="module", params=["bert", "chars"])
def tables_of(request, tmp_path_factory):
    """A tokenizer whose library accepts a token on several lines, and its tables."""
    spec = TokenizerSpec(request.param, lower_case=request.param == "chars")
    tables = tmp_path_factory.mktemp("tables") / "tokenizer_tables.bin"
    tables.write_bytes(serialise(read_tables(spec, make_random_vocab(5)[0])))
    with TokenizerProcess() as side:
        yield side, spec, tables


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    doubled=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), max_size=12),
    text=texts,
)
def test_ids_equal_the_reference_where_a_token_is_on_several_lines(tables_of, seed, doubled, text):
    """Node's ids are the library's for any repeated lines; each id maps back to its line."""
    side, spec, tables = tables_of
    vocab, alphabet = make_random_vocab(seed % 50)
    lines = list(vocab.tokens)
    ordinary = [token for token in lines if token not in SPECIAL_TOKENS.values()]
    may = ordinary if spec.algorithm == "chars" else lines
    for which, where in doubled:
        # Not as the first line: a token that begins with U+FEFF would be a byte order mark there.
        lines.insert(1 + where % len(lines), may[which % len(may)])
    pair = TokenizerPair(side, spec, vocab_from_lines(lines), tables)
    some = [text, *texts_from_alphabet(alphabet, 20, seed), *may[:9]]
    assert not pair.differences(some)
    details = side.details(text, specialTokens=True)
    assert details["tokens"] == [lines[i] for i in details["ids"]]


def utf16_offsets(text):
    """Returns the start of each character in UTF-16 units, and the end."""
    offsets = [0]
    for c in text:
        offsets.append(offsets[-1] + (2 if ord(c) > 0xFFFF else 1))
    return offsets


@settings(max_examples=150, deadline=None)
@given(text=texts, other=texts)
def test_types_and_offsets_are_hugging_faces(pair, text, other):
    """Equal, except for marks that are reordered past stripped marks."""
    if pair.spec.algorithm != "bert":
        return
    theirs = pair.python.library.tokenizer.encode(text, other)
    ours = pair.node.details(text, pair=other)
    assert ours["typeIds"] == theirs.type_ids
    if pair.spec.strips_accents:
        return
    expected = [
        (utf16_offsets(other if kind else text)[a], utf16_offsets(other if kind else text)[b])
        for (a, b), kind in zip(theirs.offsets, theirs.type_ids, strict=True)
    ]
    assert [tuple(offset) for offset in ours["offsets"]] == expected


@settings(max_examples=100, deadline=None)
@given(text=texts)
def test_offsets_cover_what_the_token_came_from(pair, text):
    details = pair.node.details(text, specialTokens=False, maxLength=10**6)
    size = utf16_offsets(text)[-1]
    assert len(details["offsets"]) == len(details["ids"])
    assert all(0 <= start < end <= size for start, end in details["offsets"])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bundle")
    vocab, _ = make_random_vocab(8)
    spec = TokenizerSpec("chars")
    tokenizer = write_tokenizer(directory, vocab, spec)
    seal(
        directory,
        Contract(
            "t", "tokenizer", None, None, None, [], [], "masked", 512, tokenizer, {"versions": {}}
        ),
    )
    return directory, make_reference(spec, vocab)


def tokenize(directory, text, *options):
    command = [find_node(), "node_bridge/tokenize.js", "--bundle", str(directory), *options]
    return subprocess.run(command, input=text, capture_output=True, check=False)


def test_command_writes_one_line_per_line(bundle):
    directory, tokenizer = bundle
    lines = ["中 a", "", "\u2028x", "\ufeff中", "a\r", "last"]
    done = tokenize(directory, "\n".join(lines).encode())
    assert done.returncode == 0, done.stderr
    import json

    answers = [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]
    assert [answer["ids"] for answer in answers] == tokenizer.encode(lines, special_tokens=True)


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (b"a\n\xff\n", (), "stdin:2: invalid UTF-8"),
        (b'{"text": "a"}\n{"text": "\\ud800"}\n', ("--jsonl",), "stdin:2: the text has a lone"),
        (b'{"label": 1}\n', ("--jsonl",), "stdin:1: got fields label, expected `text`"),
        (b"{\n", ("--jsonl",), "stdin:1: broken JSON"),
        (b"a\n", ("--max-length", "0"), "Expected --max-length to be a whole number"),
    ],
)
def test_the_command_names_the_line_of_an_error(bundle, text, options, said):
    done = tokenize(bundle[0], text, *options)
    assert done.returncode == 2
    assert done.stderr.decode().startswith(f"error: {said}")
    assert done.stderr.count(b"\n") == 1


def test_very_long_texts_and_words_are_tokenized(bundle):
    directory, _ = bundle
    done = tokenize(directory, b"a" * 1_000_000 + b"\n" + "中".encode() * 350_000)
    assert done.returncode == 0
    assert done.stdout.count(b"\n") == 2
