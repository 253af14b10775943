"""Input files: which are accepted, and the errors for the others."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.errors import UserError
from support.input_files import (
    plain_file_size,
    read_json,
    read_plain_file,
    require_integer,
    require_number,
    require_type,
)

pytestmark = pytest.mark.quick
ROOT = Path(__file__).parents[2]


def test_a_pipe_and_a_device_are_refused_without_opening_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening the pipe would block for ever."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")

    def refuse_opening(*_: object, **__: object) -> None:
        raise AssertionError("it was opened")

    with monkeypatch.context() as patched:
        for name in ("builtins.open", "io.open", "os.open"):
            patched.setattr(name, refuse_opening)
        for name in ("pipe", "endless"):
            with pytest.raises(UserError, match="is a pipe or a device, expected a plain file"):
                read_plain_file(tmp_path / name, 10, "a vocab")


def test_a_file_of_a_terabyte_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(UserError, match="has more than 67 MB"):
        read_json(tmp_path / "large")
    assert plain_file_size(tmp_path / "large", "x") == 1 << 40


def test_missing_file_is_named_in_the_error(tmp_path: Path) -> None:
    for path in (tmp_path / "none", Path("a\0b")):
        with pytest.raises(UserError, match="give the model's own file"):
            read_json(path)
    with pytest.raises(UserError, match="Is a directory"):
        read_json(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 65, "nested 65 deep, expected at most 64"),
        ('{"a":' * 100_000, "nested 100000 deep"),
        ("{", "is no JSON"),
        ('{"a": "\\ud800"}', "is no JSON: 'utf-8' codec can't encode"),
        ('{"a": ' + "9" * 5000 + "}", "is no JSON: Exceeds the limit"),
        ("\x00", "is no JSON"),
    ],
)
def test_damaged_json_gives_one_error_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(text, "utf-8")
    with pytest.raises(UserError, match=message):
        read_json(file)


def test_brackets_in_strings_do_not_nest(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    document = {"a": "[" * 1000, 'b"\\': ["]"], "c\\": "\U00010000"}
    for ascii_only in (True, False):
        file.write_text(json.dumps(document, ensure_ascii=ascii_only), "utf-8")
        assert read_json(file) == document


@pytest.mark.parametrize(
    ("start", "repeated", "times"),
    [('"', '\\"', 2_000_000), ("", '"', 4_000_001), ("", "\\", 4_000_000)],
)
def test_the_depth_of_millions_of_quotes_is_found_without_backtracking(
    start: str, repeated: str, times: int
) -> None:
    """Backtracking would take days, and cannot be interrupted in the process of the test."""
    code = (
        "import sys; from support.input_files import nesting_depth; a, b = sys.argv[1:]; "
        f"print(nesting_depth(a.encode() + b.encode() * {times}))"
    )
    command = [sys.executable, "-c", code, start, repeated]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.stdout == "0\n", done.stderr


def test_json_types_are_checked_exactly() -> None:
    assert (require_number(1, "x"), require_number(0.5, "x"), require_integer(3, "x", 1, 3)) == (
        1,
        0.5,
        3,
    )
    values: tuple[object, ...] = (True, None, "1", [], float("nan"), float("inf"))
    for value in values:
        with pytest.raises(UserError, match="x: got .*, expected a number"):
            require_number(value, "x")
    for wrong in (True, 1.0, 0, 4, 10**100, "1"):
        with pytest.raises(UserError, match="expected an integer from 1 to 3"):
            require_integer(wrong, "x", 1, 3)
    with pytest.raises(UserError, match="x: got true, expected an integer"):
        require_type(True, int, "x")
    with pytest.raises(UserError, match="^x: got an integer of thousands of digits, expected a st"):
        require_type(10**9999, str, "x")
