"""Progress is a bar on a terminal and a few lines in a log."""

import io
from typing import Any

import pytest

from support import progress
from support.printing import CleanStream, say
from support.progress import BYTES, Progress, timed_step, track

pytestmark = pytest.mark.quick


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_has_a_line_every_ten_seconds_and_one_at_the_end(clock, capsys):
    with Progress("faults", 30) as counted:
        for _ in range(30):
            clock.now += 1
            counted.add()
    assert capsys.readouterr().err.splitlines() == [
        "faults: 10 of 30",
        "faults: 20 of 30",
        "faults: 30 of 30",
        "faults: 30 of 30 in 30 s",
    ]


def test_a_line_ends_with_the_newest_detail(clock):
    lines: list[str] = []
    with Progress(
        "pretrain", 9000, unit="steps", done=40, line_every=60, say=lines.append
    ) as counted:
        for detail in ("loss 8.1", "", "loss 7.9"):
            clock.now += 59
            counted.add(detail=detail)
    assert lines == [
        "pretrain: 42 of 9000 steps, loss 8.1",
        "pretrain: 43 of 9000 steps, loss 7.9 in 177 s",
    ]


def test_a_short_step_prints_nothing(clock, capsys):
    with Progress("faults", 3) as counted:
        counted.add(3)
    assert capsys.readouterr().err == ""


def test_a_step_that_fails_has_no_last_line(clock):
    lines: list[str] = []
    with pytest.raises(ValueError), Progress("faults", 3, say=lines.append) as counted:
        clock.now = 99
        counted.add()
        raise ValueError
    assert lines == ["faults: 1 of 3"]


def test_bytes_are_written_as_megabytes(clock):
    lines: list[str] = []
    for total in (4_000_000, None):
        with Progress("download", total, unit=BYTES, done=500_000, say=lines.append) as counted:
            clock.now += 11
            counted.add(1_000_000)
    assert lines[::2] == ["download: 1.5 of 4.0 MB", "download: 1.5 MB"]


def test_items_are_counted_when_the_loop_has_done_them(clock):
    lines: list[str] = []
    for item in track("rewriting", "abc", unit="steps", say=lines.append):
        clock.now += 11
        if item == "b":
            continue
    assert lines[:3] == [f"rewriting: {number} of 3 steps" for number in (1, 2, 3)]


def test_a_terminal_has_a_bar_that_goes_away(clock, monkeypatch):
    monkeypatch.setattr(progress, "BAR_AFTER_S", 0)
    terminal = FakeTerminal()
    behind: Any = CleanStream(terminal)
    print_line = lambda line: say(line, behind)  # noqa: E731
    with Progress("faults", 2, say=print_line, stream=behind) as counted:
        clock.now = 20
        counted.add(2)
    # The bar's own controls are not cleaned away.
    assert "faults:   0%" in terminal.getvalue() and "\\u000d" not in terminal.getvalue()
    assert terminal.getvalue().split("\r")[-1] == "faults: 2 of 2 in 20 s\n"


def test_a_step_says_its_seconds_unless_it_fails(clock):
    lines: list[str] = []
    with timed_step("[1/2] build", lines.append):
        clock.now = 1.25
    with pytest.raises(ValueError), timed_step("[2/2] check", lines.append):
        raise ValueError
    assert lines == ["[1/2] build …", "[1/2] build: 1.2 s", "[2/2] check …"]
