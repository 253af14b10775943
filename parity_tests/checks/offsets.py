"""Checks where Node says that tokens are in their text: spans of a token classifier rest on that.

Python's tokenizers give no offsets, or those of the normalised text. But where no character of a
text is changed, apart from case, a token of letters and digits is itself the part of the text that
its offsets give.
"""

import re

from parity_tests.cases import TextCase
from parity_tests.checks.compare import Problem, make_problem

UNCHANGED_TEXT = re.compile(r"[ -~\u4e00-\u9fa5、。《》，！？：；（）]*")  # noqa: RUF001
"""Texts of which no tokenizer changes a character, other than punctuation, beyond its case."""
PLAIN_TOKEN = re.compile(r"(?:##)?([0-9A-Za-z\u4e00-\u9fa5]+)")

Offsets = list[list[int]]
"""The start and the end of each token of a text, in UTF-16 units."""


def first_wrong_offset(
    tokens: list[str], offsets: Offsets, case: TextCase, where: str
) -> Problem | None:
    """Finds the first token whose offsets give another part of the text.

    Args:
        tokens: of one text.
        offsets: of these tokens.
        case: the text; a pair is not checked.
        where: for the message.
    """
    if case.pair is not None or not UNCHANGED_TEXT.fullmatch(case.text):
        return None
    if len(offsets) != len(tokens):
        got, expected = f"{len(offsets)} offsets", len(tokens)
        return make_problem("shape", got, expected, f"{where}, text {case.case} {case.quoted}")
    for at, (token, (start, end)) in enumerate(zip(tokens, offsets, strict=True)):
        match = PLAIN_TOKEN.fullmatch(token)
        # All characters have one UTF-16 unit.
        part = case.text[start:end]
        if match is not None and part.lower() != match[1].lower():
            spot = f"token {at} at characters {start} to {end}, {where}"
            text = f"text {case.case} {case.quoted}"
            return make_problem("values", repr(part), repr(match[1]), f"{spot}, {text}")
    return None
