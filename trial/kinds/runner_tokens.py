"""Node's tokenizer: JavaScript that finds other tokens."""

import json
from random import Random

from trial.patient import Patient
from trial.places import Clean
from trial.registry import kind
from trial.sources import POSITIONS

INDEX = "node_bridge/tokenizer/index.js"
SCANNER = "node_bridge/tokenizer/scanner.js"


def is_padded(clean: Clean) -> bool:
    """Whether the word embeddings have rows that no token uses."""
    return clean.source.padded_to > 1


def is_cut(clean: Clean) -> bool:
    """Whether the model has so few positions that the longest texts are cut."""
    return clean.source.positions <= POSITIONS


@kind("runner", stages="tokens")
def cls_missing(patient: Patient, choose: Random) -> str:
    """No [CLS] is put before the tokens: the place holds what was there."""
    return patient.runner.edit(INDEX, "ids[0] = this.special.cls.id;", "")


@kind("runner", stages="tokens")
def special_tokens_missing(patient: Patient, choose: Random) -> str:
    """[CLS] and [SEP] are never added."""
    return patient.runner.edit(INDEX, "const lead = specialTokens ? 1 : 0;", "const lead = 0;")


@kind("runner", stages="tokens")
def sep_is_cls(patient: Patient, choose: Random) -> str:
    """[CLS] stands at the end too."""
    return patient.runner.edit(
        INDEX,
        "ids[lead + first] = this.special.sep.id;",
        "ids[lead + first] = this.special.cls.id;",
    )


@kind("runner", stages="tokens", fits=is_cut)
def truncation_side(patient: Patient, choose: Random) -> str:
    """A text that is too long loses its beginning."""
    return patient.runner.edit(
        INDEX,
        "ids[lead + i] = scanned[i];",
        "ids[lead + i] = scanned[secondAt - first + i];",
    )


@kind("runner", stages="tokens", fits=is_cut)
def truncation_off_by_one(patient: Patient, choose: Random) -> str:
    """A text that is too long loses a token more."""
    old = "const room = maxLength - 2 * lead - tail;"
    return patient.runner.edit(INDEX, old, old.replace("tail;", "tail - 1;"))


@kind("runner", stages="tokens", times=6)
def strings_compared_by_their_first_character(patient: Patient, choose: Random) -> str:
    """Of each piece only the first character is looked at; nothing throws."""
    return patient.runner.edit(
        INDEX,
        "? this.vocab.map(lowerAscii) : this.vocab;",
        "? this.vocab.map(lowerAscii) : this.vocab.map((piece) => piece.slice(0, 1));",
    )


@kind("runner", stages="tokens")
def pieces_forget_their_place(patient: Patient, choose: Random) -> str:
    """Pieces that go on a word are looked for among those that begin one."""
    return patient.runner.edit(
        SCANNER,
        "let node = at === 0 ? START : CONTINUE;\n      let id = -1;",
        "let node = START;\n      let id = -1;",
    )


@kind("runner", stages="tokens")
def shortest_piece_first(patient: Patient, choose: Random) -> str:
    """Words are cut into the shortest pieces, not the longest."""
    return patient.runner.edit(
        SCANNER,
        "          id = trie.idAt[node];\n          end = i + 1;\n",
        "          id = trie.idAt[node];\n          end = i + 1;\n          break;\n",
    )


@kind("runner", stages="tokens")
def unknown_words_dropped(patient: Patient, choose: Random) -> str:
    """A word that no pieces cover leaves nothing, not [UNK]."""
    return patient.runner.edit(
        SCANNER, "this.emit(this.unknown, letterStarts[0], letterEnds[length - 1]);", ""
    )


@kind("runner", stages="tokens", fits=is_padded)
def unknown_words_get_a_padded_row(patient: Patient, choose: Random) -> str:
    """A word that no pieces cover gets the first row behind the vocab, which no token uses."""
    return patient.runner.edit(
        SCANNER,
        "this.emit(this.unknown, letterStarts[0], letterEnds[length - 1]);",
        f"this.emit({vocab_size(patient)}, letterStarts[0], letterEnds[length - 1]);",
    )


@kind("runner", stages="ids", fits=is_padded)
def padding_is_a_padded_row(patient: Patient, choose: Random) -> str:
    """Padding is the first row behind the vocab, not [PAD]."""
    old = ".fill(tokenizer.special_tokens.pad.id)"
    return patient.runner.edit("node_bridge/encoder.js", old, f".fill({vocab_size(patient)})")


def vocab_size(patient: Patient) -> int:
    """How many tokens the vocab has."""
    about = json.loads((patient.clean.path / "bundle.json").read_text(encoding="utf-8"))
    return int(about["tokenizer"]["vocab_size"])


@kind("runner", stages="tokens", fits=lambda clean: clean.source.tokenizer == "cased")
def case_changed_in_javascript(patient: Patient, choose: Random) -> str:
    """Letters are upper-cased before the tables see them; a lower-casing tokenizer undoes it."""
    return patient.runner.edit(
        SCANNER,
        "    this.reserve(to - from);\n    this.spaceAt",
        "    text = text.toUpperCase();\n    this.reserve(to - from);\n    this.spaceAt",
    )
