"""Faults in the tokenizer's tables and vocab."""

import unicodedata
from random import Random

from fault_injection.registry import kind
from fault_injection.sources import CleanBundle
from fault_injection.target import Target
from support.contracts import TABLES_FILE, VOCAB_FILE
from support.tokenizer_tables import (
    ALONE,
    BLOCKS,
    FOLDED,
    LETTER,
    SPACE,
    VANISHES,
    TokenizerTables,
    tables_from_bytes,
    tables_to_bytes,
)


def _is_lower_casing(clean: CleanBundle) -> bool:
    """Returns whether the tokenizer lower-cases."""
    return clean.source.tokenizer == "lower"


def is_cased(clean: CleanBundle) -> bool:
    """Returns whether the tokenizer keeps upper case."""
    return not _is_lower_casing(clean)


def _read_bundle_tables(target: Target) -> TokenizerTables:
    """Reads the bundle's tables."""
    return tables_from_bytes(target.bundle.read(TABLES_FILE))


def write_tables(target: Target, changed: TokenizerTables) -> None:
    """Writes the bundle's tables."""
    target.bundle.write(TABLES_FILE, tables_to_bytes(changed))


def _fold(changed: TokenizerTables, c: int, symbols: tuple[int, ...]) -> None:
    """Makes a code point become these symbols, none of them itself."""
    changed.classes[c] = FOLDED
    changed.folds[c] = symbols


def _set_class(changed: TokenizerTables, c: int, kind: int) -> None:
    """Makes a code point become itself as LETTER, ALONE or SPACE, or nothing as VANISHES."""
    changed.classes[c] = kind
    changed.folds.pop(c, None)


def _kind_of(tables: TokenizerTables, c: int) -> int:
    """Returns LETTER, ALONE or SPACE; LETTER where the code point becomes something else."""
    return tables.classes[c] if tables.classes[c] < VANISHES else LETTER


@kind("tokenizer", stages="tables", fits=_is_lower_casing)
def lower_casing_off(target: Target, choose: Random) -> str:
    """The tables of the tokenizer that keeps upper case."""
    target.bundle.write(TABLES_FILE, target.clean.material.tables("cased").read_bytes())
    return "tables of the cased tokenizer"


@kind("tokenizer", stages="tables", fits=is_cased)
def lower_casing_on(target: Target, choose: Random) -> str:
    """The tables of the tokenizer that lower-cases."""
    target.bundle.write(TABLES_FILE, target.clean.material.tables("lower").read_bytes())
    return "tables of the lower-casing tokenizer"


@kind("tokenizer", stages="tables", fits=_is_lower_casing)
def nfkc_off(target: Target, choose: Random) -> str:
    """The tables of the algorithm bert, which lower-cases and does not fold full-width forms."""
    target.bundle.write(TABLES_FILE, target.clean.material.tables("bert").read_bytes())
    return "tables of bert instead of tf-text's"


@kind("tokenizer", stages="tables", fits=is_cased)
def nfkc_on(target: Target, choose: Random) -> str:
    """Compatibility forms are folded where the tokenizer keeps them."""
    changed = _read_bundle_tables(target)
    folded = 0
    for c in range(0x80, 0x10000):
        form = unicodedata.normalize("NFKC", chr(c))
        simple = form != chr(c) and form and all(0x20 < ord(x) < 0x10000 for x in form)
        if simple and changed.classes[c] < VANISHES and unicodedata.category(chr(c)) != "Lo":
            _fold(changed, c, tuple(ord(x) * 4 + _kind_of(changed, ord(x)) for x in form))
            folded += 1
    write_tables(target, changed)
    return f"{folded} characters folded by NFKC"


@kind("tokenizer", stages="tables", fits=_is_lower_casing)
def other_runtime(target: Target, choose: Random) -> str:
    """The tables of tf-text-fast, which differs from tf-text in a few characters."""
    target.bundle.write(TABLES_FILE, target.clean.material.tables("fast").read_bytes())
    return "tables of tf-text-fast instead of tf-text's"


@kind("tokenizer", stages="tables", times=6)
def one_entry_altered(target: Target, choose: Random) -> str:
    """One Chinese character becomes a space, a letter, nothing, or its neighbour."""
    changed = _read_bundle_tables(target)
    c = choose.randrange(0x4E00, 0x9FA5)
    assert changed.classes[c] == ALONE
    to = choose.choice(("a space", "a letter", "nothing", "its neighbour"))
    if to == "its neighbour":
        _fold(changed, c, ((c + 1) * 4 + ALONE,))
    else:
        _set_class(changed, c, {"a space": SPACE, "a letter": LETTER, "nothing": VANISHES}[to])
    write_tables(target, changed)
    return f"U+{c:04X} became {to}"


@kind("tokenizer", stages="tables")
def word_limit_wrong(target: Target, choose: Random) -> str:
    """The longest word that is looked up is shorter, or counted in characters and not bytes."""
    changed = _read_bundle_tables(target)
    if choose.random() < 0.5:
        changed.limit_in_bytes = not changed.limit_in_bytes
        what = "the word limit counts characters, not bytes"
    else:
        before, changed.limit = changed.limit, choose.choice((10, 99, 101, 200))
        what = f"the word limit: {before} became {changed.limit}"
    write_tables(target, changed)
    return what


@kind("tokenizer", stages="tables", fits=_is_lower_casing)
def order_of_marks_lost(target: Target, choose: Random) -> str:
    """Combining marks are not reordered."""
    changed = _read_bundle_tables(target)
    assert changed.ranks
    count = len(changed.ranks)
    changed.ranks = {}
    write_tables(target, changed)
    return f"the ranks of {count} marks are lost"


@kind("tokenizer", stages="tables", fits=_is_lower_casing)
def fold_cut_short(target: Target, choose: Random) -> str:
    """A character that becomes several keeps only the first."""
    changed = _read_bundle_tables(target)
    several = [c for c, symbols in changed.folds.items() if len(symbols) > 1]
    c = choose.choice(several)
    assert changed.classes[c] == FOLDED
    changed.folds[c] = changed.folds[c][:1]
    write_tables(target, changed)
    return f"U+{c:04X} becomes one symbol, not several"


# Where the tables of TF-Text 2.19.0 (lower case) differ from those of 2.21.1, measured entry by
# entry: its Unicode is older. Unknown upper case and compatibility forms remain letters; unknown
# marks block the reordering of other marks, or have no rank.
UNFOLDED_IN_2_19 = """
1C89 2C2F A7C0 A7C7 A7C9 A7CB-A7CC A7D0 A7D6 A7D8 A7DA A7DC A7F2-A7F5 AB69 10570-1057A 1057C-1058A
1058C-10592 10594-10595 105C9 105E4 10781-10785 10787-107B0 107B2-107BA 10D50-10D65 11383 11385
1138E 11391 113C5 113C7-113C8 11938 16121-16128 16D68-16D6A 1CCD6-1CCF9 1E030-1E06D 1FBF0-1FBF9
"""
BLOCKING_IN_2_19 = """
898-89F 8CA-8D2 C3C 180F 1ABF-1ACE 1DFA A82C 10EAB-10EAC 10EFD-10EFF 10F82-10F85 11070 1193E 11943
11F42 1E08F 1E2AE 1E4EC-1E4EF
"""
RANKS_IN_2_19 = {
    0: "897 1715 10D69-10D6D 113CE-113D0 1193D 11F41 1612F 16FF0-16FF1 1E5EE-1E5EF",
    1: "1734 1B44 1BAA 1BF2-1BF3 A953 A9C0 111C0 11235 1134D 116B6",
    12: "1D165-1D166 1D16E-1D172",
    19: "302E-302F",
    21: "1D16D",
}


def code_points(text: str) -> list[int]:
    """Parses such a list of code points.

    >>> code_points("41 61-62")
    [65, 97, 98]
    """
    pairs = [one.split("-") for one in text.split()]
    return [c for ends in pairs for c in range(int(ends[0], 16), int(ends[-1], 16) + 1)]


@kind("tokenizer", stages="tables", fits=_is_lower_casing)
def tables_of_another_tf_text(target: Target, choose: Random) -> str:
    """The tables of TF-Text 2.19.0 instead of 2.21.1's: an older Unicode."""
    changed = _read_bundle_tables(target)
    unfolded, blocking = code_points(UNFOLDED_IN_2_19), code_points(BLOCKING_IN_2_19)
    for c in unfolded:
        _set_class(changed, c, LETTER)
    for c in blocking:
        assert changed.classes[c] == VANISHES
        changed.classes[c] = BLOCKS
    for rank, marks in RANKS_IN_2_19.items():
        for mark in code_points(marks):
            assert mark in changed.ranks
            changed.ranks.pop(mark)
            if rank:
                changed.ranks[mark] = rank
    write_tables(target, changed)
    return f"{len(unfolded) + len(blocking)} entries and the ranks of marks as in TF-Text 2.19.0"


# Faults in the vocab.

SPECIAL = 5
"""Lines at the beginning that are special tokens."""


def _read_vocab_lines(target: Target) -> list[bytes]:
    """Reads the lines without their ends."""
    return target.bundle.read(VOCAB_FILE).removesuffix(b"\n").split(b"\n")


def write_vocab(target: Target, lines: list[bytes]) -> None:
    """Writes the lines, as many as before."""
    assert len(lines) == target.bundle.about["tokenizer"]["vocab_size"]
    target.bundle.write(VOCAB_FILE, b"\n".join(lines) + b"\n")


@kind("tokenizer", stages="vocab", times=6)
def vocab_lines_swapped(target: Target, choose: Random) -> str:
    """Two lines are swapped."""
    lines = _read_vocab_lines(target)
    a, b = choose.sample(range(SPECIAL, len(lines)), 2)
    lines[a], lines[b] = lines[b], lines[a]
    write_vocab(target, lines)
    return f"lines {a + 1} and {b + 1} swapped: {lines[b].decode()} and {lines[a].decode()}"


@kind("tokenizer", stages="vocab")
def vocab_line_moved(target: Target, choose: Random) -> str:
    """A line moves to the end: every id after it is one less."""
    lines = _read_vocab_lines(target)
    index = choose.randrange(SPECIAL, len(lines) // 2)
    lines.append(lines.pop(index))
    write_vocab(target, lines)
    return f"line {index + 1}, {lines[-1].decode()}, moved to the end"


@kind("tokenizer", stages="vocab")
def vocab_marks_lost(target: Target, choose: Random) -> str:
    """A piece inside a word has lost its ##."""
    lines = _read_vocab_lines(target)
    rest = set(lines)
    pieces = [
        i
        for i, line in enumerate(lines)
        if line.startswith(b"##") and line[2:] and line[2:] not in rest
    ]
    index = choose.choice(pieces)
    before, lines[index] = lines[index], lines[index][2:]
    write_vocab(target, lines)
    return f"line {index + 1}: {before.decode()} became {lines[index].decode()}"


@kind("tokenizer", stages="vocab")
def vocab_line_decomposed(target: Target, choose: Random) -> str:
    """A line has a character that looks the same: an invisible one was added."""
    lines = _read_vocab_lines(target)
    index = choose.randrange(SPECIAL, len(lines))
    lines[index] += "\u200b".encode()
    write_vocab(target, lines)
    return f"line {index + 1}, {lines[index].decode()!r}, has an invisible character more"
