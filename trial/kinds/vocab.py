"""Lines of the vocab."""

from random import Random

from trial.patient import Patient
from trial.registry import kind

FILE = "vocab.txt"
SPECIAL = 5
"""Lines at the beginning that are special tokens."""


def lines_of(patient: Patient) -> list[bytes]:
    """The lines without their ends."""
    return patient.bundle.read(FILE).removesuffix(b"\n").split(b"\n")


def write(patient: Patient, lines: list[bytes]) -> None:
    """The lines again, as many as before."""
    assert len(lines) == patient.bundle.about["tokenizer"]["vocab_size"]
    patient.bundle.write(FILE, b"\n".join(lines) + b"\n")


@kind("tokenizer", stages="vocab", times=6)
def vocab_lines_swapped(patient: Patient, choose: Random) -> str:
    """Two lines change places."""
    lines = lines_of(patient)
    a, b = choose.sample(range(SPECIAL, len(lines)), 2)
    lines[a], lines[b] = lines[b], lines[a]
    write(patient, lines)
    return f"lines {a + 1} and {b + 1} swapped: {lines[b].decode()} and {lines[a].decode()}"


@kind("tokenizer", stages="vocab")
def vocab_line_moved(patient: Patient, choose: Random) -> str:
    """A line moves to the end: every id after it is one less."""
    lines = lines_of(patient)
    place = choose.randrange(SPECIAL, len(lines) // 2)
    lines.append(lines.pop(place))
    write(patient, lines)
    return f"line {place + 1}, {lines[-1].decode()}, moved to the end"


@kind("tokenizer", stages="vocab")
def vocab_marks_lost(patient: Patient, choose: Random) -> str:
    """A piece that goes on a word has lost its ##."""
    lines = lines_of(patient)
    rest = set(lines)
    pieces = [
        i
        for i, line in enumerate(lines)
        if line.startswith(b"##") and line[2:] and line[2:] not in rest
    ]
    place = choose.choice(pieces)
    before, lines[place] = lines[place], lines[place][2:]
    write(patient, lines)
    return f"line {place + 1}: {before.decode()} became {lines[place].decode()}"


@kind("tokenizer", stages="vocab")
def vocab_line_decomposed(patient: Patient, choose: Random) -> str:
    """A line has a character that looks the same: an invisible one was added."""
    lines = lines_of(patient)
    place = choose.randrange(SPECIAL, len(lines))
    lines[place] += "\u200b".encode()
    write(patient, lines)
    return f"line {place + 1}, {lines[place].decode()!r}, has an invisible character more"
