"""The tokenizer's tables: what becomes of each character."""

import unicodedata
from random import Random

from trial import tables
from trial.patient import Patient
from trial.places import Clean
from trial.registry import kind
from trial.tables import ALONE, FOLDED, LETTER, SPACE, VANISHES, Tables

FILE = "tokenizer_tables.bin"


def lower(clean: Clean) -> bool:
    """Whether the tokenizer lower-cases."""
    return clean.source.tokenizer == "lower"


def cased(clean: Clean) -> bool:
    """Whether it does not."""
    return not lower(clean)


def read(patient: Patient) -> Tables:
    """The bundle's tables."""
    return tables.read(patient.bundle.read(FILE))


def write(patient: Patient, changed: Tables) -> None:
    """Writes them."""
    patient.bundle.write(FILE, tables.write(changed))


@kind("tokenizer", stages="tables", fits=lower)
def lower_casing_off(patient: Patient, choose: Random) -> str:
    """The tables of the tokenizer that keeps upper case."""
    patient.bundle.write(FILE, patient.clean.material.tables("cased").read_bytes())
    return "tables of the cased tokenizer"


@kind("tokenizer", stages="tables", fits=cased)
def lower_casing_on(patient: Patient, choose: Random) -> str:
    """The tables of the tokenizer that lower-cases."""
    patient.bundle.write(FILE, patient.clean.material.tables("lower").read_bytes())
    return "tables of the lower-casing tokenizer"


@kind("tokenizer", stages="tables", fits=lower)
def nfkc_off(patient: Patient, choose: Random) -> str:
    """The tables of the algorithm bert, which lower-cases and does not fold full-width forms."""
    patient.bundle.write(FILE, patient.clean.material.tables("bert").read_bytes())
    return "tables of bert in the place of tf-text's"


@kind("tokenizer", stages="tables", fits=cased)
def nfkc_on(patient: Patient, choose: Random) -> str:
    """Compatibility forms are folded where the tokenizer keeps them."""
    changed = read(patient)
    folded = 0
    for c in range(0x80, 0x10000):
        form = unicodedata.normalize("NFKC", chr(c))
        simple = form != chr(c) and form and all(0x20 < ord(x) < 0x10000 for x in form)
        if simple and changed.classes[c] < VANISHES and unicodedata.category(chr(c)) != "Lo":
            changed.fold(c, [ord(x) * 4 + changed.kind_of(ord(x)) for x in form])
            folded += 1
    write(patient, changed)
    return f"{folded} characters folded by NFKC"


@kind("tokenizer", stages="tables", fits=lower)
def other_runtime(patient: Patient, choose: Random) -> str:
    """The tables of tf-text-fast, which differs from tf-text in a few characters."""
    patient.bundle.write(FILE, patient.clean.material.tables("fast").read_bytes())
    return "tables of tf-text-fast in the place of tf-text's"


@kind("tokenizer", stages="tables", times=6)
def one_entry_altered(patient: Patient, choose: Random) -> str:
    """One Chinese character becomes a space, a letter, nothing, or its neighbour."""
    changed = read(patient)
    c = choose.randrange(0x4E00, 0x9FA5)
    assert changed.classes[c] == ALONE
    to = choose.choice(("a space", "a letter", "nothing", "its neighbour"))
    if to == "its neighbour":
        changed.fold(c, [(c + 1) * 4 + ALONE])
    else:
        changed.keep(c, {"a space": SPACE, "a letter": LETTER, "nothing": VANISHES}[to])
    write(patient, changed)
    return f"U+{c:04X} became {to}"


@kind("tokenizer", stages="tables")
def word_limit_wrong(patient: Patient, choose: Random) -> str:
    """The longest word that is looked up is shorter, or counted in characters and not bytes."""
    changed = read(patient)
    if choose.random() < 0.5:
        changed.in_bytes = 1 - changed.in_bytes
        what = "the word limit counts characters, not bytes"
    else:
        before, changed.limit = changed.limit, choose.choice((10, 99, 101, 200))
        what = f"the word limit: {before} became {changed.limit}"
    write(patient, changed)
    return what


@kind("tokenizer", stages="tables", fits=lower)
def order_of_marks_lost(patient: Patient, choose: Random) -> str:
    """Combining marks keep the order they were written in."""
    changed = read(patient)
    assert changed.ranks
    count = len(changed.ranks)
    changed.ranks = {}
    write(patient, changed)
    return f"the ranks of {count} marks are lost"


@kind("tokenizer", stages="tables", fits=lower)
def fold_cut_short(patient: Patient, choose: Random) -> str:
    """A character that becomes several keeps only the first."""
    changed = read(patient)
    several = [c for c, symbols in changed.folds.items() if len(symbols) > 1]
    c = choose.choice(several)
    assert changed.classes[c] == FOLDED
    changed.folds[c] = changed.folds[c][:1]
    write(patient, changed)
    return f"U+{c:04X} becomes one symbol, not several"
