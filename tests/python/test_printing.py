"""Untrusted texts are cleaned in terminals, logs and reports, and every error is one line."""

import errno
import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from markupsafe import Markup

from parity_tests.reports import ci, page
from parity_tests.reports.report import (
    BudgetEntry,
    BundleEntry,
    ClassifierEntry,
    FailureEntry,
    ParityReport,
    RowEntry,
    SourceEntry,
)
from parity_tests.runners.tokenizer_source import TokenizerDescription
from support import ROOT, printing
from support.command_line import ENVIRONMENT, INTERNAL, USER_ERROR, command, describe_failure
from support.errors import UserError

HOSTILE = [
    "\x1b]0;x\x07",
    "\x9b31m",
    "a\n::error::x",
    "a\rb",
    "\u202egnp.exe",
    "\u2066x\u2069",
    "a\u2028b",
    "\x7f\x00",
    "\u200f",
    "##[error]x",
    "\udc9b",
]
COMMANDS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
    r"|^\s*::|##\w*\[",
    re.MULTILINE,
)


@pytest.mark.parametrize("text", HOSTILE)
def test_untrusted_text_stays_in_its_line(text):
    assert not COMMANDS.search(printing.printable(text))
    assert "\n" not in printing.printable(text)
    assert json.loads(f'"{printing.printable(text)}"') == text


def test_long_text_loses_only_its_middle():
    cut = printing.printable("begin" + "x" * 10**6 + "end")
    assert len(cut) < 2100
    assert cut.startswith("begin") and cut.endswith("end")
    assert "(998008 characters left out)" in cut


def test_everything_printed_is_cleaned():
    behind = io.StringIO()
    clean = printing.CleanStream(behind)
    for text in HOSTILE:
        print(text, text, file=clean)
    print("", "::error::x", file=clean)
    print("  ::error::y\n::z", end="", file=clean)
    print("::no command in the middle of a line", file=clean)
    assert not COMMANDS.search(behind.getvalue())
    assert "\\u003a:z::no command" in behind.getvalue()


def test_escaped_json_has_the_same_value():
    behind = io.StringIO()
    value = {text: [text] for text in HOSTILE if text != "\udc9b"}
    print(json.dumps(value, ensure_ascii=False, indent=1), file=printing.CleanStream(behind))
    assert json.loads(behind.getvalue()) == value


def command_raising(error):
    @command("stopped")
    def main():
        print("first")
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (UserError("a\n::error::x\x1b[31m"), USER_ERROR, r"error: a\n::error::x\u001b[31m"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), ENVIRONMENT, "/x: No space left"),
        (OSError(errno.EFBIG, "File too large", "/x"), ENVIRONMENT, "ulimit -f"),
        (OSError(errno.EMFILE, "Too many open files", "/x"), ENVIRONMENT, "ulimit -n"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), USER_ERROR, "give another"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "/x"), USER_ERROR, "Is a directory"),
        (MemoryError("Unable to allocate 1 TiB"), ENVIRONMENT, "memory"),
        (KeyError("x"), INTERNAL, "internal error, please report it: KeyError: 'x' (test_printing"),
        (RecursionError("maximum"), USER_ERROR, "the input is nested too deep"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_error_is_one_line_and_an_exit_code(capsys, error, code, says):
    assert command_raising(error)() == code
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == "first\n"


def test_a_stack_is_shown_on_request(capsys, monkeypatch):
    monkeypatch.setenv("BERT_BRIDGE_DEBUG", "1")
    assert command_raising(KeyError("x\n::error::y"))() == INTERNAL
    err = capsys.readouterr().err
    assert "Traceback" in err and not COMMANDS.search(err)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_stdout_is_an_environment_problem():
    with Path("/dev/full").open("w") as full:
        arguments = [sys.executable, "-m", "export", "catalog"]
        done = subprocess.run(
            arguments, stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT
        )
    assert done.returncode == ENVIRONMENT
    assert re.fullmatch(r"error: No space left on device; [^\n]*\n", done.stderr)


MAINS = [
    path
    for room in ("export", "parity_tests", "support", "fault_injection", "bench", "native")
    for path in sorted((ROOT / room).rglob("*.py"))
    if re.search(r"^if __name__", path.read_text("utf-8"), re.MULTILINE)
    and "OptionParser(" in path.read_text("utf-8")
]


@pytest.mark.parametrize("path", MAINS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_cleans_its_output(path):
    code = path.read_text("utf-8")
    assert re.search(r"^@command\(.*\)\ndef main\(", code, re.MULTILINE)
    assert 'print(f"error' not in code


def test_an_exception_with_an_exit_code_keeps_it():
    class Known(Exception):
        exit_code = 1

    assert describe_failure(Known("drift")) == ("drift", 1)


def report_of(text: str) -> ParityReport:
    """Returns a report of one row whose names and messages are all this text."""
    key = {"backend": text, "special_tokens": "added", "comparison": "texts", "stage": text}
    row = RowEntry(
        **key,
        is_tap=False,
        status="drift",
        texts=1,
        failing=1,
        compared=1,
        budget=BudgetEntry(0.0, 0.0, text),
        measures=None,
        decisions=None,
        worst_case=None,
    )
    failure = FailureEntry(**key, status="drift", check="values", case=None, message=text)
    tokenizer = TokenizerDescription(text, text, None, None, text, {})
    return ParityReport(
        verdict="drift",
        first_stage_off=text,
        bundle=BundleEntry(text, text, text, None, None, None, None, None),
        source=SourceEntry(text, tokenizer, [text], text, None, None),
        classifier=ClassifierEntry(None, text),
        versions={},
        cases=[],
        stored_parts={},
        storage=[],
        tokenizers=None,
        rows=[row],
        skipped_invariances={},
        problem=text,
        failures=[failure],
        points=[],
        tokens=[],
        training=None,
    )


MARKUP = "a|b `c` ```` </details><script>alert(1)</script> [x](y) <!-- # *z*"


@pytest.mark.parametrize("text", [*HOSTILE, MARKUP])
def test_step_summary_and_annotations_are_escaped(tmp_path, monkeypatch, text):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    table = f"head\n{printing.printable(text)}\n```\n````\n<script>"
    lines = ci.annotate(report_of(text), table)
    assert lines
    assert all(line.startswith("::error title=") and "\n" not in line for line in lines)
    assert all(not COMMANDS.search(line.replace("::error title=", "", 1)) for line in lines)
    summary = (tmp_path / "summary.md").read_text("utf-8")
    heading, _, fence, *block = summary.rstrip("\n").split("\n")
    assert heading.startswith("### Parity of ")
    # In CommonMark a backslash before a punctuation character removes its special meaning.
    assert not re.search(r"(?<!\\)[<>|`*\[\]_#]", heading.removeprefix("### Parity of "))
    assert set(fence) == {"`"} and block[-1] == fence
    assert "````" in block[:-1]
    assert not any(re.match(rf"`{{{len(fence)},}}", line) for line in block[:-1])


@pytest.mark.parametrize("text", [*HOSTILE, "</failure><script>", "\ufffe\uffff"])
def test_junit_is_xml_whatever_the_names_are(tmp_path, text):
    ci.write_junit(tmp_path / "report.xml", report_of(text))
    assert not COMMANDS.search((tmp_path / "report.xml").read_text("utf-8").split("\n", 1)[1])
    case = ET.parse(tmp_path / "report.xml").find(".//testcase")
    assert case is not None and case.get("name") is not None


def test_html_page_escapes_everything():
    template = page.template_environment().from_string("<td>{{ name }}</td>{{ drawn }}")
    shown = template.render(name="<script>\u202e\x9b", drawn=Markup("<svg/>"))
    assert shown == "<td>&lt;script&gt;\\u202e\\u009b</td><svg/>"


def test_file_size_limit_is_an_environment_problem(tmp_path):
    (tmp_path / "vocab.txt").write_bytes((ROOT / "artifacts" / "vocab.txt").read_bytes())
    words = [sys.executable, "-m", "export", "vocab", str(tmp_path / "vocab.txt")]
    words += ["--tokenizer", "bert", "--uncased", "--out", str(tmp_path / "out")]
    line = ["sh", "-c", 'ulimit -f 1 && exec "$0" "$@"', *words]
    done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == ENVIRONMENT, done.stderr
    assert re.fullmatch(r"error: cannot write [^\n]*: File too large; [^\n]*", last(done.stderr))
    assert [path.name for path in tmp_path.iterdir()] == ["vocab.txt"]


def last(text):
    return text.rstrip("\n").split("\n")[-1]
