"""Tables are aligned, keep foreign texts harmless, and fit the place where they are printed."""

import io
import os
import sys
import unicodedata

import pytest

from support.tables import format_markdown, format_table

pytestmark = pytest.mark.quick

HEAD = ["model", "seconds", "why"]
LONG = "some words that go on for longer than a line of a small terminal can hold"


def columns_of(line: str) -> int:
    """Returns how many columns of a terminal a line takes, by Unicode's East Asian Width."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Makes stdout a terminal with a number of columns."""

    def is_terminal(columns):
        monkeypatch.setattr(sys, "stdout", FakeTerminal())
        size = os.terminal_size((columns, 24))
        monkeypatch.setattr("shutil.get_terminal_size", lambda: size)

    return is_terminal


def test_numbers_are_aligned_to_the_right_and_texts_to_the_left():
    rows = [["albert_tiny", "1.5", "ok"], ["bert", "12", ""]]
    assert format_table(HEAD, rows, numeric=[1]).split("\n") == [
        "model        seconds  why",
        "albert_tiny      1.5  ok",
        "bert              12",
    ]


def test_wide_characters_take_two_columns():
    rows = [["轻量", "1", "x"], ["ab", "2", "x"], ["模型一", "3", "x"]]
    for line in format_table(HEAD, rows, numeric=[1]).split("\n")[1:]:
        assert columns_of(line.split("x")[0]) == columns_of("模型一  seconds  ")


def test_a_log_gets_each_row_whole_in_one_line(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    lines = format_table(HEAD, [["a", "1", f"{LONG} " * 9]]).split("\n")
    assert lines[1] == f"a      1        {f'{LONG} ' * 9}".rstrip()


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_a_terminal_gets_wrapped_texts_and_whole_numbers(terminal, columns):
    terminal(columns)
    lines = format_table(HEAD, [["albert", "1,000 reviews/s", LONG * 2]], numeric=[1]).split("\n")
    assert max(map(columns_of, lines)) <= columns
    assert "1,000 reviews/s" in lines[1]
    assert "".join(line[25:] for line in lines[1:]).replace(" ", "") == (LONG * 2).replace(" ", "")


def test_a_word_longer_than_the_terminal_is_not_broken(terminal):
    terminal(40)
    address = "https://example.org/" + "x" * 40
    assert f"  {address}" in format_table(HEAD, [["a", "1", address]])


def test_texts_from_outside_are_cleaned_and_are_no_markup():
    cells = ["[bold red]x[/]", ":smile:", "\x1b[31mred\na\u202eb"]
    for table in (format_table(HEAD, [cells]), format_markdown(HEAD, [cells])):
        assert all(text in table for text in ("[bold red]x[/]", ":smile:"))
        assert r"\u001b[31mred\na\u202eb" in table.split("\n")[-1]


def test_markdown_escapes_bars_and_aligns_the_columns_of_numbers():
    lines = format_markdown(["a|b", "n", ""], [["x|y", "10", "轻量"]], numeric=[1]).split("\n")
    assert lines == [
        r"| a\|b |  n |      |",
        "|------|---:|------|",
        r"| x\|y | 10 | 轻量 |",
    ]


def test_a_table_without_rows_has_its_head():
    assert format_table(HEAD, []) == "model  seconds  why"
    assert format_markdown(HEAD, []).split("\n")[0] == "| model | seconds | why |"
