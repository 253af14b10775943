"""Repro folders: the shorter texts that are tried."""

import pytest

from parity_tests.cases import TextCase
from parity_tests.reports import repro

pytestmark = pytest.mark.quick


def test_a_text_is_shortened_to_pieces() -> None:
    found = repro.shorter_cases(TextCase(3, 1, "abcd", max_length=9))
    assert [case.text for case in found] == ["ab", "cd", "a", "b", "c", "d"]
    assert {(case.pair, case.max_length) for case in found} == {(None, 9)}


def test_both_texts_of_a_pair_are_shortened() -> None:
    found = [(case.text, case.pair) for case in repro.shorter_cases(TextCase(3, 1, "ab", "xyz"))]
    assert set(found) >= {("a", "x"), ("b", "y"), ("a", "xyz"), ("ab", "x"), ("ab", "z")}
    assert all(len(text + (pair or "")) < len("abxyz") for text, pair in found)
    assert ("ab", "xyz") not in found
    many = repro.shorter_cases(TextCase(0, 0, "好" * 300, "".join(map(chr, range(0x4E00, 0x4F00)))))
    assert len(many) == repro.MAX_PIECES
