"""Finds the character that causes a difference, and the rule or table entry."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from export.tokenizer.probe import read_tables
from export.tokenizer.tables import CharacterTables
from export.tokenizer.texts import describe_character
from parity_tests.tokenizer.sides import TokenizerPair

# Takes texts; returns the indices of those that fail.
Failing = Callable[[Sequence[str]], list[int]]


def shrink(text: str, failing: Failing) -> str:
    """Shortens a failing text: removes ever smaller parts for as long as the rest fails.

    >>> shrink("what is wrong here", lambda texts: [i for i, t in enumerate(texts) if "wr" in t])
    'wr'
    """
    size = max(1, len(text) // 2)
    while True:
        candidates = [text[:i] + text[i + size :] for i in range(0, len(text), size)]
        failed = failing(candidates) if candidates else []
        if failed:
            text = candidates[failed[0]]
            size = min(size, max(1, len(text) // 2))
        elif size > 1:
            size //= 2
        else:
            return text


SYMBOL_KINDS = ("letter", "word by itself", "space", "keeps marks from passing")


@dataclass(frozen=True)
class Difference:
    """One difference between Python and Node, with its text shortened."""

    tokenizer: str
    group: str
    text: str
    shrunk: str
    code_points: list[str]
    python: list[str]
    node: list[str]
    character: str
    rule: str

    def __str__(self) -> str:
        return (
            f"ids of {self.tokenizer} differ: {self.shrunk!r} ({', '.join(self.code_points)}) "
            f"gives {self.python} in Python and {self.node} in Node; {self.character}: {self.rule}"
        )


def explain(pair: TokenizerPair, group: str, text: str) -> Difference:
    """Shortens a text whose ids differ and names the cause."""
    short = shrink(text, pair.differences)
    python, node = ([pair.vocab.tokens[i] for i in side] for side in pair.ids(short))
    character, rule = _find_cause(pair, short)
    return Difference(
        tokenizer=_tokenizer_title(pair),
        group=group,
        text=text,
        shrunk=short,
        code_points=[describe_character(c) for c in short],
        python=python,
        node=node,
        character=character,
        rule=rule,
    )


def _tokenizer_title(pair: TokenizerPair) -> str:
    """Returns the tokenizer's algorithm and its options that are not default."""
    return tokenizer_name(pair.spec.algorithm, pair.spec.options)


def tokenizer_name(algorithm: str, options: dict[str, bool]) -> str:
    """Returns algorithm and options as text, for example `bert, cased`."""
    parts = [algorithm]
    if not options["lower_case"]:
        parts.append("cased")
    if options.get("strip_accents", options["lower_case"]) != options["lower_case"]:
        parts.append("strip accents" if options["strip_accents"] else "keep accents")
    if not options.get("split_chinese", True):
        parts.append("no split Chinese")
    return ", ".join(parts)


def _find_cause(pair: TokenizerPair, text: str) -> tuple[str, str]:
    """Returns the first character whose table entry differs from the runtime, or a broader rule."""
    tables = read_tables(pair.spec, pair.vocab, pair.interpreter)
    for c in text:
        has, gives = pair.node.symbols(ord(c)), list(tables.folds.get(ord(c), ()))
        if has != gives:
            table, runtime = _format_symbols(has), _format_symbols(gives)
            entry = f"the table makes it {table}, the runtime makes it {runtime}"
            return describe_character(c), f"table entry: {entry}"
    return describe_character(text[0]) if text else "", _guess_rule(text, tables)


def _guess_rule(text: str, tables: CharacterTables) -> str:
    """Guesses the rule where every single character is right."""
    if any(ord(c) in tables.ranks for c in text):
        return "canonical order of combining marks"
    if len(text) > tables.limit // 5:
        return f"word limit of {tables.limit}"
    if "[" in text:
        return "special tokens written in the text"
    return "pieces of the vocab (wordpiece rules)"


def _format_symbols(symbols: list[int]) -> str:
    """Describes symbols."""
    if not symbols:
        return "nothing"
    return " + ".join(f"U+{symbol >> 2:04X} ({SYMBOL_KINDS[symbol & 3]})" for symbol in symbols)
